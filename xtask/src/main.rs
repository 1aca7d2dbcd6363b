//! `cargo xtask`: what a checkout can be asked to do.

use std::process::{Command, ExitCode};

use argh::FromArgs;

/// The benchmarks: name, package and what it measures.
const BENCHES: [(&str, &str, &str); 4] = [
    ("learning", "primal-host", "how well each update rule and grid learns, against its float twin"),
    ("train", "primal-host", "tokens and GFLOP a second of training, against the peak of the gemm crate"),
    ("decode", "primal-host", "matrix-vector products from codes, against ggml's q4_0"),
    ("emulator", "ptx-emulator", "lane-instructions a second of PTX on the emulated GPU"),
];

/// Tests and benchmarks of PRIMAL.
#[derive(FromArgs)]
struct Arguments {
    #[argh(subcommand)]
    task: Task,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Task {
    Test(Test),
    Bench(Bench),
}

/// run all tests of the workspace
#[derive(FromArgs)]
#[argh(subcommand, name = "test")]
struct Test {}

/// run a benchmark: learning, train, decode or emulator; without a name, list them
#[derive(FromArgs)]
#[argh(subcommand, name = "bench")]
struct Bench {
    /// its name, and arguments that are passed on to it (--help lists them)
    #[argh(positional, greedy)]
    name: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Arguments = argh::from_env();
    match arguments.task {
        Task::Test(_) => cargo(&["test", "--workspace", "--no-fail-fast"], &[]),
        Task::Bench(Bench { name }) => bench(&name),
    }
}

fn bench(name: &[String]) -> ExitCode {
    let Some((name, arguments)) = name.split_first() else {
        BENCHES.iter().for_each(|(name, _, what)| println!("{name:10} {what}"));
        return ExitCode::SUCCESS;
    };
    let Some((_, package, _)) = BENCHES.iter().find(|(known, ..)| known == name) else {
        eprintln!("xtask: bench: expected one of {}, found {name:?}", BENCHES.map(|(known, ..)| known).join(", "));
        return ExitCode::from(2);
    };
    cargo(&["bench", "--package", package, "--bench", name, "--"], arguments)
}

fn cargo(arguments: &[&str], more: &[String]) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    match Command::new(cargo).args(arguments).args(more).status() {
        Ok(status) => status.code().map_or(ExitCode::FAILURE, |code| ExitCode::from(code as u8)),
        Err(error) => {
            eprintln!("xtask: running cargo: {error}\n  hint: run it through cargo, as `cargo xtask test`");
            ExitCode::FAILURE
        }
    }
}
