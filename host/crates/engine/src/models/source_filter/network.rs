//! The two networks at frame rate, over any back end: F0 from the mel, and filters from mel and F0.

use std::ops::Range;

use super::config::{BANDS, HALF_FRAME, PITCH_KERNEL, SourceFilterConfig, Window};
use crate::backend::{Backend, Sequences};
use crate::memory::{Act, Kind, Plan, Span};
use crate::nn::Parameters;
use crate::nn::convolution::ConvolutionLayer;
use crate::nn::norm::{Norm, NormActivations, NormKind};
use crate::nn::parameters::{Init, Specs, VectorId};
use crate::ops::{Add, ConvolutionShape, DepthwiseConv1d, ErfGelu, LeakyRelu};

/// Slope of the F0 net's leaky ReLUs.
const SLOPE: f32 = 0.1;

/// The parameters of both networks.
#[derive(Clone, Debug)]
pub struct Network {
    pitch: Vec<ConvolutionLayer>,
    pitch_out: ConvolutionLayer,
    pre: ConvolutionLayer,
    blocks: Vec<Block>,
    norm: Norm,
    head: ConvolutionLayer,
    config: SourceFilterConfig,
}

/// A ConvNeXt block (Liu et al. 2022), whose learnt scale of channels is part of its last layer.
#[derive(Clone, Debug)]
struct Block {
    depth: VectorId,
    depth_bias: VectorId,
    norm: Norm,
    up: ConvolutionLayer,
    down: ConvolutionLayer,
}

impl Network {
    /// Names all parameters: matrices `pitch.convs.<i>`, `pitch.out`, `pre`, `blocks.<i>.up`, `blocks.<i>.down` and `head`, float until something
    /// else is said; vectors `<matrix>.bias`, `blocks.<i>.depth.weight` `[kernel, channels]`, `blocks.<i>.depth.bias`, `blocks.<i>.norm` and `norm`.
    pub fn new(config: &SourceFilterConfig) -> (Self, Specs) {
        let mut specs = Specs::default();
        let &SourceFilterConfig { channels, hidden, kernel, pitch_channels, .. } = config;
        let layer = |specs: &mut Specs, name: &str, shape, kernel| ConvolutionLayer::new(specs, name, shape, kernel, None, 1.0);
        let pitch = (0..config.pitch_layers).map(|i| {
            let inputs = if i == 0 { BANDS } else { pitch_channels };
            layer(&mut specs, &format!("pitch.convs.{i}"), [pitch_channels, inputs], PITCH_KERNEL)
        });
        let pitch = pitch.collect();
        let pitch_out = layer(&mut specs, "pitch.out", [2, pitch_channels], 1);
        let pre = layer(&mut specs, "pre", [channels, BANDS + 1], kernel);
        let blocks = (0..config.blocks).map(|i| Block {
            depth: specs.vector(format!("blocks.{i}.depth.weight"), &[kernel, channels], Init::Normal(1.0)),
            depth_bias: specs.vector(format!("blocks.{i}.depth.bias"), &[channels], Init::Constant(0.0)),
            norm: Norm::new(&mut specs, &format!("blocks.{i}.norm"), NormKind::Layer, channels),
            up: layer(&mut specs, &format!("blocks.{i}.up"), [hidden, channels], 1),
            down: layer(&mut specs, &format!("blocks.{i}.down"), [channels, hidden], 1),
        });
        let blocks = blocks.collect();
        let norm = Norm::new(&mut specs, "norm", NormKind::Layer, channels);
        let head = layer(&mut specs, "head", [2 * HALF_FRAME, channels], 1);
        (Self { pitch, pitch_out, pre, blocks, norm, head, config: config.clone() }, specs)
    }
}

/// Activations of both networks, for windows of so many frames.
#[derive(Clone, Debug)]
pub struct Activations {
    /// Into the F0 net, `[frames, 80]`.
    pub mel: Span<f32>,
    pitch: [Span<f32>; 2],
    pitch_out: Span<f32>,
    /// Into the filter net, `[frames, 81]`.
    pub inputs: Span<f32>,
    stream: Span<f32>,
    depth: Span<f32>,
    normed: NormActivations,
    hidden: Span<f32>,
    corrections: Span<f32>,
}

impl Activations {
    /// Reserves them.
    pub fn plan(config: &SourceFilterConfig, window: &Window, plan: &mut Plan) -> Self {
        let (mel, inputs, filters) = (window.mel.len(), window.inputs.len(), window.filters.len());
        let mut span = |name: &str, rows: usize, dim: usize| plan.span(Kind::Activation, format!("vocoder.{name}"), rows * dim);
        Self {
            mel: span("mel", mel, BANDS),
            pitch: [span("pitch", mel, config.pitch_channels), span("pitch.convolution", mel, config.pitch_channels)],
            pitch_out: span("pitch.out", window.f0.len(), 2),
            inputs: span("inputs", inputs, BANDS + 1),
            stream: span("stream", inputs, config.channels),
            depth: span("depth", inputs, config.channels),
            hidden: span("hidden", inputs, config.hidden),
            corrections: span("corrections", filters, 2 * HALF_FRAME),
            normed: NormActivations::plan(plan, Act::F32, "vocoder.norm", NormKind::Layer, inputs, config.channels),
        }
    }
}

/// Frames, and where a layer's values of them are.
#[derive(Clone)]
struct Rows {
    frames: Range<usize>,
    values: Span<f32>,
}

impl Rows {
    /// Some of them.
    fn part(&self, frames: &Range<usize>) -> Span<f32> {
        let dim = self.values.len() / self.frames.len();
        self.values.slice((frames.start - self.frames.start) * dim, frames.len() * dim)
    }

    /// The same as rows.
    fn only(&self, frames: &Range<usize>) -> Self {
        Self { values: self.part(frames), frames: frames.clone() }
    }

    /// Those for which a layer that sees `reach` frames on each side has seen all.
    fn inner(&self, reach: usize, frames: usize) -> Self {
        let start = if self.frames.start == 0 { 0 } else { self.frames.start + reach };
        let end = if self.frames.end == frames { frames } else { self.frames.end - reach };
        self.only(&(start..end))
    }
}

fn convolve<B: Backend>(b: &mut B, p: &Parameters, layer: &ConvolutionLayer, y: Span<f32>, x: &Rows) -> Rows {
    let rows = x.frames.len();
    let y = y.slice(0, rows * layer.out_channels(p));
    layer.forward(b, p, y, x.values, Sequences::one(rows), false);
    Rows { frames: x.frames.clone(), values: y }
}

impl Network {
    /// Octaves of F0 from 190 Hz and the logit of voicing, `[window.f0, 2]`, from the scaled mel in `a.mel`.
    pub fn pitch<B: Backend>(&self, b: &mut B, p: &Parameters, a: &Activations, window: &Window) -> Span<f32> {
        let mut x = Rows { frames: window.mel.clone(), values: a.mel.slice(0, window.mel.len() * BANDS) };
        for (i, layer) in self.pitch.iter().enumerate() {
            let y = convolve(b, p, layer, a.pitch[usize::from(i > 0)], &x);
            b.run(LeakyRelu { y: y.values, x: y.values, slope: SLOPE });
            if i > 0 {
                b.run(Add { y: x.values.into(), a: x.values.into(), b: y.values.into() });
            } else {
                x = y;
            }
            x = x.inner(PITCH_KERNEL / 2, window.frames);
        }
        convolve(b, p, &self.pitch_out, a.pitch_out, &x.only(&window.f0)).values
    }

    /// What is added to envelopes, `[window.filters, 2, 3, 257]`, from mel and F0 in `a.inputs`.
    pub fn filters<B: Backend>(&self, b: &mut B, p: &Parameters, a: &Activations, window: &Window) -> Span<f32> {
        let (channels, kernel) = (self.config.channels, self.config.kernel);
        let x = Rows { frames: window.inputs.clone(), values: a.inputs.slice(0, window.inputs.len() * (BANDS + 1)) };
        let mut x = convolve(b, p, &self.pre, a.stream, &x).inner(kernel / 2, window.frames);
        for block in &self.blocks {
            let shape = ConvolutionShape { sequences: Sequences::one(x.frames.len()), kernel, dilation: 1 };
            let depth = Rows { values: a.depth.slice(0, x.frames.len() * channels), ..x.clone() };
            let (weight, bias) = (p.vector(block.depth), Some(p.vector(block.depth_bias)));
            b.run(DepthwiseConv1d { y: depth.values, x: x.values, weight, bias, shape });
            x = x.inner(kernel / 2, window.frames);
            let normed = a.normed.first(x.frames.len());
            block.norm.forward(b, p, &normed, depth.part(&x.frames));
            let normed = Rows { values: normed.y.f32(), ..x.clone() };
            let hidden = convolve(b, p, &block.up, a.hidden, &normed);
            b.run(ErfGelu { y: hidden.values, x: hidden.values });
            block.down.forward(b, p, x.values, hidden.values, Sequences::one(x.frames.len()), true);
        }
        // Near an end, there are more rows than those asked for.
        let x = x.only(&window.filters);
        let normed = a.normed.first(x.frames.len());
        self.norm.forward(b, p, &normed, x.values);
        convolve(b, p, &self.head, a.corrections, &Rows { values: normed.y.f32(), ..x }).values
    }
}
