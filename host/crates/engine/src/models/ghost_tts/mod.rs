//! GhostTTS: from phones to a mel spectrogram, all frames at once (after FastSpeech 2, Ren et al. 2021, and FastPitch, Łańcucki 2021).
//!
//! Phones go through an encoder; duration, pitch and energy of each are predicted; pitch and energy are added to the encoder's output, each
//! phone is repeated for its frames, which go through a decoder to a mel spectrogram, and a post-net adds to that. In training, the true
//! durations, pitch and energy are used. Utterances lie one after another in all matrices: no padding exists, so nothing has to be masked.
//!
//! | file | idea |
//! |---|---|
//! | `batch.rs` | what the network reads |
//! | `predictor.rs` | duration, pitch or energy of a phone |
//! | `postnet.rs` | convolutions over the spectrogram |
//! | `synthesis.rs` | from phones alone to a spectrogram |
//! | `scale.rs` | the scale on which it sees spectrograms |

mod batch;
mod postnet;
mod predictor;
mod scale;
mod synthesis;

pub use batch::{Capacity, SpeechBatch, Utterance};
pub use scale::MelScale;
pub use synthesis::{Controls, Scales, Spoken};

use crate::backend::{AttentionShape, Backend, Sequences};
use crate::config::GhostTtsConfig;
use crate::memory::{Kind, Plan, Span};
use crate::nn::block::{BlockGradients, BlockWidths};
use crate::nn::convolution::Convolution;
use crate::nn::parameters::{Init, Specs};
use crate::nn::stack::{GAIN, Stack, StackIds};
use crate::nn::{GradientSink, Parameters, Purpose, VectorId};
use postnet::{Postnet, PostnetIds};
use predictor::{Predictor, PredictorIds};

/// The metadata key under which a voice's checkpoint says what its numbers mean.
pub const FACTS_KEY: &str = "voice";
/// Deviation of embeddings at the start, and the root mean square of position codes.
const EMBEDDING_SIGMA: f32 = 0.1;
/// The slowest wave of the position codes has this many rows in a radian (Vaswani et al. 2017).
const SLOWEST: f64 = 10_000.0;
/// What the errors of duration, pitch and energy weigh beside those of the spectrogram, as in FastPitch.
const PREDICTOR_WEIGHT: f32 = 0.1;

/// The terms of the loss: mean absolute errors of the spectrogram before and after the post-net (in standard deviations), and mean squared
/// errors of log-duration, pitch and energy.
pub const TERMS: [&str; 5] = ["mel", "mel_post", "duration", "pitch", "energy"];
/// What each term counts in the loss.
pub const TERM_WEIGHTS: [f32; 5] = [1.0, 1.0, PREDICTOR_WEIGHT, PREDICTOR_WEIGHT, PREDICTOR_WEIGHT];

/// The parameters of the model.
#[derive(Clone, Debug)]
pub struct GhostTtsIds {
    /// `[phones, dim]`.
    phones: VectorId,
    encoder: StackIds,
    /// Of log-duration, pitch and energy.
    predictors: [PredictorIds; 3],
    pitch: Convolution,
    energy: Convolution,
    /// Embedding of the frames since a phone's start, `[places, dim]`.
    from_start: VectorId,
    /// Embedding of the frames until a phone's end, `[places, dim]`.
    to_end: VectorId,
    decoder: StackIds,
    mel: Convolution,
    postnet: PostnetIds,
}

impl GhostTtsIds {
    /// Names all parameters; `float` asks for the float twin.
    pub fn new(config: &GhostTtsConfig, float: bool) -> (Self, Specs) {
        let mut specs = Specs::default();
        let (mels, dim, grid) = (config.mels, config.dim, (!float).then_some(config.grid));
        let embedding = |specs: &mut Specs, name: &str, rows| specs.vector(name.into(), &[rows, dim], Init::Normal(EMBEDDING_SIGMA));
        let phones = embedding(&mut specs, "embedding.phones", config.phones);
        let widths = widths(config);
        let encoder = StackIds::new(&mut specs, "encoder", config.encoder_layers, widths, grid);
        let predictors = ["duration", "pitch", "energy"].map(|name| {
            PredictorIds::new(&mut specs, &format!("predictors.{name}"), dim, config.predictor_dim, config.predictor_kernel, grid)
        });
        let [pitch, energy] =
            ["pitch", "energy"].map(|name| Convolution::new(&mut specs, &format!("embedding.{name}"), [dim, 1], 3, grid, 0.3));
        let from_start = embedding(&mut specs, "embedding.from_start", config.places);
        let to_end = embedding(&mut specs, "embedding.to_end", config.places);
        let decoder = StackIds::new(&mut specs, "decoder", config.decoder_layers, widths, grid);
        let mel = Convolution::new(&mut specs, "mel", [mels, dim], 1, grid, GAIN);
        let postnet = PostnetIds::new(&mut specs, config, grid);
        (Self { phones, encoder, predictors, pitch, energy, from_start, to_end, decoder, mel, postnet }, specs)
    }
}

fn widths(config: &GhostTtsConfig) -> BlockWidths {
    BlockWidths { dim: config.dim, hidden: config.hidden, kernel: config.kernel }
}

/// The rows of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    /// Which phones belong together.
    pub phones: Sequences,
    /// Which frames belong together.
    pub frames: Sequences,
}

/// What the host writes; as in [`SpeechBatch`].
#[derive(Clone, Copy, Debug)]
struct Inputs {
    phones: Span<u32>,
    phone_positions: Span<u32>,
    phone_offsets: Span<u32>,
    log_durations: Span<f32>,
    pitch: Span<f32>,
    energy: Span<f32>,
    frame_phones: Span<u32>,
    frame_positions: Span<u32>,
    from_start: Span<u32>,
    to_end: Span<u32>,
    frame_offsets: Span<u32>,
    mel: Span<f32>,
}

impl Inputs {
    fn plan(plan: &mut Plan, capacity: Capacity, mels: usize) -> Self {
        let Capacity { utterances, phones, frames } = capacity;
        Self {
            phones: plan.span(Kind::Io, "phones", phones),
            phone_positions: plan.span(Kind::Io, "phone_positions", phones),
            phone_offsets: plan.span(Kind::Io, "phone_offsets", utterances + 1),
            log_durations: plan.span(Kind::Io, "log_durations", phones),
            pitch: plan.span(Kind::Io, "pitch", phones),
            energy: plan.span(Kind::Io, "energy", phones),
            frame_phones: plan.span(Kind::Io, "frame_phones", frames),
            frame_positions: plan.span(Kind::Io, "frame_positions", frames),
            from_start: plan.span(Kind::Io, "from_start", frames),
            to_end: plan.span(Kind::Io, "to_end", frames),
            frame_offsets: plan.span(Kind::Io, "frame_offsets", utterances + 1),
            mel: plan.span(Kind::Io, "mel_target", frames * mels),
        }
    }
}

/// Gradients of activations.
#[derive(Clone, Copy, Debug)]
struct Backward {
    /// Two matrices `[frames, mels]`: of the spectrogram before and after the post-net.
    mel: [Span<f32>; 2],
    postnet: [Span<f32>; 2],
    /// Two matrices `[frames, dim]`: the decoder's output and input. The encoder uses their first rows.
    output: Span<f32>,
    input: Span<f32>,
    /// Of the encoder's output with all that was added to it, `[phones, dim]`.
    varied: Span<f32>,
    predictions: [Span<f32>; 3],
    predictor: [Span<f32>; 2],
    block: BlockGradients,
}

/// The model over its activations.
#[derive(Clone, Debug)]
pub struct GhostTts {
    ids: GhostTtsIds,
    /// The most that a batch can hold.
    pub capacity: Capacity,
    /// Mel bands.
    pub mels: usize,
    /// Places within a phone that are told apart.
    pub places: usize,
    dim: usize,
    heads: usize,
    inputs: Inputs,
    /// Codes of the places in an utterance, `[longest, dim]`.
    positions: Span<f32>,
    encoder: Stack,
    predictors: [Predictor; 3],
    varied: Span<f32>,
    decoder: Stack,
    mel: Span<f32>,
    postnet: Postnet,
    losses: [Span<f32>; 5],
    backward: Option<Backward>,
}

impl GhostTts {
    /// Reserves activations for batches of at most that capacity.
    pub fn plan(ids: GhostTtsIds, config: &GhostTtsConfig, capacity: Capacity, purpose: Purpose, plan: &mut Plan) -> Self {
        let (mels, dim, keep) = (config.mels, config.dim, purpose != Purpose::Evaluate);
        let Capacity { phones, frames, .. } = capacity;
        let widths = widths(config);
        let shape = |rows| AttentionShape {
            sequences: Sequences::Equal { count: 1, len: rows },
            heads: config.heads,
            head_dim: dim / config.heads,
            causal: false,
        };
        let inputs = Inputs::plan(plan, capacity, mels);
        let positions = plan.span(Kind::Scratch, "positions", phones.max(frames) * dim);
        let encoder = Stack::plan(&ids.encoder, plan, "encoder", widths, shape(phones), keep);
        let mut predictors = ids.predictors.iter().zip(["duration", "pitch", "energy"]);
        let predictors = std::array::from_fn(|_| {
            let (&ids, name) = predictors.next().expect("three predictors");
            Predictor::plan(ids, plan, &format!("predictors.{name}"), phones)
        });
        let varied = plan.span(Kind::Activation, "varied", phones * dim);
        let decoder = Stack::plan(&ids.decoder, plan, "decoder", widths, shape(frames), keep);
        let mel = plan.span(Kind::Activation, "mel", frames * mels);
        let postnet = Postnet::plan(ids.postnet.clone(), config, plan, frames, keep);
        let losses = [frames, frames, phones, phones, phones];
        let mut names = TERMS.iter().zip(losses);
        let losses = std::array::from_fn(|_| {
            let (name, rows) = names.next().expect("five terms");
            plan.span(Kind::Activation, format!("losses.{name}"), rows)
        });
        let backward = keep.then(|| {
            let mut span = |name: &str, len| plan.span(Kind::Activation, format!("gradient.{name}"), len);
            let rows = phones.max(frames);
            Backward {
                mel: ["mel", "mel_post"].map(|name| span(name, frames * mels)),
                postnet: ["postnet.0", "postnet.1"].map(|name| span(name, frames * config.postnet_dim)),
                output: span("output", rows * dim),
                input: span("input", rows * dim),
                varied: span("varied", phones * dim),
                predictions: ["duration", "pitch", "energy"].map(|name| span(name, phones)),
                predictor: ["predictor.0", "predictor.1"].map(|name| span(name, phones * config.predictor_dim)),
                block: BlockGradients::plan(plan, rows, dim, config.hidden),
            }
        });
        let places = config.places;
        let heads = config.heads;
        Self {
            ids,
            capacity,
            mels,
            places,
            dim,
            heads,
            inputs,
            positions,
            encoder,
            predictors,
            varied,
            decoder,
            mel,
            postnet,
            losses,
            backward,
        }
    }

    /// The largest attention of a batch: of as many utterances as it can hold, over all frames.
    pub fn attention(&self) -> AttentionShape {
        let Capacity { utterances, frames, .. } = self.capacity;
        let sequences = Sequences::Equal { count: utterances, len: frames.div_ceil(utterances) };
        AttentionShape { sequences, heads: self.heads, head_dim: self.dim / self.heads, causal: false }
    }

    /// Writes the constants that the model needs besides its parameters; once, before anything else.
    pub fn prepare<B: Backend>(&self, b: &mut B) {
        b.upload(self.positions, &position_codes(self.positions.len() / self.dim, self.dim));
    }

    /// An empty batch of the model's capacity.
    pub fn batch(&self) -> SpeechBatch {
        SpeechBatch::new(self.capacity, self.mels, self.places)
    }

    /// Copies a batch to the device, but for spectrogram and prosody where it has none.
    pub fn load<B: Backend>(&self, b: &mut B, batch: &SpeechBatch) -> Lengths {
        let i = &self.inputs;
        for (span, ids) in [
            (i.phones, &batch.phones),
            (i.phone_positions, &batch.phone_positions),
            (i.phone_offsets, &batch.phone_offsets),
            (i.frame_phones, &batch.frame_phones),
            (i.frame_positions, &batch.frame_positions),
            (i.from_start, &batch.from_start),
            (i.to_end, &batch.to_end),
            (i.frame_offsets, &batch.frame_offsets),
        ] {
            b.upload(span.slice(0, ids.len()), ids);
        }
        for (span, values) in
            [(i.log_durations, &batch.log_durations), (i.pitch, &batch.pitch), (i.energy, &batch.energy), (i.mel, &batch.mel)]
        {
            b.upload(span.slice(0, values.len()), values);
        }
        let sequences = |offsets: Span<u32>, host: &[u32]| Sequences::Ragged {
            offsets: offsets.slice(0, host.len()),
            rows: host.last().map_or(0, |&end| end as usize),
            longest: batch::longest(host),
        };
        Lengths { phones: sequences(i.phone_offsets, &batch.phone_offsets), frames: sequences(i.frame_offsets, &batch.frame_offsets) }
    }

    /// Encodes the phones and predicts their log-durations, pitch and energy.
    fn encode<B: Backend>(&self, b: &mut B, p: &Parameters, phones: Sequences) {
        let (i, rows) = (&self.inputs, phones.rows());
        let x = self.encoder.input(rows);
        b.gather(x, p.vector(self.ids.phones), i.phones.slice(0, rows), self.dim, false);
        b.gather(x, self.positions, i.phone_positions.slice(0, rows), self.dim, true);
        self.encoder.forward(b, p, phones);
        for predictor in &self.predictors {
            predictor.forward(b, p, self.encoder.output(rows), phones);
        }
    }

    /// From the encoder's output, and the pitch and energy in the inputs, to the spectrogram.
    fn decode<B: Backend>(&self, b: &mut B, p: &Parameters, lengths: &Lengths) {
        let (i, ids, dim) = (&self.inputs, &self.ids, self.dim);
        let (phones, frames) = (lengths.phones.rows(), lengths.frames.rows());
        let varied = self.varied.slice(0, phones * dim);
        b.copy(varied, self.encoder.output(phones));
        ids.pitch.forward(b, p, varied, i.pitch.slice(0, phones), lengths.phones, true);
        ids.energy.forward(b, p, varied, i.energy.slice(0, phones), lengths.phones, true);

        let x = self.decoder.input(frames);
        b.gather(x, varied, i.frame_phones.slice(0, frames), dim, false);
        b.gather(x, self.positions, i.frame_positions.slice(0, frames), dim, true);
        b.gather(x, p.vector(ids.from_start), i.from_start.slice(0, frames), dim, true);
        b.gather(x, p.vector(ids.to_end), i.to_end.slice(0, frames), dim, true);
        self.decoder.forward(b, p, lengths.frames);
        let mel = self.mel.slice(0, frames * self.mels);
        ids.mel.forward(b, p, mel, self.decoder.output(frames), lengths.frames, false);
        self.postnet.forward(b, p, mel, lengths.frames);
    }

    /// Losses of the loaded batch, and the gradients of the outputs where there is memory for them.
    fn errors<B: Backend>(&self, b: &mut B, g: &Backward, lengths: &Lengths, gradient_scale: f32) {
        let (i, phones, frames) = (&self.inputs, lengths.phones.rows(), lengths.frames.rows());
        let scale = |term: usize| gradient_scale * TERM_WEIGHTS[term] / self.values(term, lengths) as f32;
        let values = frames * self.mels;
        for (term, mel) in [self.mel.slice(0, values), self.postnet.output(frames)].into_iter().enumerate() {
            let (losses, d_mel) = (self.losses[term].slice(0, frames), g.mel[term].slice(0, values));
            b.absolute_error(losses, d_mel, mel, i.mel.slice(0, values), scale(term));
        }
        for (at, target) in [i.log_durations, i.pitch, i.energy].into_iter().enumerate() {
            let term = 2 + at;
            let (losses, d) = (self.losses[term].slice(0, phones), g.predictions[at].slice(0, phones));
            b.squared_error(losses, d, self.predictors[at].predictions(phones), target.slice(0, phones), scale(term));
        }
    }

    /// Values that a term of [`TERMS`] is a mean of.
    pub fn values(&self, term: usize, lengths: &Lengths) -> usize {
        if term < 2 { lengths.frames.rows() * self.mels } else { lengths.phones.rows() }
    }

    /// The losses of a term, one a row; their sum over [`GhostTts::values`] is the term.
    pub fn losses(&self, term: usize, lengths: &Lengths) -> Span<f32> {
        self.losses[term].slice(0, if term < 2 { lengths.frames.rows() } else { lengths.phones.rows() })
    }

    /// Predictions of log-duration, pitch and energy, `[phones]` each.
    pub fn predictions(&self, lengths: &Lengths) -> [Span<f32>; 3] {
        self.predictors.map(|predictor| predictor.predictions(lengths.phones.rows()))
    }

    /// Losses of the loaded batch.
    ///
    /// # Panics
    /// If the plan was not made for training.
    pub fn evaluate<B: Backend>(&self, b: &mut B, p: &Parameters, lengths: &Lengths) {
        let g = self.backward.as_ref().expect("a plan for training");
        self.encode(b, p, lengths.phones);
        self.decode(b, p, lengths);
        self.errors(b, g, lengths, 1.0);
    }

    /// Losses of the loaded batch, and the gradients of `gradient_scale` times its loss into the sink.
    ///
    /// # Panics
    /// If the plan was not made for training.
    pub fn train<B: Backend>(&self, b: &mut B, p: &Parameters, sink: &mut impl GradientSink<B>, lengths: &Lengths, gradient_scale: f32) {
        let g = self.backward.as_ref().expect("a plan for training");
        let (i, ids, dim) = (&self.inputs, &self.ids, self.dim);
        let (phones, frames) = (lengths.phones.rows(), lengths.frames.rows());
        self.encode(b, p, lengths.phones);
        self.decode(b, p, lengths);
        self.errors(b, g, lengths, gradient_scale);

        let [d_mel, d_post] = g.mel.map(|span| span.slice(0, frames * self.mels));
        let mel = self.mel.slice(0, frames * self.mels);
        self.postnet.backward(b, p, sink, d_mel, d_post, mel, lengths.frames, g.postnet);
        ids.mel.backward(b, sink, d_mel, self.decoder.output(frames), lengths.frames);
        let (d_output, d_input) = (g.output.slice(0, frames * dim), g.input.slice(0, frames * dim));
        ids.mel.backward_input(b, p, d_output, d_mel, lengths.frames, false);
        self.decoder.backward(b, p, sink, d_input, d_output, lengths.frames, &g.block);
        b.gather_backward(sink.vector(ids.from_start), d_input, i.from_start.slice(0, frames), dim);
        b.gather_backward(sink.vector(ids.to_end), d_input, i.to_end.slice(0, frames), dim);

        let d_varied = g.varied.slice(0, phones * dim);
        b.zero(d_varied);
        b.gather_backward(d_varied, d_input, i.frame_phones.slice(0, frames), dim);
        ids.pitch.backward(b, sink, d_varied, i.pitch.slice(0, phones), lengths.phones);
        ids.energy.backward(b, sink, d_varied, i.energy.slice(0, phones), lengths.phones);
        for (predictor, d) in self.predictors.iter().zip(g.predictions) {
            let (d, x) = (d.slice(0, phones), self.encoder.output(phones));
            predictor.backward(b, p, sink, d_varied, d, x, lengths.phones, g.predictor);
        }
        let d_input = g.input.slice(0, phones * dim);
        self.encoder.backward(b, p, sink, d_input, d_varied, lengths.phones, &g.block);
        b.gather_backward(sink.vector(ids.phones), d_input, i.phones.slice(0, phones), dim);
    }

    /// The first activation of the loaded batch that is not finite, by name; `sum` is one value of scratch.
    pub fn not_finite<B: Backend>(&self, b: &mut B, lengths: &Lengths, sum: Span<f32>) -> Option<String> {
        let encoder = self.encoder.not_finite(b, lengths.phones.rows(), sum);
        encoder.or_else(|| self.decoder.not_finite(b, lengths.frames.rows(), sum))
    }
}

/// Sines and cosines of falling frequency (Vaswani et al. 2017), `[rows, dim]`, with a root mean square of [`EMBEDDING_SIGMA`].
fn position_codes(rows: usize, dim: usize) -> Vec<f32> {
    let amplitude = f64::from(EMBEDDING_SIGMA) * std::f64::consts::SQRT_2;
    let frequencies: Vec<f64> = (0..dim.div_ceil(2)).map(|i| SLOWEST.powf(-2.0 * i as f64 / dim as f64)).collect();
    let code = |row: usize, column: usize| {
        let angle = row as f64 * frequencies[column / 2];
        (amplitude * if column.is_multiple_of(2) { angle.sin() } else { angle.cos() }) as f32
    };
    (0..rows * dim).map(|i| code(i / dim, i % dim)).collect()
}
