//! The post-net: convolutions over the predicted spectrogram that add what it lacks (Shen et al. 2018), tanh between them.

use primal_device::grid::Grid;

use crate::backend::{Backend, Sequences};
use crate::config::GhostTtsConfig;
use crate::memory::{Kind, Plan, Span};
use crate::nn::convolution::ConvolutionLayer;
use crate::nn::linear::GAIN;
use crate::nn::parameters::Specs;
use crate::nn::{Backward, GradientSink, Parameters};
use crate::ops::{Add, Tanh, TanhBackward};

/// The convolutions.
#[derive(Clone, Debug)]
pub struct PostnetIds {
    layers: Vec<ConvolutionLayer>,
}

impl PostnetIds {
    /// Names the parameters.
    pub fn new(specs: &mut Specs, config: &GhostTtsConfig, grid: Option<&'static Grid>) -> Self {
        let (mels, width, last) = (config.mels, config.postnet_dim, config.postnet_layers - 1);
        let layers = (0..=last).map(|i| {
            let shape = [if i == last { mels } else { width }, if i == 0 { mels } else { width }];
            let gain = if i == last { GAIN } else { 1.0 };
            ConvolutionLayer::new(specs, &format!("postnet.{i}"), shape, config.postnet_kernel, grid, gain)
        });
        Self { layers: layers.collect() }
    }
}

/// The post-net over its activations.
#[derive(Clone, Debug)]
pub struct Postnet {
    ids: PostnetIds,
    /// After each tanh, `[rows, width]`.
    hidden: Vec<Span<f32>>,
    output: Span<f32>,
    width: usize,
    mels: usize,
}

impl Postnet {
    /// Reserves activations for at most `rows` frames; `keep` those that a backward pass needs.
    pub fn plan(ids: PostnetIds, config: &GhostTtsConfig, plan: &mut Plan, rows: usize, keep: bool) -> Self {
        let (mels, width, layers) = (config.mels, config.postnet_dim, ids.layers.len() - 1);
        let hidden = (0..if keep { layers } else { layers.min(2) }).map(|i| {
            let name = format!("postnet.{i}.hidden");
            plan.span(Kind::Activation, name, rows * width)
        });
        let hidden = hidden.collect();
        Self { ids, hidden, output: plan.span(Kind::Activation, "postnet.output", rows * mels), width, mels }
    }

    /// The spectrogram with the post-net's additions, `[rows, mels]`.
    pub fn output(&self, rows: usize) -> Span<f32> {
        self.output.slice(0, rows * self.mels)
    }

    fn hidden(&self, layer: usize, rows: usize) -> Span<f32> {
        self.hidden[layer % self.hidden.len()].slice(0, rows * self.width)
    }

    /// `output = mel + postnet(mel)`.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, mel: Span<f32>, frames: Sequences) {
        let (rows, last) = (frames.rows(), self.ids.layers.len() - 1);
        let mut x = mel;
        for (i, layer) in self.ids.layers[..last].iter().enumerate() {
            let y = self.hidden(i, rows);
            layer.forward(b, p, y, x, frames, false);
            b.run(Tanh { y, x: y });
            x = y;
        }
        b.copy(self.output(rows), mel);
        self.ids.layers[last].forward(b, p, self.output(rows), x, frames, true);
    }

    /// Adds the gradient of `mel` to `d_mel`, from that of the output; `scratch` holds two matrices `[rows, width]`.
    pub fn backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        d_mel: Span<f32>,
        d_output: Span<f32>,
        mel: Span<f32>,
        frames: Sequences,
        scratch: [Span<f32>; 2],
    ) {
        let rows = frames.rows();
        let [mut dx, mut spare] = scratch.map(|span| span.slice(0, rows * self.width));
        pass.b.run(Add { y: d_mel.into(), a: d_mel.into(), b: d_output.into() });
        let mut dy = d_output;
        for (i, layer) in self.ids.layers.iter().enumerate().rev() {
            let x = if i == 0 { mel } else { self.hidden(i - 1, rows) };
            layer.backward(pass, dy, x, frames);
            if i == 0 {
                layer.backward_input(pass, d_mel, dy, frames, true);
            } else {
                layer.backward_input(pass, dx, dy, frames, false);
                pass.b.run(TanhBackward { dx, dy: dx, y: x });
                dy = dx;
                (dx, spare) = (spare, dx);
            }
        }
    }
}
