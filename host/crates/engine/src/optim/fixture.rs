//! One small matrix under a rule, for the tests of rules.

use primal_device::grid;

use super::float::FloatState;
use super::rule::{Turn, UpdateRule};
use crate::backend::cpu::Cpu;
use crate::backend::{Backend, Scales};
use crate::config::TrainConfig;
use crate::memory::{Kind, Plan, Span};
use crate::nn::Parameters;
use crate::nn::parameters::Specs;
use crate::ops::{Linear, SumSquares};

/// Rows and columns of the matrix.
const SHAPE: [usize; 2] = [2, 3];
/// Weights of the matrix.
pub const WEIGHTS: usize = SHAPE[0] * SHAPE[1];

/// A `[2, 3]` matrix on a grid of even gaps, all rows of one scale at the start.
pub struct Fixture<R> {
    pub rule: R,
    pub config: TrainConfig,
    pub b: Cpu,
    /// The number of the next step.
    pub step: u64,
    p: Parameters,
    floats: Vec<FloatState>,
    dw: Span<f32>,
    d_scale: Span<f32>,
    norm: Span<f32>,
    counts: Span<u32>,
    eye: Span<f32>,
    columns: Span<f32>,
}

/// A learning rate that is nearly the same in all steps of a test.
pub fn steady(lr: f32) -> TrainConfig {
    TrainConfig { lr, warmup: 0, steps: 100_000, ..TrainConfig::default() }
}

impl<R: UpdateRule> Fixture<R> {
    pub fn new(config: TrainConfig) -> Self {
        let mut specs = Specs::default();
        specs.matrix("weight".into(), SHAPE, (!R::IS_FLOAT).then_some(&grid::UNIFORM15), 0.5);
        let (mut plan, mut floats) = (Plan::default(), Vec::new());
        let p = Parameters::plan(specs, &mut plan);
        let rule = R::plan(&config, &p.specs.matrices[0], &p.matrices[0], &mut floats, &mut plan);
        let mut span = |len| plan.span(Kind::Scratch, "test", len);
        let [dw, d_scale, norm, eye, columns] = [WEIGHTS, SHAPE[0], 1, SHAPE[1] * SHAPE[1], WEIGHTS].map(&mut span);
        let counts = plan.span(Kind::Io, "counts", 2);
        let mut b = Cpu::new(&mut plan);
        p.initialise(&mut b, 1, |b, _, first, values| rule.receive_start(b, first, values));
        rule.initialise(&mut b, &p.matrices[0], &Turn { config: &config, tensor: 0, step: 0, micro_batch: 0 });
        let diagonal: Vec<f32> = (0..SHAPE[1] * SHAPE[1]).map(|i| if i % (SHAPE[1] + 1) == 0 { 1.0 } else { 0.0 }).collect();
        b.upload(eye, &diagonal);
        floats.iter().flat_map(|float| float.moments).for_each(|moment| b.zero(moment));
        Self { rule, config, b, step: 0, p, floats, dw, d_scale, norm, counts, eye, columns }
    }

    /// One step with this gradient in each micro-batch; returns how many weights flipped.
    pub fn step(&mut self, gradient: [f32; WEIGHTS]) -> u32 {
        let (b, weight, last) = (&mut self.b, &self.p.matrices[0], self.config.grad_accum - 1);
        let turn = |micro_batch| Turn { config: &self.config, tensor: 0, step: self.step, micro_batch };
        self.floats.iter().for_each(|float| b.zero(float.gradient));
        b.zero(self.counts);
        b.upload(self.rule.accumulator().unwrap_or(self.dw), &gradient);
        for micro_batch in 0..=last {
            self.rule.take(b, weight, self.dw, Some(Scales::Row(self.d_scale)), &turn(micro_batch));
        }
        for float in &self.floats {
            b.zero(self.norm);
            b.run(SumSquares { sum: self.norm, x: float.gradient });
            float.step(b, self.norm, &self.config, self.step);
        }
        self.rule.flip(b, weight, self.counts, &turn(last));
        self.rule.finish(b, weight, &turn(last));
        self.step += 1;
        let mut counts = [0; 2];
        b.download(self.counts, &mut counts);
        counts[0]
    }

    /// The weights, row by row.
    pub fn weights(&mut self) -> [f32; WEIGHTS] {
        let [rows, columns] = SHAPE;
        self.b.run(Linear { y: self.columns.into(), x: self.eye.into(), weight: self.p.matrices[0], rows: columns });
        let mut by_column = [0.0; WEIGHTS];
        self.b.download(self.columns, &mut by_column);
        std::array::from_fn(|i| by_column[i % columns * rows + i / columns])
    }

    /// The distance of two neighbouring weights in the first row.
    pub fn gap(&mut self) -> f32 {
        self.scales()[0] / 7.0
    }

    /// The scale of each row.
    pub fn scales(&mut self) -> [f32; SHAPE[0]] {
        let mut scales = [0.0; SHAPE[0]];
        self.b.download(self.p.matrices[0].grid().scales.of_rows().expect("scales of rows"), &mut scales);
        scales
    }
}
