//! Which rows of every layer a chunk of frames is made of, so that chunks give the samples that the whole would give.

use std::ops::Range;

use super::config::{ConvolutionSpec, Convolutions, Stage, Step};

/// The rows of an utterance that one chunk needs, at the rate of each layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Frames of mel.
    pub frames: Range<usize>,
    /// Each stage.
    pub stages: Vec<StageRows>,
    /// Samples that come out.
    pub samples: Range<usize>,
}

/// The rows of one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageRows {
    /// Rows into the transposed convolution.
    pub inputs: Range<usize>,
    /// Rows of its result that the residual blocks see.
    pub blocks: Range<usize>,
    /// Rows of the blocks' mean that the next layer needs.
    pub outputs: Range<usize>,
}

impl Window {
    /// What the frames `chunk` of an utterance of `frames` need.
    pub fn new(convolutions: &Convolutions, chunk: Range<usize>, frames: usize) -> Self {
        let rate = |stages: &[Stage]| stages.iter().map(|stage| stride(&convolutions.all[stage.up])).product::<usize>();
        let hop = rate(&convolutions.stages);
        let samples = chunk.start * hop..chunk.end * hop;
        let mut needed = widen(&samples, reach(&convolutions.all[convolutions.post]), frames * hop);
        let mut stages = Vec::with_capacity(convolutions.stages.len());
        for (i, stage) in convolutions.stages.iter().enumerate().rev() {
            let outputs = needed;
            let margins = stage.blocks.iter().map(|block| block.iter().flatten().map(|&layer| reach(&convolutions.all[layer])).sum());
            let blocks = widen(&outputs, margins.max().unwrap_or(0), frames * rate(&convolutions.stages[..=i]));
            let inputs = inputs(&convolutions.all[stage.up], &blocks, frames * rate(&convolutions.stages[..i]));
            needed = inputs.clone();
            stages.push(StageRows { inputs, blocks, outputs });
        }
        stages.reverse();
        let frames = widen(&needed, reach(&convolutions.all[convolutions.pre]), frames);
        Self { frames, stages, samples }
    }

    /// Rows into the last convolution.
    pub fn outputs(&self) -> &Range<usize> {
        self.stages.last().map_or(&self.frames, |stage| &stage.outputs)
    }

    /// The window of the most rows for chunks of that many frames: one far from both ends.
    pub fn largest(convolutions: &Convolutions, chunk: usize) -> Self {
        const FAR: usize = 1 << 20;
        Self::new(convolutions, FAR..FAR + chunk, 2 * FAR + chunk)
    }
}

/// Rows that a convolution sees before and after one.
pub fn reach(layer: &ConvolutionSpec) -> usize {
    match layer.step {
        Step::Dilation(dilation) => (layer.kernel - 1) / 2 * dilation,
        Step::Stride(_) => unreachable!("`{}` is a transposed convolution", layer.name),
    }
}

fn stride(layer: &ConvolutionSpec) -> usize {
    match layer.step {
        Step::Stride(stride) => stride,
        Step::Dilation(_) => unreachable!("`{}` is no transposed convolution", layer.name),
    }
}

fn widen(rows: &Range<usize>, by: usize, end: usize) -> Range<usize> {
    rows.start.saturating_sub(by)..(rows.end + by).min(end)
}

/// The rows that a transposed convolution makes `outputs` of: row t reaches rows `stride · t − padding` to `stride · t − padding + kernel − 1`.
fn inputs(layer: &ConvolutionSpec, outputs: &Range<usize>, end: usize) -> Range<usize> {
    let stride = stride(layer);
    let padding = (layer.kernel - stride) / 2;
    let first = (outputs.start + padding + 1).saturating_sub(layer.kernel).div_ceil(stride);
    first..((outputs.end - 1 + padding) / stride + 1).min(end)
}
