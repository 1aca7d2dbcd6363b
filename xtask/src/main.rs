//! `cargo xtask`: what a checkout can be asked to do.

use std::process::{Command, ExitCode};

use argh::FromArgs;

/// Tests of PRIMAL.
#[derive(FromArgs)]
struct Arguments {
    #[argh(subcommand)]
    task: Task,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Task {
    Test(Test),
}

/// run all tests of the workspace
#[derive(FromArgs)]
#[argh(subcommand, name = "test")]
struct Test {}

fn main() -> ExitCode {
    let arguments: Arguments = argh::from_env();
    let arguments: &[&str] = match arguments.task {
        Task::Test(_) => &["test", "--workspace", "--no-fail-fast"],
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    match Command::new(cargo).args(arguments).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: running cargo: {error}\n  hint: run it through cargo, as `cargo xtask test`");
            ExitCode::FAILURE
        }
    }
}
