//! Signals that ask the program to end: SIGINT, SIGTERM, SIGHUP.
//!
//! A thread waits for them, so that it can answer at once, whatever the others do. While a model answers in a chat, SIGINT stops the answer. While a run trains, the first one asks it to stop; a second one, or
//! one at any other time, ends the process, after what is unfinished on disk is removed.

use std::io::{IsTerminal, Write};

use primal_engine::files::durable;
use primal_engine::interrupt::{self, Answer};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{Error, Result};

const SECOND: &str = "a second signal ends at once";

fn name(signal: i32) -> &'static str {
    match signal {
        SIGINT => "SIGINT",
        SIGTERM => "SIGTERM",
        _ => "SIGHUP",
    }
}

/// Waits for signals from here on. SIGHUP stays ignored where the process was started to ignore it, as `nohup` does.
///
/// # Errors
/// They cannot be caught.
pub fn watch() -> Result<()> {
    let fail = |error| Error::failed(format!("catching signals: {error}"), "run it where signals can be caught");
    // A write beyond the limit of a file's size fails instead, with a message.
    #[cfg(unix)]
    // SAFETY: sets the disposition of a signal that nothing else in this program handles.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
    let heard = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| signal != SIGHUP || !is_ignored(signal));
    let mut signals = Signals::new(heard).map_err(fail)?;
    let wait = move || signals.forever().for_each(answer);
    std::thread::Builder::new().name("signals".into()).spawn(wait).map(drop).map_err(fail)
}

#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: asks for the disposition of a signal and changes nothing; zero is a value of this plain C struct.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(not(unix))]
fn is_ignored(_signal: i32) -> bool {
    false
}

/// Says what happens now, and makes it so.
fn answer(signal: i32) {
    let saved = |done: u64| if done == 0 { "no step was done before".into() } else { format!("the state after step {done} is saved") };
    let (text, ends) = match interrupt::request(signal) {
        Answer::Ends { again: false } => ("ended; nothing half-written is left".into(), true),
        Answer::Ends { again: true } => ("ended at once; --resume goes on from the last checkpoint".into(), true),
        Answer::StopsAnswer => ("the answer ends here".into(), false),
        Answer::Between(done, doing) => (format!("{}{doing}; {SECOND}", saved(done)), false),
        Answer::Abandons(done) => (format!("step {} is abandoned, nothing of it counts yet; {}; {SECOND}", done + 1, saved(done)), false),
        Answer::Finishes(done, left) => {
            let left = left.as_secs_f64();
            (
                format!("step {} moves weights already: it is finished, about {left:.1} s more, and its state saved; {SECOND}", done + 1),
                false,
            )
        }
    };
    // Where a user reads an answer, it does not end its line.
    let start = if !ends && std::io::stderr().is_terminal() { "\n" } else { "" };
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "{start}primal-host: {}: {text}", name(signal));
    if ends {
        let _held = durable::remove_all();
        signal_hook::low_level::exit(128 + signal);
    }
}

/// The exit code after that signal.
pub fn exit_code(signal: i32) -> u8 {
    128 + signal as u8
}
