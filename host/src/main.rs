//! The command line of PRIMAL.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match primal_host::cli::Arguments::from_env() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    primal_host::mapped::complain_of_bus_errors();
    let done = primal_host::interrupt::watch().and_then(|()| arguments.run());
    done.map_or_else(|error| error.report(), |()| ExitCode::SUCCESS)
}
