//! Votes of a matrix some rows at a time, so that its whole gradient is nowhere (`gradient_rows`).
//!
//! Rows vote as soon as their part of the gradient is there, by R of these rows, which is what it is of the whole, and by C as the step found it with
//! their own squares added: what other rows have to say of a column comes a step later. See [`Tile`].

use super::rule::Turn;
use super::votes::Votes;
use crate::backend::{Backend, ScaleGradients, Weight};
use crate::config::{Reduce, Rule, TrainConfig};
use crate::memory::{Activation, Kind, Plan, Span};
use crate::nn::parameters::MatrixSpec;
use crate::ops::{LinearBackwardWeight, SumSquares, Tile};

/// Rows of a tile are whole multiples of this: what other tiles hold is nowhere in the vectors that a device loads.
pub const MULTIPLE: usize = 16;

/// What tiles need besides a gradient of their size.
#[derive(Clone, Copy, Debug)]
pub struct Tiles {
    /// Rows of a tile, at most.
    rows: usize,
    /// C before the first tile, of the matrix at hand.
    before: Span<f32>,
}

/// The gradient that a layer gives: `dyᵀ · x`.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// `[rows, stride]`.
    pub dy: Span<f32>,
    /// `[rows, in]`.
    pub x: Activation,
    /// Rows of both.
    pub rows: usize,
}

/// Rows of the gradient of a matrix that are held at a time.
pub fn rows_at_a_time(config: &TrainConfig, spec: &MatrixSpec) -> usize {
    let all = spec.out_features;
    let is_in_tiles = config.optimizer == Rule::Votes && config.reduce == Reduce::InOrder && spec.is_product && !spec.is_shared;
    config.gradient_rows.filter(|_| is_in_tiles).map_or(all, |rows| rows.min(all))
}

impl Tiles {
    /// Reserves what tiles of the matrices need, if there are any.
    pub fn plan<'a>(config: &TrainConfig, matrices: impl Iterator<Item = &'a MatrixSpec>, plan: &mut Plan) -> Option<Self> {
        let rows = config.gradient_rows?;
        let tiled = matrices.filter(|spec| rows_at_a_time(config, spec) < spec.out_features);
        let inputs = tiled.map(|spec| spec.in_features).max()?;
        Some(Self { rows, before: plan.span(Kind::Scratch, "vote_column_before", inputs) })
    }

    /// Makes the gradient of a matrix in `scratch`, tile by tile, each of which votes; adds the squares of all to `norm`. A gradient with a `fault` is not
    /// finite.
    pub fn take<B: Backend>(
        &self,
        b: &mut B,
        (votes, weight): (&Votes, &Weight),
        Product { dy, x, rows }: Product,
        scratch: Span<f32>,
        (norm, d_scales, fault): (Span<f32>, Option<ScaleGradients>, bool),
        turn: &Turn,
    ) {
        let (outputs, inputs) = (weight.out_features, weight.in_features);
        let before = self.before.slice(0, inputs);
        b.copy(before, votes.0.column);
        for first in (0..outputs).step_by(self.rows) {
            let count = self.rows.min(outputs - first);
            let dw = scratch.slice(0, count * inputs);
            b.run(LinearBackwardWeight { dw, first, dy, outputs, x, rows, accumulate: false });
            if fault && first == 0 {
                b.upload(dw.slice(0, 1), &[f32::NAN]);
            }
            b.run(SumSquares { sum: norm, x: dw });
            let d_scales = d_scales.map(|of_all| rows_of(of_all, first, count, outputs));
            votes.rows(first, count).take_tile(b, &weight.rows(first, count), dw, d_scales, Some(Tile { first, outputs, before }), turn);
        }
    }
}

/// The gradients of the scales of some rows.
fn rows_of(scales: ScaleGradients, first: usize, count: usize, outputs: usize) -> ScaleGradients {
    let rows = |span: Span<f32>| span.slice(first * (span.len() / outputs), count * (span.len() / outputs));
    scales.map(rows, rows)
}
