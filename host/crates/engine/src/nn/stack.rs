//! A stack of blocks with a norm at its end, over sequences whose number and lengths change from batch to batch.

use primal_device::grid::GridId;

use super::block::{Block, BlockActivations, BlockGradients, BlockIds, BlockWidths, Norm, NormActivations, norm_backward};
use super::parameters::Specs;
use super::{GradientSink, Parameters};
use crate::backend::{AttentionShape, Backend, Sequences};
use crate::memory::{Kind, Plan, Span};

/// What linear layers start with, times the root of their inputs. Layers that start much smaller, to write little to the residual stream or
/// to an output, flip in every other step: the learning rate is in units of weight, and their levels are closer together.
pub const GAIN: f32 = 0.55;

/// The parameters of a stack.
#[derive(Clone, Debug)]
pub struct StackIds {
    /// The blocks.
    pub blocks: Vec<BlockIds>,
    /// The norm at the end.
    pub norm: Norm,
}

impl StackIds {
    /// Names `<name>.<i>…` and `<name>.norm`.
    pub fn new(specs: &mut Specs, name: &str, layers: usize, widths: BlockWidths, grid: Option<GridId>) -> Self {
        let sigma = GAIN / (widths.dim as f32).sqrt();
        let blocks = (0..layers).map(|i| BlockIds::new(specs, &format!("{name}.{i}"), widths, grid, sigma, 1.0)).collect();
        Self { blocks, norm: Norm::new(specs, &format!("{name}.norm"), widths.dim) }
    }
}

/// A stack over its activations.
#[derive(Clone, Debug)]
pub struct Stack {
    name: String,
    blocks: Vec<Block>,
    streams: Vec<Span<f32>>,
    norm: Norm,
    normed: NormActivations,
    dim: usize,
}

impl Stack {
    /// Reserves activations for at most as many rows as `shape` has; `keep` those that a backward pass needs.
    pub fn plan(ids: &StackIds, plan: &mut Plan, name: &str, widths: BlockWidths, shape: AttentionShape, keep: bool) -> Self {
        let (tokens, dim, layers) = (shape.tokens(), shape.dim(), ids.blocks.len());
        let mut shared = None;
        let blocks = ids.blocks.iter().enumerate().map(|(i, &ids)| {
            let kept = match shared {
                Some(kept) if !keep => kept,
                _ => BlockActivations::plan(plan, &format!("{name}.{i}"), shape, widths.hidden),
            };
            shared = Some(kept);
            Block { ids, kept, shape }
        });
        let blocks = blocks.collect();
        let streams = if keep { layers + 1 } else { 2 };
        let streams = (0..streams).map(|i| plan.span(Kind::Activation, format!("{name}.stream.{i}"), tokens * dim)).collect();
        let normed = NormActivations::plan(plan, &format!("{name}.norm"), tokens, dim);
        Self { name: name.into(), blocks, streams, norm: ids.norm, normed, dim }
    }

    fn stream(&self, layer: usize, rows: usize) -> Span<f32> {
        self.streams[layer % self.streams.len()].slice(0, rows * self.dim)
    }

    /// Where the input goes, `[rows, dim]`.
    pub fn input(&self, rows: usize) -> Span<f32> {
        self.stream(0, rows)
    }

    /// The output, `[rows, dim]`.
    pub fn output(&self, rows: usize) -> Span<f32> {
        self.normed.first(rows).y
    }

    /// From input to output.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, sequences: Sequences) {
        let rows = sequences.rows();
        for (i, block) in self.blocks.iter().enumerate() {
            block.over(sequences).forward(b, p, self.stream(i + 1, rows), self.stream(i, rows));
        }
        let (kept, last) = (self.normed.first(rows), self.stream(self.blocks.len(), rows));
        b.layer_norm(kept.y, kept.mean, kept.rstd, last, p.vector(self.norm.gamma), p.vector(self.norm.beta), self.dim);
    }

    /// Writes the gradient of the input to `dx`, from that of the output.
    #[expect(clippy::too_many_arguments, reason = "a backward pass names all its operands")]
    pub fn backward<B: Backend>(
        &self,
        b: &mut B,
        p: &Parameters,
        sink: &mut impl GradientSink<B>,
        dx: Span<f32>,
        dy: Span<f32>,
        sequences: Sequences,
        g: &BlockGradients,
    ) {
        let rows = sequences.rows();
        b.zero(dx);
        let (kept, last) = (self.normed.first(rows), self.stream(self.blocks.len(), rows));
        norm_backward(b, p, sink, &self.norm, &kept, dx, dy, last, self.dim);
        for (i, block) in self.blocks.iter().enumerate().rev() {
            block.over(sequences).backward(b, p, sink, dx, self.stream(i, rows), g);
        }
    }

    /// The first activation that is not finite after a forward pass for training, by name; `sum` is one value of scratch.
    pub fn not_finite<B: Backend>(&self, b: &mut B, rows: usize, sum: Span<f32>) -> Option<String> {
        let mut value = [0.0];
        let at = (0..self.streams.len()).position(|layer| {
            b.sum(sum, self.stream(layer, rows));
            b.download(sum, &mut value);
            !value[0].is_finite()
        })?;
        Some(if at == 0 { format!("the input of {}", self.name) } else { format!("the output of {}.{}", self.name, at - 1) })
    }
}
