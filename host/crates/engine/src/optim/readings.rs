//! What a step tells the host, in one span: it comes by one copy, which is the only one that waits for the step.

use std::ops::Range;

use crate::backend::Backend;
use crate::memory::{Kind, Plan, Span};

/// Where on the device the numbers of a step are left for the host.
#[derive(Clone, Copy, Debug)]
pub struct Readings {
    all: Span<u32>,
    /// The sums of the loss's terms, of each micro-batch.
    pub loss_sums: Span<f32>,
    /// `[norm² of all floats, norm² of each float…, norm² of each matrix gradient…]`.
    pub norms: Span<f32>,
    /// The sum of each tensor that must be finite after a step: not finite where one of its values is not.
    pub watch: Span<f32>,
    /// `[flipped, at a rail]` of each matrix.
    pub counts: Span<u32>,
}

impl Readings {
    /// Reserves room for so many sums of losses, norms, watched tensors and matrices.
    pub fn plan(plan: &mut Plan, loss_sums: usize, norms: usize, watched: usize, matrices: usize) -> Self {
        let all = plan.span::<u8>(Kind::Io, "readings", 4 * (loss_sums + norms + watched + 2 * matrices));
        let mut end = 0;
        let mut next = |len: usize| {
            end += 4 * len;
            all.slice(end - 4 * len, 4 * len)
        };
        Self {
            all: all.cast(),
            loss_sums: next(loss_sums).cast(),
            norms: next(norms).cast(),
            watch: next(watched).cast(),
            counts: next(2 * matrices).cast(),
        }
    }
}

/// The host's copy of [`Readings`].
pub struct Readout {
    words: Vec<u32>,
    ends: [usize; 4],
}

impl Readout {
    /// A copy in which nothing was read yet: zeros, on the device as well.
    pub fn new<B: Backend>(b: &mut B, of: &Readings) -> Self {
        b.zero(of.all);
        let mut end = 0;
        let ends = [of.loss_sums.len(), of.norms.len(), of.watch.len(), of.counts.len()].map(|len| {
            end += len;
            end
        });
        Self { words: vec![0; end], ends }
    }

    /// Copies all readings from the device, after all queued work.
    pub fn update<B: Backend>(&mut self, b: &mut B, from: &Readings) {
        b.download(from.all, &mut self.words);
    }

    fn floats(&self, range: Range<usize>) -> &[f32] {
        bytemuck::cast_slice(&self.words[range])
    }

    /// Sums of the loss's terms, of each micro-batch; see [`Readings::loss_sums`].
    pub fn loss_sums(&self) -> &[f32] {
        self.floats(0..self.ends[0])
    }

    /// Squared norms of gradients; see [`Readings::norms`].
    pub fn norms(&self) -> &[f32] {
        self.floats(self.ends[0]..self.ends[1])
    }

    /// Sums of watched tensors; see [`Readings::watch`].
    pub fn watch(&self) -> &[f32] {
        self.floats(self.ends[1]..self.ends[2])
    }

    /// Flips and weights at a rail of each matrix; see [`Readings::counts`].
    pub fn counts(&self) -> &[u32] {
        &self.words[self.ends[2]..]
    }
}
