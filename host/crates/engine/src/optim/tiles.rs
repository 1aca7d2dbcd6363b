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

/// Rows of a tile are whole multiples of this, so that all begin where rows of vectors may.
pub const MULTIPLE: usize = 16;

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

/// What a tiled matrix tells besides its votes.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Added to: the squared norm of its gradient.
    pub norm: Span<f32>,
    /// Gradients of its scales, where they are trained.
    pub d_scales: Option<ScaleGradients>,
    /// Whether its gradient is made not a number.
    pub fault: bool,
}

/// Where gradients of matrices are made, one after another.
#[derive(Clone, Copy, Debug)]
pub struct Scratch {
    /// The gradient of one matrix at a time, or of a tile of one that has no room.
    gradient: Span<f32>,
    /// Rows of a tile, at most, and the columns' squares that are added up over tiles; `None` if there are no tiles.
    tiles: Option<(usize, Span<f32>)>,
}

/// Rows of the gradient of a matrix that are to be held at a time, if less than all would do.
fn rows_of_tile(config: &TrainConfig, spec: &MatrixSpec) -> Option<usize> {
    let can_vote_in_turn = config.optimizer == Rule::Votes && config.reduce == Reduce::InOrder && spec.is_product;
    config.gradient_rows.filter(|&rows| can_vote_in_turn && rows < spec.out_features)
}

impl Scratch {
    /// Reserves it for gradients of these matrices: for the largest one, or if those that can be made by tiles are, for the largest of tiles and others.
    /// What has room then is made whole all the same.
    pub fn plan<'a>(config: &TrainConfig, matrices: impl Iterator<Item = &'a MatrixSpec> + Clone, plan: &mut Plan) -> Self {
        let least = |spec: &MatrixSpec| rows_of_tile(config, spec).unwrap_or(spec.out_features) * spec.in_features;
        let room = matrices.clone().map(least).max().unwrap_or(0);
        let columns = matrices.filter(|spec| spec.weights() > room).map(|spec| spec.in_features).max();
        Self {
            gradient: plan.span(Kind::Scratch, "matrix_gradient", room),
            tiles: config.gradient_rows.zip(columns.map(|columns| plan.span(Kind::Scratch, "tile_squares", columns))),
        }
    }

    /// Whether some matrices have no room for a whole gradient.
    pub fn has_tiles(&self) -> bool {
        self.tiles.is_some()
    }

    /// Room for the gradient of a matrix, if it has some.
    pub fn whole(&self, weight: &Weight) -> Option<Span<f32>> {
        let len = weight.out_features * weight.in_features;
        (len <= self.gradient.len()).then(|| self.gradient.slice(0, len))
    }

    /// Makes the gradient of a matrix tile by tile, each of which votes.
    ///
    /// # Panics
    /// If no matrix is to be made so.
    pub fn take_tiles<B: Backend>(&self, b: &mut B, (votes, weight): (&Votes, &Weight), product: Product, told: Told, turn: &Turn) {
        let ((most, sums), Product { dy, x, rows }) = (self.tiles.expect("matrices in tiles"), product);
        let (outputs, inputs) = (weight.out_features, weight.in_features);
        for first in (0..outputs).step_by(most) {
            let count = most.min(outputs - first);
            let dw = self.gradient.slice(0, count * inputs);
            b.run(LinearBackwardWeight { dw, first, dy, outputs, x, rows, accumulate: false });
            if told.fault && first == 0 {
                b.upload(dw.slice(0, 1), &[f32::NAN]);
            }
            b.run(SumSquares { sum: told.norm, x: dw });
            let d_scales = told.d_scales.map(|of_all| rows_of(of_all, first, count, outputs));
            let tile = Tile { first, outputs, sums: sums.slice(0, inputs) };
            votes.rows(first, count).take_tile(b, &weight.rows(first, count), dw, d_scales, Some(tile), turn);
        }
    }
}

/// The gradients of the scales of some rows.
fn rows_of(scales: ScaleGradients, first: usize, count: usize, outputs: usize) -> ScaleGradients {
    let rows = |span: Span<f32>| span.slice(first * (span.len() / outputs), count * (span.len() / outputs));
    scales.map(rows, rows)
}
