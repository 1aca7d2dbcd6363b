//! The optimizers: one sink for gradients and one step, whatever the rule.
//!
//! A step, read aloud: gradients are set to zero ([`Optimizer::zero_gradients`]); each micro-batch's backward pass gives its gradients to a
//! [`Sink`], which adds up those of float tensors and hands those of matrices to the rule; then ([`Optimizer::step`]) AdamW moves the float
//! tensors with their common norm clipped, the rule flips the weights of matrices, scales of groups move ([`group_scales`]), the step ends, and what must be finite is summed for the host.
//!
//! Where micro-batches do not see each other, so that ranks can share them, what each leaves is added up before the step ([`sums`], [`ballot`]). Where the
//! gradient of a whole matrix is too much to hold, rows vote in turn ([`tiles`]).
//!
//! To add a rule: a file here that implements [`UpdateRule`], with tests of it by `fixture.rs`; its `mod` below; and its line in `config/rule.rs`,
//! from which configurations, flags, messages and tests take it.

pub mod adamw;
pub mod ballot;
#[cfg(test)]
mod fixture;
pub mod float;
pub mod frozen;
pub mod group_scales;
mod matrix_state;
pub mod poltergeist;
pub mod qat;
pub mod readings;
pub mod rule;
pub mod schedule;
pub mod sums;
pub mod tiles;
pub mod votes;

pub use matrix_state::MatrixState;

use ballot::{Ballot, Ballots, Held};
use float::FloatState;
use frozen::Frozen;
use group_scales::GroupScales;
use matrix_state::{with_rule, with_state};
use readings::Readings;
use rule::{Turn, UpdateRule};
use sums::Sums;
use tiles::{Product, Scratch, Told};

use crate::backend::{Backend, ScaleGradients, Scales, Storage, Weight};
use crate::config::{Reduce, Rule, TrainConfig};
use crate::files::checkpoint::Content;
use crate::interrupt;
use crate::memory::{Activation, Kind, Plan, Span};
use crate::nn::parameters::{Init, MIN_SCALE, MatrixSpec};
use crate::nn::tensors::Tensor;
use crate::nn::{GradientPart, GradientSink, MatrixId, Parameters, VectorId};
use crate::ops::{Conv1dBackwardWeight, ConvolutionShape, GatherBackward, LinearBackwardWeight, ScaleGradient, Sum, SumSquares};
use crate::ranks::{Place, Ranks};

/// Optimizer state of all parameters.
pub struct Optimizer {
    /// The rule for matrices.
    pub rule: Rule,
    /// By [`MatrixId`].
    pub matrices: Vec<MatrixState>,
    /// Float tensors: the model's vectors first, by [`VectorId`], then scales, shadow and float weights.
    pub floats: Vec<FloatState>,
    /// Gradients of each matrix's scales, where they are trained.
    d_scales: Vec<Option<ScaleGradients>>,
    /// What moves the scales of each matrix's groups, where they are trained.
    groups: Vec<Option<GroupScales>>,
    /// Where matrices have their gradients.
    scratch: Option<Scratch>,
    /// Gradients of matrices that two layers share, until both have given theirs; or of all matrices, until all micro-batches have.
    own: Vec<Option<Span<f32>>>,
    /// Of each matrix, what its micro-batches leave where they vote on the start votes of a step.
    held: Vec<Option<Held>>,
    /// What micro-batches that do not see each other add up.
    pub sums: Option<Sums>,
    /// What the host reads after a step.
    pub readings: Readings,
    /// What must be finite after a step, with its name: values of float tensors, then mean squares that the rule keeps.
    watched: Vec<(String, Span<f32>)>,
}

impl Optimizer {
    /// Reserves the state of a rule for losses of so many terms, on a rank at that place.
    pub fn plan(config: &TrainConfig, p: &Parameters, terms: usize, place: Place, plan: &mut Plan) -> Self {
        let mut floats = Vec::new();
        for (spec, &value) in p.specs.vectors.iter().zip(&p.vectors) {
            // Only embeddings decay; gains and biases have constant starts.
            let weight_decay = if matches!(spec.init, Init::Normal(_)) { config.weight_decay } else { 0.0 };
            floats.push(FloatState { weight_decay, ..FloatState::plan(plan, spec.name.clone(), value) });
        }
        let (mut matrices, mut d_scales, mut groups, mut own) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (spec, weight) in p.specs.matrices.iter().zip(&p.matrices) {
            if spec.is_frozen {
                matrices.push(MatrixState::Frozen(Frozen));
                d_scales.push(None);
                groups.push(None);
                own.push(None);
                continue;
            }
            let has_own = (spec.is_shared || config.reduce == Reduce::Gradients) && !config.optimizer.is_float();
            own.push(has_own.then(|| plan.span(Kind::Gradient, format!("{}.gradient", spec.name), spec.weights())));
            let on_grid = if let Storage::Grid(grid) = &weight.storage { Some(grid) } else { None };
            let of_rows = on_grid.and_then(|grid| grid.scales.of_rows()).map(|scale| {
                let lr_factor = config.scale_lr * spec.initial_scale();
                let state = FloatState::plan(plan, format!("{}.scale", spec.name), scale);
                floats.push(FloatState { lr_factor, floor: MIN_SCALE, ..state.clone() });
                Scales::Row(state.gradient)
            });
            let of_groups = on_grid.and_then(|grid| GroupScales::plan(config, spec, grid, plan));
            d_scales.push(of_rows.or(of_groups.as_ref().map(GroupScales::gradients)));
            groups.push(of_groups);
            matrices.push(with_rule!(config.optimizer, R => R::plan(config, spec, weight, &mut floats, plan).into()));
        }
        let in_scratch = p.specs.matrices.iter().filter(|spec| !spec.is_frozen && !spec.is_shared && config.reduce != Reduce::Gradients);
        let scratch = (!config.optimizer.is_float()).then(|| Scratch::plan(config, in_scratch, plan));
        let shape = |spec: &MatrixSpec| [spec.out_features, spec.in_features];
        let is_held = |spec: &MatrixSpec| config.reduce == Reduce::Votes && !spec.is_frozen;
        let most = p.specs.matrices.iter().filter(|spec| is_held(spec)).map(|spec| Held::votes_of(shape(spec))).max();
        let votes = most.map(|most| plan.span(Kind::Scratch, "micro_votes", most));
        let held: Vec<_> = p
            .specs
            .matrices
            .iter()
            .map(|spec| votes.filter(|_| is_held(spec)).map(|votes| Held::plan(plan, &spec.name, shape(spec), votes)))
            .collect();
        let sums = config.reduce.is_shared().then(|| {
            let mut tensors: Vec<_> = floats.iter().map(|float| float.gradient).collect();
            tensors.extend(groups.iter().flatten().flat_map(GroupScales::sums));
            tensors.extend(held.iter().flatten().flat_map(Held::floats));
            tensors.extend(own.iter().flatten().filter(|_| config.reduce == Reduce::Gradients));
            Sums::plan(tensors, place.share(config.grad_accum), plan)
        });
        let mut watched: Vec<_> = floats.iter().map(|float| (float.name.clone(), float.value)).collect();
        let squares = tensors(p, &matrices, &groups).filter(|tensor| tensor.content == Content::Squares);
        watched.extend(squares.map(|tensor| (tensor.name, tensor.bytes.cast())));
        let (loss_sums, norms) = (config.grad_accum as usize * terms, 1 + floats.len() + matrices.len());
        let readings = Readings::plan(plan, loss_sums, norms, watched.len(), matrices.len());
        Self { rule: config.optimizer, matrices, floats, d_scales, groups, scratch, own, held, sums, readings, watched }
    }

    /// Start values of parameters and state.
    pub fn initialise<B: Backend>(&self, b: &mut B, p: &Parameters, config: &TrainConfig) {
        p.initialise(b, config.seed, |b, id, first, values| self.receive_start(b, id, first, values));
        self.initialise_state(b, p, config);
    }

    /// Start values of what is kept besides parameters.
    pub fn initialise_state<B: Backend>(&self, b: &mut B, p: &Parameters, config: &TrainConfig) {
        for float in &self.floats {
            float.moments.iter().for_each(|&moment| b.zero(moment));
        }
        self.groups.iter().flatten().for_each(|groups| groups.initialise(b));
        for (state, weight, turn) in self.turns(p, Turn { config, tensor: 0, step: 0, micro_batch: 0 }) {
            with_state!(state, state => state.initialise(b, weight, &turn));
        }
    }

    /// Sets all gradients to zero; the start of a step.
    pub fn zero_gradients<B: Backend>(&self, b: &mut B) {
        self.zero_floats(b);
        b.zero(self.readings.norms);
    }

    /// Sets the gradients of float tensors and of scales to zero; the start of a micro-batch that does not see those before it.
    pub fn zero_floats<B: Backend>(&self, b: &mut B) {
        self.floats.iter().for_each(|float| b.zero(float.gradient));
        self.groups.iter().flatten().flat_map(GroupScales::sums).for_each(|gradient| b.zero(gradient));
    }

    /// The sink for one micro-batch's gradients.
    pub fn sink<'a>(&'a self, p: &'a Parameters, config: &'a TrainConfig, step: u64, micro_batch: u32) -> Sink<'a> {
        Sink {
            optimizer: self,
            p,
            turn: Turn { config, tensor: 0, step, micro_batch },
            fault: None,
            ballots: None,
            is_first: true,
            ranks: None,
        }
    }

    /// What follows a micro-batch: flips, if they also happen between those of a step.
    pub fn end_micro_batch<B: Backend>(&self, b: &mut B, p: &Parameters, config: &TrainConfig, step: u64, micro_batch: u32) {
        let last = micro_batch + 1 == config.grad_accum;
        if !last && with_rule!(self.rule, R => R::flips_between(config)) {
            self.flip(b, p, Turn { config, tensor: 0, step, micro_batch });
        }
    }

    /// Ends a step: float tensors by AdamW with their common norm clipped, then flips, then what else the rule does.
    pub fn step<B: Backend>(&self, b: &mut B, p: &Parameters, config: &TrainConfig, step: u64) {
        interrupt::commit(1);
        if config.reduce == Reduce::Gradients {
            self.take_own(b, p, Turn { config, tensor: 0, step, micro_batch: 0 });
        }
        self.move_floats(b, config, step);
        let turn = Turn { config, tensor: 0, step, micro_batch: config.grad_accum - 1 };
        self.flip(b, p, turn);
        for (groups, tensor) in self.groups.iter().zip(0..) {
            groups.iter().for_each(|groups| groups.step(b, &Turn { tensor, ..turn }));
        }
        for (state, weight, turn) in self.turns(p, turn) {
            with_state!(state, state => state.finish(b, weight, &turn));
        }
        self.watch(b);
    }

    /// Hands the gradients that all micro-batches added up to the rule.
    fn take_own<B: Backend>(&self, b: &mut B, p: &Parameters, turn: Turn) {
        for (state, weight, turn) in self.turns(p, turn) {
            let at = turn.tensor as usize;
            if let Some(dw) = self.own[at] {
                self.measure(b, at, dw);
                with_state!(state, state => state.take(b, weight, dw, self.d_scales[at], &turn));
            }
        }
    }

    /// Applies the votes that all micro-batches cast on those of the step's start; before [`step`](Self::step), where they did.
    pub fn apply<B: Backend>(&self, b: &mut B, p: &Parameters, ballots: &mut Ballots, config: &TrainConfig, step: u64) {
        interrupt::commit(1);
        for (state, _, turn) in self.turns(p, Turn { config, tensor: 0, step, micro_batch: 0 }) {
            if let (MatrixState::Votes(votes), Some(held)) = (state, self.held[turn.tensor as usize]) {
                ballots.apply(b, votes, held, &turn);
            }
        }
    }

    /// The squared norm of a matrix's gradient, for the host.
    fn measure<B: Backend>(&self, b: &mut B, matrix: usize, dw: Span<f32>) {
        b.run(SumSquares { sum: self.norm(matrix), x: dw });
    }

    /// Where that is.
    fn norm(&self, matrix: usize) -> Span<f32> {
        self.readings.norms.slice(1 + self.floats.len() + matrix, 1)
    }

    fn move_floats<B: Backend>(&self, b: &mut B, config: &TrainConfig, step: u64) {
        let norm = self.readings.norms.slice(0, 1);
        for (i, float) in self.floats.iter().enumerate() {
            b.run(SumSquares { sum: self.readings.norms.slice(1 + i, 1), x: float.gradient });
        }
        b.run(Sum { sum: norm, x: self.readings.norms.slice(1, self.floats.len()).into() });
        for float in &self.floats {
            float.step(b, norm, config, step);
        }
    }

    fn flip<B: Backend>(&self, b: &mut B, p: &Parameters, turn: Turn) {
        for (state, weight, turn) in self.turns(p, turn) {
            let counts = self.readings.counts.slice(2 * turn.tensor as usize, 2);
            with_state!(state, state => state.flip(b, weight, counts, &turn));
        }
    }

    /// Each matrix at its turn.
    fn turns<'a>(&'a self, p: &'a Parameters, turn: Turn<'a>) -> impl Iterator<Item = (&'a MatrixState, &'a Weight, Turn<'a>)> {
        let matrices = self.matrices.iter().zip(&p.matrices);
        (0..).zip(matrices).map(move |(tensor, (state, weight))| (state, weight, Turn { tensor, ..turn }))
    }

    /// Fills [`Readings::watch`].
    pub fn watch<B: Backend>(&self, b: &mut B) {
        for (i, (_, tensor)) in self.watched.iter().enumerate() {
            b.run(Sum { sum: self.readings.watch.slice(i, 1), x: (*tensor).into() });
        }
    }

    /// The name of the tensor whose sum is the `index`-th of [`Readings::watch`]; float tensors come first.
    pub fn watch_name(&self, index: usize) -> &str {
        &self.watched[index].0
    }

    /// The name of the tensor whose gradient norm is the `index`-th of [`Readings::norms`] (after the global one).
    pub fn norm_name<'a>(&'a self, p: &'a Parameters, index: usize) -> &'a str {
        match self.floats.get(index) {
            Some(float) => &float.name,
            None => &p.specs.matrices[index - self.floats.len()].name,
        }
    }

    /// What a checkpoint holds of matrices besides their parameters and moments; see [`UpdateRule::tensors`].
    pub fn tensors(&self, p: &Parameters) -> impl Iterator<Item = Tensor> {
        tensors(p, &self.matrices, &self.groups)
    }

    /// The tensors of a matrix's state that are weights themselves.
    pub fn weights(&self, p: &Parameters, id: MatrixId) -> Vec<Tensor> {
        let tensors = with_state!(&self.matrices[id.0], state => state.tensors(&p.specs.matrices[id.0]));
        tensors.into_iter().filter(|tensor| tensor.content == Content::Values).collect()
    }

    /// Hands a matrix's float start values to its rule, some at a time: those from the `first` on.
    pub fn receive_start<B: Backend>(&self, b: &mut B, id: MatrixId, first: usize, values: &[f32]) {
        with_state!(&self.matrices[id.0], state => state.receive_start(b, first, values));
    }

    /// What of a step is added up over ranks.
    pub fn wire(&self, p: &Parameters, config: &TrainConfig) -> Wire {
        let held = p.specs.matrices.iter().zip(&self.held).filter(|(_, held)| held.is_some());
        let votes: usize = held.map(|(spec, _)| Held::votes_of([spec.out_features, spec.in_features])).sum();
        Wire { integers: votes * ballot::wire_bytes(config.grad_accum), floats: self.sums.as_ref().map_or(0, Sums::bytes) }
    }

    /// Whether some matrices vote some rows at a time.
    pub fn has_tiles(&self) -> bool {
        self.scratch.is_some_and(|scratch| scratch.has_tiles())
    }

    /// Bytes on the host, besides the plan: of the votes of a step's micro-batches.
    pub fn host_bytes(&self, p: &Parameters, config: &TrainConfig) -> usize {
        let held = p.specs.matrices.iter().zip(&self.held).filter(|(_, held)| held.is_some());
        ballot::host_bytes(held.map(|(spec, _)| [spec.out_features, spec.in_features]), config)
    }

    /// Bytes of what is kept of each weight of the matrices besides its code: votes, or floats and their moments.
    pub fn bytes(&self) -> usize {
        self.matrices.iter().map(|state| with_state!(state, state => state.bytes())).sum()
    }
}

/// Bytes of a step's micro-batches that are added up over ranks.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// Of votes.
    pub integers: usize,
    /// Of all else.
    pub floats: usize,
}

fn tensors(p: &Parameters, matrices: &[MatrixState], groups: &[Option<GroupScales>]) -> impl Iterator<Item = Tensor> {
    let of_rules = p.specs.matrices.iter().zip(matrices).flat_map(|(spec, state)| with_state!(state, state => state.tensors(spec)));
    of_rules.chain(groups.iter().flatten().flat_map(GroupScales::tensors))
}

/// Receives the gradients of one micro-batch.
pub struct Sink<'a> {
    optimizer: &'a Optimizer,
    p: &'a Parameters,
    turn: Turn<'a>,
    /// The matrix whose gradient is made not a number.
    pub(crate) fault: Option<MatrixId>,
    /// Who counts the votes of micro-batches that do not see each other.
    pub(crate) ballots: Option<&'a mut Ballots>,
    /// Whether no micro-batch of the rank came before this one in the step.
    pub(crate) is_first: bool,
    /// Those to whom votes go when they are cast: no micro-batch of the rank comes after this one in the step, and there are others.
    pub(crate) ranks: Option<&'a mut dyn Ranks>,
}

impl<B: Backend> GradientSink<B> for Sink<'_> {
    fn vector(&self, id: VectorId) -> Span<f32> {
        self.optimizer.floats[id.0].gradient
    }

    fn matrix(&mut self, b: &mut B, id: MatrixId, dy: Span<f32>, x: Activation, rows: usize, part: GradientPart) {
        if self.take_tiles(b, id, Product { dy, x, rows }) {
            return;
        }
        let outputs = self.p.weight(id).out_features;
        self.take(b, id, part, |b, dw, accumulate| b.run(LinearBackwardWeight { dw, first: 0, dy, outputs, x, rows, accumulate }));
    }

    fn lookup(&mut self, b: &mut B, id: MatrixId, dy: Span<f32>, ids: Span<u32>, part: GradientPart) {
        let dim = self.p.weight(id).in_features;
        self.take(b, id, part, |b, dw, accumulate| {
            if !accumulate {
                b.zero(dw);
            }
            b.run(GatherBackward { d_table: dw, dy, ids, dim });
        });
    }

    fn convolution(&mut self, b: &mut B, id: MatrixId, dy: Span<f32>, x: Span<f32>, shape: ConvolutionShape) {
        self.take(b, id, GradientPart::WHOLE, |b, dw, accumulate| b.run(Conv1dBackwardWeight { dw, dy, x, shape, accumulate }));
    }
}

impl Sink<'_> {
    /// Takes a matrix's gradient tile by tile, if it is to come so.
    fn take_tiles<B: Backend>(&mut self, b: &mut B, id: MatrixId, product: Product) -> bool {
        let (optimizer, weight) = (self.optimizer, self.p.weight(id));
        let (Some(scratch), MatrixState::Votes(votes), None) = (&optimizer.scratch, &optimizer.matrices[id.0], optimizer.own[id.0]) else {
            return false;
        };
        if scratch.whole(weight).is_some() {
            return false;
        }
        let told = Told { norm: optimizer.norm(id.0), d_scales: optimizer.d_scales[id.0], fault: self.fault == Some(id) };
        scratch.take_tiles(b, (votes, weight), product, told, &Turn { tensor: id.0 as u32, ..self.turn });
        true
    }

    /// Takes a matrix's gradient (or a part of it) from `product`, which writes or adds it to a span.
    fn take<B: Backend>(&mut self, b: &mut B, id: MatrixId, part: GradientPart, product: impl FnOnce(&mut B, Span<f32>, bool)) {
        let (optimizer, weight) = (self.optimizer, self.p.weight(id));
        let state = &optimizer.matrices[id.0];
        if let MatrixState::Frozen(_) = state {
            return;
        }
        if let Some(gradient) = with_state!(state, state => state.accumulator()) {
            let adds = self.turn.micro_batch > 0 && !self.turn.config.reduce.is_shared();
            product(b, gradient, adds || !part.first);
            return;
        }
        let scratch = || optimizer.scratch.and_then(|scratch| scratch.whole(weight)).expect("room for a gradient");
        let dw = optimizer.own[id.0].unwrap_or_else(scratch);
        product(b, dw, !part.first);
        if !part.last {
            return;
        }
        if self.fault == Some(id) {
            b.upload(dw.slice(0, 1), &[f32::NAN]);
        }
        if self.turn.config.reduce == Reduce::Gradients {
            return;
        }
        optimizer.measure(b, id.0, dw);
        let (d_scales, turn) = (optimizer.d_scales[id.0], Turn { tensor: id.0 as u32, ..self.turn });
        let (MatrixState::Votes(votes), Some(held)) = (state, optimizer.held[id.0]) else {
            with_state!(state, state => state.take(b, weight, dw, d_scales, &turn));
            return;
        };
        if let Some(d_scales) = d_scales {
            b.run(ScaleGradient { d_scales, dw, weight: *weight });
        }
        let ballots = self.ballots.as_deref_mut().expect("who counts votes");
        ballots.cast(b, Ballot { weight, state: votes.0, held }, dw, &turn, self.is_first);
        if let Some(ranks) = self.ranks.as_deref_mut() {
            ballots.send(turn.tensor, ranks);
        }
    }
}
