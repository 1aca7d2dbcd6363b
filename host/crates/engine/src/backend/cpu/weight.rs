//! The operands of an op on a weight, which may be on a grid or float.

use super::Cpu;
use super::memory::Spans;
use super::sequences::{Bounds, offsets};
use super::unpack::Codes;
use crate::backend::operands::{Sequences, Storage, Weight};
use crate::memory::Span;

/// A weight's values, `[out_features, in_features]`.
#[derive(Clone, Copy)]
pub enum WeightValues<'a> {
    /// On the grid.
    Grid(Codes<'a>),
    /// Float.
    Float(&'a [f32]),
}

/// What an op on a weight works with.
pub struct Operands<'a, Y: Spans = Span<f32>, X: Spans = Span<f32>> {
    /// Written.
    pub y: Y::Mut<'a>,
    /// Read.
    pub x: X::Ref<'a>,
    /// The weight.
    pub values: WeightValues<'a>,
    /// Empty if there is none.
    pub bias: &'a [f32],
    /// Which rows belong together.
    pub bounds: Bounds<'a>,
    /// Of all threads.
    pub scratch: &'a mut [f32],
}

impl Cpu {
    /// Runs `op` on y, x, a weight, and what else it may need.
    pub fn with_weight<Y: Spans, X: Spans>(
        &mut self,
        (y, x): (Y, X),
        weight: &Weight,
        bias: Option<Span<f32>>,
        sequences: Sequences,
        op: impl FnOnce(Operands<Y, X>),
    ) {
        let (bias, offsets) = (bias.unwrap_or(Span::new(0, 0, 0)), offsets(sequences));
        let bounds = |offsets| Bounds::new(sequences, offsets);
        match weight.storage {
            Storage::Grid(grid) => {
                let ((y, scratch), (x, codes, scales, bias, offsets)) =
                    self.split((y, self.scratch()), (x, grid.codes, grid.scales, bias, offsets));
                let values = WeightValues::Grid(Codes::new(codes, scales, grid.grid, weight.in_features));
                op(Operands { y, x, values, bias, bounds: bounds(offsets), scratch });
            }
            Storage::Float(values) => {
                let ((y, scratch), (x, values, bias, offsets)) = self.split((y, self.scratch()), (x, values, bias, offsets));
                op(Operands { y, x, values: WeightValues::Float(values), bias, bounds: bounds(offsets), scratch });
            }
        }
    }
}

/// Starts a row of y: with `bias`, or with what it has plus `bias`.
#[inline]
pub fn add_bias(y: &mut [f32], bias: &[f32], accumulate: bool) {
    if accumulate {
        y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
    } else {
        y.copy_from_slice(bias);
    }
}
