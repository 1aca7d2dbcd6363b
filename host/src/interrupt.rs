//! Signals that ask the program to end: SIGINT, SIGTERM, SIGHUP.
//!
//! A thread waits for them, so that it can answer at once, whatever the others do. While a run trains, the first one asks it to stop: a step that has
//! not yet moved anything is left by unwinding ([`check`]), one that has is finished ([`commit`]). A second signal, or one at any other time, ends the
//! process, after what is unfinished on disk is removed.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{Error, Result, durable};

const SECOND: &str = "a second signal ends at once";

/// Where the program stands.
enum Phase {
    /// Not training.
    Elsewhere,
    /// Training, between two steps, and what is done there, in words.
    Between(&'static str),
    /// In a step of which nothing counts yet.
    Revocable,
    /// In a step that has cast votes or moved weights, until about then.
    Committed(Instant),
    /// In a step that is to be left.
    Abandoned,
}

struct State {
    phase: Phase,
    /// The first signal while training.
    signal: Option<i32>,
    /// Steps that are done.
    done: u64,
    /// When the last step began, and how long the last whole one took.
    began: Option<Instant>,
    took: Option<Duration>,
}

static STATE: Mutex<State> = Mutex::new(State { phase: Phase::Elsewhere, signal: None, done: 0, began: None, took: None });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a step is left with.
struct Abandoned;

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
    let mut state = state();
    let (step, done) = (state.done + 1, state.done);
    let saved = if done == 0 { "no step was done before".into() } else { format!("the state after step {done} is saved") };
    let (text, ends) = match &state.phase {
        Phase::Elsewhere => ("ended; nothing half-written is left".into(), true),
        _ if state.signal.is_some() => ("ended at once; --resume goes on from the last checkpoint".into(), true),
        Phase::Between(doing) => (format!("{saved}{doing}; {SECOND}"), false),
        Phase::Revocable | Phase::Abandoned => (format!("step {step} is abandoned, nothing of it counts yet; {saved}; {SECOND}"), false),
        Phase::Committed(until) => {
            let left = until.saturating_duration_since(Instant::now()).as_secs_f64();
            (format!("step {step} moves weights already: it is finished, about {left:.1} s more, and its state saved; {SECOND}"), false)
        }
    };
    if let Phase::Revocable = state.phase {
        state.phase = Phase::Abandoned;
    }
    state.signal = Some(signal);
    drop(state);
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "primal-host: {}: {text}", name(signal));
    if ends {
        let _held = durable::remove_all();
        signal_hook::low_level::exit(128 + signal);
    }
}

/// From here on signals stop the run, of which `done` steps are done.
pub fn begin_training(done: u64) {
    let mut state = state();
    (state.phase, state.done) = (Phase::Between(""), done);
}

/// The signal that asked the run to stop.
pub fn requested() -> Option<i32> {
    state().signal
}

/// The exit code after that signal.
pub fn exit_code(signal: i32) -> u8 {
    128 + signal as u8
}

/// Says what is done between two steps, for who asks to stop: " after the validation".
pub fn doing(what: &'static str) {
    let mut state = state();
    if let Phase::Between(doing) = &mut state.phase {
        *doing = what;
    }
}

/// Runs `work`, the next step of a run, which calls [`commit`] before it changes anything that is saved; `None` where a signal came before that.
pub fn step<T>(work: impl FnOnce() -> T) -> Option<T> {
    {
        let mut state = state();
        if state.signal.is_some() {
            return None;
        }
        state.phase = Phase::Revocable;
        state.began = Some(Instant::now());
    }
    let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let mut state = state();
    state.phase = Phase::Between("");
    match answer {
        Ok(answer) => {
            state.done += 1;
            state.took = state.began.map(|began| began.elapsed());
            Some(answer)
        }
        Err(reason) if reason.is::<Abandoned>() => None,
        Err(panic) => {
            drop(state);
            std::panic::resume_unwind(panic)
        }
    }
}

/// Leaves the step, by unwinding, if a signal asked for it and nothing has changed yet.
pub fn check() {
    leave_if_abandoned(&state());
}

fn leave_if_abandoned(state: &State) {
    if let Phase::Abandoned = state.phase {
        // Its guard is dropped on the way.
        std::panic::resume_unwind(Box::new(Abandoned));
    }
}

/// The step is about to change what is saved: it will be finished, or is left here. As long as no step was timed, this one takes `whole` times the
/// time so far.
pub fn commit(whole: u32) {
    let mut state = state();
    leave_if_abandoned(&state);
    if let (Phase::Revocable, Some(began)) = (&state.phase, state.began) {
        state.phase = Phase::Committed(began + state.took.unwrap_or_else(|| began.elapsed() * whole));
    }
}
