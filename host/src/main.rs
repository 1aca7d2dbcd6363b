//! The command line of PRIMAL.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match primal_host::cli::Arguments::from_env() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            primal_host::cli::warn(format!("primal-host: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
