//! Ops on single elements.

use super::Cpu;
use crate::memory::Span;

/// Values that a task takes at least.
pub const CHUNK: usize = 16 * 1024;

impl Cpu {
    /// Has `y` hold the values of `x`, which may be y itself, for an op to go on in place.
    pub fn start_with(&mut self, y: Span<f32>, x: Span<f32>) {
        if y != x {
            let ((y,), (x,)) = self.split((y,), (x,));
            y.copy_from_slice(x);
        }
    }

    /// `y`, which holds the values of `x` now and may be x itself, to go on in place; and another operand.
    pub fn in_place(&mut self, y: Span<f32>, x: Span<f32>, other: Span<f32>) -> (&mut [f32], &[f32]) {
        self.start_with(y, x);
        let ((y,), (other,)) = self.split((y,), (other,));
        (y, other)
    }
}
