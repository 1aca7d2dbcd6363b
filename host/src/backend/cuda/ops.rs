//! The ops, as launches.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use cust::memory::AsyncCopyDestination;
use memmap2::Mmap;
use primal_device::vote::VoteRule;

use super::Cuda;
use crate::arena::Span;
use crate::backend::{AdamWStep, AttentionShape, Backend, RandomKey, Storage, VoteCast, VoteState, Weight};

/// A size as kernels take it.
fn size(n: usize) -> u32 {
    u32::try_from(n).expect("a dimension fits 32 bits")
}

/// Elements that `sum` adds up to one partial sum, and rows of the one of `layer_norm_backward`.
const CHUNK: usize = 4096;
const GROUP: usize = 64;

impl Cuda {
    /// The second half of both sums over `n` elements.
    fn finish_sum(&mut self, sum: Span<f32>, partial: *mut f32, n: usize, accumulate: bool) {
        self.kernels.sum_finish([1, 1], self.w(sum), partial, size(n.div_ceil(CHUNK)), u32::from(accumulate));
    }
}

impl Backend for Cuda {
    fn upload<T: Pod>(&mut self, to: Span<T>, from: &[T]) {
        self.memory.upload(to, from);
    }

    fn download<T: Pod>(&mut self, from: Span<T>, to: &mut [T]) {
        self.memory.download(from, to);
    }

    fn map(&mut self, file: &Arc<Mmap>, range: Range<usize>) -> Span<u8> {
        self.memory.map(file, range)
    }

    fn copy<T: Pod>(&mut self, to: Span<T>, from: Span<T>) {
        self.memory.copy(to, from, self.kernels.stream());
    }

    fn zero<T: Pod>(&mut self, to: Span<T>) {
        self.memory.zero(to, self.kernels.stream());
    }

    fn embedding(&mut self, y: Span<f32>, table: Span<f32>, positions: Span<f32>, ids: Span<u32>, seq: usize, dim: usize) {
        self.kernels.embedding([ids.len(), 1], self.w(y), self.r(table), self.r(positions), self.r(ids), size(seq), size(dim));
    }

    fn embedding_backward(&mut self, d_table: Span<f32>, d_positions: Span<f32>, dy: Span<f32>, ids: Span<u32>, seq: usize, dim: usize) {
        let (tokens, k) = (ids.len(), &self.kernels);
        k.embedding_backward_table([tokens, dim], self.w(d_table), self.r(dy), self.r(ids), size(tokens), size(dim));
        k.embedding_backward_positions([seq, dim], self.w(d_positions), self.r(dy), size(tokens), size(seq), size(dim));
    }

    fn layer_norm(&mut self, y: Span<f32>, mean: Span<f32>, rstd: Span<f32>, x: Span<f32>, gamma: Span<f32>, beta: Span<f32>, dim: usize) {
        let (y, mean_, rstd) = (self.w(y), self.w(mean), self.w(rstd));
        let (x, gamma, beta) = (self.r(x), self.r(gamma), self.r(beta));
        self.kernels.layer_norm([mean.len(), 1], y, mean_, rstd, x, gamma, beta, size(mean.len()), size(dim));
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
        let rows = mean.len();
        let groups = rows.div_ceil(GROUP);
        let (partial, dy, x, mean, rstd) = (self.scratch(groups * 2 * dim), self.r(dy), self.r(x), self.r(mean), self.r(rstd));
        let (n, d, k) = (size(rows), size(dim), &self.kernels);
        k.layer_norm_backward_input([rows, 1], self.w(dx), dy, x, mean, rstd, self.r(gamma), n, d);
        k.layer_norm_backward_parameters([dim, rows], partial, dy, x, mean, rstd, n, d);
        k.layer_norm_backward_finish([dim, 1], self.w(d_gamma), self.w(d_beta), partial, size(groups), d);
    }

    fn linear(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, rows: usize) {
        let (items, y, x) = ([weight.out_features, rows], self.w(y), self.r(x));
        let [rows, outputs, inputs] = [rows, weight.out_features, weight.in_features].map(size);
        match weight.storage {
            Storage::Grid(w) => {
                self.kernels.linear_grid(items, y, x, self.r(w.codes), self.r(w.scale), w.grid as u32, rows, outputs, inputs);
            }
            Storage::Float(values) => self.kernels.linear_float(items, y, x, self.r(values), rows, outputs, inputs),
        }
    }

    fn linear_backward_input(&mut self, dx: Span<f32>, dy: Span<f32>, weight: &Weight, rows: usize, accumulate: bool) {
        let (items, dx, dy, k) = ([weight.in_features, rows], self.w(dx), self.r(dy), &self.kernels);
        let [rows, outputs, inputs] = [rows, weight.out_features, weight.in_features].map(size);
        let accumulate = u32::from(accumulate);
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, scale) = (self.r(w.codes), self.r(w.scale));
                k.linear_backward_input_grid(items, dx, dy, codes, scale, w.grid as u32, rows, outputs, inputs, accumulate);
            }
            Storage::Float(values) => {
                k.linear_backward_input_float(items, dx, dy, self.r(values), rows, outputs, inputs, accumulate);
            }
        }
    }

    fn linear_backward_weight(&mut self, dw: Span<f32>, dy: Span<f32>, x: Span<f32>, rows: usize, accumulate: bool) {
        let (outputs, inputs) = (dy.len() / rows, x.len() / rows);
        let [n, o, i] = [rows, outputs, inputs].map(size);
        let (dw, dy, x) = (self.w(dw), self.r(dy), self.r(x));
        self.kernels.linear_backward_weight([inputs, outputs], dw, dy, x, n, o, i, u32::from(accumulate));
    }

    fn gelu(&mut self, y: Span<f32>, x: Span<f32>) {
        self.kernels.gelu([y.len(), 1], self.w(y), self.r(x), size(y.len()));
    }

    fn gelu_backward(&mut self, dx: Span<f32>, dy: Span<f32>, x: Span<f32>) {
        self.kernels.gelu_backward([dx.len(), 1], self.w(dx), self.r(dy), self.r(x), size(dx.len()));
    }

    fn add(&mut self, y: Span<f32>, a: Span<f32>, b: Span<f32>) {
        self.kernels.add([y.len(), 1], self.w(y), self.r(a), self.r(b), size(y.len()));
    }

    fn cross_entropy(&mut self, logits: Span<f32>, losses: Span<f32>, targets: Span<u32>, vocab: usize, gradient_scale: f32) {
        let items = [losses.len(), 1];
        self.kernels.cross_entropy(items, self.w(logits), self.w(losses), self.r(targets), size(vocab), gradient_scale);
    }

    fn sum(&mut self, sum: Span<f32>, x: Span<f32>) {
        let partial = self.scratch(x.len().div_ceil(CHUNK));
        self.kernels.sum_chunks([x.len(), 1], partial, self.r(x), size(x.len()));
        self.finish_sum(sum, partial, x.len(), false);
    }

    fn sum_squares(&mut self, sum: Span<f32>, x: Span<f32>) {
        let partial = self.scratch(x.len().div_ceil(CHUNK));
        self.kernels.sum_squares_chunks([x.len(), 1], partial, self.r(x), size(x.len()));
        self.finish_sum(sum, partial, x.len(), true);
    }

    fn adamw(&mut self, value: Span<f32>, gradient: Span<f32>, moments: [Span<f32>; 2], norm_squared: Span<f32>, step: &AdamWStep) {
        let AdamWStep { beta1, beta2, eps, max_norm, floor, .. } = *step;
        let (value_, gradient, [m, v], norm) = (self.w(value), self.r(gradient), moments.map(|m| self.w(m)), self.r(norm_squared));
        let [rate, keep, second] = step.factors();
        let n = value.len();
        self.kernels.adamw([n, 1], value_, gradient, m, v, norm, size(n), max_norm, rate, keep, second, beta1, beta2, eps, floor);
    }
