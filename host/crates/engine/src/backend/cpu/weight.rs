//! The operands of an op on a weight, which may be on a grid or float.

use super::Cpu;
use super::gemm::Right;
use super::memory::Spans;
use super::quantized::Quantized;
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
    /// In blocks.
    Blocks(Quantized<'a>),
}

impl<'a> WeightValues<'a> {
    /// Wᵀ as the right operand: k runs along rows of so many values, columns are the output features.
    pub fn transposed(self, in_features: usize) -> Right<'a> {
        match self {
            Self::Grid(codes) => Right::Transposed(codes),
            Self::Float(data) => Right::Strided { data, k_stride: 1, column_stride: in_features },
            Self::Blocks(blocks) => Right::TransposedBlocks(blocks),
        }
    }

    /// W as the right operand: k are the output features, columns run along rows of so many values.
    pub fn plain(self, in_features: usize) -> Right<'a> {
        match self {
            Self::Grid(codes) => Right::Plain(codes),
            Self::Float(data) => Right::Strided { data, k_stride: in_features, column_stride: 1 },
            Self::Blocks(blocks) => Right::PlainBlocks(blocks),
        }
    }
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
            Storage::Blocks(blocks) => {
                let ((y, scratch), (x, bytes, bias, offsets)) = self.split((y, self.scratch()), (x, blocks.bytes, bias, offsets));
                let values = WeightValues::Blocks(Quantized::new(bytes, blocks.dtype, weight.in_features));
                op(Operands { y, x, values, bias, bounds: bounds(offsets), scratch });
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
