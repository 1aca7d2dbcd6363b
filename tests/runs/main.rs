//! Kills and write errors: commands are ended by signals, or one of their system calls that write is made to fail, at random places. What they come to
//! after that, begun again or resumed, has to be what they come to undisturbed, byte for byte.
//!
//! `cargo test -p primal-host --test runs -- --seconds 3600 --seed 7` goes on for an hour; without flags it takes a minute. `PRIMAL_HOST=PATH` disturbs
//! another build of the program. In a minute, fewer than [`LEAST_KILLS`] and [`LEAST_ERRORS`] are a failure of this program itself.

#[cfg(target_os = "linux")]
mod campaign;
#[cfg(target_os = "linux")]
mod scenario;
#[cfg(target_os = "linux")]
mod supervisor;
#[cfg(target_os = "linux")]
#[path = "../tts/tiny.rs"]
mod tiny;

use std::process::ExitCode;
use std::time::Duration;

/// Kills between the first and the last write of a command that there are at least.
const LEAST_KILLS: usize = 30;
/// Injected errors that there are at least.
const LEAST_ERRORS: usize = 50;

/// The flags; `None` where this program is not meant.
fn flags() -> Option<(Duration, u64)> {
    let (mut seconds, mut seed) = (60, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse().ok());
        match (flag.as_str(), value) {
            ("--seconds", Some(value)) => seconds = value,
            ("--seed", Some(value)) => seed = value,
            _ => return None,
        }
    }
    Some((Duration::from_secs(seconds), seed))
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    let Some((time, seed)) = flags() else {
        println!("runs: filtered out (flags: --seconds N, --seed N)");
        return ExitCode::SUCCESS;
    };
    if let Err(error) = supervisor::is_possible() {
        println!("runs: this machine does not let a process supervise its children: {error}");
        return ExitCode::FAILURE;
    }
    let report = campaign::run(time, seed);
    print!("{report}");
    if report.is_good(LEAST_KILLS, LEAST_ERRORS) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    println!("runs: only Linux hands system calls to another process ({:?}, {LEAST_KILLS}, {LEAST_ERRORS})", flags());
    ExitCode::SUCCESS
}
