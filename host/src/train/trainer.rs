//! One run: a model, its optimizer, a back end, and the step.

use crate::arena::{Kind, Plan, Span};
use crate::backend::{Backend, Storage};
use crate::config::{Config, Recompute, Rule};
use crate::data::{Corpus, Split};
use crate::model::gpt::Purpose;
use crate::model::{Decoder, Gpt, GptIds, MatrixId, Parameters};
use crate::{Error, Result};

use super::metrics::{LayerRecord, ScaleSummary};
use super::optimizer::{MatrixState, Optimizer};
use super::schedule::learning_rate;

/// Activations above it are recomputed with [`Recompute::Auto`].
const KEEP_BYTES: usize = 2 << 30;

/// All spans of a run.
pub struct Layout {
    /// The model over its activations.
    pub model: Gpt,
    /// The same model token by token, to write samples.
    pub sampler: Decoder,
    /// Its parameters.
    pub parameters: Parameters,
    /// Their optimizer state.
    pub optimizer: Optimizer,
    loss_sums: Span<f32>,
    histogram: Span<u32>,
}

impl Layout {
    /// Plans parameters, state and activations of a configuration.
    pub fn plan(config: &Config, plan: &mut Plan) -> Self {
        let t = &config.train;
        let (ids, specs) = GptIds::new(&config.model, t.optimizer == Rule::Adamw);
        let parameters = Parameters::plan(specs, plan);
        let optimizer = Optimizer::plan(t, &parameters, plan);
        let purpose = match t.recompute {
            Recompute::On => Purpose::TrainRecomputing,
            Recompute::Off => Purpose::Train,
            Recompute::Auto => {
                let mut trial = Plan::default();
                Gpt::plan(ids.clone(), &config.model, t.batch, t.seq_len, Purpose::Train, &mut trial);
                if trial.bytes_of(Kind::Activation) > KEEP_BYTES { Purpose::TrainRecomputing } else { Purpose::Train }
            }
        };
        let sampler = Decoder::plan(ids.clone(), &config.model, plan);
        let model = Gpt::plan(ids, &config.model, t.batch, t.seq_len, purpose, plan);
        let loss_sums = plan.span(Kind::Io, "loss_sums", t.grad_accum as usize);
        let histogram = plan.span(Kind::Io, "histogram", 16);
        Self { model, sampler, parameters, optimizer, loss_sums, histogram }
    }
}

/// What a step reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepStats {
    /// Mean loss in nats a token.
    pub loss: f64,
    /// Norm of the float tensors' gradient before clipping.
    pub grad_norm: f64,
    /// Share of grid weights that flipped; 0 without a grid.
    pub flip_rate: f64,
    /// Share of grid weights at a rail.
    pub saturation: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
}

/// A run in memory.
pub struct Trainer<B: Backend> {
    /// Its configuration.
    pub config: Config,
    /// Its spans.
    pub layout: Layout,
    /// The device.
    pub backend: B,
    /// Steps done.
    pub step: u64,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    norms: Vec<f32>,
    watch: Vec<f32>,
    counts: Vec<u32>,
    sums: Vec<f32>,
    losses: Vec<f32>,
    fault: Option<usize>,
}

impl<B: Backend> Trainer<B> {
    /// A run over memory that is allocated but not initialised.
    pub fn new(config: Config, layout: Layout, backend: B) -> Self {
        let tokens = layout.model.tokens();
        Self {
            inputs: vec![0; tokens],
            targets: vec![0; tokens],
            norms: vec![0.0; layout.optimizer.norms.len()],
            watch: vec![0.0; layout.optimizer.watch.len()],
            counts: vec![0; layout.optimizer.counts.len()],
            sums: vec![0.0; layout.loss_sums.len()],
            losses: vec![0.0; tokens],
            config,
            layout,
            backend,
            step: 0,
            fault: None,
        }
    }

    /// Start values.
    pub fn initialise(&mut self) {
        self.layout.optimizer.initialise(&mut self.backend, &self.layout.parameters, self.config.train.seed);
    }

    /// Makes the next gradient of a tensor not a number, by the index of [`Optimizer::norm_name`]; for tests of the watchdog.
    pub fn inject_fault(&mut self, tensor: usize) {
        self.fault = Some(tensor);
    }

    /// One step: micro-batches cast votes and add up float gradients, then everything moves.
    ///
    /// # Errors
    /// A loss, gradient, parameter or mean square that is not finite, with its tensor's name; the run in memory is then unusable, checkpoints are
    /// untouched.
    pub fn step(&mut self, corpus: &Corpus) -> Result<StepStats> {
        let t = &self.config.train;
        let (b, p, optimizer, model) = (&mut self.backend, &self.layout.parameters, &self.layout.optimizer, &self.layout.model);
        let floats = optimizer.floats.len();
        let fault = self.fault.take();
        let gradient_scale = 1.0 / (model.tokens() as f32 * t.grad_accum as f32);
        optimizer.zero_gradients(b);
        for micro_batch in 0..t.grad_accum {
            corpus.sample(t.seed, self.step, micro_batch, t.batch, t.seq_len, &mut self.inputs, &mut self.targets);
            b.upload(model.inputs, &self.inputs);
            b.upload(model.targets, &self.targets);
            let mut sink = optimizer.sink(p, t, self.step, micro_batch);
            sink.fault = fault.and_then(|tensor| tensor.checked_sub(floats)).map(MatrixId);
            model.train(b, p, &mut sink, gradient_scale);
            b.sum(self.layout.loss_sums.slice(micro_batch as usize, 1), model.losses);
            if optimizer.flips_between(t) && micro_batch + 1 < t.grad_accum {
                optimizer.flip(b, p, t, self.step);
            }
        }
        if let Some(float) = fault.and_then(|tensor| optimizer.floats.get(tensor)) {
            b.upload(float.gradient.slice(0, 1), &[f32::NAN]);
        }
        optimizer.step(b, p, t, self.step);

        b.download(self.layout.loss_sums, &mut self.sums);
        b.download(optimizer.norms, &mut self.norms);
        b.download(optimizer.watch, &mut self.watch);
        b.download(optimizer.counts, &mut self.counts);
        let loss = self.sums.iter().map(|&s| f64::from(s)).sum::<f64>() / (model.tokens() as f64 * f64::from(t.grad_accum));
        if !loss.is_finite() || self.norms[1..].iter().chain(&self.watch).any(|value| !value.is_finite()) {
            return Err(self.not_finite(self.step + 1, "the loss", loss));
        }
        let weights = p.specs.matrix_weights() as f64;
        let (flipped, at_rail) = self.counts.chunks_exact(2).fold((0u64, 0u64), |(f, r), c| (f + u64::from(c[0]), r + u64::from(c[1])));
        let stats = StepStats {
            loss,
            grad_norm: f64::from(self.norms[0]).sqrt(),
            flip_rate: flipped as f64 / weights,
            saturation: at_rail as f64 / weights,
            learning_rate: f64::from(learning_rate(t, self.step)),
        };
        self.step += 1;
        Ok(stats)
    }

    /// Names what is not finite, nearest to the cause: a parameter, an activation, a gradient (the first that the backward pass met), a mean
    /// square of the vote rule, or else `what`.
    fn not_finite(&mut self, step: u64, what: &str, loss: f64) -> Error {
        let (b, optimizer, layout) = (&mut self.backend, &self.layout.optimizer, &self.layout);
        let watched = |range: std::ops::Range<usize>| {
            let at = self.watch[range.clone()].iter().position(|sum| !sum.is_finite())?;
            Some(optimizer.watch_name(range.start + at).to_string())
        };
        let gradient = || {
            let at = self.norms[1..].iter().rposition(|norm| !norm.is_finite())?;
            Some(format!("the gradient of {}", optimizer.norm_name(&layout.parameters, at)))
        };
        let floats = optimizer.floats.len();
        let name = watched(0..floats)
            .or_else(|| if loss.is_finite() { None } else { layout.model.not_finite(b, layout.loss_sums.slice(0, 1)) })
            .or_else(gradient)
            .or_else(|| watched(floats..self.watch.len()));
        Error::failed(
            format!("step {step}: {} is not finite ({what} is {loss}): training stopped", name.as_deref().unwrap_or(what)),
            "nothing on disk was changed by this step: --resume RUN goes on from the last checkpoint; if it happens again, start anew with a lower --lr",
        )
    }

    /// Mean loss in nats a token over the first windows of a split, at most `tokens` tokens.
    ///
    /// # Errors
    /// A split with no tokens; a loss that is not finite.
    pub fn validate(&mut self, corpus: &Corpus, split: Split, tokens: u64) -> Result<f64> {
        corpus.require_split(split)?;
        let (batch, seq) = (self.config.train.batch, self.config.train.seq_len);
        let (b, p, model) = (&mut self.backend, &self.layout.parameters, &self.layout.model);
        let mut windows = corpus.windows(split, seq);
        let (mut total, mut count) = (0.0f64, 0u64);
        while count < tokens {
            self.inputs.fill(0);
            self.targets.fill(u32::MAX);
            let mut filled = 0;
            for (row, window) in windows.by_ref().take(batch).enumerate() {
                let rows = row * seq..row * seq + window.len;
                corpus.read_window(window, &mut self.inputs[rows.clone()], &mut self.targets[rows]);
                filled += window.len as u64;
            }
            if filled == 0 {
                break;
            }
            b.upload(model.inputs, &self.inputs);
            b.upload(model.targets, &self.targets);
            model.evaluate(b, p);
            b.download(model.losses, &mut self.losses);
            total += self.losses.iter().map(|&l| f64::from(l)).sum::<f64>();
            count += filled;
        }
        let loss = total / count as f64;
        if loss.is_finite() {
            return Ok(loss);
        }
        self.layout.optimizer.watch(&mut self.backend);
        self.backend.download(self.layout.optimizer.watch, &mut self.watch);
        Err(self.not_finite(self.step, "the validation loss", loss))
    }

    /// Flips, levels and scales of each matrix after a step.
    pub fn layers(&mut self) -> Vec<LayerRecord> {
        let p = &self.layout.parameters;
        let mut layers = Vec::new();
        for (i, (spec, weight)) in p.specs.matrices.iter().zip(&p.matrices).enumerate() {
            let Storage::Grid(grid) = &weight.storage else { continue };
            self.backend.level_histogram(self.layout.histogram, weight);
            let mut histogram = [0u32; 16];
            self.backend.download(self.layout.histogram, &mut histogram);
            let mut scale = vec![0.0f32; spec.out_features];
            self.backend.download(grid.scale, &mut scale);
            let levels = grid.grid.grid();
            let weights = spec.weights() as f64;
            layers.push(LayerRecord {
                name: spec.name.clone(),
                flip_rate: Some(f64::from(self.counts[2 * i]) / weights),
                saturation: Some(f64::from(self.counts[2 * i + 1]) / weights),
                histogram: Some(histogram.map(u64::from)),
                levels: Some(std::array::from_fn(|code| levels.is_level(code as u8).then(|| levels.level(code as u8)))),
                scale: ScaleSummary::of(&scale),
            });
        }
        layers
    }

    /// Bytes of codes and votes of all grid weights.
    pub fn grid_state_bytes(&self) -> usize {
        grid_state_bytes(&self.layout)
    }
}

/// Bytes of codes and votes (or shadow weights and moments) of all matrices.
pub fn grid_state_bytes(layout: &Layout) -> usize {
    let matrices = layout.parameters.matrices.iter().zip(&layout.optimizer.matrices);
    let bytes = matrices.map(|(weight, state)| {
        let codes = match &weight.storage {
            Storage::Grid(grid) => grid.codes.bytes(),
            Storage::Float(_) => 0,
        };
        codes
            + match state {
                MatrixState::Votes(state) => state.votes.bytes(),
                MatrixState::Poltergeist(votes) => votes.bytes(),
                MatrixState::Qat(index) | MatrixState::Float(index) => 3 * layout.optimizer.floats[*index].value.bytes(),
            }
    });
    bytes.sum()
}
