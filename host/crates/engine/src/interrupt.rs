//! How a model that answers is asked to stop ([`answering`]), and a run that trains ([`request`]): a step that has not yet moved anything is left by unwinding ([`check`]), one that has is
//! finished ([`commit`]).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    /// Answering a user, who had enough or not.
    Answering(bool),
}

struct State {
    phase: Phase,
    /// The first signal while training.
    signal: Option<i32>,
    /// Whether it came to another rank, and not to this one yet.
    is_adopted: bool,
    /// Steps that are done.
    done: u64,
    /// When the last step began, and how long the last whole one took.
    began: Option<Instant>,
    took: Option<Duration>,
}

static STATE: Mutex<State> =
    Mutex::new(State { phase: Phase::Elsewhere, signal: None, is_adopted: false, done: 0, began: None, took: None });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a step is left with.
struct Abandoned;

/// What comes of a request to stop.
pub enum Answer {
    /// Nothing is being trained, or it was asked before: the program ends at once. Whether it was asked before.
    Ends {
        /// Whether a run is being trained, which was asked to stop before.
        again: bool,
    },
    /// The answer stops, and the program goes on.
    StopsAnswer,
    /// The run stops between two steps, of which so many are done; what is being done there, in words.
    Between(u64, &'static str),
    /// The step after so many is abandoned, and nothing of it counts.
    Abandons(u64),
    /// The step after so many moves weights already: it is finished, in about so long.
    Finishes(u64, Duration),
}

/// Asks the run to stop, for a signal of that number.
pub fn request(signal: i32) -> Answer {
    let mut state = state();
    let done = state.done;
    // The launcher's signal may reach another rank first: the own one is then the same request, not a second one.
    let was_adopted = std::mem::take(&mut state.is_adopted);
    let answer = match &state.phase {
        Phase::Elsewhere => Answer::Ends { again: false },
        Phase::Answering(false) if signal == libc::SIGINT => {
            state.phase = Phase::Answering(true);
            return Answer::StopsAnswer;
        }
        Phase::Answering(_) => return Answer::Ends { again: false },
        _ if state.signal.is_some() && !was_adopted => Answer::Ends { again: true },
        Phase::Between(doing) => Answer::Between(done, doing),
        Phase::Revocable | Phase::Abandoned => Answer::Abandons(done),
        Phase::Committed(until) => Answer::Finishes(done, until.saturating_duration_since(Instant::now())),
    };
    if let Phase::Revocable = state.phase {
        state.phase = Phase::Abandoned;
    }
    state.signal = Some(signal);
    answer
}

/// Does `work`, a model's answer, which SIGINT stops alone: `work` asks [`is_answer_stopped`] whether one came.
pub fn answering<T>(work: impl FnOnce() -> T) -> T {
    state().phase = Phase::Answering(false);
    let answer = work();
    state().phase = Phase::Elsewhere;
    answer
}

/// Whether a signal asked to stop the answer.
pub fn is_answer_stopped() -> bool {
    matches!(state().phase, Phase::Answering(true))
}

/// From here on [`request`] stops the run, of which `done` steps are done.
pub fn begin_training(done: u64) {
    let mut state = state();
    (state.phase, state.done) = (Phase::Between(""), done);
}

/// The signal that asked the run to stop.
pub fn requested() -> Option<i32> {
    state().signal
}

/// Another rank of the run got a signal of that number: this one ends as if it had.
pub fn adopt(signal: i32) {
    let mut state = state();
    if state.signal.is_none() {
        (state.signal, state.is_adopted) = (Some(signal), true);
    }
}

/// Says what is done between two steps, for who asks to stop: " after the validation".
pub fn doing(what: &'static str) {
    let mut state = state();
    if let Phase::Between(doing) = &mut state.phase {
        *doing = what;
    }
}

/// Runs `work`, the next step of a run that several ranks make together: none leaves it before its end, since the others would wait for it. What stops a
/// run is agreed on between two steps.
pub fn step_together<T>(work: impl FnOnce() -> T) -> T {
    let now = Instant::now();
    {
        let mut state = state();
        state.phase = Phase::Committed(now + state.took.unwrap_or_default());
    }
    let answer = work();
    let mut state = state();
    state.phase = Phase::Between("");
    state.done += 1;
    state.took = Some(now.elapsed());
    answer
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
