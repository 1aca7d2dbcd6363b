//! What a text model is to those who train, measure and run it.

use crate::backend::{AttentionShape, Backend, Sequences};
use crate::config::TextTable;
use crate::memory::{Act, Plan, Span};
use crate::nn::parameters::Specs;
use crate::nn::{GradientSink, Parameters, Purpose};

/// A batch of `[batch, seq]` tokens on the device.
#[derive(Clone, Copy, Debug)]
pub struct TextBatch {
    /// Token ids, `[batch · seq]`.
    pub inputs: Span<u32>,
    /// The places of tokens by id (see [`by_id`](crate::ops::by_id)); for training.
    pub order: Span<u32>,
    /// The token that follows each, or `u32::MAX` where none counts.
    pub targets: Span<u32>,
    /// Of documents: where each begins, and the end of the last, `[documents + 1]` at most.
    pub offsets: Span<u32>,
    /// Of documents: each token's place in its own.
    pub positions: Span<u32>,
    /// Each token's loss in nats.
    pub losses: Span<f32>,
}

impl TextBatch {
    /// The most documents that a batch holds.
    pub fn documents(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Writes where documents of these lengths lie, one after another from the first token on; the sequences that they are.
    ///
    /// # Panics
    /// If the batch has no room for them.
    pub fn place<B: Backend>(&self, b: &mut B, lengths: &[u32]) -> Sequences {
        let mut offsets = vec![0];
        let mut positions = Vec::with_capacity(self.positions.len());
        for &len in lengths {
            positions.extend(0..len);
            offsets.push(positions.len() as u32);
        }
        let (rows, longest) = (positions.len(), lengths.iter().max().map_or(0, |&len| len as usize));
        let [offsets_at, positions_at] = [self.offsets.slice(0, offsets.len()), self.positions.slice(0, rows)];
        b.upload(offsets_at, &offsets);
        b.upload(positions_at, &positions);
        Sequences::Ragged { offsets: offsets_at, positions: positions_at, rows, longest }
    }
}

/// What a decoder is planned for.
#[derive(Clone, Copy, Debug)]
pub struct DecoderShape {
    /// The most tokens of a sequence; at most the model's context.
    pub context: usize,
    /// How keys and values are stored.
    pub cache: Act,
}

/// A text model over its activations.
pub trait TextModel: Sized + 'static {
    /// The model's table `[model]` in a configuration.
    type Config: TextTable;
    /// The model's layers, before they have activations.
    type Layers: Clone;
    /// The model over one sequence, token by token.
    type Decoder: TextDecoder;

    /// Names all parameters; `float` asks for the float twin.
    fn layers(config: &Self::Config, float: bool) -> (Self::Layers, Specs);

    /// Reserves activations for `[batch, seq]` tokens, and logits for so many of them at a time.
    fn plan(layers: Self::Layers, shape: [usize; 2], logit_rows: usize, purpose: Purpose, plan: &mut Plan) -> Self;

    /// Reserves what writing one sequence takes.
    fn plan_decoder(layers: Self::Layers, shape: DecoderShape, plan: &mut Plan) -> Self::Decoder;

    /// The batch that the model reads, and the losses that it leaves.
    fn batch(&self) -> &TextBatch;

    /// The largest attention of a step; of a model without one, its rows as a single head.
    fn attention(&self) -> AttentionShape;

    /// Tokens that the model knows: logits of a row.
    fn vocab(&self) -> usize;

    /// Writes to a device that was just opened what is the same in every pass.
    fn prepare<B: Backend>(&self, b: &mut B);

    /// Losses of the batch: of all its rows, which are the sequences of [`Self::attention`], or of documents, as [`TextBatch::place`] gives them.
    fn evaluate<B: Backend>(&self, b: &mut B, p: &Parameters, sequences: Sequences);

    /// The same; `done` is told the number of each block that has run.
    fn evaluate_telling<B: Backend>(&self, b: &mut B, p: &Parameters, sequences: Sequences, done: &mut dyn FnMut(usize));

    /// Losses, and the gradients of `gradient_scale · Σ losses` into the sink.
    ///
    /// # Panics
    /// If the plan was made for evaluation.
    fn train<B: Backend>(&self, b: &mut B, p: &Parameters, sink: &mut impl GradientSink<B>, sequences: Sequences, gradient_scale: f32);

    /// The first activation that is not finite after a forward pass for training over these sequences, by name; `sum` is one value of scratch.
    fn not_finite<B: Backend>(&self, b: &mut B, sequences: Sequences, sum: Span<f32>) -> Option<String>;
}

/// A text model over one sequence, some tokens after others.
pub trait TextDecoder {
    /// The most tokens that a sequence has.
    fn context(&self) -> usize;

    /// Tokens that the model knows: logits of a row.
    fn vocab(&self) -> usize;

    /// The largest attention of a prompt that fills the context; of a model without one as [`TextModel::attention`].
    fn attention(&self) -> AttentionShape;

    /// Writes to a device that was just opened what is the same for every token.
    fn prepare<B: Backend>(&self, b: &mut B);

    /// Forgets `count` tokens after the first `keep` of `past`: the keys of later ones turn to their new positions. Where that cannot be, because
    /// positions have embeddings or are scaled, nothing is done, and the tokens have to be read again.
    fn forget<B: Backend>(&self, b: &mut B, keep: usize, count: usize, past: usize) -> bool;

    /// Reads tokens, at least one, after `past` earlier ones, all of them within the context; logits of the next, `[vocab]`.
    fn read<B: Backend>(&self, b: &mut B, p: &Parameters, tokens: &[u32], past: usize) -> Span<f32>;
}
