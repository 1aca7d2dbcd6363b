//! `PRIMAL_CUDA_PROFILE=FILE`: how long each kernel ran, by the device's own events before and after each launch.
//!
//! Launches then wait for each other, so that the sum is that of the kernels, without the gaps between them.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::driver::{Event, Failure, Stream};

/// What all launches of a kernel took, in milliseconds.
#[derive(Default)]
struct Times {
    launches: u64,
    sum: f64,
    longest: f64,
}

static TIMES: LazyLock<Option<Mutex<BTreeMap<&'static str, Times>>>> = LazyLock::new(|| env::var_os(FILE).map(|_| Mutex::default()));

const FILE: &str = "PRIMAL_CUDA_PROFILE";

/// Launches a kernel, and takes its time if that was asked for.
///
/// # Errors
/// What the driver says.
pub(super) fn timed(name: &'static str, stream: &Stream, launch: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let Some(times) = &*TIMES else { return launch() };
    let [start, end] = [Event::new()?, Event::new()?];
    start.record(stream)?;
    launch()?;
    end.record(stream)?;
    end.synchronize()?;
    let milliseconds = f64::from(end.milliseconds_since(&start)?);
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
    let times = times.entry(name).or_default();
    times.launches += 1;
    times.sum += milliseconds;
    times.longest = times.longest.max(milliseconds);
    Ok(())
}

/// Writes what was measured so far: kernel, launches, milliseconds of all and of the longest, divided by tabs; the heaviest first.
pub(super) fn write() {
    let (Some(times), Some(file)) = (&*TIMES, env::var_os(FILE)) else { return };
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    let mut rows: Vec<_> = times.iter().collect();
    rows.sort_by(|(_, a), (_, b)| b.sum.total_cmp(&a.sum));
    let mut text = String::new();
    for (name, Times { launches, sum, longest }) in rows {
        writeln!(text, "{name}\t{launches}\t{sum:.4}\t{longest:.4}").expect("strings take all");
    }
    if let Err(error) = std::fs::write(&file, text) {
        eprintln!("{FILE}: {}: {error}", file.display());
    }
}
