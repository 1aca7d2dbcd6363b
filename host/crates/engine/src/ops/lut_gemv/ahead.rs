//! Asking for the bytes of rows before they are multiplied.
//!
//! Hardware prefetchers stop at the end of a page, and follow one stream better than one for each of the rows that are multiplied together. So bytes are
//! asked for in the order in which they lie in memory, as many at a time as are multiplied.

use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};

use half::f16;
use primal_device::grid::GROUP;

/// Rows that are multiplied together: each activation is loaded once for all of them.
pub(super) const ROWS: usize = 2;

/// What is asked for next, and into which cache.
pub(super) struct Ahead<const HINT: i32> {
    next: *const u8,
    groups: usize,
}

/// Into the first cache, a page ahead of the rows in work: for kernels that would wait for the second.
pub(super) type Near = Ahead<_MM_HINT_T0>;
/// Into the second cache, two pages ahead: for kernels that only memory holds up.
pub(super) type Far = Ahead<_MM_HINT_T1>;

impl<const HINT: i32> Ahead<HINT> {
    const BYTES: usize = if HINT == _MM_HINT_T0 { 4096 } else { 8192 };

    /// For rows from the start of `bytes` on, so many bytes of them multiplied together.
    pub fn new(bytes: &[u8], together: usize) -> Self {
        let ahead = together + Self::BYTES;
        Self { next: bytes.as_ptr().wrapping_add(ahead), groups: 2 * ahead / GROUP }
    }

    /// Goes on by so many bytes, at most a line of the cache.
    #[inline(always)]
    pub fn next(&mut self, bytes: usize) {
        // SAFETY: prefetching never faults.
        unsafe { _mm_prefetch::<HINT>(self.next.cast()) };
        self.next = self.next.wrapping_add(bytes);
    }

    /// Halves of groups as far ahead of those of the group `group` as codes are.
    #[inline(always)]
    pub fn halves(&self, halves: &[f16], group: usize) {
        // SAFETY: prefetching never faults.
        unsafe { _mm_prefetch::<HINT>(halves.as_ptr().wrapping_add(group + self.groups).cast()) };
    }
}
