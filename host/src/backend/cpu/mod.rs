//! The CPU back end: the reference and the default device.
//!
//! Results do not depend on the number of threads: work is cut into tasks by shape alone, and sums are taken in a fixed order.

pub mod adamw;
pub mod add;
pub mod attention;
pub mod cached_attention;
pub mod cross_entropy;
pub mod embedding;
mod exp;
pub mod gelu;
pub mod gemm;
pub mod layer_norm;
pub mod linear;
pub mod lut_gemv;
pub mod memory;
pub mod reduce;
pub mod unpack;
pub mod vote;

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;
use primal_device::vote::VoteRule;

use linear::Values;
use memory::{Memory, Parts};
use unpack::Codes;

use super::{AdamWStep, AttentionShape, Backend, ConvolutionShape, Device, GridWeight, RandomKey, Storage, VoteCast, VoteState, Weight};
use crate::Result;
use crate::arena::{Kind, Plan, Span};

/// The CPU as a device.
pub struct Cpu {
    memory: Memory,
    scratch: Span<f32>,
}

/// `f32` values of scratch that each thread has for packing panels and for rows of attention scores.
pub const SCRATCH_PER_THREAD: usize = 256 * 1024;

impl Cpu {
    /// Adds the ops' own scratch to the plan.
    pub fn plan_scratch(plan: &mut Plan) -> Span<f32> {
        plan.span(Kind::Scratch, "cpu.scratch", SCRATCH_PER_THREAD * rayon::current_num_threads())
    }

    /// Plans the scratch and allocates the arena. Ops must run on the pool of the calling thread.
    pub fn new(plan: &mut Plan) -> Self {
        let scratch = Self::plan_scratch(plan);
        Self { memory: Memory::new(plan.total_bytes()), scratch }
    }

    /// Runs `op` on one written span and a weight's values.
    fn with_values(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, op: impl FnOnce(&mut [f32], &[f32], Values, &mut [f32])) {
        match weight.storage {
            Storage::Grid(grid) => {
                let ((y, scratch), (x, codes, scale)) = self.memory.split((y, self.scratch), (x, grid.codes, grid.scale));
                op(y, x, Values::Grid(Codes::new(codes, scale, grid.grid.grid(), weight.in_features)), scratch);
            }
            Storage::Float(values) => {
                let ((y, scratch), (x, values)) = self.memory.split((y, self.scratch), (x, values));
                op(y, x, Values::Float(values), scratch);
            }
        }
    }

    fn write_counts(&mut self, to: Span<u32>, counts: vote::Counts) {
        self.memory.write(to).copy_from_slice(&[counts.flipped, counts.at_rail]);
    }
}

fn codes<'a>(weight: &Weight, grid: &GridWeight, codes: &'a [u8], scale: &'a [f32]) -> Codes<'a> {
    Codes::new(codes, scale, grid.grid.grid(), weight.in_features)
}

/// The scratch of the calling thread, from [`Parts`] over the whole scratch span.
///
/// # Safety
/// The caller must not hold another slice from it, and must be a task of the pool that the back end was made for (or the only thread).
#[expect(clippy::mut_from_ref, reason = "one slice a thread")]
pub(crate) unsafe fn thread_scratch<'a>(scratch: &'a Parts<'_, f32>) -> &'a mut [f32] {
    let index = rayon::current_thread_index().unwrap_or(0);
    // SAFETY: one part a thread, by the caller's contract.
    unsafe { scratch.part(index * SCRATCH_PER_THREAD, SCRATCH_PER_THREAD) }
}

impl Device for Cpu {
    fn plan_scratch(plan: &mut Plan) {
        Self::plan_scratch(plan);
    }

    fn available_memory() -> Result<Option<usize>> {
        Ok(memory::available())
    }

    fn open(plan: &mut Plan) -> Result<Self> {
        Ok(Self::new(plan))
    }
}

impl Backend for Cpu {
    fn upload<T: Pod>(&mut self, to: Span<T>, from: &[T]) {
        self.memory.write(to).copy_from_slice(from);
    }

    fn download<T: Pod>(&mut self, from: Span<T>, to: &mut [T]) {
        to.copy_from_slice(self.memory.read(from));
    }

    fn map(&mut self, file: &Arc<Mmap>, range: Range<usize>) -> Span<u8> {
        self.memory.map(file, range)
    }

    fn copy<T: Pod>(&mut self, to: Span<T>, from: Span<T>) {
        let ((to,), (from,)) = self.memory.split((to,), (from,));
        to.copy_from_slice(from);
    }

    fn zero<T: Pod>(&mut self, to: Span<T>) {
        self.memory.write(to).fill(T::zeroed());
    }

    fn embedding(&mut self, y: Span<f32>, table: Span<f32>, positions: Span<f32>, ids: Span<u32>, seq: usize, dim: usize) {
        let ((y,), (table, positions, ids)) = self.memory.split((y,), (table, positions, ids));
        embedding::embedding(y, table, positions, ids, seq, dim);
    }

    fn embedding_backward(&mut self, d_table: Span<f32>, d_positions: Span<f32>, dy: Span<f32>, ids: Span<u32>, seq: usize, dim: usize) {
        let ((d_table, d_positions), (dy, ids)) = self.memory.split((d_table, d_positions), (dy, ids));
        embedding::embedding_backward(d_table, d_positions, dy, ids, seq, dim);
    }

    fn layer_norm(&mut self, y: Span<f32>, mean: Span<f32>, rstd: Span<f32>, x: Span<f32>, gamma: Span<f32>, beta: Span<f32>, dim: usize) {
        let ((y, mean, rstd), (x, gamma, beta)) = self.memory.split((y, mean, rstd), (x, gamma, beta));
        layer_norm::layer_norm(y, mean, rstd, x, gamma, beta, dim);
    }

    fn layer_norm_backward(
        &mut self,
        dx: Span<f32>,
        d_gamma: Span<f32>,
        d_beta: Span<f32>,
        dy: Span<f32>,
        x: Span<f32>,
        mean: Span<f32>,
        rstd: Span<f32>,
        gamma: Span<f32>,
        dim: usize,
    ) {
        let ((dx, d_gamma, d_beta, scratch), (dy, x, mean, rstd, gamma)) =
            self.memory.split((dx, d_gamma, d_beta, self.scratch), (dy, x, mean, rstd, gamma));
        layer_norm::layer_norm_backward(dx, d_gamma, d_beta, dy, x, mean, rstd, gamma, dim, scratch);
    }

    fn linear(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, rows: usize) {
        let shape = [weight.out_features, weight.in_features];
        self.with_values(y, x, weight, |y, x, values, scratch| linear::linear(y, x, values, shape, rows, scratch));
    }

    fn linear_backward_input(&mut self, dx: Span<f32>, dy: Span<f32>, weight: &Weight, rows: usize, accumulate: bool) {
        let shape = [weight.out_features, weight.in_features];
        self.with_values(dx, dy, weight, |dx, dy, values, scratch| {
            linear::backward_input(dx, dy, values, shape, rows, accumulate, scratch)
        });
    }

    fn linear_backward_weight(&mut self, dw: Span<f32>, dy: Span<f32>, x: Span<f32>, rows: usize, accumulate: bool) {
        let ((dw, scratch), (dy, x)) = self.memory.split((dw, self.scratch), (dy, x));
        linear::backward_weight(dw, dy, x, rows, accumulate, scratch);
    }

    fn attention(&mut self, out: Span<f32>, lse: Span<f32>, q: Span<f32>, k: Span<f32>, v: Span<f32>, shape: AttentionShape) {
        let ((out, lse, scratch), (q, k, v)) = self.memory.split((out, lse, self.scratch), (q, k, v));
        attention::attention(out, lse, q, k, v, shape, &Parts::new(scratch));
    }

    fn attention_backward(
        &mut self,
        dq: Span<f32>,
        dk: Span<f32>,
        dv: Span<f32>,
        d_out: Span<f32>,
        out: Span<f32>,
        lse: Span<f32>,
        q: Span<f32>,
        k: Span<f32>,
        v: Span<f32>,
        shape: AttentionShape,
    ) {
        let ((dq, dk, dv, scratch), (d_out, out, lse, q, k, v)) = self.memory.split((dq, dk, dv, self.scratch), (d_out, out, lse, q, k, v));
        attention::attention_backward(dq, dk, dv, d_out, out, lse, q, k, v, shape, &Parts::new(scratch));
    }

    fn cached_attention(&mut self, out: Span<f32>, q: Span<f32>, k: Span<f32>, v: Span<f32>, heads: usize) {
        let ((out, scratch), (q, k, v)) = self.memory.split((out, self.scratch), (q, k, v));
        cached_attention::cached_attention(out, q, k, v, heads, &Parts::new(scratch));
    }

    fn gelu(&mut self, y: Span<f32>, x: Span<f32>) {
        let ((y,), (x,)) = self.memory.split((y,), (x,));
        gelu::gelu(y, x);
    }

    fn gelu_backward(&mut self, dx: Span<f32>, dy: Span<f32>, x: Span<f32>) {
        if dx == dy {
            let ((dy,), (x,)) = self.memory.split((dy,), (x,));
            gelu::gelu_backward_in_place(dy, x);
        } else {
            let ((dx,), (dy, x)) = self.memory.split((dx,), (dy, x));
            gelu::gelu_backward(dx, dy, x);
        }
    }

    fn add(&mut self, y: Span<f32>, a: Span<f32>, b: Span<f32>) {
        if y == a {
            let ((y,), (b,)) = self.memory.split((y,), (b,));
            add::add_in_place(y, b);
        } else {
            let ((y,), (a, b)) = self.memory.split((y,), (a, b));
            add::add(y, a, b);
        }
    }

    fn leaky_relu(&mut self, y: Span<f32>, x: Span<f32>, slope: f32) {
        todo!("leaky_relu {y:?} {x:?} {slope}")
    }

    fn leaky_relu_backward(&mut self, dx: Span<f32>, dy: Span<f32>, x: Span<f32>, slope: f32) {
        todo!("leaky_relu_backward {dx:?} {dy:?} {x:?} {slope}")
    }

    fn tanh(&mut self, y: Span<f32>, x: Span<f32>) {
        todo!("tanh {y:?} {x:?}")
    }

    fn tanh_backward(&mut self, dx: Span<f32>, dy: Span<f32>, y: Span<f32>) {
        todo!("tanh_backward {dx:?} {dy:?} {y:?}")
    }

    fn gather(&mut self, y: Span<f32>, table: Span<f32>, ids: Span<u32>, dim: usize, accumulate: bool) {
        todo!("gather {y:?} {table:?} {ids:?} {dim} {accumulate}")
    }

    fn gather_backward(&mut self, d_table: Span<f32>, dy: Span<f32>, ids: Span<u32>, dim: usize) {
        todo!("gather_backward {d_table:?} {dy:?} {ids:?} {dim}")
    }

    fn conv1d(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, bias: Option<Span<f32>>, shape: ConvolutionShape, accumulate: bool) {
        todo!("conv1d {y:?} {x:?} {weight:?} {bias:?} {shape:?} {accumulate}")
    }

    fn conv1d_backward_input(&mut self, dx: Span<f32>, dy: Span<f32>, weight: &Weight, shape: ConvolutionShape, accumulate: bool) {
        todo!("conv1d_backward_input {dx:?} {dy:?} {weight:?} {shape:?} {accumulate}")
    }

    fn conv1d_backward_weight(&mut self, dw: Span<f32>, dy: Span<f32>, x: Span<f32>, shape: ConvolutionShape, accumulate: bool) {
        todo!("conv1d_backward_weight {dw:?} {dy:?} {x:?} {shape:?} {accumulate}")
    }

    fn bias_backward(&mut self, d_bias: Span<f32>, dy: Span<f32>) {
        todo!("bias_backward {d_bias:?} {dy:?}")
    }

    fn conv_transpose1d(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, bias: Option<Span<f32>>, stride: usize) {
        todo!("conv_transpose1d {y:?} {x:?} {weight:?} {bias:?} {stride}")
    }

    fn absolute_error(&mut self, losses: Span<f32>, dx: Span<f32>, x: Span<f32>, target: Span<f32>, gradient_scale: f32) {
        todo!("absolute_error {losses:?} {dx:?} {x:?} {target:?} {gradient_scale}")
    }

    fn squared_error(&mut self, losses: Span<f32>, dx: Span<f32>, x: Span<f32>, target: Span<f32>, gradient_scale: f32) {
        todo!("squared_error {losses:?} {dx:?} {x:?} {target:?} {gradient_scale}")
    }

    fn cross_entropy(&mut self, logits: Span<f32>, losses: Span<f32>, targets: Span<u32>, vocab: usize, gradient_scale: f32) {
        let ((logits, losses), (targets,)) = self.memory.split((logits, losses), (targets,));
        cross_entropy::cross_entropy(logits, losses, targets, vocab, gradient_scale);
    }

    fn sum(&mut self, sum: Span<f32>, x: Span<f32>) {
        self.memory.write(sum)[0] = reduce::sum(self.memory.read(x));
    }

    fn sum_squares(&mut self, sum: Span<f32>, x: Span<f32>) {
        self.memory.write(sum)[0] += reduce::sum_squares(self.memory.read(x));
    }

    fn adamw(&mut self, value: Span<f32>, gradient: Span<f32>, moments: [Span<f32>; 2], norm_squared: Span<f32>, step: &AdamWStep) {
        let ((value, m, v), (gradient, norm)) = self.memory.split((value, moments[0], moments[1]), (gradient, norm_squared));
        adamw::adamw(value, gradient, m, v, norm[0], step);
    }

    fn scale_gradient(&mut self, d_scale: Span<f32>, dw: Span<f32>, weight: &Weight) {
        let grid = weight.grid();
        let ((d_scale,), (dw, c, scale)) = self.memory.split((d_scale,), (dw, grid.codes, grid.scale));
        vote::scale_gradient(d_scale, dw, &codes(weight, grid, c, scale));
    }

    fn vote(&mut self, weight: &Weight, state: &VoteState, dw: Span<f32>, cast: &VoteCast) {
        let grid = weight.grid();
        let ((votes, row, column, scratch), (dw, c, scale)) =
            self.memory.split((state.votes, state.row, state.column, self.scratch), (dw, grid.codes, grid.scale));
        vote::vote(votes, state.bits, row, column, dw, &codes(weight, grid, c, scale), cast, scratch);
    }

    fn flip(&mut self, weight: &Weight, state: &VoteState, rule: &VoteRule, counts: Span<u32>) {
        let grid = weight.grid();
        let ((c, votes), ()) = self.memory.split((grid.codes, state.votes), ());
        let result = vote::flip(c, votes, state.bits, weight.in_features, grid.grid.grid(), rule);
        self.write_counts(counts, result);
    }

    fn rescale_rows(&mut self, weight: &Weight, state: &VoteState, rule: &VoteRule, share: f32, factor: f32) {
        let grid = weight.grid();
        let ((c, scale, votes), ()) = self.memory.split((grid.codes, grid.scale, state.votes), ());
        vote::rescale_rows(c, scale, votes, state.bits, weight.in_features, grid.grid.grid(), rule, share, factor);
    }

    fn poltergeist_vote(&mut self, weight: &Weight, votes: Span<u8>, dw: Span<f32>, z: f32) {
        let grid = weight.grid();
        let ((votes, scratch), (dw, c, scale)) = self.memory.split((votes, self.scratch), (dw, grid.codes, grid.scale));
        vote::poltergeist_vote(votes, dw, &codes(weight, grid, c, scale), z, scratch);
    }

    fn poltergeist_flip(&mut self, weight: &Weight, votes: Span<u8>, consensus: u32, key: RandomKey, counts: Span<u32>) {
        let grid = weight.grid();
        let ((c, votes), (scale,)) = self.memory.split((grid.codes, votes), (grid.scale,));
        let result = vote::poltergeist_flip(c, votes, scale, weight.in_features, grid.grid.grid(), consensus, key);
        self.write_counts(counts, result);
    }

    fn quantize(&mut self, weight: &Weight, shadow: Span<f32>, counts: Span<u32>) {
        let grid = weight.grid();
        let ((c,), (scale, shadow)) = self.memory.split((grid.codes,), (grid.scale, shadow));
        let result = vote::quantize(c, scale, shadow, grid.grid.grid());
        self.write_counts(counts, result);
    }

    fn straight_through(&mut self, d_shadow: Span<f32>, d_scale: Span<f32>, dw: Span<f32>, shadow: Span<f32>, weight: &Weight) {
        let grid = weight.grid();
        let ((d_shadow, d_scale), (dw, shadow, c, scale)) = self.memory.split((d_shadow, d_scale), (dw, shadow, grid.codes, grid.scale));
        vote::straight_through(d_shadow, d_scale, dw, shadow, &codes(weight, grid, c, scale));
    }

    fn level_histogram(&mut self, counts: Span<u32>, weight: &Weight) {
        let ((counts,), (c,)) = self.memory.split((counts,), (weight.grid().codes,));
        vote::level_histogram(counts, c, weight.in_features);
    }

    fn lut_gemv(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight) {
        let Storage::Grid(grid) = &weight.storage else { return self.linear(y, x, weight, 1) };
        let ((y, scratch), (x, c, scale)) = self.memory.split((y, self.scratch), (x, grid.codes, grid.scale));
        lut_gemv::lut_gemv(y, x, &codes(weight, grid, c, scale), lut_gemv::Kernel::best(), scratch);
    }
}
