//! `--threads`.

use crate::{Error, Result, ranks};

/// Threads of a pool, at most: each has its stack and a share of the plan.
pub(super) const MOST: usize = 1024;

/// All cores (0), or what is one's own of them where several ranks share a machine.
fn default() -> usize {
    let ranks = ranks::local_place().count;
    if ranks == 1 { 0 } else { (std::thread::available_parallelism().map_or(1, usize::from) / ranks).max(1) }
}

/// Runs on a pool of so many threads, so that every op finds itself inside of it.
///
/// # Errors
/// No threads.
pub(super) fn in_pool<T: Send>(threads: Option<usize>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if let Some(count) = threads.filter(|count| !(1..=MOST).contains(count)) {
        return Err(Error::bad_input("--threads", format!("1 to {MOST}"), count, "leave it out to use all cores"));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or_else(default)).build();
    pool.map_err(|e| Error::failed(format!("starting threads: {e}"), "give fewer with --threads"))?.install(work)
}
