//! The scratch of each thread.

use super::memory::Parts;

/// `f32` values of scratch that each thread has for packing panels and for rows of attention scores.
pub const PER_THREAD: usize = 256 * 1024;

/// The scratch of the calling thread, from [`Parts`] over [`Cpu::scratch`](super::Cpu::scratch).
///
/// # Safety
/// The caller must not hold another slice from it, and must be a task of the pool that the back end was made for (or the only thread).
#[expect(clippy::mut_from_ref, reason = "one slice a thread")]
pub unsafe fn of_thread<'a>(scratch: &'a Parts<'_, f32>) -> &'a mut [f32] {
    let index = rayon::current_thread_index().unwrap_or(0);
    // SAFETY: one part a thread, by the caller's contract.
    unsafe { scratch.part(index * PER_THREAD, PER_THREAD) }
}
