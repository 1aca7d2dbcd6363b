//! HiFi-GAN's generator (Kong, Kim & Bae 2020): log-mel frames to a waveform, over any back end.
//!
//! | file | idea |
//! |---|---|
//! | `config.rs` | the configuration, and the convolutions that it asks for |
//! | `window.rs` | the rows of every layer that a chunk of frames is made of |
//! | `weights.rs` | safetensors files: checked, mapped, brought into the layout of the ops |
//! | `generator.rs` | generators of other programs: names and weight norm brought to one form |
//!
//! An utterance is synthesised in chunks of frames. Each chunk computes its layers on so many rows more as its samples depend on, and no more: the
//! samples are those of the whole, and memory depends on the chunk alone.

pub mod config;
pub mod generator;
pub mod weights;
pub mod window;

pub use config::{HifiganConfig, Padding, Resblock};
pub use weights::VocoderFile;
pub use window::Window;

use crate::backend::{Backend, Sequences, Storage, Weight};
use crate::memory::{Kind, Plan, Span};
use crate::ops::{Add, Conv1d, ConvTranspose1d, ConvolutionShape, Gather, LeakyRelu, Tanh};
use crate::{Error, Result};
use config::{ConvolutionSpec, Convolutions, Stage, Step};
use window::{StageRows, reach};

/// Frames of a chunk where nothing asks for another: three quarters of a second, of whose work a tenth is done twice.
pub const CHUNK: usize = 64;
/// Slope of the leaky ReLU before every convolution but the first and the last.
const SLOPE: f32 = 0.1;
/// Slope of the leaky ReLU before the last convolution; published weights were trained with it.
const LAST_SLOPE: f32 = 0.01;

/// A generator over its activations, for chunks of frames.
#[derive(Clone, Debug)]
pub struct Hifigan {
    convolutions: Convolutions,
    /// By index of a layer.
    parameters: Vec<(Weight, Span<f32>)>,
    num_mels: usize,
    chunk: usize,
    mel: Span<f32>,
    /// What each stage starts from and ends with.
    stream: Span<f32>,
    /// The transposed convolution's result; the last block's stream.
    raised: Span<f32>,
    /// The other blocks' streams.
    block: Span<f32>,
    /// What a convolution in a block sees.
    active: Span<f32>,
    /// What lies between the two convolutions of a unit.
    between: Option<Span<f32>>,
    audio: Span<f32>,
    reflection: Option<Reflection>,
}

/// A convolution's rows with those mirrored at both ends.
#[derive(Clone, Copy, Debug)]
struct Reflection {
    rows: Span<u32>,
    x: Span<f32>,
    y: Span<f32>,
}

impl Reflection {
    /// Room for the widest of the convolutions that have an end to go beyond.
    fn plan(convolutions: &Convolutions, window: &Window, plan: &mut Plan) -> Self {
        let stages = window.stages.iter().zip(&convolutions.stages);
        let in_stages = stages.flat_map(|(rows, stage)| stage.blocks.iter().flatten().flatten().map(|&layer| (layer, rows.blocks.len())));
        let (mut rows, mut values) = (0, 0);
        for (layer, len) in in_stages.chain([(convolutions.pre, window.frames.len()), (convolutions.post, window.outputs().len())]) {
            let layer = &convolutions.all[layer];
            let len = len + 2 * reach(layer);
            (rows, values) = (rows.max(len), values.max(len * layer.inputs.max(layer.outputs)));
        }
        let mut span = |name: &str| plan.span(Kind::Activation, format!("vocoder.reflected.{name}"), values);
        let (x, y) = (span("x"), span("y"));
        Self { rows: plan.span(Kind::Io, "vocoder.reflected.rows", rows), x, y }
    }
}

impl Hifigan {
    /// Reserves the weights, and activations for chunks of `chunk` frames.
    pub fn plan(config: &HifiganConfig, num_mels: usize, chunk: usize, plan: &mut Plan) -> Self {
        let convolutions = config.convolutions(num_mels);
        let parameters = convolutions.all.iter().map(|layer| plan_layer(layer, plan)).collect();
        let window = Window::largest(&convolutions, chunk);
        let channels = |i: usize| config.channels(i);
        let of_stages = |rows: &dyn Fn(&StageRows) -> usize| {
            let sizes = window.stages.iter().enumerate().map(|(i, stage)| rows(stage) * channels(i + 1));
            sizes.max().unwrap_or(0)
        };
        let frames = window.frames.len();
        let in_blocks = of_stages(&|stage| stage.blocks.len());
        let strided = window.stages.iter().zip(&config.upsample_rates);
        let raised = strided.enumerate().map(|(i, (stage, stride))| stage.inputs.len() * stride * channels(i + 1));
        let mut span = |name: &str, len| plan.span(Kind::Activation, format!("vocoder.{name}"), len);
        let mel = span("mel", frames * num_mels);
        let stream = span("stream", in_blocks.max(frames * channels(0)));
        let raised = span("raised", raised.max().unwrap_or(0));
        let block = span("block", in_blocks);
        let active = span("active", in_blocks);
        let between = (config.resblock == Resblock::Pairs).then(|| span("between", in_blocks));
        let audio = span("audio", window.outputs().len());
        let reflection = (config.padding == Padding::Reflect).then(|| Reflection::plan(&convolutions, &window, plan));
        Self { convolutions, parameters, num_mels, chunk, mel, stream, raised, block, active, between, audio, reflection }
    }

    /// Uploads the weights of a file of the same configuration.
    ///
    /// # Errors
    /// As [`VocoderFile::weights`].
    pub fn load<B: Backend>(&self, b: &mut B, vocoder: &VocoderFile) -> Result<()> {
        for (index, (weight, bias)) in self.parameters.iter().enumerate() {
            let (values, biases) = vocoder.weights(&self.convolutions, index)?;
            let Storage::Float(span) = weight.storage else { unreachable!("planned as float") };
            b.upload(span, &values);
            b.upload(*bias, &biases);
        }
        Ok(())
    }

    /// Passes the samples of log-mel frames `[frames, num_mels]` to `sink`, in chunks, from first to last; each sample lies within ±1.
    ///
    /// # Errors
    /// Those of `sink`, which end the synthesis; a device that failed.
    ///
    /// # Panics
    /// If `mel` is no whole number of frames.
    pub fn vocode<B: Backend, E: From<Error>>(
        &self,
        b: &mut B,
        mel: &[f32],
        mut sink: impl FnMut(&[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        assert!(mel.len().is_multiple_of(self.num_mels), "{} values of frames of {}", mel.len(), self.num_mels);
        let frames = mel.len() / self.num_mels;
        let mut samples = vec![0.0f32; self.chunk * self.hop_size()];
        for start in (0..frames).step_by(self.chunk) {
            let window = Window::new(&self.convolutions, start..(start + self.chunk).min(frames), frames);
            let rows = &mel[window.frames.start * self.num_mels..window.frames.end * self.num_mels];
            let audio = self.forward(b, rows, &window);
            let samples = &mut samples[..audio.len()];
            b.download(audio, samples);
            b.fault()?;
            sink(samples)?;
        }
        Ok(())
    }

    /// All samples of [`Self::vocode`].
    ///
    /// # Errors
    /// A device that failed.
    pub fn vocode_all<B: Backend>(&self, b: &mut B, mel: &[f32]) -> Result<Vec<f32>> {
        let mut all = Vec::with_capacity(mel.len() / self.num_mels * self.hop_size());
        self.vocode(b, mel, |samples| {
            all.extend_from_slice(samples);
            Ok::<_, Error>(())
        })?;
        Ok(all)
    }

    /// Samples of a frame.
    pub fn hop_size(&self) -> usize {
        self.convolutions.hop_size()
    }

    /// The samples of one chunk, from its window's frames.
    fn forward<B: Backend>(&self, b: &mut B, mel: &[f32], window: &Window) -> Span<f32> {
        let frames = self.mel.slice(0, mel.len());
        b.upload(frames, mel);
        let first = &self.convolutions.all[self.convolutions.pre];
        let y = self.stream.slice(0, window.frames.len() * first.outputs);
        self.convolve(b, y, frames, self.convolutions.pre, false);
        let mut have = window.frames.clone();
        let mut channels = first.outputs;
        for (stage, rows) in self.convolutions.stages.iter().zip(&window.stages) {
            let x = self.stream.slice((rows.inputs.start - have.start) * channels, rows.inputs.len() * channels);
            channels = self.convolutions.all[stage.up].outputs;
            let raised = self.raise(b, x, stage.up, rows);
            let y = self.stream.slice(0, raised.len());
            self.residual_blocks(b, y, raised, stage);
            have = rows.blocks.clone();
        }
        let outputs = window.outputs();
        let x = self.stream.slice((outputs.start - have.start) * channels, outputs.len() * channels);
        b.run(LeakyRelu { y: x, x, slope: LAST_SLOPE });
        let audio = self.audio.slice(0, outputs.len());
        self.convolve(b, audio, x, self.convolutions.post, false);
        let audio = audio.slice(window.samples.start - outputs.start, window.samples.len());
        b.run(Tanh { y: audio, x: audio });
        audio
    }

    /// The stage's transposed convolution of the leaky ReLU of x: the rows that its blocks see.
    fn raise<B: Backend>(&self, b: &mut B, x: Span<f32>, layer: usize, rows: &StageRows) -> Span<f32> {
        let ConvolutionSpec { outputs, step: Step::Stride(stride), .. } = self.convolutions.all[layer] else {
            unreachable!("a transposed convolution")
        };
        let (weight, bias) = &self.parameters[layer];
        b.run(LeakyRelu { y: x, x, slope: SLOPE });
        let whole = self.raised.slice(0, stride * rows.inputs.len() * outputs);
        b.run(ConvTranspose1d { y: whole, x, weight: *weight, bias: Some(*bias), stride });
        whole.slice((rows.blocks.start - stride * rows.inputs.start) * outputs, rows.blocks.len() * outputs)
    }

    /// `sum = Σ block(x)`, the mean but for its factor, which the next layer's weight has. Overwrites x.
    fn residual_blocks<B: Backend>(&self, b: &mut B, sum: Span<f32>, x: Span<f32>, stage: &Stage) {
        let last = stage.blocks.len() - 1;
        for (i, block) in stage.blocks.iter().enumerate() {
            let stream = match i {
                0 => sum,
                // Nobody needs x after it.
                _ if i == last => x,
                _ => self.block.slice(0, x.len()),
            };
            if stream != x {
                b.copy(stream, x);
            }
            let active = self.active.slice(0, x.len());
            for unit in block {
                b.run(LeakyRelu { y: active, x: stream, slope: SLOPE });
                match (unit.as_slice(), self.between) {
                    (&[only], _) => self.convolve(b, stream, active, only, true),
                    (&[first, second], Some(between)) => {
                        let between = between.slice(0, x.len());
                        self.convolve(b, between, active, first, false);
                        b.run(LeakyRelu { y: between, x: between, slope: SLOPE });
                        self.convolve(b, stream, between, second, true);
                    }
                    _ => unreachable!("units have one convolution, or two with room between them"),
                }
            }
            if i > 0 {
                b.run(Add { y: sum.into(), a: sum.into(), b: stream.into() });
            }
        }
    }

    /// `y = layer(x)`, or `y += …`.
    fn convolve<B: Backend>(&self, b: &mut B, y: Span<f32>, x: Span<f32>, layer: usize, accumulate: bool) {
        let (weight, bias) = &self.parameters[layer];
        let layer = &self.convolutions.all[layer];
        let Step::Dilation(dilation) = layer.step else { unreachable!("no transposed convolution") };
        let rows = x.len() / layer.inputs;
        let shape = |len| ConvolutionShape { sequences: Sequences::Equal { count: 1, len }, kernel: layer.kernel, dilation };
        let Some(reflection) = self.reflection.filter(|_| reach(layer) > 0) else {
            b.run(Conv1d { y, x, weight: *weight, bias: Some(*bias), shape: shape(rows), accumulate });
            return;
        };
        let (reach, len) = (reach(layer), rows + 2 * reach(layer));
        let ids: Vec<u32> = (0..len).map(|i| mirrored(i as isize - reach as isize, rows) as u32).collect();
        let at = reflection.rows.slice(0, len);
        b.upload(at, &ids);
        let (wide_x, wide_y) = (reflection.x.slice(0, len * layer.inputs), reflection.y.slice(0, len * layer.outputs));
        b.run(Gather { y: wide_x, table: x, ids: at, dim: layer.inputs, accumulate: false });
        b.run(Conv1d { y: wide_y, x: wide_x, weight: *weight, bias: Some(*bias), shape: shape(len), accumulate: false });
        let result = wide_y.slice(reach * layer.outputs, rows * layer.outputs);
        if accumulate {
            b.run(Add { y: y.into(), a: y.into(), b: result.into() });
        } else {
            b.copy(y, result);
        }
    }
}

fn plan_layer(layer: &ConvolutionSpec, plan: &mut Plan) -> (Weight, Span<f32>) {
    let [out_features, in_features] = match layer.step {
        Step::Dilation(_) => [layer.outputs, layer.kernel * layer.inputs],
        Step::Stride(_) => [layer.kernel * layer.outputs, layer.inputs],
    };
    let values = plan.span(Kind::Parameter, format!("vocoder.{}.weight", layer.name), out_features * in_features);
    let bias = plan.span(Kind::Parameter, format!("vocoder.{}.bias", layer.name), layer.outputs);
    (Weight { out_features, in_features, storage: Storage::Float(values) }, bias)
}

/// The row that stands for row `i` where there are `rows`: mirrored at the first and the last one, as often as it takes.
fn mirrored(i: isize, rows: usize) -> usize {
    let period = (2 * (rows as isize - 1)).max(1);
    let i = i.rem_euclid(period);
    i.min(period - i).min(rows as isize - 1) as usize
}
