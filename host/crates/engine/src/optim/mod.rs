//! The optimizers: votes, poltergeist, QAT and AdamW, behind one sink for gradients and one step.

pub mod readings;
pub mod schedule;

use primal_device::grid;
use primal_device::rules::votes::VoteRule;

use crate::backend::{AdamWStep, Backend, ConvolutionShape, RandomKey, Storage, VoteCast, VoteState};
use crate::config::{Flips, Rule, TrainConfig};
use crate::interrupt;
use crate::memory::{Kind, Plan, Span};
use crate::nn::parameters::{Init, MatrixSpec};
use crate::nn::{GradientSink, MatrixId, Parameters, Part, VectorId};

use readings::Readings;
use schedule::learning_rate;

/// Row scales stay above it.
const MIN_SCALE: f32 = 1e-4;
/// Rows with more than this share of their weights at a rail are re-scaled …
const RESCALE_SHARE: f32 = 0.25;
/// … by this factor …
const RESCALE_FACTOR: f32 = 1.5;
/// … during this share of the run.
const RESCALE_UNTIL: f64 = 0.8;
/// A micro-batch takes so many times as long as its forward pass, about: the backward pass has two products for each one.
const WHOLE_STEP: u32 = 3;
/// AdamW's ε.
const EPS: f32 = 1e-8;

/// A float tensor that AdamW moves.
#[derive(Clone, Debug)]
pub struct FloatState {
    /// Name of the tensor, for messages and checkpoints.
    pub name: String,
    /// Its values.
    pub value: Span<f32>,
    /// Its gradient.
    pub gradient: Span<f32>,
    /// First and second moment.
    pub moments: [Span<f32>; 2],
    lr_factor: f32,
    weight_decay: f32,
    floor: f32,
}

impl FloatState {
    fn plan(plan: &mut Plan, name: String, value: Span<f32>, lr_factor: f32, weight_decay: f32, floor: f32) -> Self {
        let gradient = plan.span(Kind::Gradient, format!("{name}.gradient"), value.len());
        let moments = ["m", "v"].map(|moment| plan.span(Kind::State, format!("{name}.{moment}"), value.len()));
        Self { name, value, gradient, moments, lr_factor, weight_decay, floor }
    }
}

/// What the optimizer keeps of a matrix.
#[derive(Clone, Debug)]
pub enum MatrixState {
    /// The vote rule.
    Votes(VoteState),
    /// The seed's rule: 8-bit votes, cleared each step.
    Poltergeist(Span<u8>),
    /// Index of the shadow weights in [`Optimizer::floats`].
    Qat(usize),
    /// Index of the weight in [`Optimizer::floats`].
    Float(usize),
}

/// Optimizer state of all parameters.
pub struct Optimizer {
    /// The rule for matrices.
    pub rule: Rule,
    /// By [`MatrixId`].
    pub matrices: Vec<MatrixState>,
    /// Float tensors: the model's vectors first, by [`VectorId`], then row scales, shadow and float weights.
    pub floats: Vec<FloatState>,
    /// Index in `floats` of each matrix's row scales.
    scales: Vec<usize>,
    scratch: Option<Span<f32>>,
    /// What the host reads after a step.
    pub readings: Readings,
    /// What must be finite after a step, with its name: values of float tensors, then the mean squares of the vote rule.
    watched: Vec<(String, Span<f32>)>,
}

impl Optimizer {
    /// Reserves the state of a rule for losses of so many terms.
    pub fn plan(config: &TrainConfig, p: &Parameters, terms: usize, plan: &mut Plan) -> Self {
        let mut floats = Vec::new();
        for (spec, &value) in p.specs.vectors.iter().zip(&p.vectors) {
            // Only embeddings decay; gains and biases have constant starts.
            let decay = if matches!(spec.init, Init::Normal(_)) { config.weight_decay } else { 0.0 };
            floats.push(FloatState::plan(plan, spec.name.clone(), value, 1.0, decay, f32::NEG_INFINITY));
        }
        let (mut matrices, mut scales) = (Vec::new(), Vec::new());
        for (spec, weight) in p.specs.matrices.iter().zip(&p.matrices) {
            scales.push(floats.len());
            if let Storage::Grid(grid) = &weight.storage {
                let name = format!("{}.scale", spec.name);
                floats.push(FloatState::plan(plan, name, grid.scale, config.scale_lr * spec.initial_scale(), 0.0, MIN_SCALE));
            }
            matrices.push(Self::plan_matrix(config, spec, &weight.storage, &mut floats, plan));
        }
        let largest = p.specs.matrices.iter().map(MatrixSpec::weights).max().unwrap_or(0);
        let scratch = (config.optimizer != Rule::Adamw).then(|| plan.span(Kind::Scratch, "matrix_gradient", largest));
        let mut watched: Vec<_> = floats.iter().map(|float| (float.name.clone(), float.value)).collect();
        for (spec, state) in p.specs.matrices.iter().zip(&matrices) {
            if let MatrixState::Votes(state) = state {
                watched.push((format!("{}.vote_row", spec.name), state.row));
                watched.push((format!("{}.vote_column", spec.name), state.column));
            }
        }
        let (loss_sums, norms) = (config.grad_accum as usize * terms, 1 + floats.len() + matrices.len());
        let readings = Readings::plan(plan, loss_sums, norms, watched.len(), matrices.len());
        Self { rule: config.optimizer, matrices, floats, scales, scratch, readings, watched }
    }

    fn plan_matrix(
        config: &TrainConfig,
        spec: &MatrixSpec,
        storage: &Storage,
        floats: &mut Vec<FloatState>,
        plan: &mut Plan,
    ) -> MatrixState {
        let name = &spec.name;
        match config.optimizer {
            Rule::Votes => MatrixState::Votes(VoteState {
                bits: config.votes,
                votes: plan.span(
                    Kind::State,
                    format!("{name}.votes"),
                    spec.out_features * VoteState::row_bytes(config.votes, spec.in_features),
                ),
                row: plan.span(Kind::State, format!("{name}.vote_row"), spec.out_features),
                column: plan.span(Kind::State, format!("{name}.vote_column"), spec.in_features),
            }),
            Rule::Poltergeist => MatrixState::Poltergeist(plan.span(
                Kind::State,
                format!("{name}.votes"),
                spec.out_features * grid::padded(spec.in_features),
            )),
            Rule::Qat => {
                let shadow = plan.span(Kind::Parameter, format!("{name}.shadow"), spec.weights());
                floats.push(FloatState::plan(plan, format!("{name}.shadow"), shadow, 1.0, config.weight_decay, f32::NEG_INFINITY));
                MatrixState::Qat(floats.len() - 1)
            }
            Rule::Adamw => {
                let Storage::Float(weight) = storage else { panic!("the float twin has float weights") };
                floats.push(FloatState::plan(plan, format!("{name}.weight"), *weight, 1.0, config.weight_decay, f32::NEG_INFINITY));
                MatrixState::Float(floats.len() - 1)
            }
        }
    }

    /// Start values of parameters and state.
    pub fn initialise<B: Backend>(&self, backend: &mut B, p: &Parameters, seed: u64) {
        p.initialise(backend, seed, |backend, id, first, values| {
            if let MatrixState::Qat(index) = self.matrices[id.0] {
                backend.upload(self.floats[index].value.slice(first, values.len()), values);
            }
        });
        for float in &self.floats {
            float.moments.iter().for_each(|&moment| backend.zero(moment));
        }
        for state in &self.matrices {
            match state {
                MatrixState::Votes(state) => {
                    let empty = grid::empty_votes(state.bits);
                    backend.upload(state.votes, &vec![empty; state.votes.len()]);
                    backend.zero(state.row);
                    backend.zero(state.column);
                }
                MatrixState::Poltergeist(votes) => backend.zero(*votes),
                MatrixState::Qat(_) | MatrixState::Float(_) => {}
            }
        }
    }

    /// Sets all gradients to zero; the start of a step.
    pub fn zero_gradients<B: Backend>(&self, b: &mut B) {
        for float in &self.floats {
            b.zero(float.gradient);
        }
        b.zero(self.readings.norms);
    }

    /// The sink for one micro-batch's gradients.
    pub fn sink<'a>(&'a self, p: &'a Parameters, config: &'a TrainConfig, step: u64, micro_batch: u32) -> Sink<'a> {
        let n = f64::from(config.grad_accum);
        let casts = step as f64 + f64::from(micro_batch + 1) / n;
        let cast = VoteCast {
            rule: VoteRule::new(config.votes, config.kappa),
            lr: learning_rate(config, step) / n.sqrt() as f32,
            beta2: f64::from(config.beta2).powf(1.0 / n) as f32,
            bias_correction: (1.0 - f64::from(config.beta2).powf(casts)) as f32,
            key: RandomKey { seed: config.seed, tensor: 0, step: step * u64::from(config.grad_accum) + u64::from(micro_batch) },
        };
        Sink { optimizer: self, p, cast, micro_batch, micro_batches: config.grad_accum, z: config.poltergeist_z, fault: None }
    }

    /// Flips; for [`Flips::MicroBatch`] also between micro-batches.
    pub fn flip<B: Backend>(&self, b: &mut B, p: &Parameters, config: &TrainConfig, step: u64) {
        let rule = VoteRule::new(config.votes, config.kappa);
        for (i, (state, weight)) in self.matrices.iter().zip(&p.matrices).enumerate() {
            let counts = self.readings.counts.slice(2 * i, 2);
            match state {
                MatrixState::Votes(state) => b.flip(weight, state, &rule, counts),
                MatrixState::Poltergeist(votes) => {
                    let key = RandomKey { seed: config.seed, tensor: i as u32, step };
                    b.poltergeist_flip(weight, *votes, config.grad_accum.div_ceil(2), key, counts);
                }
                MatrixState::Qat(shadow) => b.quantize(weight, self.floats[*shadow].value, counts),
                MatrixState::Float(_) => {}
            }
        }
    }

    /// Ends a step: float tensors by AdamW with the norm clipped, then flips, then rows too near the rails get a wider scale.
    pub fn step<B: Backend>(&self, b: &mut B, p: &Parameters, config: &TrainConfig, step: u64) {
        interrupt::commit(1);
        for (i, float) in self.floats.iter().enumerate() {
            b.sum_squares(self.readings.norms.slice(1 + i, 1), float.gradient);
        }
        b.sum(self.readings.norms.slice(0, 1), self.readings.norms.slice(1, self.floats.len()));
        let lr = learning_rate(config, step);
        for float in &self.floats {
            let adamw = AdamWStep {
                lr: lr * float.lr_factor,
                beta1: config.beta1,
                beta2: config.beta2,
                eps: EPS,
                weight_decay: float.weight_decay,
                t: step + 1,
                max_norm: config.clip,
                floor: float.floor,
            };
            b.adamw(float.value, float.gradient, float.moments, self.readings.norms.slice(0, 1), &adamw);
        }
        self.flip(b, p, config, step);
        let rescale = config.rescale_every > 0 && (step + 1).is_multiple_of(config.rescale_every);
        if rescale && (step as f64) < RESCALE_UNTIL * config.steps as f64 {
            let rule = VoteRule::new(config.votes, config.kappa);
            for (state, weight) in self.matrices.iter().zip(&p.matrices) {
                if let MatrixState::Votes(state) = state {
                    b.rescale_rows(weight, state, &rule, RESCALE_SHARE, RESCALE_FACTOR);
                }
            }
        }
        self.watch(b);
    }

    /// Fills [`Readings::watch`].
    pub fn watch<B: Backend>(&self, b: &mut B) {
        for (i, (_, tensor)) in self.watched.iter().enumerate() {
            b.sum(self.readings.watch.slice(i, 1), *tensor);
        }
    }

    /// The name of the tensor whose sum is the `index`-th of [`Readings::watch`]; float tensors come first.
    pub fn watch_name(&self, index: usize) -> &str {
        &self.watched[index].0
    }

    /// Whether flips also happen between micro-batches.
    pub fn flips_between(&self, config: &TrainConfig) -> bool {
        config.flips == Flips::MicroBatch && self.rule == Rule::Votes
    }

    /// The name of the tensor whose gradient norm is the `index`-th of [`Readings::norms`] (after the global one).
    pub fn norm_name<'a>(&'a self, p: &'a Parameters, index: usize) -> &'a str {
        match self.floats.get(index) {
            Some(float) => &float.name,
            None => &p.specs.matrices[index - self.floats.len()].name,
        }
    }
}

/// Receives the gradients of one micro-batch.
pub struct Sink<'a> {
    optimizer: &'a Optimizer,
    p: &'a Parameters,
    cast: VoteCast,
    micro_batch: u32,
    micro_batches: u32,
    z: f32,
    /// The matrix whose gradient is made not a number.
    pub(crate) fault: Option<MatrixId>,
}

impl<B: Backend> GradientSink<B> for Sink<'_> {
    fn vector(&self, id: VectorId) -> Span<f32> {
        self.optimizer.floats[id.0].gradient
    }

    fn matrix(&mut self, b: &mut B, id: MatrixId, dy: Span<f32>, x: Span<f32>, rows: usize, part: Part) {
        self.take(b, id, part, |b, dw, accumulate| b.linear_backward_weight(dw, dy, x, rows, accumulate));
    }

    fn convolution(&mut self, b: &mut B, id: MatrixId, dy: Span<f32>, x: Span<f32>, shape: ConvolutionShape) {
        self.take(b, id, Part::WHOLE, |b, dw, accumulate| b.conv1d_backward_weight(dw, dy, x, shape, accumulate));
    }
}

impl Sink<'_> {
    /// Takes a matrix's gradient (or a part of it) from `product`, which writes or adds it to a span.
    fn take<B: Backend>(&mut self, b: &mut B, id: MatrixId, part: Part, product: impl FnOnce(&mut B, Span<f32>, bool)) {
        let optimizer = self.optimizer;
        if let MatrixState::Float(index) = optimizer.matrices[id.0] {
            product(b, optimizer.floats[index].gradient, self.micro_batch > 0 || !part.first);
            return;
        }
        let weight = self.p.weight(id);
        let dw = optimizer.scratch.expect("a scratch gradient").slice(0, weight.out_features * weight.in_features);
        product(b, dw, !part.first);
        if !part.last {
            return;
        }
        if self.fault == Some(id) {
            b.upload(dw.slice(0, 1), &[f32::NAN]);
        }
        b.sum_squares(optimizer.readings.norms.slice(1 + optimizer.floats.len() + id.0, 1), dw);
        let d_scale = optimizer.floats[optimizer.scales[id.0]].gradient;
        match &optimizer.matrices[id.0] {
            MatrixState::Votes(state) => {
                b.scale_gradient(d_scale, dw, weight);
                let key = RandomKey { tensor: id.0 as u32, ..self.cast.key };
                interrupt::commit(WHOLE_STEP * self.micro_batches);
                b.vote(weight, state, dw, &VoteCast { key, ..self.cast });
            }
            MatrixState::Poltergeist(votes) => {
                b.scale_gradient(d_scale, dw, weight);
                b.poltergeist_vote(weight, *votes, dw, self.z);
            }
            MatrixState::Qat(shadow) => {
                let shadow = &optimizer.floats[*shadow];
                b.straight_through(shadow.gradient, d_scale, dw, shadow.value, weight);
            }
            MatrixState::Float(_) => unreachable!("handled above"),
        }
    }
}
