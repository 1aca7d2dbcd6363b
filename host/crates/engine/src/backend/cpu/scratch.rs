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

/// Half of what a thread has.
pub const HALF: usize = PER_THREAD / 2;

/// The first half of what [`of_thread`] gives, so that [`second_half`] can hold what all threads share.
///
/// # Safety
/// As of [`of_thread`].
#[expect(clippy::mut_from_ref, reason = "one slice a thread")]
pub unsafe fn first_half_of_thread<'a>(scratch: &'a Parts<'_, f32>) -> &'a mut [f32] {
    let index = rayon::current_thread_index().unwrap_or(0);
    // SAFETY: one part a thread, by the caller's contract.
    unsafe { scratch.part(index * PER_THREAD, HALF) }
}

/// The `len` values from `start` of the second half of the first thread's scratch, which is there for any number of threads.
///
/// # Safety
/// Such slices alive at the same time must not overlap, and no slice of [`of_thread`] may be alive.
#[expect(clippy::mut_from_ref, reason = "disjointness is the caller's contract")]
pub unsafe fn second_half<'a>(scratch: &'a Parts<'_, f32>, start: usize, len: usize) -> &'a mut [f32] {
    assert!(start + len <= HALF, "{start}+{len} values of half a scratch");
    // SAFETY: by the caller's contract.
    unsafe { scratch.part(HALF + start, len) }
}
