//! `cargo xtask`: what a checkout can be asked to do.

mod bench;
mod build_kernels;
mod compile;
mod count_step;
mod divergence;
mod doctor;
mod folder;
mod lexicon;
mod listing;
mod package;
mod ptx;
mod ptxas;
mod report;
mod speech;
mod test;
mod toolchain;
mod tuning;
mod verify;

use std::path::Path;
use std::process::{Command, ExitCode};

use argh::FromArgs;

/// Tests, benchmarks and device builds of PRIMAL.
#[derive(FromArgs)]
struct Arguments {
    #[argh(subcommand)]
    task: Task,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Task {
    Test(test::Test),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
    BuildKernels(build_kernels::BuildKernels),
    Verify(verify::Verify),
    Package(package::Package),
    CountStep(count_step::CountStep),
    MakeLexicon(lexicon::MakeLexicon),
}

fn main() -> ExitCode {
    let arguments: Arguments = argh::from_env();
    match arguments.task {
        Task::Test(test) => test.run(),
        Task::Bench(bench) => bench.run(),
        Task::Doctor(doctor) => doctor.run(),
        Task::BuildKernels(build) => build.run(),
        Task::Verify(verify) => verify.run(),
        Task::Package(package) => package.run(),
        Task::CountStep(count) => count.run(),
        Task::MakeLexicon(make) => make.run(),
    }
}

/// The checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the checkout")
}

/// The cargo that runs this program.
fn cargo_command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn cargo(arguments: &[&str], more: &[String]) -> ExitCode {
    match cargo_command().args(arguments).args(more).status() {
        Ok(status) => status.code().map_or(ExitCode::FAILURE, |code| ExitCode::from(code as u8)),
        Err(error) => {
            eprintln!("xtask: running cargo: {error}\n  hint: run it through cargo, as `cargo xtask test`");
            ExitCode::FAILURE
        }
    }
}
