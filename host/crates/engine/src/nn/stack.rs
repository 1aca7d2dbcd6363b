//! Blocks with a norm at their end.

use primal_device::grid::Grid;

use super::block::{Block, BlockActivations, BlockGradients, BlockShape};
use super::norm::{Norm, NormActivations};
use super::parameters::{Parameters, Specs};
use super::pass::{Backward, GradientSink, Purpose, Rows};
use crate::backend::{Backend, Sequences};
use crate::memory::{Act, Activation, Plan, Span};
use crate::ops::Sum;

/// The layers of a stack.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The norm at the end.
    pub norm: Norm,
}

/// What a stack's forward pass keeps for its backward pass.
#[derive(Clone, Debug)]
pub struct StackActivations {
    /// Of each block; they may share their places.
    pub blocks: Vec<BlockActivations>,
    /// The residual stream: the input of each block and the output of the last, or fewer, which take turns.
    pub streams: Vec<Activation>,
    /// Of the norm at the end, whose output is `f32`: its gradient comes to lie in its place.
    pub norm: NormActivations,
    /// Width of the stream.
    pub dim: usize,
}

impl StackActivations {
    /// Reserves the streams of a stack, each of at most so many rows. Without a backward pass two do.
    pub fn plan_streams(plan: &mut Plan, prefix: &str, layers: usize, len: usize, purpose: Purpose) -> Vec<Activation> {
        let streams = if purpose == Purpose::Evaluate { 2.min(layers + 1) } else { layers + 1 };
        (0..streams).map(|i| Activation::plan(plan, purpose.act(), format!("{prefix}stream.{i}"), len)).collect()
    }

    fn stream(&self, layer: usize, rows: usize) -> Activation {
        self.streams[layer % self.streams.len()].slice(0, rows * self.dim)
    }

    /// Where the input goes, `[rows, dim]`.
    pub fn input(&self, rows: usize) -> Activation {
        self.stream(0, rows)
    }

    /// The output, `[rows, dim]`.
    pub fn output(&self, rows: usize) -> Span<f32> {
        self.norm.first(rows).y.f32()
    }

    /// The first stream that is not finite after a forward pass for training: 0 for the input, else the number of the block that wrote it, from
    /// 1. `sum` is one value of scratch.
    pub fn not_finite<B: Backend>(&self, b: &mut B, rows: usize, sum: Span<f32>) -> Option<usize> {
        let mut value = [0.0];
        (0..self.streams.len()).find(|&layer| {
            b.run(Sum { sum, x: self.stream(layer, rows) });
            b.download(sum, &mut value);
            !value[0].is_finite()
        })
    }
}

impl Stack {
    /// Names `<name>.<i>…` and `<name>.norm`.
    pub fn new(specs: &mut Specs, name: &str, layers: usize, shape: &BlockShape, grid: Option<&'static Grid>) -> Self {
        let blocks = (0..layers).map(|i| Block::new(specs, &format!("{name}.{i}"), shape, grid, 1.0)).collect();
        Self { blocks, norm: Norm::new(specs, &format!("{name}.norm"), shape.norm, shape.dim) }
    }

    /// Reserves activations of at most so many rows; without a backward pass, blocks share theirs.
    pub fn plan(&self, plan: &mut Plan, name: &str, shape: &BlockShape, rows: usize, purpose: Purpose) -> StackActivations {
        let layers = self.blocks.len();
        let own = if purpose == Purpose::Evaluate { 1 } else { layers };
        let own: Vec<_> = (0..own).map(|i| BlockActivations::plan(plan, purpose.act(), &format!("{name}.{i}"), shape, rows)).collect();
        let blocks = (0..layers).map(|i| own[i % own.len()]).collect();
        let streams = StackActivations::plan_streams(plan, &format!("{name}."), layers, rows * shape.dim, purpose);
        let norm = NormActivations::plan(plan, Act::F32, &format!("{name}.norm"), shape.norm, rows, shape.dim);
        StackActivations { blocks, streams, norm, dim: shape.dim }
    }

    /// From input to output.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &StackActivations, rows: Rows) {
        self.forward_telling(b, p, kept, rows, &mut |_| ());
    }

    /// The same; `done` is told the number of each block that has run.
    pub fn forward_telling<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &StackActivations, rows: Rows, done: &mut dyn FnMut(usize)) {
        let last = self.run_blocks(b, p, kept, rows, done);
        self.norm.forward(b, p, &kept.norm.first(rows.count()), last);
    }

    /// From the input to what the last block leaves, which the norm has not seen yet, `[rows, dim]`.
    pub fn forward_blocks<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &StackActivations, rows: Rows) -> Activation {
        self.run_blocks(b, p, kept, rows, &mut |_| ())
    }

    fn run_blocks<B: Backend>(
        &self,
        b: &mut B,
        p: &Parameters,
        kept: &StackActivations,
        rows: Rows,
        done: &mut dyn FnMut(usize),
    ) -> Activation {
        let stream = |layer| kept.stream(layer, rows.count());
        for (i, (block, kept)) in self.blocks.iter().zip(&kept.blocks).enumerate() {
            block.forward(b, p, kept, stream(i + 1), stream(i), rows);
            done(i);
        }
        stream(self.blocks.len())
    }

    /// Writes the gradient of the input to `dx`, from that of the output, which may lie in the output's place.
    pub fn backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        kept: &StackActivations,
        dx: Span<f32>,
        dy: Span<f32>,
        sequences: Sequences,
        g: &BlockGradients,
    ) {
        let rows = sequences.rows();
        pass.b.zero(dx);
        self.norm.backward(pass, &kept.norm.first(rows), dx, dy, kept.stream(self.blocks.len(), rows));
        for (i, (block, activations)) in self.blocks.iter().zip(&kept.blocks).enumerate().rev() {
            block.backward(pass, activations, dx, kept.stream(i, rows), sequences, g);
        }
    }
}
