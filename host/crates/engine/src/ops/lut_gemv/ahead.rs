//! Asking for the bytes of rows before they are multiplied.
//!
//! Hardware prefetchers stop at the end of a page, and follow one stream better than one for each of the rows that are multiplied together. So bytes are
//! asked for in the order in which they lie in memory, as many at a time as are multiplied.

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use half::f16;
use primal_device::grid::GROUP;

/// Rows that are multiplied together: each activation is loaded once for all of them.
pub(super) const ROWS: usize = 2;
/// How far ahead of the rows in work, in bytes: a page.
const BYTES: usize = 4096;

/// What is asked for next.
pub(super) struct Ahead {
    next: *const u8,
    groups: usize,
}

impl Ahead {
    /// For rows from the start of `bytes` on, so many bytes of them multiplied together.
    pub fn new(bytes: &[u8], together: usize) -> Self {
        Self { next: bytes.as_ptr().wrapping_add(together + BYTES), groups: 2 * (together + BYTES) / GROUP }
    }

    /// Goes on by so many bytes, at most a line of the cache.
    #[inline(always)]
    pub fn next(&mut self, bytes: usize) {
        // SAFETY: prefetching never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(self.next.cast()) };
        self.next = self.next.wrapping_add(bytes);
    }

    /// Halves of groups as far ahead of those of the group `group` as codes are.
    #[inline(always)]
    pub fn halves(&self, halves: &[f16], group: usize) {
        // SAFETY: prefetching never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(halves.as_ptr().wrapping_add(group + self.groups).cast()) };
    }
}
