//! The command line of PRIMAL.

use std::process::ExitCode;

use primal_host::Error;

fn main() -> ExitCode {
    let arguments = match primal_host::cli::Arguments::from_env() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    primal_host::mapped::complain_of_bus_errors();
    match primal_host::interrupt::watch().and_then(|()| arguments.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Ended(code)) => ExitCode::from(code),
        Err(error) => {
            primal_host::cli::warn(format!("primal-host: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
