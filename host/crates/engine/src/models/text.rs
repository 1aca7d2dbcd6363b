//! What a text model is to those who train, measure and run it.

use crate::backend::{AttentionShape, Backend};
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
    /// Each token's loss in nats.
    pub losses: Span<f32>,
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

    /// Losses of the batch.
    fn evaluate<B: Backend>(&self, b: &mut B, p: &Parameters);

    /// The same; `done` is told the number of each block that has run.
    fn evaluate_telling<B: Backend>(&self, b: &mut B, p: &Parameters, done: &mut dyn FnMut(usize));

    /// Losses, and the gradients of `gradient_scale · Σ losses` into the sink.
    ///
    /// # Panics
    /// If the plan was made for evaluation.
    fn train<B: Backend>(&self, b: &mut B, p: &Parameters, sink: &mut impl GradientSink<B>, gradient_scale: f32);

    /// The first activation that is not finite after a forward pass for training, by name; `sum` is one value of scratch.
    fn not_finite<B: Backend>(&self, b: &mut B, sum: Span<f32>) -> Option<String>;
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
