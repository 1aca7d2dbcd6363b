//! The ops of the CPU: spans to slices, and the call of the function of each op's name.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;
use primal_device::rules::votes::VoteRule;

use super::conv1d::Convolution;
use super::memory::Parts;
use super::sequences::Bounds;
use super::{
    Cpu, adamw, add, attention, bias, cached_attention, codes, conv_transpose1d, conv1d, cross_entropy, embedding, gather, gelu,
    layer_norm, leaky_relu, linear, lut_gemv, offsets, reduce, regression, tanh, vote,
};
use crate::backend::{AdamWStep, AttentionShape, Backend, ConvolutionShape, RandomKey, Sequences, Storage, VoteCast, VoteState, Weight};
use crate::memory::Span;

/// The rows of a product are one sequence to it.
fn together(rows: usize) -> Sequences {
    Sequences::Equal { count: 1, len: rows }
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

    fn embedding_backward(
        &mut self,
        d_table: Span<f32>,
        d_positions: Span<f32>,
        dy: Span<f32>,
        ids: Span<u32>,
        _order: Span<u32>,
        seq: usize,
        dim: usize,
    ) {
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
        self.with_values([y, x], weight, None, together(rows), |o| linear::linear(o.y, o.x, o.values, shape, rows, o.scratch));
    }

    fn linear_backward_input(&mut self, dx: Span<f32>, dy: Span<f32>, weight: &Weight, rows: usize, accumulate: bool) {
        let shape = [weight.out_features, weight.in_features];
        self.with_values([dx, dy], weight, None, together(rows), |o| {
            linear::backward_input(o.y, o.x, o.values, shape, rows, accumulate, o.scratch)
        });
    }

    fn linear_backward_weight(&mut self, dw: Span<f32>, dy: Span<f32>, x: Span<f32>, rows: usize, accumulate: bool) {
        let ((dw, scratch), (dy, x)) = self.memory.split((dw, self.scratch), (dy, x));
        linear::backward_weight(dw, dy, x, rows, accumulate, scratch);
    }

    fn attention(&mut self, out: Span<f32>, lse: Span<f32>, q: Span<f32>, k: Span<f32>, v: Span<f32>, shape: AttentionShape) {
        let ((out, lse, scratch), (q, k, v, offsets)) = self.memory.split((out, lse, self.scratch), (q, k, v, offsets(shape.sequences)));
        attention::attention(out, lse, q, k, v, shape, Bounds::new(shape.sequences, offsets), &Parts::new(scratch));
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
        let ((dq, dk, dv, scratch), (d_out, out, lse, q, k, v, offsets)) =
            self.memory.split((dq, dk, dv, self.scratch), (d_out, out, lse, q, k, v, offsets(shape.sequences)));
        let bounds = Bounds::new(shape.sequences, offsets);
        attention::attention_backward(dq, dk, dv, d_out, out, lse, q, k, v, shape, bounds, &Parts::new(scratch));
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
        if y == x {
            leaky_relu::leaky_relu_in_place(self.memory.write(y), slope);
        } else {
            let ((y,), (x,)) = self.memory.split((y,), (x,));
            leaky_relu::leaky_relu(y, x, slope);
        }
    }

    fn leaky_relu_backward(&mut self, dx: Span<f32>, dy: Span<f32>, x: Span<f32>, slope: f32) {
        if dx == dy {
            let ((dy,), (x,)) = self.memory.split((dy,), (x,));
            leaky_relu::leaky_relu_backward_in_place(dy, x, slope);
        } else {
            let ((dx,), (dy, x)) = self.memory.split((dx,), (dy, x));
            leaky_relu::leaky_relu_backward(dx, dy, x, slope);
        }
    }

    fn tanh(&mut self, y: Span<f32>, x: Span<f32>) {
        if y == x {
            tanh::tanh_in_place(self.memory.write(y));
        } else {
            let ((y,), (x,)) = self.memory.split((y,), (x,));
            tanh::tanh(y, x);
        }
    }

    fn tanh_backward(&mut self, dx: Span<f32>, dy: Span<f32>, y: Span<f32>) {
        if dx == dy {
            let ((dy,), (y,)) = self.memory.split((dy,), (y,));
            tanh::tanh_backward_in_place(dy, y);
        } else {
            let ((dx,), (dy, y)) = self.memory.split((dx,), (dy, y));
            tanh::tanh_backward(dx, dy, y);
        }
    }

    fn gather(&mut self, y: Span<f32>, table: Span<f32>, ids: Span<u32>, dim: usize, accumulate: bool) {
        let ((y,), (table, ids)) = self.memory.split((y,), (table, ids));
        gather::gather(y, table, ids, dim, accumulate);
    }

    fn gather_backward(&mut self, d_table: Span<f32>, dy: Span<f32>, ids: Span<u32>, dim: usize) {
        let ((d_table,), (dy, ids)) = self.memory.split((d_table,), (dy, ids));
        gather::gather_backward(d_table, dy, ids, dim);
    }

    fn conv1d(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, bias: Option<Span<f32>>, shape: ConvolutionShape, accumulate: bool) {
        let sizes = [weight.out_features, weight.in_features];
        self.with_values([y, x], weight, bias, shape.sequences, |o| {
            conv1d::conv1d(o.y, o.x, o.values, o.bias, sizes, Convolution::new(shape, o.bounds), accumulate, o.scratch);
        });
    }

    fn conv1d_backward_input(&mut self, dx: Span<f32>, dy: Span<f32>, weight: &Weight, shape: ConvolutionShape, accumulate: bool) {
        let sizes = [weight.out_features, weight.in_features];
        self.with_values([dx, dy], weight, None, shape.sequences, |o| {
            conv1d::backward_input(o.y, o.x, o.values, sizes, Convolution::new(shape, o.bounds), accumulate, o.scratch);
        });
    }

    fn conv1d_backward_weight(&mut self, dw: Span<f32>, dy: Span<f32>, x: Span<f32>, shape: ConvolutionShape, accumulate: bool) {
        let ((dw, scratch), (dy, x, offsets)) = self.memory.split((dw, self.scratch), (dy, x, offsets(shape.sequences)));
        let of = Convolution::new(shape, Bounds::new(shape.sequences, offsets));
        conv1d::backward_weight(dw, dy, x, shape.sequences.rows(), of, accumulate, scratch);
    }

    fn bias_backward(&mut self, d_bias: Span<f32>, dy: Span<f32>) {
        let ((d_bias,), (dy,)) = self.memory.split((d_bias,), (dy,));
        bias::bias_backward(d_bias, dy);
    }

    fn conv_transpose1d(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, bias: Option<Span<f32>>, stride: usize) {
        let sizes = [weight.out_features, weight.in_features];
        let rows = x.len() / weight.in_features;
        self.with_values([y, x], weight, bias, together(rows), |o| {
            conv_transpose1d::conv_transpose1d(o.y, o.x, o.values, o.bias, sizes, stride, o.scratch);
        });
    }

    fn absolute_error(&mut self, losses: Span<f32>, dx: Span<f32>, x: Span<f32>, target: Span<f32>, gradient_scale: f32) {
        let ((losses, dx), (x, target)) = self.memory.split((losses, dx), (x, target));
        regression::absolute_error(losses, dx, x, target, gradient_scale);
    }

    fn squared_error(&mut self, losses: Span<f32>, dx: Span<f32>, x: Span<f32>, target: Span<f32>, gradient_scale: f32) {
        let ((losses, dx), (x, target)) = self.memory.split((losses, dx), (x, target));
        regression::squared_error(losses, dx, x, target, gradient_scale);
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
