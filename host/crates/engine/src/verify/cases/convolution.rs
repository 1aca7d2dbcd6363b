//! Convolutions and transposed convolutions, on the grid and in float.

use crate::backend::Backend;
use crate::ops::{BiasBackward, Conv1d, Conv1dBackwardInput, Conv1dBackwardWeight, ConvTranspose1d, ConvolutionShape, DepthwiseConv1d};
use primal_device::grid::{self, ScaleForm};

use super::linear::{Operand, store, target};
use super::{CaseSequences, Format, of_groups, of_rows, sum_of};
use crate::verify::harness::{Case, CaseBuffers, CaseSpans, Data, Slope, random, unset};
use crate::verify::reference::{self, ConvolutionSizes, dot};

/// `[inputs, outputs, kernel, dilation]` and how rows are cut: single values, one tap, sequences shorter than the kernel and empty ones, odd
/// widths, whole and ragged vectors, depths beyond one packed block (cut between taps and within one), more rows than one tile has.
fn shapes() -> Vec<([usize; 4], CaseSequences)> {
    vec![
        ([1, 1, 1, 1], CaseSequences::equal(1, 1)),
        ([3, 5, 1, 1], CaseSequences::equal(2, 7)),
        ([1, 1, 3, 1], CaseSequences::equal(1, 9)),
        ([5, 3, 3, 1], CaseSequences::ragged(&[1, 2, 3, 4])),
        ([4, 7, 9, 1], CaseSequences::ragged(&[3, 1, 0, 12, 0])),
        ([7, 4, 5, 2], CaseSequences::ragged(&[20, 3, 9])),
        ([8, 16, 3, 3], CaseSequences::equal(3, 13)),
        ([16, 24, 7, 12], CaseSequences::ragged(&[50, 1, 90])),
        ([24, 40, 3, 1], CaseSequences::ragged(&[31, 64, 7])),
        ([40, 33, 5, 12], CaseSequences::equal(1, 61)),
        ([80, 64, 7, 1], CaseSequences::equal(1, 70)),
        ([32, 32, 3, 1], CaseSequences::equal(1, 700)),
        ([32, 1, 7, 1], CaseSequences::equal(2, 300)),
        ([130, 17, 5, 1], CaseSequences::ragged(&[100, 29])),
        ([32, 32, 7, 12], CaseSequences::equal(1, 650)),
        ([12, 20, 5, 2], CaseSequences::ragged(&[65, 3, 200])),
        ([96, 16, 5, 6], CaseSequences::equal(2, 150)),
        ([100, 8, 5, 3], CaseSequences::equal(1, 120)),
        // The widest of GhostTTS, and of HiFi-GAN V1.
        ([256, 512, 3, 1], CaseSequences::ragged(&[50, 33])),
        ([256, 256, 11, 5], CaseSequences::equal(1, 80)),
    ]
}

/// Layers of a text-to-speech model in training, and of a vocoder at work.
fn realistic() -> Vec<([usize; 4], CaseSequences)> {
    let speech = || CaseSequences::ragged(&[300, 450, 620, 380, 710, 540, 390, 610, 480, 520, 350, 650]);
    let phones = || CaseSequences::ragged(&[40, 61, 83, 52, 90, 70, 55, 80, 62, 71, 48, 88]);
    let one = |rows| CaseSequences::equal(1, rows);
    vec![
        ([256, 256, 5, 1], speech()),
        ([256, 512, 3, 1], speech()),
        ([256, 256, 5, 1], phones()),
        ([80, 256, 7, 1], one(690)),
        ([128, 128, 3, 1], one(690)),
        ([128, 128, 7, 2], one(690)),
        ([64, 64, 5, 1], one(5512)),
        ([64, 64, 7, 12], one(5512)),
        ([32, 32, 3, 1], one(22050)),
        ([32, 32, 3, 3], one(22050)),
        ([32, 32, 5, 2], one(22050)),
        ([32, 32, 7, 1], one(22050)),
        ([32, 32, 7, 12], one(22050)),
        ([32, 1, 7, 1], one(22050)),
    ]
}

/// `[inputs, outputs, kernel, stride, rows]`.
const TRANSPOSED: [[usize; 5]; 10] = [
    [1, 1, 1, 1, 1],
    [2, 3, 2, 2, 4],
    [3, 2, 4, 2, 1],
    [5, 4, 5, 3, 7],
    [4, 5, 9, 1, 6],
    [8, 16, 16, 8, 3],
    [24, 17, 8, 4, 33],
    [64, 32, 4, 2, 90],
    [33, 7, 12, 2, 2],
    [512, 256, 16, 8, 9],
];

const REALISTIC_TRANSPOSED: [[usize; 5]; 3] = [[256, 128, 16, 8, 86], [128, 64, 16, 8, 690], [64, 32, 8, 4, 5512]];

/// A format with scales of rows and one of groups for the `i`-th shape, and none.
fn some_formats(i: usize) -> impl Iterator<Item = Option<Format>> {
    of_rows(0).cycle().nth(i).into_iter().chain(of_groups(0).cycle().nth(i)).map(Some).chain([None])
}

pub fn rows<B: Backend + 'static>() -> Vec<Case<B>> {
    let mut rows = Vec::new();
    for (i, (sizes, sequences)) in shapes().into_iter().enumerate() {
        // Each format at several shapes, float at all.
        for format in some_formats(i) {
            let of = Conv::new(format, sizes, sequences.clone());
            for accumulate in [false, true] {
                rows.extend([false, true].map(|bias| conv1d(&of, bias, accumulate)));
                rows.push(backward_input(&of, accumulate));
            }
        }
        let of = Conv::new(None, sizes, sequences);
        rows.extend([false, true].map(|bias| depthwise_conv1d(&of, bias)));
        rows.extend([false, true].map(|accumulate| backward_weight(&of, accumulate)));
    }
    for (sizes, sequences) in realistic() {
        let [float, grid] = [None, Some((&grid::UNIFORM15, ScaleForm::Row))].map(|format| Conv::new(format, sizes, sequences.clone()));
        rows.extend([conv1d(&float, true, false), conv1d(&grid, true, false)].map(Case::only_for_speed));
        if sequences.ragged {
            rows.extend([backward_input(&grid, false), backward_weight(&float, false)].map(Case::only_for_speed));
        }
    }
    for (i, sizes) in TRANSPOSED.into_iter().enumerate() {
        for format in some_formats(i) {
            rows.extend([false, true].map(|bias| conv_transpose1d(format, sizes, bias)));
        }
    }
    for sizes in REALISTIC_TRANSPOSED {
        rows.push(conv_transpose1d(None, sizes, true).only_for_speed());
    }
    for [tokens, dim] in [[1, 1], [7, 3], [63, 33], [65, 80], [1000, 64], [6000, 256]] {
        rows.push(bias_backward(tokens, dim));
    }
    rows
}

/// A convolution, the weight at buffer 2.
#[derive(Clone)]
struct Conv {
    sequences: CaseSequences,
    weight: Operand,
    of: ConvolutionSizes,
}

impl Conv {
    fn new(format: Option<Format>, [inputs, outputs, kernel, dilation]: [usize; 4], sequences: CaseSequences) -> Self {
        let of = ConvolutionSizes { offsets: sequences.offsets(), inputs, outputs, kernel, dilation };
        Self { sequences, weight: Operand::new(format, outputs, kernel * inputs), of }
    }

    /// The weight and the offsets after two buffers, and where the offsets are.
    fn with(&self, buffers: Vec<Data>) -> (Vec<Data>, usize) {
        let mut buffers = self.weight.with(buffers);
        buffers.push(Data::U32(self.sequences.offsets()));
        let last = buffers.len() - 1;
        (buffers, last)
    }

    fn shape(&self, s: &CaseSpans, offsets: usize) -> ConvolutionShape {
        ConvolutionShape { sequences: self.sequences.at(s, offsets), kernel: self.of.kernel, dilation: self.of.dilation }
    }

    fn name(&self, extra: &str) -> String {
        let ConvolutionSizes { inputs, outputs, kernel, dilation, .. } = self.of;
        format!("{} {}, {inputs} → {outputs}, {kernel} by {dilation}{extra}", self.weight.name(), self.sequences)
    }

    fn flops(&self) -> usize {
        2 * self.sequences.rows() * self.weight.outputs * self.weight.inputs
    }
}

fn adding(accumulate: bool) -> &'static str {
    if accumulate { ", adding" } else { "" }
}

fn conv1d<B: Backend>(of: &Conv, bias: bool, accumulate: bool) -> Case<B> {
    let (of, rows, outputs) = (of.clone(), of.sequences.rows(), of.of.outputs);
    let (mut buffers, offsets) = of.with(vec![target(rows * outputs, accumulate), random(rows * of.of.inputs, 1)]);
    buffers.push(random(outputs, 2));
    let (name, tolerance, flops) = (of.name(adding(accumulate)), sum_of(of.weight.inputs, 1.0), of.flops());
    let (run_of, name) = (of.clone(), if bias { format!("{name}, bias") } else { name });
    let op = move |s: &CaseSpans| {
        let bias = bias.then(|| s.f(offsets + 1));
        Conv1d { y: s.f(0), x: s.f(1), weight: run_of.weight.weight(s), bias, shape: run_of.shape(s, offsets), accumulate }
    };
    let reference = move |v: &mut CaseBuffers| {
        store(v, accumulate, reference::conv1d(v.f(1), &of.weight.values(v), &of.of));
        if bias {
            v.add(0, reference::bias(v.f(offsets + 1), rows));
        }
    };
    Case::new(name, buffers, op, reference, tolerance).flops(flops)
}

/// Of the case's inputs alone.
fn depthwise_conv1d<B: Backend>(of: &Conv, bias: bool) -> Case<B> {
    let (of, rows) = (of.clone(), of.sequences.rows());
    let ConvolutionSizes { inputs: channels, kernel, dilation, .. } = of.of;
    let buffers = vec![
        unset(rows * channels),
        random(rows * channels, 1),
        random(kernel * channels, 2),
        Data::U32(of.sequences.offsets()),
        random(channels, 3),
    ];
    let name = format!("{}, {channels} channels, {kernel} by {dilation}{}", of.sequences, if bias { ", bias" } else { "" });
    let run_of = of.clone();
    let op = move |s: &CaseSpans| DepthwiseConv1d {
        y: s.f(0),
        x: s.f(1),
        weight: s.f(2),
        bias: bias.then(|| s.f(4)),
        shape: run_of.shape(s, 3),
    };
    let reference = move |v: &mut CaseBuffers| {
        v.set(0, reference::depthwise_conv1d(v.f(1), v.f(2), &of.of));
        if bias {
            v.add(0, reference::bias(v.f(4), rows));
        }
    };
    Case::new(name, buffers, op, reference, sum_of(kernel + 1, 1.0))
}

fn backward_input<B: Backend>(of: &Conv, accumulate: bool) -> Case<B> {
    let (of, rows, inputs) = (of.clone(), of.sequences.rows(), of.of.inputs);
    let (mut buffers, offsets) = of.with(vec![target(rows * inputs, accumulate), random(rows * of.of.outputs, 1)]);
    // The op does not read x; the gradient mode moves it.
    let x = buffers.len();
    buffers.push(random(rows * inputs, 2));
    let (name, tolerance, flops) = (of.name(adding(accumulate)), sum_of(of.of.kernel * of.of.outputs, 1.0), of.flops());
    let (run_of, loss_of) = (of.clone(), of.clone());
    let op = move |s: &CaseSpans| Conv1dBackwardInput {
        dx: s.f(0),
        dy: s.f(1),
        weight: run_of.weight.weight(s),
        shape: run_of.shape(s, offsets),
        accumulate,
    };
    let reference = move |v: &mut CaseBuffers| store(v, accumulate, reference::conv1d_backward_input(v.f(1), &of.weight.values(v), &of.of));
    let loss = move |v: &CaseBuffers| dot(v.f(1), &reference::conv1d(v.f(x), &loss_of.weight.values(v), &loss_of.of));
    let slope = if accumulate { Slope::Adds(x, 0) } else { Slope::Overwrites(x, 0) };
    Case::new(name, buffers, op, reference, tolerance).gradient(&[slope], loss).flops(flops)
}

fn backward_weight<B: Backend>(of: &Conv, accumulate: bool) -> Case<B> {
    let (of, rows, size) = (of.clone(), of.sequences.rows(), of.weight.outputs * of.weight.inputs);
    let buffers = vec![
        target(size, accumulate),
        random(rows * of.of.outputs, 1),
        random(rows * of.of.inputs, 2),
        Data::U32(of.sequences.offsets()),
        // The op does not read the weight; the gradient mode moves it.
        random(size, 3),
    ];
    let (name, tolerance, flops) = (of.name(adding(accumulate)), sum_of(rows, 1.0), of.flops());
    let (run_of, loss_of) = (of.clone(), of.clone());
    let op = move |s: &CaseSpans| Conv1dBackwardWeight { dw: s.f(0), dy: s.f(1), x: s.f(2), shape: run_of.shape(s, 3), accumulate };
    let reference = move |v: &mut CaseBuffers| store(v, accumulate, reference::conv1d_backward_weight(v.f(1), v.f(2), &of.of));
    let loss = move |v: &CaseBuffers| dot(v.f(1), &reference::conv1d(v.f(2), v.f(4), &loss_of.of));
    let slope = if accumulate { Slope::Adds(4, 0) } else { Slope::Overwrites(4, 0) };
    Case::new(name, buffers, op, reference, tolerance).gradient(&[slope], loss).flops(flops)
}

fn conv_transpose1d<B: Backend>(format: Option<Format>, sizes: [usize; 5], bias: bool) -> Case<B> {
    let [inputs, outputs, kernel, stride, rows] = sizes;
    let w = Operand::new(format, kernel * outputs, inputs);
    let mut buffers = w.with(vec![unset(stride * rows * outputs), random(rows * inputs, 1)]);
    let at = buffers.len();
    buffers.push(random(outputs, 2));
    let name = format!("{} {rows} rows, {inputs} → {outputs}, {kernel} by {stride}{}", w.name(), if bias { ", bias" } else { "" });
    let op = move |s: &CaseSpans| ConvTranspose1d { y: s.f(0), x: s.f(1), weight: w.weight(s), bias: bias.then(|| s.f(at)), stride };
    let reference = move |v: &mut CaseBuffers| {
        v.set(0, reference::conv_transpose1d(v.f(1), &w.values(v), [inputs, outputs, kernel, stride]));
        if bias {
            v.add(0, reference::bias(v.f(at), stride * rows));
        }
    };
    let terms = kernel.div_ceil(stride) * inputs;
    Case::new(name, buffers, op, reference, sum_of(terms, 1.0)).flops(2 * rows * kernel * outputs * inputs)
}

fn bias_backward<B: Backend>(rows: usize, dim: usize) -> Case<B> {
    // The op does not read the bias; the gradient mode moves it.
    let buffers = vec![random(dim, 1), random(rows * dim, 2), random(dim, 3)];
    let op = |s: &CaseSpans| BiasBackward { d_bias: s.f(0), dy: s.f(1) };
    let reference = move |v: &mut CaseBuffers| {
        let sums = (0..dim).map(|j| v.f(1).iter().skip(j).step_by(dim).sum()).collect();
        v.add(0, sums);
    };
    let loss = move |v: &CaseBuffers| dot(v.f(1), &reference::bias(v.f(2), rows));
    // Groups of rows are summed first, so that few of the roundings are of a large sum.
    let tolerance = sum_of(64 + rows.div_ceil(64), (rows as f64 / 64.0).sqrt().max(1.0));
    Case::new(format!("[{rows}, {dim}]"), buffers, op, reference, tolerance).gradient(&[Slope::Adds(2, 0)], loss)
}
