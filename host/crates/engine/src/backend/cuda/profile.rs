//! `PRIMAL_CUDA_PROFILE=FILE`: how long each kernel ran, by the device's own events before and after each launch.
//!
//! Launches then wait for each other, so that the sum is that of the kernels, without the gaps between them.

use std::env;
use std::fmt::Write;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::driver::{Event, Failure, Stream};
use crate::backend::profile::{Profile, Times};

static PROFILE: LazyLock<Option<Mutex<Profile>>> = LazyLock::new(|| env::var_os(FILE).map(|_| Mutex::default()));

const FILE: &str = "PRIMAL_CUDA_PROFILE";

/// Launches a kernel, and takes its time if that was asked for.
///
/// # Errors
/// What the driver says.
pub(super) fn timed(name: &'static str, stream: &Stream, launch: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let Some(profile) = &*PROFILE else { return launch() };
    let [start, end] = [Event::new()?, Event::new()?];
    start.record(stream)?;
    launch()?;
    end.record(stream)?;
    end.synchronize()?;
    let seconds = f64::from(end.milliseconds_since(&start)?) * 1e-3;
    profile.lock().unwrap_or_else(PoisonError::into_inner).add(name, seconds, 0.0);
    Ok(())
}

/// Writes what was measured so far: kernel, launches, milliseconds of all and of the longest, divided by tabs; the heaviest first.
pub(super) fn write() {
    let (Some(profile), Some(file)) = (&*PROFILE, env::var_os(FILE)) else { return };
    let profile = profile.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = String::new();
    for (name, Times { runs, seconds, longest, .. }) in profile.heaviest() {
        writeln!(text, "{name}\t{runs}\t{:.4}\t{:.4}", seconds * 1e3, longest * 1e3).expect("strings take all");
    }
    if let Err(error) = std::fs::write(&file, text) {
        eprintln!("{FILE}: {}: {error}", file.display());
    }
}
