//! `PRIMAL_CUDA_PROFILE=FILE`: how long each kernel ran, by the device's own events before and after each launch.
//!
//! Launches then wait for each other, so that the sum is that of the kernels, without the gaps between them.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::sync::{LazyLock, Mutex, PoisonError};

use cust::error::CudaError;
use cust::event::{Event, EventFlags};
use cust::stream::Stream;

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
/// # Panics
/// If the device has no events.
pub(super) fn timed<E>(name: &'static str, stream: &Stream, launch: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    let Some(times) = &*TIMES else { return launch() };
    let events = || Ok([Event::new(EventFlags::DEFAULT)?, Event::new(EventFlags::DEFAULT)?]);
    let failed = |error: CudaError| -> ! { panic!("taking the time of {name}: {error}") };
    let [start, end] = events().unwrap_or_else(|error| failed(error));
    start.record(stream).unwrap_or_else(|error| failed(error));
    launch()?;
    let elapsed = end.record(stream).and_then(|()| end.synchronize()).and_then(|()| end.elapsed_time_f32(&start));
    let milliseconds = f64::from(elapsed.unwrap_or_else(|error| failed(error)));
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
        crate::cli::warn(format!("{FILE}: {}: {error}", file.display()));
    }
}
