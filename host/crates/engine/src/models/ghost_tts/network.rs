//! The network of GhostTTS over batches: losses, and their gradients.

use super::batch::{Capacity, SpeechBatch, longest};
use super::postnet::{Postnet, PostnetIds};
use super::predictor::{Predictor, PredictorIds};
use crate::backend::{AttentionShape, Backend, Sequences};
use crate::config::GhostTtsConfig;
use crate::memory::{Kind, Plan, Span};
use crate::nn::attention::Heads;
use crate::nn::block::{BlockGradients, BlockShape};
use crate::nn::convolution::ConvolutionLayer;
use crate::nn::embedding::{EMBEDDING_SIGMA, EmbeddingLayer};
use crate::nn::linear::GAIN;
use crate::nn::mlp::MlpKind;
use crate::nn::norm::NormKind;
use crate::nn::parameters::Specs;
use crate::nn::stack::{Stack, StackActivations};
use crate::nn::{Backward, GradientSink, Parameters, Purpose, Rows};
use crate::ops::{AbsoluteError, Gather, GatherBackward, SquaredError};

/// The metadata key under which a voice's checkpoint says what its numbers mean.
pub const FACTS_KEY: &str = "voice";
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
    phones: EmbeddingLayer,
    encoder: Stack,
    /// Of log-duration, pitch and energy.
    predictors: [PredictorIds; 3],
    pitch: ConvolutionLayer,
    energy: ConvolutionLayer,
    /// Of the frames since a phone's start.
    from_start: EmbeddingLayer,
    /// Of the frames until a phone's end.
    to_end: EmbeddingLayer,
    decoder: Stack,
    mel: ConvolutionLayer,
    postnet: PostnetIds,
}

impl GhostTtsIds {
    /// Names all parameters; `float` asks for the float twin.
    pub fn new(config: &GhostTtsConfig, float: bool) -> (Self, Specs) {
        let mut specs = Specs::new(config.scales);
        let (mels, dim, grid) = (config.mels, config.dim, (!float).then_some(config.grid));
        let embedding = |specs: &mut Specs, name: &str, entries| EmbeddingLayer::new(specs, name, [entries, dim]);
        let phones = embedding(&mut specs, "embedding.phones", config.phones);
        let shape = block_shape(config);
        let encoder = Stack::new(&mut specs, "encoder", config.encoder_layers, &shape, grid);
        let predictors = ["duration", "pitch", "energy"].map(|name| {
            PredictorIds::new(&mut specs, &format!("predictors.{name}"), dim, config.predictor_dim, config.predictor_kernel, grid)
        });
        let [pitch, energy] =
            ["pitch", "energy"].map(|name| ConvolutionLayer::new(&mut specs, &format!("embedding.{name}"), [dim, 1], 3, grid, 0.3));
        let from_start = embedding(&mut specs, "embedding.from_start", config.places);
        let to_end = embedding(&mut specs, "embedding.to_end", config.places);
        let decoder = Stack::new(&mut specs, "decoder", config.decoder_layers, &shape, grid);
        let mel = ConvolutionLayer::new(&mut specs, "mel", [mels, dim], 1, grid, GAIN);
        let postnet = PostnetIds::new(&mut specs, config, grid);
        (Self { phones, encoder, predictors, pitch, energy, from_start, to_end, decoder, mel, postnet }, specs)
    }
}

fn block_shape(config: &GhostTtsConfig) -> BlockShape {
    BlockShape {
        dim: config.dim,
        norm: NormKind::Layer,
        heads: Heads::plain(config.dim, config.heads, false),
        hidden: config.hidden,
        mlp: MlpKind::Plain { kernel: config.kernel, biases: false },
        rotary: None,
    }
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
struct Gradients {
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
    encoder: StackActivations,
    predictors: [Predictor; 3],
    varied: Span<f32>,
    decoder: StackActivations,
    mel: Span<f32>,
    pub(super) postnet: Postnet,
    losses: [Span<f32>; 5],
    gradients: Option<Gradients>,
}

impl GhostTts {
    /// Reserves activations for batches of at most that capacity.
    pub fn plan(ids: GhostTtsIds, config: &GhostTtsConfig, capacity: Capacity, purpose: Purpose, plan: &mut Plan) -> Self {
        let (mels, dim, keep) = (config.mels, config.dim, purpose != Purpose::Evaluate);
        let Capacity { phones, frames, .. } = capacity;
        let shape = block_shape(config);
        let inputs = Inputs::plan(plan, capacity, mels);
        let positions = plan.span(Kind::Scratch, "positions", phones.max(frames) * dim);
        let encoder = ids.encoder.plan(plan, "encoder", &shape, phones, purpose);
        let mut predictors = ids.predictors.iter().zip(["duration", "pitch", "energy"]);
        let predictors = std::array::from_fn(|_| {
            let (&ids, name) = predictors.next().expect("three predictors");
            Predictor::plan(ids, plan, &format!("predictors.{name}"), phones)
        });
        let varied = plan.span(Kind::Activation, "varied", phones * dim);
        let decoder = ids.decoder.plan(plan, "decoder", &shape, frames, purpose);
        let mel = plan.span(Kind::Activation, "mel", frames * mels);
        let postnet = Postnet::plan(ids.postnet.clone(), config, plan, frames, keep);
        let losses = [frames, frames, phones, phones, phones];
        let mut names = TERMS.iter().zip(losses);
        let losses = std::array::from_fn(|_| {
            let (name, rows) = names.next().expect("five terms");
            plan.span(Kind::Activation, format!("losses.{name}"), rows)
        });
        let gradients = keep.then(|| {
            let mut span = |name: &str, len| plan.span(Kind::Activation, format!("gradient.{name}"), len);
            let rows = phones.max(frames);
            Gradients {
                mel: ["mel", "mel_post"].map(|name| span(name, frames * mels)),
                postnet: ["postnet.0", "postnet.1"].map(|name| span(name, frames * config.postnet_dim)),
                output: span("output", rows * dim),
                input: span("input", rows * dim),
                varied: span("varied", phones * dim),
                predictions: ["duration", "pitch", "energy"].map(|name| span(name, phones)),
                predictor: ["predictor.0", "predictor.1"].map(|name| span(name, phones * config.predictor_dim)),
                block: BlockGradients::plan(plan, &shape, rows),
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
            gradients,
        }
    }

    /// The largest attention of a batch: of as many utterances as it can hold, over all frames.
    pub fn attention(&self) -> AttentionShape {
        let Capacity { utterances, frames, .. } = self.capacity;
        let sequences = Sequences::Equal { count: utterances, len: frames.div_ceil(utterances) };
        Heads::plain(self.dim, self.heads, false).shape(sequences)
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
        let sequences = |[offsets, positions]: [Span<u32>; 2], host: &[u32]| {
            let rows = host.last().map_or(0, |&end| end as usize);
            let (offsets, positions) = (offsets.slice(0, host.len()), positions.slice(0, rows));
            Sequences::Ragged { offsets, positions, rows, longest: longest(host) }
        };
        Lengths {
            phones: sequences([i.phone_offsets, i.phone_positions], &batch.phone_offsets),
            frames: sequences([i.frame_offsets, i.frame_positions], &batch.frame_offsets),
        }
    }

    /// Encodes the phones and predicts their log-durations, pitch and energy.
    pub(super) fn encode<B: Backend>(&self, b: &mut B, p: &Parameters, phones: Sequences) {
        let (i, rows) = (&self.inputs, phones.rows());
        let x = self.encoder.input(rows).f32();
        self.ids.phones.forward(b, p, x, i.phones.slice(0, rows), false);
        b.run(Gather { y: x, table: self.positions, ids: i.phone_positions.slice(0, rows), dim: self.dim, accumulate: true });
        self.ids.encoder.forward(b, p, &self.encoder, Rows::Of(phones));
        for predictor in &self.predictors {
            predictor.forward(b, p, self.encoder.output(rows), phones);
        }
    }

    /// From the encoder's output, and the pitch and energy in the inputs, to the spectrogram.
    pub(super) fn decode<B: Backend>(&self, b: &mut B, p: &Parameters, lengths: &Lengths) {
        let (i, ids, dim) = (&self.inputs, &self.ids, self.dim);
        let (phones, frames) = (lengths.phones.rows(), lengths.frames.rows());
        let varied = self.varied.slice(0, phones * dim);
        b.copy(varied, self.encoder.output(phones));
        ids.pitch.forward(b, p, varied, i.pitch.slice(0, phones), lengths.phones, true);
        ids.energy.forward(b, p, varied, i.energy.slice(0, phones), lengths.phones, true);

        let x = self.decoder.input(frames).f32();
        b.run(Gather { y: x, table: varied, ids: i.frame_phones.slice(0, frames), dim, accumulate: false });
        b.run(Gather { y: x, table: self.positions, ids: i.frame_positions.slice(0, frames), dim, accumulate: true });
        ids.from_start.forward(b, p, x, i.from_start.slice(0, frames), true);
        ids.to_end.forward(b, p, x, i.to_end.slice(0, frames), true);
        ids.decoder.forward(b, p, &self.decoder, Rows::Of(lengths.frames));
        let mel = self.mel.slice(0, frames * self.mels);
        ids.mel.forward(b, p, mel, self.decoder.output(frames), lengths.frames, false);
        self.postnet.forward(b, p, mel, lengths.frames);
    }

    /// Losses of the loaded batch, and the gradients of the outputs where there is memory for them.
    fn errors<B: Backend>(&self, b: &mut B, g: &Gradients, lengths: &Lengths, gradient_scale: f32) {
        let (i, phones, frames) = (&self.inputs, lengths.phones.rows(), lengths.frames.rows());
        let scale = |term: usize| gradient_scale * TERM_WEIGHTS[term] / self.values(term, lengths) as f32;
        let values = frames * self.mels;
        for (term, mel) in [self.mel.slice(0, values), self.postnet.output(frames)].into_iter().enumerate() {
            let (losses, d_mel) = (self.losses[term].slice(0, frames), g.mel[term].slice(0, values));
            b.run(AbsoluteError { losses, dx: d_mel, x: mel, target: i.mel.slice(0, values), gradient_scale: scale(term) });
        }
        for (at, target) in [i.log_durations, i.pitch, i.energy].into_iter().enumerate() {
            let term = 2 + at;
            let (losses, d) = (self.losses[term].slice(0, phones), g.predictions[at].slice(0, phones));
            b.run(SquaredError {
                losses,
                dx: d,
                x: self.predictors[at].predictions(phones),
                target: target.slice(0, phones),
                gradient_scale: scale(term),
            });
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
        let g = self.gradients.as_ref().expect("a plan for training");
        self.encode(b, p, lengths.phones);
        self.decode(b, p, lengths);
        self.errors(b, g, lengths, 1.0);
    }

    /// Losses of the loaded batch, and the gradients of `gradient_scale` times its loss into the sink.
    ///
    /// # Panics
    /// If the plan was not made for training.
    pub fn train<B: Backend>(&self, b: &mut B, p: &Parameters, sink: &mut impl GradientSink<B>, lengths: &Lengths, gradient_scale: f32) {
        let g = self.gradients.as_ref().expect("a plan for training");
        let (i, ids, dim) = (&self.inputs, &self.ids, self.dim);
        let (phones, frames) = (lengths.phones.rows(), lengths.frames.rows());
        self.encode(b, p, lengths.phones);
        self.decode(b, p, lengths);
        self.errors(b, g, lengths, gradient_scale);

        let pass = &mut Backward { b, p, sink };
        let [d_mel, d_post] = g.mel.map(|span| span.slice(0, frames * self.mels));
        let mel = self.mel.slice(0, frames * self.mels);
        self.postnet.backward(pass, d_mel, d_post, mel, lengths.frames, g.postnet);
        ids.mel.backward(pass, d_mel, self.decoder.output(frames), lengths.frames);
        let (d_output, d_input) = (g.output.slice(0, frames * dim), g.input.slice(0, frames * dim));
        ids.mel.backward_input(pass, d_output, d_mel, lengths.frames, false);
        ids.decoder.backward(pass, &self.decoder, d_input, d_output, lengths.frames, &g.block);
        ids.from_start.backward(pass, d_input, i.from_start.slice(0, frames));
        ids.to_end.backward(pass, d_input, i.to_end.slice(0, frames));

        let d_varied = g.varied.slice(0, phones * dim);
        pass.b.zero(d_varied);
        pass.b.run(GatherBackward { d_table: d_varied, dy: d_input, ids: i.frame_phones.slice(0, frames), dim });
        ids.pitch.backward(pass, d_varied, i.pitch.slice(0, phones), lengths.phones);
        ids.energy.backward(pass, d_varied, i.energy.slice(0, phones), lengths.phones);
        for (predictor, d) in self.predictors.iter().zip(g.predictions) {
            let (d, x) = (d.slice(0, phones), self.encoder.output(phones));
            predictor.backward(pass, d_varied, d, x, lengths.phones, g.predictor);
        }
        let d_input = g.input.slice(0, phones * dim);
        ids.encoder.backward(pass, &self.encoder, d_input, d_varied, lengths.phones, &g.block);
        ids.phones.backward(pass, d_input, i.phones.slice(0, phones));
    }

    /// The first activation of the loaded batch that is not finite, by name; `sum` is one value of scratch.
    pub fn not_finite<B: Backend>(&self, b: &mut B, lengths: &Lengths, sum: Span<f32>) -> Option<String> {
        let mut find = |name: &str, stack: &StackActivations, rows| {
            let at = stack.not_finite(b, rows, sum)?;
            Some(if at == 0 { format!("the input of {name}") } else { format!("the output of {name}.{}", at - 1) })
        };
        find("encoder", &self.encoder, lengths.phones.rows()).or_else(|| find("decoder", &self.decoder, lengths.frames.rows()))
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
