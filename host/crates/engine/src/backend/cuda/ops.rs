//! The ops, as launches.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;
use primal_device::grid::VoteBits;
use primal_device::kernels::sizes::heads::WIDTHS;
use primal_device::kernels::{self, attention, attention_backward as backward};
use primal_device::rules::votes::VoteRule;

use super::Cuda;
use crate::Result;
use crate::backend::cuda_plan::MAX_HEAD_DIM;
use crate::backend::{AdamWStep, AttentionShape, Backend, ConvolutionShape, RandomKey, Sequences, Storage, VoteCast, VoteState, Weight};
use crate::memory::Span;

/// A size as kernels take it.
pub(super) fn size(n: usize) -> u32 {
    u32::try_from(n).expect("a dimension fits 32 bits")
}

/// `[outputs, inputs]`.
fn sizes(weight: &Weight) -> [u32; 2] {
    [weight.out_features, weight.in_features].map(size)
}

/// Blocks of so many adjacent weights of a row.
fn blocks(weight: &Weight, len: usize) -> [usize; 2] {
    [weight.out_features * weight.in_features.div_ceil(len), 1]
}

/// Bits of a vote.
fn bits(state: &VoteState) -> u32 {
    if state.bits == VoteBits::Four { 4 } else { 8 }
}

/// The items of the attention kernels, and the sizes that they take.
fn heads_of(shape: AttentionShape) -> ([usize; 2], [u32; 4]) {
    let longest = shape.sequences.longest();
    ([longest, shape.sequences.count() * shape.heads], [longest, shape.heads, shape.head_dim, usize::from(shape.causal)].map(size))
}

/// The sizes that the kernels of convolutions take: sequences, rows of each, rows, outputs, inputs, taps, dilation.
fn convolution(shape: ConvolutionShape, outputs: usize, inputs: usize) -> [u32; 7] {
    let (s, ConvolutionShape { kernel, dilation, .. }) = (shape.sequences, shape);
    [s.count(), s.longest(), s.rows(), outputs, inputs, kernel, dilation].map(size)
}

/// That of the functions for heads of so many values, one for each width.
fn by_width<F: Copy>(head_dim: usize, functions: [F; WIDTHS.len()]) -> F {
    let at = WIDTHS.iter().position(|&width| head_dim <= width);
    functions[at.unwrap_or_else(|| panic!("attention heads of {head_dim} values: the CUDA back end takes up to {MAX_HEAD_DIM}"))]
}

impl Cuda {
    /// The second half of both sums over `n` elements.
    fn finish_sum(&mut self, sum: Span<f32>, partial: *mut f32, n: usize, accumulate: bool) {
        self.kernels.launch(
            [1, 1],
            kernels::reduce::sum_finish(self.w(sum), partial, size(n.div_ceil(kernels::reduce::CHUNK as usize)), u32::from(accumulate)),
        );
    }

    /// Where the sequences' first rows are; null where sequences are equal.
    fn offsets(&self, sequences: Sequences) -> *const u32 {
        match sequences {
            Sequences::Equal { .. } => std::ptr::null(),
            Sequences::Ragged { offsets, .. } => self.r(offsets),
        }
    }

    /// Where a bias is, or null.
    fn bias(&self, bias: Option<Span<f32>>) -> *const f32 {
        bias.map_or(std::ptr::null(), |bias| self.r(bias))
    }
}

/// From row to row of a tensor of so many rows.
fn stride(tensor: Span<f32>, rows: usize) -> usize {
    tensor.len() / rows
}

impl Backend for Cuda {
    fn upload<T: Pod>(&mut self, to: Span<T>, from: &[T]) {
        self.largest.forget(to);
        self.memory.upload(to, from, self.kernels.queue());
    }

    fn download<T: Pod>(&mut self, from: Span<T>, to: &mut [T]) {
        self.memory.download(from, to, self.kernels.queue());
    }

    fn fault(&self) -> Result<()> {
        self.kernels.queue().check()
    }

    fn map(&mut self, file: &Arc<Mmap>, range: Range<usize>) -> Span<u8> {
        self.memory.map(file, range, self.kernels.queue())
    }

    fn copy<T: Pod>(&mut self, to: Span<T>, from: Span<T>) {
        self.largest.forget(to);
        self.memory.copy(to, from, self.kernels.queue());
    }

    fn zero<T: Pod>(&mut self, to: Span<T>) {
        self.largest.forget(to);
        self.memory.zero(to, self.kernels.queue());
    }

    fn embedding(&mut self, y: Span<f32>, table: Span<f32>, positions: Span<f32>, ids: Span<u32>, seq: usize, dim: usize) {
        self.kernels.launch(
            [ids.len(), 1],
            kernels::embedding::embedding(self.w(y), self.r(table), self.r(positions), self.r(ids), size(seq), size(dim)),
        );
    }

    fn embedding_backward(
        &mut self,
        d_table: Span<f32>,
        d_positions: Span<f32>,
        dy: Span<f32>,
        ids: Span<u32>,
        order: Span<u32>,
        seq: usize,
        dim: usize,
    ) {
        let (tokens, k) = (ids.len(), &self.kernels);
        k.launch(
            [tokens, dim],
            kernels::embedding::embedding_backward_table(self.w(d_table), self.r(dy), self.r(ids), self.r(order), size(tokens), size(dim)),
        );
        k.launch(
            [seq, dim],
            kernels::embedding::embedding_backward_positions(self.w(d_positions), self.r(dy), size(tokens), size(seq), size(dim)),
        );
    }

    fn layer_norm(&mut self, y: Span<f32>, mean: Span<f32>, rstd: Span<f32>, x: Span<f32>, gamma: Span<f32>, beta: Span<f32>, dim: usize) {
        let (y, mean_, rstd) = (self.w(y), self.w(mean), self.w(rstd));
        let (x, gamma, beta) = (self.r(x), self.r(gamma), self.r(beta));
        self.kernels.launch([mean.len(), 1], kernels::layer_norm::layer_norm(y, mean_, rstd, x, gamma, beta, size(mean.len()), size(dim)));
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
        let groups = rows.div_ceil(kernels::layer_norm::GROUP as usize);
        let (partial, dy, x, mean, rstd) = (self.scratch(groups * 2 * dim), self.r(dy), self.r(x), self.r(mean), self.r(rstd));
        let (n, d, k) = (size(rows), size(dim), &self.kernels);
        k.launch([rows, 1], kernels::layer_norm::layer_norm_backward_input(self.w(dx), dy, x, mean, rstd, self.r(gamma), n, d));
        k.launch([dim, rows], kernels::layer_norm::layer_norm_backward_parameters(partial, dy, x, mean, rstd, n, d));
        k.launch([dim, 1], kernels::layer_norm::layer_norm_backward_finish(self.w(d_gamma), self.w(d_beta), partial, size(groups), d));
    }

    fn linear(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, rows: usize) {
        let (items, x) = ([weight.out_features, rows], x.slice(0, rows * weight.in_features));
        let [n, outputs, inputs, stride] = [rows, weight.out_features, weight.in_features, stride(y, rows)].map(size);
        let (y, k) = (self.w(y), &self.kernels);
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, scale, grid) = (self.r(w.codes), self.r(w.scale), w.grid as u32);
                if self.on_tensor_cores(w.grid) {
                    let [largest] = self.largest([(x, weight.in_features, weight.in_features)]);
                    k.launch(
                        items,
                        kernels::linear_half::linear_grid_half(y, self.r(x), largest, codes, scale, grid, n, outputs, inputs, stride),
                    );
                } else {
                    k.launch(items, kernels::linear::linear_grid(y, self.r(x), codes, scale, grid, n, outputs, inputs, stride));
                }
            }
            Storage::Float(values) => {
                k.launch(items, kernels::linear::linear_float(y, self.r(x), self.r(values), n, outputs, inputs, stride))
            }
        }
    }

    fn linear_backward_input(&mut self, dx: Span<f32>, dy: Span<f32>, weight: &Weight, rows: usize, accumulate: bool) {
        let (items, apart) = ([weight.in_features, rows], stride(dy, rows));
        let [n, outputs, inputs, stride] = [rows, weight.out_features, weight.in_features, apart].map(size);
        let (dx, add, k) = (self.w(dx), u32::from(accumulate), &self.kernels);
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, scale, grid) = (self.r(w.codes), self.r(w.scale), w.grid as u32);
                if self.on_tensor_cores(w.grid) {
                    let scales = w.scale.len();
                    let [of_dy, of_scale] = self.largest([(dy, weight.out_features, apart), (w.scale, scales, scales)]);
                    let dy = self.r(dy);
                    k.launch(
                        items,
                        kernels::linear_half::linear_backward_input_grid_half(
                            dx, dy, of_dy, codes, scale, of_scale, grid, n, outputs, inputs, stride, add,
                        ),
                    );
                } else {
                    k.launch(
                        items,
                        kernels::linear::linear_backward_input_grid(dx, self.r(dy), codes, scale, grid, n, outputs, inputs, stride, add),
                    );
                }
            }
            Storage::Float(values) => {
                k.launch(
                    items,
                    kernels::linear::linear_backward_input_float(dx, self.r(dy), self.r(values), n, outputs, inputs, stride, add),
                );
            }
        }
    }

    fn linear_backward_weight(&mut self, dw: Span<f32>, dy: Span<f32>, x: Span<f32>, rows: usize, accumulate: bool) {
        let (inputs, apart) = (x.len() / rows, stride(dy, rows));
        let outputs = dw.len() / inputs;
        let [n, o, i, stride] = [rows, outputs, inputs, apart].map(size);
        let (items, dw, add, k) = ([inputs, outputs], self.w(dw), u32::from(accumulate), &self.kernels);
        if k.have_float_tensor_cores() {
            let [of_dy, of_x] = self.largest([(dy, outputs, apart), (x, inputs, inputs)]);
            k.launch(
                items,
                kernels::linear_half::linear_backward_weight_half(dw, self.r(dy), of_dy, self.r(x), of_x, n, o, i, stride, add),
            );
        } else {
            k.launch(items, kernels::linear::linear_backward_weight(dw, self.r(dy), self.r(x), n, o, i, stride, add));
        }
    }

    fn gelu(&mut self, y: Span<f32>, x: Span<f32>) {
        self.kernels.launch([y.len(), 1], kernels::gelu::gelu(self.w(y), self.r(x), size(y.len())));
    }

    fn gelu_backward(&mut self, dx: Span<f32>, dy: Span<f32>, x: Span<f32>) {
        self.kernels.launch([dx.len(), 1], kernels::gelu::gelu_backward(self.w(dx), self.r(dy), self.r(x), size(dx.len())));
    }

    fn add(&mut self, y: Span<f32>, a: Span<f32>, b: Span<f32>) {
        self.kernels.launch([y.len(), 1], kernels::add::add(self.w(y), self.r(a), self.r(b), size(y.len())));
    }

    fn leaky_relu(&mut self, y: Span<f32>, x: Span<f32>, slope: f32) {
        self.kernels.launch([y.len(), 1], kernels::leaky_relu::leaky_relu(self.w(y), self.r(x), size(y.len()), slope));
    }

    fn leaky_relu_backward(&mut self, dx: Span<f32>, dy: Span<f32>, x: Span<f32>, slope: f32) {
        self.kernels
            .launch([dx.len(), 1], kernels::leaky_relu::leaky_relu_backward(self.w(dx), self.r(dy), self.r(x), size(dx.len()), slope));
    }

    fn tanh(&mut self, y: Span<f32>, x: Span<f32>) {
        self.kernels.launch([y.len(), 1], kernels::tanh::tanh_forward(self.w(y), self.r(x), size(y.len())));
    }

    fn tanh_backward(&mut self, dx: Span<f32>, dy: Span<f32>, y: Span<f32>) {
        self.kernels.launch([dx.len(), 1], kernels::tanh::tanh_backward(self.w(dx), self.r(dy), self.r(y), size(dx.len())));
    }

    fn gather(&mut self, y: Span<f32>, table: Span<f32>, ids: Span<u32>, dim: usize, accumulate: bool) {
        self.kernels
            .launch([ids.len(), 1], kernels::gather::gather(self.w(y), self.r(table), self.r(ids), size(dim), u32::from(accumulate)));
    }

    fn gather_backward(&mut self, d_table: Span<f32>, dy: Span<f32>, ids: Span<u32>, dim: usize) {
        let (rows, entries) = (ids.len(), d_table.len() / dim);
        let (extent, d_table, dy, ids) = (self.scratch(2 * entries).cast::<u32>(), self.w(d_table), self.r(dy), self.r(ids));
        self.zero(self.scratch.slice(0, 2 * entries));
        self.kernels.launch([rows, 1], kernels::gather::gather_backward_extent(extent, ids, size(rows)));
        self.kernels.launch([entries, dim], kernels::gather::gather_backward(d_table, dy, ids, extent, size(rows), size(dim)));
    }

    fn conv1d(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, bias: Option<Span<f32>>, shape: ConvolutionShape, accumulate: bool) {
        let (items, inputs) = ([weight.out_features, shape.sequences.rows()], weight.in_features / shape.kernel);
        let [count, len, rows, outputs, inputs, taps, dilation] = convolution(shape, weight.out_features, inputs);
        let (y, x, bias, at, k) = (self.w(y), self.r(x), self.bias(bias), self.offsets(shape.sequences), &self.kernels);
        let add = u32::from(accumulate);
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, scale, grid) = (self.r(w.codes), self.r(w.scale), w.grid as u32);
                k.launch(
                    items,
                    kernels::conv1d::conv1d_grid(
                        y, x, codes, scale, grid, bias, at, count, len, rows, outputs, inputs, taps, dilation, add,
                    ),
                );
            }
            Storage::Float(values) => {
                k.launch(
                    items,
                    kernels::conv1d::conv1d_float(y, x, self.r(values), bias, at, count, len, rows, outputs, inputs, taps, dilation, add),
                );
            }
        }
    }

    fn conv1d_backward_input(&mut self, dx: Span<f32>, dy: Span<f32>, weight: &Weight, shape: ConvolutionShape, accumulate: bool) {
        let inputs = weight.in_features / shape.kernel;
        let items = [inputs, shape.sequences.rows()];
        let [count, len, rows, outputs, inputs, taps, dilation] = convolution(shape, weight.out_features, inputs);
        let (dx, dy, at, k, add) = (self.w(dx), self.r(dy), self.offsets(shape.sequences), &self.kernels, u32::from(accumulate));
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, scale, grid) = (self.r(w.codes), self.r(w.scale), w.grid as u32);
                k.launch(
                    items,
                    kernels::conv1d::conv1d_backward_input_grid(
                        dx, dy, codes, scale, grid, at, count, len, rows, outputs, inputs, taps, dilation, add,
                    ),
                );
            }
            Storage::Float(values) => {
                k.launch(
                    items,
                    kernels::conv1d::conv1d_backward_input_float(
                        dx,
                        dy,
                        self.r(values),
                        at,
                        count,
                        len,
                        rows,
                        outputs,
                        inputs,
                        taps,
                        dilation,
                        add,
                    ),
                );
            }
        }
    }

    fn conv1d_backward_weight(&mut self, dw: Span<f32>, dy: Span<f32>, x: Span<f32>, shape: ConvolutionShape, accumulate: bool) {
        let n = shape.sequences.rows();
        let (outputs, inputs) = (dy.len() / n, x.len() / n);
        let items = [shape.kernel * inputs, outputs];
        let [count, len, rows, outputs, inputs, taps, dilation] = convolution(shape, outputs, inputs);
        let (dw, dy, x, at) = (self.w(dw), self.r(dy), self.r(x), self.offsets(shape.sequences));
        let add = u32::from(accumulate);
        self.kernels
            .launch(items, kernels::conv1d::conv1d_backward_weight(dw, dy, x, at, count, len, rows, outputs, inputs, taps, dilation, add));
    }

    fn bias_backward(&mut self, d_bias: Span<f32>, dy: Span<f32>) {
        let dim = d_bias.len();
        let rows = dy.len() / dim;
        let groups = rows.div_ceil(kernels::bias_backward::GROUP as usize);
        let (partial, d_bias, dy) = (self.scratch(groups * dim), self.w(d_bias), self.r(dy));
        self.kernels.launch([dim, rows], kernels::bias_backward::bias_backward_groups(partial, dy, size(rows), size(dim)));
        self.kernels.launch([dim, 1], kernels::bias_backward::bias_backward_finish(d_bias, partial, size(groups), size(dim)));
    }

    fn conv_transpose1d(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, bias: Option<Span<f32>>, stride: usize) {
        let rows = x.len() / weight.in_features;
        let outputs = y.len() / (rows * stride);
        let (items, kernel) = ([stride * outputs, rows], weight.out_features / outputs);
        let [rows, outputs, inputs, kernel, stride] = [rows, outputs, weight.in_features, kernel, stride].map(size);
        let (y, x, bias, k) = (self.w(y), self.r(x), self.bias(bias), &self.kernels);
        match weight.storage {
            Storage::Grid(w) => {
                let (codes, scale, grid) = (self.r(w.codes), self.r(w.scale), w.grid as u32);
                k.launch(
                    items,
                    kernels::conv_transpose1d::conv_transpose1d_grid(y, x, codes, scale, grid, bias, rows, outputs, inputs, kernel, stride),
                );
            }
            Storage::Float(values) => k.launch(
                items,
                kernels::conv_transpose1d::conv_transpose1d_float(y, x, self.r(values), bias, rows, outputs, inputs, kernel, stride),
            ),
        }
    }

    fn absolute_error(&mut self, losses: Span<f32>, dx: Span<f32>, x: Span<f32>, target: Span<f32>, gradient_scale: f32) {
        let (rows, dim, x, target) = (losses.len(), x.len() / losses.len(), self.r(x), self.r(target));
        self.kernels.launch(
            [rows, 1],
            kernels::absolute_error::absolute_error(self.w(losses), self.w(dx), x, target, size(rows), size(dim), gradient_scale),
        );
    }

    fn squared_error(&mut self, losses: Span<f32>, dx: Span<f32>, x: Span<f32>, target: Span<f32>, gradient_scale: f32) {
        let (rows, dim, x, target) = (losses.len(), x.len() / losses.len(), self.r(x), self.r(target));
        self.kernels.launch(
            [rows, 1],
            kernels::squared_error::squared_error(self.w(losses), self.w(dx), x, target, size(rows), size(dim), gradient_scale),
        );
    }

    fn cross_entropy(&mut self, logits: Span<f32>, losses: Span<f32>, targets: Span<u32>, vocab: usize, gradient_scale: f32) {
        let items = [losses.len(), 1];
        let stride = size(stride(logits, losses.len()));
        self.kernels.launch(
            items,
            kernels::cross_entropy::cross_entropy(self.w(logits), self.w(losses), self.r(targets), size(vocab), stride, gradient_scale),
        );
    }

    fn sum(&mut self, sum: Span<f32>, x: Span<f32>) {
        let partial = self.scratch(x.len().div_ceil(kernels::reduce::CHUNK as usize));
        self.kernels.launch([x.len(), 1], kernels::reduce::sum_chunks(partial, self.r(x), size(x.len())));
        self.finish_sum(sum, partial, x.len(), false);
    }

    fn sum_squares(&mut self, sum: Span<f32>, x: Span<f32>) {
        let partial = self.scratch(x.len().div_ceil(kernels::reduce::CHUNK as usize));
        self.kernels.launch([x.len(), 1], kernels::reduce::sum_squares_chunks(partial, self.r(x), size(x.len())));
        self.finish_sum(sum, partial, x.len(), true);
    }

    fn adamw(&mut self, value: Span<f32>, gradient: Span<f32>, moments: [Span<f32>; 2], norm_squared: Span<f32>, step: &AdamWStep) {
        let AdamWStep { beta1, beta2, eps, max_norm, floor, .. } = *step;
        let (value_, gradient, [m, v], norm) = (self.w(value), self.r(gradient), moments.map(|m| self.w(m)), self.r(norm_squared));
        let [rate, keep, second] = step.factors();
        let n = value.len();
        self.kernels.launch(
            [n, 1],
            kernels::adamw::adamw(value_, gradient, m, v, norm, size(n), max_norm, rate, keep, second, beta1, beta2, eps, floor),
        );
    }

    fn attention(&mut self, out: Span<f32>, lse: Span<f32>, q: Span<f32>, k: Span<f32>, v: Span<f32>, shape: AttentionShape) {
        let ((items, [seq, heads, dim, causal]), at) = (heads_of(shape), self.offsets(shape.sequences));
        let (out, lse, q, k, v) = (self.w(out), self.w(lse), self.r(q), self.r(k), self.r(v));
        let call = by_width(shape.head_dim, [attention::attention_32, attention::attention_64, attention::attention_128]);
        self.kernels.launch(items, call(out, lse, q, k, v, at, seq, heads, dim, causal));
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
        let ((items, [seq, heads, dim, causal]), at) = (heads_of(shape), self.offsets(shape.sequences));
        let (delta, d_out, out, lse) = (self.scratch(lse.len()), self.r(d_out), self.r(out), self.r(lse));
        let (q, k, v) = (self.r(q), self.r(k), self.r(v));
        self.kernels.launch(items, backward::attention_backward_delta(delta, d_out, out, at, seq, heads, dim, causal));
        let query = [backward::attention_backward_query_32, backward::attention_backward_query_64, backward::attention_backward_query_128];
        let call = by_width(shape.head_dim, query);
        self.kernels.launch(items, call(self.w(dq), d_out, lse, delta, q, k, v, at, seq, heads, dim, causal));
        let key_value = [
            backward::attention_backward_key_value_32,
            backward::attention_backward_key_value_64,
            backward::attention_backward_key_value_128,
        ];
        let call = by_width(shape.head_dim, key_value);
        self.kernels.launch(items, call(self.w(dk), self.w(dv), d_out, lse, delta, q, k, v, at, seq, heads, dim, causal));
    }

    fn cached_attention(&mut self, out: Span<f32>, q: Span<f32>, k: Span<f32>, v: Span<f32>, heads: usize) {
        let (dim, tokens) = (q.len() / heads, k.len() / q.len());
        let (out, q, k, v) = (self.w(out), self.r(q), self.r(k), self.r(v));
        self.kernels.launch([heads, 1], kernels::cached_attention::cached_attention(out, q, k, v, size(tokens), size(heads), size(dim)));
    }

    fn scale_gradient(&mut self, d_scale: Span<f32>, dw: Span<f32>, weight: &Weight) {
        let (w, [outputs, inputs]) = (weight.grid(), sizes(weight));
        let (d_scale, dw, codes) = (self.w(d_scale), self.r(dw), self.r(w.codes));
        self.kernels
            .launch([weight.out_features, 1], kernels::scale_gradient::scale_gradient(d_scale, dw, codes, w.grid as u32, outputs, inputs));
    }

    fn vote(&mut self, weight: &Weight, state: &VoteState, dw: Span<f32>, cast: &VoteCast) {
        let (w, k, [outputs, inputs]) = (weight.grid(), &self.kernels, sizes(weight));
        let (rows, columns) = (weight.out_features, weight.in_features);
        let mean = self.scratch(kernels::vote::FACTORS_AT + columns + rows.div_ceil(kernels::vote::GROUP as usize) * columns);
        let factor = mean.wrapping_add(kernels::vote::FACTORS_AT);
        let partial = factor.wrapping_add(columns);
        let (row, column, dw) = (self.w(state.row), self.w(state.column), self.r(dw));
        k.launch([rows, 1], kernels::vote::vote_rows(row, dw, outputs, inputs, cast.beta2));
        k.launch([1, 1], kernels::vote::vote_mean(mean, row, outputs));
        k.launch([columns, rows], kernels::vote::vote_columns(partial, dw, outputs, inputs));
        k.launch([columns, 1], kernels::vote::vote_factors(factor, column, partial, outputs, inputs, cast.beta2, cast.bias_correction));
        let (RandomKey { seed, tensor, step }, VoteRule { max, quantum, .. }) = (cast.key, cast.rule);
        let (votes, bits, codes, scale) = (self.w(state.votes), bits(state), self.r(w.codes), self.r(w.scale));
        let (items, grid) = (blocks(weight, 16), w.grid as u32);
        k.launch(
            items,
            kernels::vote::vote(
                votes, bits, row, mean, factor, dw, codes, scale, grid, outputs, inputs, cast.lr, max, quantum, seed, tensor, step,
            ),
        );
    }

    fn flip(&mut self, weight: &Weight, state: &VoteState, rule: &VoteRule, counts: Span<u32>) {
        self.zero(counts);
        let (w, [outputs, inputs]) = (weight.grid(), sizes(weight));
        let (codes, votes, counts) = (self.w(w.codes), self.w(state.votes), self.w(counts));
        let (items, grid, VoteRule { threshold, consumed, .. }) = (blocks(weight, 16), w.grid as u32, *rule);
        self.kernels.launch(items, kernels::flip::flip(codes, votes, bits(state), counts, grid, outputs, inputs, threshold, consumed));
    }

    fn rescale_rows(&mut self, weight: &Weight, state: &VoteState, rule: &VoteRule, share: f32, factor: f32) {
        let (w, [_, inputs]) = (weight.grid(), sizes(weight));
        let (codes, scale, votes) = (self.w(w.codes), self.w(w.scale), self.w(state.votes));
        let (items, grid, VoteRule { max, quantum, .. }) = ([weight.out_features, 1], w.grid as u32, *rule);
        self.kernels.launch(
            items,
            kernels::rescale_rows::rescale_rows(codes, scale, votes, bits(state), grid, inputs, max, quantum, share, factor),
        );
    }

    fn poltergeist_vote(&mut self, weight: &Weight, votes: Span<u8>, dw: Span<f32>, z: f32) {
        let (w, k, [outputs, inputs]) = (weight.grid(), &self.kernels, sizes(weight));
        let (rows, cutoff) = (weight.out_features, self.scratch(1 + 2 * weight.out_features));
        let (sums, dw) = (cutoff.wrapping_add(1), self.r(dw));
        k.launch([rows, 1], kernels::poltergeist::poltergeist_rows(sums, dw, outputs, inputs));
        k.launch([1, 1], kernels::poltergeist::poltergeist_cutoff(cutoff, sums, outputs, inputs, z));
        k.launch(
            [rows * weight.in_features, 1],
            kernels::poltergeist::poltergeist_vote(self.w(votes), dw, self.r(w.scale), cutoff, outputs, inputs),
        );
    }

    fn poltergeist_flip(&mut self, weight: &Weight, votes: Span<u8>, consensus: u32, key: RandomKey, counts: Span<u32>) {
        self.zero(counts);
        let (w, [outputs, inputs], RandomKey { seed, tensor, step }) = (weight.grid(), sizes(weight), key);
        let (codes, votes, scale, counts) = (self.w(w.codes), self.w(votes), self.r(w.scale), self.w(counts));
        let (items, grid, consensus) = (blocks(weight, 4), w.grid as u32, consensus as i32);
        self.kernels.launch(
            items,
            kernels::poltergeist::poltergeist_flip(codes, votes, scale, counts, grid, outputs, inputs, consensus, seed, tensor, step),
        );
    }

    fn quantize(&mut self, weight: &Weight, shadow: Span<f32>, counts: Span<u32>) {
        self.zero(counts);
        let (w, [outputs, inputs]) = (weight.grid(), sizes(weight));
        let (codes, scale, shadow, counts) = (self.w(w.codes), self.r(w.scale), self.r(shadow), self.w(counts));
        self.kernels.launch(blocks(weight, 4), kernels::quantize::quantize(codes, scale, shadow, counts, w.grid as u32, outputs, inputs));
    }

    fn straight_through(&mut self, d_shadow: Span<f32>, d_scale: Span<f32>, dw: Span<f32>, shadow: Span<f32>, weight: &Weight) {
        let (w, [outputs, inputs], items) = (weight.grid(), sizes(weight), [weight.out_features, 1]);
        let (d_shadow, d_scale, dw, shadow) = (self.w(d_shadow), self.w(d_scale), self.r(dw), self.r(shadow));
        let (codes, scale) = (self.r(w.codes), self.r(w.scale));
        self.kernels.launch(
            items,
            kernels::quantize::straight_through(d_shadow, d_scale, dw, shadow, codes, scale, w.grid as u32, outputs, inputs),
        );
    }

    fn level_histogram(&mut self, counts: Span<u32>, weight: &Weight) {
        self.zero(counts);
        let (w, [outputs, inputs]) = (weight.grid(), sizes(weight));
        self.kernels
            .launch(blocks(weight, 16), kernels::level_histogram::level_histogram(self.w(counts), self.r(w.codes), outputs, inputs));
    }

    fn lut_gemv(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight) {
        let Storage::Grid(w) = weight.storage else { return self.linear(y, x, weight, 1) };
        let (k, [outputs, inputs]) = (&self.kernels, sizes(weight));
        // The step, sixteen values for alignment, then two integers a value of scratch.
        let step = self.scratch(kernels::lut_gemv::QUANTIZED_AT + weight.in_features.next_multiple_of(kernels::lut_gemv::STEP) / 2);
        let q = step.wrapping_add(kernels::lut_gemv::QUANTIZED_AT).cast::<u32>();
        k.launch([1, 1], kernels::lut_gemv::lut_gemv_quantize(q, step, self.r(x), inputs));
        let (y, codes, scale) = (self.w(y), self.r(w.codes), self.r(w.scale));
        k.launch([weight.out_features, 1], kernels::lut_gemv::lut_gemv(y, q, step, codes, scale, w.grid as u32, outputs, inputs));
    }
}
