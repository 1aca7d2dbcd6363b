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

use super::driver;

/// What all launches of a kernel took, in milliseconds.
#[derive(Default)]
struct Times {
    launches: u64,
    sum: f64,
    longest: f64,
}

static TIMES: LazyLock<Option<Mutex<BTreeMap<&'static str, Times>>>> = LazyLock::new(|| env::var_os(FILE).map(|_| Mutex::default()));

const FILE: &str = "PRIMAL_CUDA_PROFILE";

/// What the driver says of a call that failed just now.
fn said(_: CudaError) -> String {
    driver::last_error()
}

/// Launches a kernel, and takes its time if that was asked for.
///
/// # Errors
/// What the driver says.
pub(super) fn timed(name: &'static str, stream: &Stream, launch: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let Some(times) = &*TIMES else { return launch() };
    let event = || Event::new(EventFlags::DEFAULT).map_err(said);
    let [start, end] = [event()?, event()?];
    start.record(stream).map_err(said)?;
    launch()?;
    end.record(stream).map_err(said)?;
    end.synchronize().map_err(said)?;
    let milliseconds = f64::from(end.elapsed_time_f32(&start).map_err(said)?);
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
