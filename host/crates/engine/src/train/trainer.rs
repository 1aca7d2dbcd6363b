//! One run: a model, its optimizer, a back end, and the step.

use std::collections::BTreeMap;
use std::time::Instant;

use half::f16;

use crate::backend::{Backend, GridWeight, Scales, Storage};
use crate::config::{ConfigOf, Reduce};
use crate::memory::{Kind, Plan, Span};
use crate::nn::kept::Kept;
use crate::nn::parameters::MatrixSpec;
use crate::nn::{MatrixId, Parameters};
use crate::ops::LevelHistogram;
use crate::ranks::{Alone, Place, Ranks};
use crate::{Error, Result};

use super::layers::{LayerRecord, ScaleSummary};
use super::patience::Patience;
use super::share::Share;
use super::task::{Draw, MAX_TERMS, Task, Validation};
use super::text::TextTask;
use crate::optim::Optimizer;
use crate::optim::ballot::Ballots;
use crate::optim::readings::Readout;
use crate::optim::schedule::learning_rate;
use crate::optim::sums::Added;

/// All spans of a run.
pub struct Layout<T: Task = TextTask> {
    /// The model over its activations.
    pub model: T::Model,
    /// What writes samples.
    pub sampler: T::Sampler,
    /// The model's parameters.
    pub parameters: Parameters,
    /// Optimizer state of the parameters.
    pub optimizer: Optimizer,
    /// Matrices that are kept otherwise than the configuration says, by name.
    pub kept: BTreeMap<String, Kept>,
    histogram: Span<u32>,
}

impl<T: Task> Layout<T> {
    /// Plans parameters, state and activations of a configuration. All activations are kept unless it says that they are recomputed.
    pub fn plan(config: &ConfigOf<T::Config>, plan: &mut Plan) -> Self {
        Self::plan_kept(config, &BTreeMap::new(), plan)
    }

    /// The same, with some matrices kept as another program left them: those in blocks, and in floats where the configuration's are on a grid, are not
    /// trained.
    ///
    /// # Panics
    /// If a matrix cannot be kept so.
    pub fn plan_kept(config: &ConfigOf<T::Config>, kept: &BTreeMap<String, Kept>, plan: &mut Plan) -> Self {
        Self::plan_at(Place::ALONE, config, kept, plan)
    }

    /// The same, of one among ranks that train together.
    ///
    /// # Panics
    /// If a matrix cannot be kept so, or ranks cannot share the micro-batches.
    pub fn plan_at(place: Place, config: &ConfigOf<T::Config>, kept: &BTreeMap<String, Kept>, plan: &mut Plan) -> Self {
        let (layers, mut specs) = T::layers(config);
        for spec in &mut specs.matrices {
            if let Some(&kept) = kept.get(&spec.name) {
                spec.keep(kept).expect("what a file holds");
                spec.is_frozen |= !matches!(kept, Kept::Grid(..));
            }
        }
        let parameters = Parameters::plan(specs, plan);
        let optimizer = Optimizer::plan(&config.train, &parameters, T::TERMS.len(), place, plan);
        let (model, sampler) = T::plan(config, layers, plan);
        let histogram = plan.span(Kind::Io, "histogram", 16);
        Self { model, sampler, parameters, optimizer, kept: kept.clone(), histogram }
    }
}

/// What a step reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepStats {
    /// Mean loss: of text in nats a token; of speech the weighted sum of its terms.
    pub loss: f64,
    /// The means of the loss's terms, in the order of [`Task::TERMS`].
    pub terms: [f64; MAX_TERMS],
    /// Tokens or frames that the step saw.
    pub items: u64,
    /// Norm of the float tensors' gradient before clipping.
    pub grad_norm: f64,
    /// Share of grid weights that flipped; 0 without a grid.
    pub flip_rate: f64,
    /// Share of grid weights at a rail.
    pub saturation: f64,
    /// Share of grid weights whose votes were cut when the sum of what micro-batches cast was applied.
    pub cut: f64,
    /// Share of the step's time in which a rank waited for the others, on average.
    pub waiting: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
}

/// A run in memory.
pub struct Trainer<B: Backend, T: Task = TextTask> {
    /// Configuration of the run.
    pub config: ConfigOf<T::Config>,
    /// Spans of the run.
    pub layout: Layout<T>,
    /// The device.
    pub backend: B,
    /// Steps done.
    pub step: u64,
    /// Early stopping of [`fit`](Self::fit).
    pub patience: Patience,
    /// Those that train together.
    pub ranks: Box<dyn Ranks>,
    ballots: Ballots,
    share: Share,
    batch: T::Batch,
    readout: Readout,
    fault: Option<usize>,
}

impl<B: Backend, T: Task> Trainer<B, T> {
    /// A run over memory that is allocated but not initialised.
    pub fn new(config: ConfigOf<T::Config>, layout: Layout<T>, mut backend: B) -> Self {
        T::prepare(&layout.model, &layout.sampler, &mut backend);
        Self {
            batch: T::batch(&layout.model),
            readout: Readout::new(&mut backend, &layout.optimizer.readings),
            patience: Patience::new(config.train.patience),
            ranks: Box::new(Alone),
            ballots: Ballots::default(),
            share: Share::default(),
            config,
            layout,
            backend,
            step: 0,
            fault: None,
        }
    }

    /// The run as one of ranks that train together; its layout was planned for its place among them.
    ///
    /// # Panics
    /// If there are several, and its micro-batches see each other.
    pub fn among(self, ranks: Box<dyn Ranks>) -> Self {
        assert!(ranks.count() == 1 || self.config.train.reduce.is_shared(), "micro-batches in order on {} ranks", ranks.count());
        Self { ranks, ..self }
    }

    /// Start values.
    pub fn initialise(&mut self) {
        self.layout.optimizer.initialise(&mut self.backend, &self.layout.parameters, &self.config.train);
    }

    /// Whether what is done every so many steps is due after those done: 0 for after the last one alone.
    pub fn is_due(&self, every: u64) -> bool {
        self.step == self.config.train.steps || (every > 0 && self.step.is_multiple_of(every))
    }

    /// Makes the next gradient of a tensor not a number, by the index of [`Optimizer::norm_name`]; for tests of the watchdog.
    pub fn inject_fault(&mut self, tensor: usize) {
        self.fault = Some(tensor);
    }

    /// One step: micro-batches cast votes and add up float gradients, then everything moves.
    ///
    /// # Errors
    /// A loss, gradient, parameter or mean square that is not finite, with its tensor's name; a device that failed. The run in memory is then unusable,
    /// checkpoints are untouched.
    pub fn step(&mut self, corpus: &T::Corpus) -> Result<StepStats> {
        let t = &self.config.train;
        let (b, p, optimizer, model) = (&mut self.backend, &self.layout.parameters, &self.layout.optimizer, &self.layout.model);
        let (floats, ranks, began) = (optimizer.floats.len(), &mut *self.ranks, Instant::now());
        let (share, waited) = (Place::of(ranks).share(t.grad_accum), ranks.waited());
        let fault = self.fault.take();
        let draw = |micro_batch| Draw { step: self.step, micro_batch, of: t.grad_accum };
        let weights = share.clone().map(|micro_batch| T::weight(t, corpus, draw(micro_batch), &mut self.batch));
        let of_step = self.share.weigh(weights, ranks);
        let mut added = Added::default();
        optimizer.zero_gradients(b);
        for micro_batch in share.clone() {
            let (is_first, is_last) = (micro_batch == share.start, micro_batch + 1 == share.end);
            let mut sink = optimizer.sink(p, t, self.step, micro_batch);
            sink.fault = fault.and_then(|tensor| tensor.checked_sub(floats)).map(MatrixId);
            (sink.ballots, sink.is_first) = (Some(&mut self.ballots), is_first);
            sink.ranks = if is_last && ranks.count() > 1 { Some(&mut *ranks) } else { None };
            let sums = optimizer.readings.loss_sums.slice(micro_batch as usize * T::TERMS.len(), T::TERMS.len());
            T::draw(t, corpus, draw(micro_batch), &mut self.batch);
            self.share.seen.push(T::forward_backward(model, &mut self.batch, of_step, b, p, &mut sink, sums));
            if let Some(float) = fault.filter(|_| is_last).and_then(|tensor| optimizer.floats.get(tensor)) {
                b.upload(float.gradient.slice(0, 1), &[f32::NAN]);
            }
            if let Some(sums) = &optimizer.sums {
                sums.add(b, &mut added, micro_batch);
                if !is_last {
                    optimizer.zero_floats(b);
                }
            }
            optimizer.end_micro_batch(b, p, t, self.step, micro_batch);
        }
        if let Some(sums) = &optimizer.sums {
            sums.finish(b, added, t.grad_accum, ranks);
        }
        if t.reduce == Reduce::Votes {
            self.ballots.receive(ranks);
            optimizer.apply(b, p, &mut self.ballots, t, self.step);
        }
        optimizer.step(b, p, t, self.step);

        self.readout.update(b, &optimizer.readings);
        b.fault()?;
        let is_finite = self.readout.norms()[1..].iter().chain(self.readout.watch()).all(|value| value.is_finite());
        let waiting = (ranks.waited() - waited).as_secs_f64() / began.elapsed().as_secs_f64();
        let told = self.share.gather(self.readout.loss_sums(), share, is_finite, waiting, ranks);
        let (terms, items) = (told.terms, told.items);
        let loss = weighted::<T>(&terms);
        if let Some(rank) = told.failed
            && rank != ranks.rank()
            && is_finite
        {
            return Err(Error::failed(format!("step {}: rank {rank} has what is not finite", self.step + 1), "that rank says what"));
        }
        if !loss.is_finite() || !is_finite {
            return Err(self.not_finite(self.step + 1, "the loss", loss));
        }
        let trained = p.specs.matrices.iter().filter(|spec| !spec.is_frozen).map(MatrixSpec::weights);
        let weights = trained.sum::<usize>().max(1) as f64;
        let (flipped, at_rail) =
            self.readout.counts().chunks_exact(2).fold((0u64, 0u64), |(f, r), c| (f + u64::from(c[0]), r + u64::from(c[1])));
        let stats = StepStats {
            loss,
            terms,
            items,
            grad_norm: f64::from(self.readout.norms()[0]).sqrt(),
            flip_rate: flipped as f64 / weights,
            saturation: at_rail as f64 / weights,
            cut: if t.reduce == Reduce::Votes { self.ballots.cut as f64 / weights } else { 0.0 },
            waiting: told.waiting,
            learning_rate: f64::from(learning_rate(t, self.step)),
        };
        self.step += 1;
        Ok(stats)
    }

    /// Measures what was learnt, on data held back.
    ///
    /// # Errors
    /// No such data; a loss that is not finite; a device that failed.
    pub fn validate(&mut self, corpus: &T::Corpus) -> Result<Validation> {
        let (layout, batch) = (&self.layout, &mut self.batch);
        let validation = T::validate(&self.config.train, &layout.model, batch, corpus, &mut self.backend, &layout.parameters)?;
        match validation.terms.iter().find(|term| !term.is_finite()) {
            Some(&bad) => Err(self.validation_not_finite(bad)),
            None => Ok(validation),
        }
    }

    /// Names what is not finite, nearest to the cause: a parameter, an activation, a gradient (the first that the backward pass met), a mean
    /// square of the vote rule, or else `what`.
    fn not_finite(&mut self, step: u64, what: &str, loss: f64) -> Error {
        let (b, optimizer, layout) = (&mut self.backend, &self.layout.optimizer, &self.layout);
        let watched = |range: std::ops::Range<usize>| {
            let at = self.readout.watch()[range.clone()].iter().position(|sum| !sum.is_finite())?;
            Some(optimizer.watch_name(range.start + at).to_string())
        };
        let gradient = || {
            let at = self.readout.norms()[1..].iter().rposition(|norm| !norm.is_finite())?;
            Some(format!("the gradient of {}", optimizer.norm_name(&layout.parameters, at)))
        };
        let floats = optimizer.floats.len();
        let name = watched(0..floats)
            .or_else(|| {
                if loss.is_finite() { None } else { T::not_finite(&layout.model, &self.batch, b, optimizer.readings.loss_sums.slice(0, 1)) }
            })
            .or_else(gradient)
            .or_else(|| watched(floats..self.readout.watch().len()));
        Error::failed(
            format!("step {step}: {} is not finite ({what} is {loss}): training stopped", name.as_deref().unwrap_or(what)),
            "nothing on disk was changed by this step: the run can go on from its last checkpoint; if it happens again, start anew with a lower learning rate, and with activations in f32 if they are in f16: a half holds values up to 65504",
        )
    }

    /// Says that a validation loss is not finite, and why.
    fn validation_not_finite(&mut self, loss: f64) -> Error {
        self.layout.optimizer.watch(&mut self.backend);
        self.readout.update(&mut self.backend, &self.layout.optimizer.readings);
        self.not_finite(self.step, "the validation loss", loss)
    }

    /// Flips, levels and scales of each matrix after a step.
    ///
    /// # Errors
    /// A fault of the device.
    pub fn layers(&mut self) -> Result<Vec<LayerRecord>> {
        let p = &self.layout.parameters;
        let mut layers = Vec::new();
        for (i, (spec, weight)) in p.specs.matrices.iter().zip(&p.matrices).enumerate() {
            let Storage::Grid(grid) = &weight.storage else { continue };
            self.backend.run(LevelHistogram { counts: self.layout.histogram, weight: *weight });
            let mut histogram = [0u32; 16];
            self.backend.download(self.layout.histogram, &mut histogram);
            let levels = grid.grid;
            let scale = scales(&mut self.backend, grid);
            // Nobody counts where nothing moves.
            let counted = |at: usize| (!spec.is_frozen).then(|| f64::from(self.readout.counts()[at]) / spec.weights() as f64);
            layers.push(LayerRecord {
                name: spec.name.clone(),
                flip_rate: counted(2 * i),
                saturation: counted(2 * i + 1),
                histogram: Some(histogram.map(u64::from)),
                levels: Some(std::array::from_fn(|code| levels.is_level(code as u8).then(|| levels.level(code as u8)))),
                scale: ScaleSummary::of(&scale),
            });
        }
        self.backend.fault()?;
        Ok(layers)
    }

    /// Whether weights on a grid are trained.
    pub fn trains_grids(&self) -> bool {
        let p = &self.layout.parameters;
        p.specs.matrices.iter().zip(&p.matrices).any(|(spec, weight)| !spec.is_frozen && matches!(weight.storage, Storage::Grid(_)))
    }

    /// Bytes of codes, steps and offsets of groups, and votes (or shadow weights and moments) of the matrices that are trained.
    pub fn trained_state_bytes(&self) -> usize {
        let p = &self.layout.parameters;
        let trained = p.specs.matrices.iter().zip(&p.matrices).filter(|(spec, _)| !spec.is_frozen);
        trained.map(|(_, weight)| stored_bytes(&weight.storage)).sum::<usize>() + self.layout.optimizer.bytes()
    }
}

/// The factors of the levels of a weight, of all rows or groups.
fn scales<B: Backend>(b: &mut B, weight: &GridWeight) -> Vec<f32> {
    match weight.scales {
        Scales::Row(scale) => {
            let mut values = vec![0.0f32; scale.len()];
            b.download(scale, &mut values);
            values
        }
        Scales::Group32 { step } | Scales::Group32Offset { step, .. } => {
            let mut steps = vec![f16::ZERO; step.len()];
            b.download(step, &mut steps);
            steps.iter().map(|step| step.to_f32() * weight.grid.steps()).collect()
        }
    }
}

/// The loss that the means of terms make.
fn weighted<T: Task>(terms: &[f64; MAX_TERMS]) -> f64 {
    T::TERMS.iter().zip(terms).map(|((_, weight), term)| weight * term).sum()
}

/// Bytes of codes, steps and offsets of groups, and votes (or shadow weights and moments) of all matrices.
pub fn grid_state_bytes<T: Task>(layout: &Layout<T>) -> usize {
    let stored = layout.parameters.matrices.iter().map(|weight| stored_bytes(&weight.storage));
    stored.sum::<usize>() + layout.optimizer.bytes()
}

/// Bytes of a matrix, but for floats that the optimizer counts.
fn stored_bytes(storage: &Storage) -> usize {
    match storage {
        Storage::Grid(grid) => grid.codes.bytes() + grid.scales.group_bytes(),
        Storage::Float(_) => 0,
        Storage::Blocks(blocks) => blocks.bytes.bytes(),
    }
}
