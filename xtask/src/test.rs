//! `cargo xtask test`: all tests of the workspace, and those of several processes, for which it installs MPI where it is lacking.

use std::process::{Command, ExitCode, Stdio};

use argh::FromArgs;

use crate::cargo_command;

/// What tests of several processes need: the programs and libraries of Open MPI, and libclang, which reads its header for Rust.
const INSTALL: &str =
    "apt-get update -qq && apt-get install -y -qq --no-install-recommends openmpi-bin libopenmpi-dev libclang-dev iproute2";

/// run all tests of the workspace
#[derive(FromArgs)]
#[argh(subcommand, name = "test")]
pub struct Test {}

impl Test {
    /// Runs them.
    pub fn run(&self) -> ExitCode {
        let all = passes(&["test", "--workspace", "--no-fail-fast"]);
        if let Err(why) = require_mpi() {
            eprintln!("xtask: test: the tests of several processes did not run: {why}");
            return ExitCode::FAILURE;
        }
        // Each of them starts several processes of its own.
        let several =
            ["test", "--package", "primal-host", "--features", "mpi", "--test", "ranks", "--no-fail-fast", "--", "--test-threads", "1"];
        if passes(&several) && all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Whether cargo does so with success.
fn passes(arguments: &[&str]) -> bool {
    match cargo_command().args(arguments).status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("xtask: running cargo: {error}\n  hint: run it through cargo, as `cargo xtask test`");
            false
        }
    }
}

/// Installs MPI and libclang, unless they are there.
fn require_mpi() -> Result<(), String> {
    if has_mpi() {
        return Ok(());
    }
    println!("Open MPI: {INSTALL}");
    let installed = Command::new("sh").args(["-c", INSTALL]).status().is_ok_and(|status| status.success());
    if installed && has_mpi() {
        return Ok(());
    }
    Err(format!("expected mpirun, mpicc and libclang\n  hint: install them, on Debian or Ubuntu as root: {INSTALL}"))
}

fn has_mpi() -> bool {
    let answers = |name: &str| {
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let has_libclang = std::env::var_os("LIBCLANG_PATH").is_some()
        || Command::new("sh")
            .args(["-c", "ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so*"])
            .output()
            .is_ok_and(|list| !list.stdout.is_empty());
    answers("mpirun") && answers("mpicc") && has_libclang
}
