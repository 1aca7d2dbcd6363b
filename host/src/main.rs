//! The command line of PRIMAL.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match primal_host::cli::Arguments::from_env() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    primal_engine::files::mapped::complain_of_bus_errors("\nprimal-host: ");
    let done = primal_host::signals::watch().and_then(|()| arguments.run());
    done.map_or_else(|error| primal_host::output::report(&error), |()| ExitCode::SUCCESS)
}
