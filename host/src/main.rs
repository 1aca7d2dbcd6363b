//! The command line of PRIMAL.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: primal_host::cli::Arguments = argh::from_env();
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("primal-host: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
