//! The products of a linear layer, on every grid and in float.

use crate::backend::{Backend, BlockWeight, GridWeight, Scales, Storage, Weight};
use crate::files::Dtype;
use crate::files::dequantize::dequantizer;
use crate::memory::Act;
use crate::ops::{Linear, LinearBackwardInput, LinearBackwardWeight, Lookup, LutGemm, LutGemv};
use half::f16;
use primal_device::grid::{self, GROUP, Grid, ScaleForm};

use super::{Format, ROUNDING, formats, sum_of, widen};
use crate::verify::harness::{Case, CaseBuffers, CaseSpans, Data, Slope, Tolerance, below, between, normal, random, unset};
use crate::verify::reference::{self, dot};

/// `[rows, outputs, inputs]`: single values, ragged ends of panels and tiles, depths beyond one packed block, realistic layers.
const SHAPES: [[usize; 3]; 8] =
    [[1, 1, 1], [1, 40, 96], [3, 5, 7], [7, 33, 65], [17, 130, 401], [520, 17, 33], [64, 96, 256], [256, 384, 192]];

/// The two layers of an MLP of `gpt-0.1b`, the largest of the configurations, and its head.
const LARGEST: [[usize; 3]; 3] = [[9, 3072, 768], [9, 768, 3072], [2, 50_257, 768]];

/// What activations lose as integers of 13 bits: half a step of largest/4095, evenly spread.
const ROUNDING_OF_ACTIVATIONS: f64 = 1.0 / 4095.0 / 3.464;

/// Where a grid weight lies among the buffers of a case: codes, then scales; of groups all steps, then all offsets.
#[derive(Clone, Copy)]
pub struct OnGrid {
    pub grid: &'static Grid,
    pub scales: ScaleForm,
    pub codes: usize,
    pub outputs: usize,
    pub inputs: usize,
}

impl OnGrid {
    /// `[codes, scales]`: all levels, scales between 0.5 and 1.5 where levels are at most 1 and smaller where not, as tolerances are for weights near 1.
    pub fn buffers(&self, seed: u64) -> [Data; 2] {
        let grid = self.grid;
        let unit = grid.reach().max(1.0);
        let steps = usize::from(grid.max - grid.min) + 1;
        let codes = below(steps, self.outputs * self.inputs, seed);
        let codes: Vec<u8> = codes.iter().map(|&k| grid.min + k as u8).collect();
        [Data::U8(pack(&codes, self.inputs)), self.scales_between(0.5 / unit, 1.5 / unit, seed + 1)]
    }

    /// Scales within these bounds; of groups every third one is negative, and offsets are at most a quarter.
    pub fn scales_between(&self, low: f32, high: f32, seed: u64) -> Data {
        let groups = self.outputs * grid::groups(self.inputs);
        let steps = || {
            let scales = between(low, high, groups, seed).into_iter().enumerate();
            scales.map(|(i, scale)| f16::from_f32(scale / self.grid.steps() * if i % 3 == 2 { -1.0 } else { 1.0 }))
        };
        match self.scales {
            ScaleForm::Row => Data::F32(between(low, high, self.outputs, seed)),
            ScaleForm::Group32 => Data::F16(steps().collect()),
            ScaleForm::Group32Offset => {
                Data::F16(steps().chain(between(-0.25, 0.25, groups, seed + 1).into_iter().map(f16::from_f32)).collect())
            }
        }
    }

    /// The weight for the back end.
    pub fn weight(&self, s: &CaseSpans) -> Weight {
        let (at, groups) = (self.codes + 1, self.outputs * grid::groups(self.inputs));
        let scales = match self.scales {
            ScaleForm::Row => Scales::Row(s.f(at)),
            ScaleForm::Group32 => Scales::Group32 { step: s.h(at) },
            ScaleForm::Group32Offset => Scales::Group32Offset { step: s.h(at).slice(0, groups), offset: s.h(at).slice(groups, groups) },
        };
        let storage = Storage::Grid(GridWeight { grid: self.grid, codes: s.b(self.codes), scales });
        Weight { out_features: self.outputs, in_features: self.inputs, storage }
    }

    /// The codes of all weights, row by row, without padding.
    pub fn codes(&self, v: &CaseBuffers) -> Vec<u8> {
        unpack(v.b(self.codes), self.inputs)
    }

    /// The levels of all weights.
    pub fn levels(&self, v: &CaseBuffers) -> Vec<f64> {
        self.codes(v).iter().map(|&code| f64::from(self.grid.level(code))).collect()
    }

    /// The scale and the offset of weight `i`, counted without padding: `w = scale · level + offset`.
    pub fn scale(&self, v: &CaseBuffers, i: usize) -> (f64, f64) {
        self.scale_in(v.f(self.codes + 1), i)
    }

    /// As [`scale`](Self::scale), from the values of the second buffer.
    pub fn scale_in(&self, scales: &[f64], i: usize) -> (f64, f64) {
        let (row, group, of_row) = (i / self.inputs, i % self.inputs / GROUP, grid::groups(self.inputs));
        let step = || scales[row * of_row + group] * f64::from(self.grid.steps());
        match self.scales {
            ScaleForm::Row => (scales[row], 0.0),
            ScaleForm::Group32 => (step(), 0.0),
            ScaleForm::Group32Offset => (step(), scales[(self.outputs + row) * of_row + group]),
        }
    }

    /// The values of all weights.
    pub fn values(&self, v: &CaseBuffers) -> Vec<f64> {
        let weight = |(i, level): (usize, &f64)| {
            let (scale, offset) = self.scale(v, i);
            level * scale + offset
        };
        self.levels(v).iter().enumerate().map(weight).collect()
    }

    /// Grid and scales.
    pub fn name(&self) -> String {
        match self.scales {
            ScaleForm::Row => self.grid.name().into(),
            of_groups => format!("{}, {}", self.grid.name(), of_groups.name()),
        }
    }
}

/// Rows of codes, packed, and padded with a code that no op may take for a weight: on most grids a level, on many a rail.
pub fn pack(codes: &[u8], inputs: usize) -> Vec<u8> {
    let mut packed = vec![0; codes.len() / inputs * grid::row_bytes(inputs)];
    for (row, packed) in codes.chunks(inputs).zip(packed.chunks_mut(grid::row_bytes(inputs))) {
        grid::pack_row(row, packed);
        (inputs..grid::padded(inputs)).for_each(|at| grid::set(packed, at, 15));
    }
    packed
}

/// The codes of packed rows.
pub fn unpack(packed: &[u8], inputs: usize) -> Vec<u8> {
    let mut codes = vec![0; packed.len() / grid::row_bytes(inputs) * inputs];
    for (row, packed) in codes.chunks_mut(inputs).zip(packed.chunks(grid::row_bytes(inputs))) {
        grid::unpack_row(packed, row);
    }
    codes
}

/// A weight at buffer 2 of a case.
#[derive(Clone, Copy)]
pub struct Operand {
    kept: Kept,
    pub outputs: usize,
    pub inputs: usize,
}

#[derive(Clone, Copy)]
enum Kept {
    Grid(OnGrid),
    Float,
    Blocks(Dtype),
}

impl Operand {
    /// Whether some devices round a single row's activations by groups of 32.
    fn is_rounded_by_groups(&self) -> bool {
        match self.kept {
            Kept::Grid(w) => w.scales != ScaleForm::Row && w.grid.denominator().is_some(),
            Kept::Float => false,
            Kept::Blocks(dtype) => dtype == Dtype::Q8_0,
        }
    }

    const AT: usize = 2;

    pub fn new(format: Option<Format>, outputs: usize, inputs: usize) -> Self {
        let grid = format.map(|(grid, scales)| OnGrid { grid, scales, codes: Self::AT, outputs, inputs });
        Self { kept: grid.map_or(Kept::Float, Kept::Grid), outputs, inputs }
    }

    fn in_blocks(dtype: Dtype, outputs: usize, inputs: usize) -> Self {
        Self { kept: Kept::Blocks(dtype), outputs, inputs }
    }

    pub fn with(&self, mut buffers: Vec<Data>) -> Vec<Data> {
        match self.kept {
            Kept::Grid(grid) => buffers.extend(grid.buffers(11)),
            Kept::Float => buffers.push(random(self.outputs * self.inputs, 11)),
            Kept::Blocks(dtype) => buffers.push(blocks(dtype, self.outputs * self.inputs)),
        }
        buffers
    }

    pub fn weight(&self, s: &CaseSpans) -> Weight {
        let (out_features, in_features) = (self.outputs, self.inputs);
        let storage = match self.kept {
            Kept::Grid(grid) => return grid.weight(s),
            Kept::Float => Storage::Float(s.f(Self::AT)),
            Kept::Blocks(dtype) => Storage::Blocks(BlockWeight { dtype, bytes: s.b(Self::AT) }),
        };
        Weight { out_features, in_features, storage }
    }

    pub fn values(&self, v: &CaseBuffers) -> Vec<f64> {
        match self.kept {
            Kept::Grid(grid) => grid.values(v),
            Kept::Float => v.f(Self::AT).to_vec(),
            Kept::Blocks(dtype) => {
                let mut values = vec![0.0; self.outputs * self.inputs];
                dequantizer(dtype).expect("a type of floats")(v.b(Self::AT), &mut values);
                widen(&values)
            }
        }
    }

    pub fn name(&self) -> String {
        match self.kept {
            Kept::Grid(grid) => grid.name(),
            Kept::Float => "float".into(),
            Kept::Blocks(dtype) => dtype.name().into(),
        }
    }
}

/// Values up to 1 or 2 in blocks: bytes at random around scales that are halves.
fn blocks(dtype: Dtype, values: usize) -> Data {
    let (of, size) = dtype.block();
    let bytes = below(256, values / of * size, 11).into_iter().map(|byte| byte as u8);
    let mut bytes: Vec<u8> = bytes.collect();
    // Where a block has its scale, and what that is.
    let scale = match dtype {
        Dtype::F16 | Dtype::BF16 => None,
        Dtype::Q8_0 => Some((0, 1.0 / 128.0)),
        Dtype::Q6_K => Some((208, 1.0 / 4096.0)),
        other => panic!("no blocks of {other} here"),
    };
    for block in bytes.chunks_exact_mut(size) {
        match scale {
            Some((at, scale)) => block[at..at + 2].copy_from_slice(&f16::from_f32(scale).to_le_bytes()),
            // No exponent above that of 1.
            None => block[1] = block[1] & 0x83 | 0x38,
        }
    }
    Data::U8(bytes)
}

pub fn rows<B: Backend + 'static>() -> Vec<Case<B>> {
    let mut rows = Vec::new();
    for [tokens, outputs, inputs] in SHAPES {
        for format in formats(tokens * outputs * inputs).map(Some).chain([None]) {
            let w = Operand::new(format, outputs, inputs);
            for stride in strides(outputs) {
                rows.extend(Act::ALL.iter().map(|&act| linear(w, tokens, stride).in_form(act, &[0, 1])));
                rows.extend([false, true].map(|accumulate| backward_input(w, tokens, stride, accumulate)));
            }
        }
        for stride in strides(outputs) {
            for &act in Act::ALL {
                rows.extend(
                    [false, true].map(|accumulate| backward_weight(tokens, outputs, stride, inputs, accumulate).in_form(act, &[2])),
                );
            }
        }
    }
    // Eleven parts of k on tensor cores, of which the last has none.
    rows.extend([false, true].map(|accumulate| backward_weight(1424, 5, 5, 7, accumulate)));
    for (first, count) in [(0, 64), (64, 64), (128, 2), (48, 16)] {
        for &act in Act::ALL {
            rows.extend(strides(130).map(|stride| backward_weight_of_rows(17, (first, count), [130, stride], 65).in_form(act, &[2])));
        }
    }
    for [tokens, outputs, inputs] in LARGEST {
        let w = Operand::new(Some((&grid::PRIME13, ScaleForm::Row)), outputs, inputs);
        let stride = outputs.next_multiple_of(64);
        rows.extend([linear(w, tokens, stride), backward_input(w, tokens, stride, false)]);
        if outputs < 50_257 {
            rows.push(backward_weight(tokens, outputs, stride, inputs, false));
        } else {
            rows.push(lut_gemv(w, true));
        }
    }
    for format in formats(0).map(Some).chain([None]) {
        for [outputs, inputs] in [[1, 1], [5, 7], [33, 65], [192, 768]] {
            let w = Operand::new(format, outputs, inputs);
            rows.extend([false, true].map(|integers| lut_gemv(w, integers)));
            rows.push(lookup(w));
        }
    }
    for &dtype in B::BLOCKS {
        for [tokens, outputs, inputs] in [[1, 5, 256], [7, 40, 512], [70, 130, 768]] {
            let w = Operand::in_blocks(dtype, outputs, inputs);
            rows.extend([linear(w, tokens, outputs), backward_input(w, tokens, outputs, false), lookup(w)]);
            rows.extend([false, true].map(|integers| lut_gemv(w, integers)));
            rows.extend([false, true].map(|integers| lut_gemm(w, tokens, outputs, integers)));
        }
    }
    for format in formats(0).map(Some).chain([None]) {
        for [tokens, outputs, inputs] in [[1, 1, 1], [5, 7, 31], [7, 33, 65], [13, 64, 1100], [300, 40, 96]] {
            let w = Operand::new(format, outputs, inputs);
            rows.extend([(false, outputs), (true, outputs + 3)].map(|(integers, stride)| lut_gemm(w, tokens, stride, integers)));
        }
    }
    rows
}

/// Rows by number, the first, the last and one twice among them.
fn lookup<B: Backend>(w: Operand) -> Case<B> {
    let mut ids: Vec<u32> = below(w.outputs, 9, 3);
    ids.extend([0, w.outputs as u32 - 1, 0]);
    let buffers = w.with(vec![unset(ids.len() * w.inputs), Data::U32(ids)]);
    let op = move |s: &CaseSpans| Lookup { y: s.f(0), weight: w.weight(s), ids: s.u(1) };
    let reference = move |v: &mut CaseBuffers| {
        let values = w.values(v);
        let rows = v.u(1).iter().flat_map(|&id| values[id as usize * w.inputs..][..w.inputs].to_vec()).collect();
        v.set(0, rows);
    };
    Case::new(format!("{} [{}, {}]", w.name(), w.outputs, w.inputs), buffers, op, reference, ROUNDING)
}

/// From row to row of y: rows one after another, and where that makes them ragged, padded as logits are.
fn strides(outputs: usize) -> impl Iterator<Item = usize> {
    let padded = outputs.next_multiple_of(64);
    std::iter::once(outputs).chain((padded != outputs).then_some(padded))
}

fn linear<B: Backend>(w: Operand, tokens: usize, stride: usize) -> Case<B> {
    let buffers = w.with(vec![random(tokens * stride, 31), random(tokens * w.inputs, 1)]);
    let op = move |s: &CaseSpans| Linear { y: s.a(0), x: s.a(1), weight: w.weight(s), rows: tokens };
    let reference = move |v: &mut CaseBuffers| {
        let y = reference::linear(v.f(1), &w.values(v), w.inputs);
        v.set(0, reference::padded(v.f(0), &y, w.outputs, stride));
    };
    Case::new(shape(w, tokens, stride), buffers, op, reference, sum_of(w.inputs, 1.0)).flops(flops(w, tokens))
}

fn shape(w: Operand, tokens: usize, stride: usize) -> String {
    let padded = if stride > w.outputs { format!(", rows of {stride}") } else { String::new() };
    format!("{} [{tokens}, {}] · [{}, {}]ᵀ{padded}", w.name(), w.inputs, w.outputs, w.inputs)
}

fn flops(w: Operand, tokens: usize) -> usize {
    2 * tokens * w.outputs * w.inputs
}

/// Gradients of y, and between its rows what must not count.
fn padded_gradients(tokens: usize, outputs: usize, stride: usize) -> Data {
    let mut all = vec![f32::NAN; tokens * stride];
    for (row, x) in all.chunks_mut(stride).zip(normal(tokens * outputs, 1).chunks(outputs)) {
        row[..outputs].copy_from_slice(x);
    }
    Data::F32(all)
}

/// A gradient buffer: with values where the op adds, without where it overwrites.
pub fn target(len: usize, accumulate: bool) -> Data {
    if accumulate { random(len, 21) } else { unset(len) }
}

pub fn store(v: &mut CaseBuffers, accumulate: bool, x: Vec<f64>) {
    if accumulate { v.add(0, x) } else { v.set(0, x) }
}

fn backward_input<B: Backend>(w: Operand, tokens: usize, stride: usize, accumulate: bool) -> Case<B> {
    let mut buffers = w.with(vec![target(tokens * w.inputs, accumulate), padded_gradients(tokens, w.outputs, stride)]);
    let x = buffers.len();
    // The op does not read x; the gradient mode moves it.
    buffers.push(random(tokens * w.inputs, 2));
    let op = move |s: &CaseSpans| LinearBackwardInput { dx: s.f(0), dy: s.f(1), weight: w.weight(s), rows: tokens, accumulate };
    let dy = move |v: &CaseBuffers| reference::unpadded(v.f(1), w.outputs, stride);
    let reference = move |v: &mut CaseBuffers| store(v, accumulate, reference::linear_backward_input(&dy(v), &w.values(v), w.inputs));
    let loss = move |v: &CaseBuffers| dot(&dy(v), &reference::linear(v.f(x), &w.values(v), w.inputs));
    let slope = if accumulate { Slope::Adds(x, 0) } else { Slope::Overwrites(x, 0) };
    let shape = format!("{}{}", shape(w, tokens, stride), if accumulate { ", adding" } else { "" });
    Case::new(shape, buffers, op, reference, sum_of(w.outputs, 1.0)).gradient(&[slope], loss).flops(flops(w, tokens))
}

/// Some rows of a gradient of `[outputs, inputs]`.
fn backward_weight_of_rows<B: Backend>(
    tokens: usize,
    (first, count): (usize, usize),
    [outputs, stride]: [usize; 2],
    inputs: usize,
) -> Case<B> {
    let buffers = vec![unset(count * inputs), padded_gradients(tokens, outputs, stride), random(tokens * inputs, 2)];
    let op =
        move |s: &CaseSpans| LinearBackwardWeight { dw: s.f(0), first, dy: s.f(1), outputs, x: s.a(2), rows: tokens, accumulate: false };
    let reference = move |v: &mut CaseBuffers| {
        let whole = reference::linear_backward_weight(&reference::unpadded(v.f(1), outputs, stride), v.f(2), tokens);
        v.set(0, whole[first * inputs..][..count * inputs].to_vec());
    };
    let shape = format!("rows {first} to {} of [{outputs}, {inputs}], {tokens} rows of {stride}", first + count);
    Case::new(shape, buffers, op, reference, sum_of(tokens, 1.0)).flops(2 * tokens * count * inputs)
}

fn backward_weight<B: Backend>(tokens: usize, outputs: usize, stride: usize, inputs: usize, accumulate: bool) -> Case<B> {
    let buffers = vec![
        target(outputs * inputs, accumulate),
        padded_gradients(tokens, outputs, stride),
        random(tokens * inputs, 2),
        // The op does not read the weight; the gradient mode moves it.
        random(outputs * inputs, 3),
    ];
    let op = move |s: &CaseSpans| LinearBackwardWeight { dw: s.f(0), first: 0, dy: s.f(1), outputs, x: s.a(2), rows: tokens, accumulate };
    let dy = move |v: &CaseBuffers| reference::unpadded(v.f(1), outputs, stride);
    let reference = move |v: &mut CaseBuffers| store(v, accumulate, reference::linear_backward_weight(&dy(v), v.f(2), tokens));
    let loss = move |v: &CaseBuffers| dot(&dy(v), &reference::linear(v.f(2), v.f(3), inputs));
    let slope = if accumulate { Slope::Adds(3, 0) } else { Slope::Overwrites(3, 0) };
    let w = Operand::new(None, outputs, inputs);
    let shape = format!("{}{}", shape(w, tokens, stride), if accumulate { ", adding" } else { "" });
    Case::new(shape, buffers, op, reference, sum_of(tokens, 1.0)).gradient(&[slope], loss).flops(flops(w, tokens))
}

/// Activations that are 0 and ±4095 survive every rounding, and where they are not rounded by groups, all integers of such magnitudes do, so that the sum
/// must be exact up to its scaling.
fn lut_gemv<B: Backend>(w: Operand, integers: bool) -> Case<B> {
    let by_groups = w.is_rounded_by_groups();
    let x = if integers && by_groups {
        below(3, w.inputs, 1).iter().map(|&x| (x as f32 - 1.0) * 4095.0).collect()
    } else if integers {
        let mut x: Vec<f32> = below(8191, w.inputs, 1).iter().map(|&x| x as f32 - 4095.0).collect();
        x[0] = 4095.0;
        x
    } else {
        normal(w.inputs, 1)
    };
    let largest = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let rounding = if by_groups { ROUNDING_OF_GROUPS } else { ROUNDING_OF_ACTIVATIONS };
    let lost = if integers { 0.0 } else { rounding * f64::from(largest) * 5.0 * (w.inputs as f64).sqrt() };
    let exact = sum_of(w.inputs, if integers { 4095.0 } else { 1.0 });
    let tolerance = Tolerance { absolute: exact.absolute + lost, ..exact };
    let buffers = w.with(vec![unset(w.outputs), Data::F32(x)]);
    let op = move |s: &CaseSpans| LutGemv { y: s.f(0), x: s.f(1), weight: w.weight(s) };
    let reference = move |v: &mut CaseBuffers| v.set(0, reference::linear(v.f(1), &w.values(v), w.inputs));
    let shape = format!("{}{}", shape(w, 1, w.outputs), if integers { ", integers" } else { "" });
    Case::new(shape, buffers, op, reference, tolerance).flops(flops(w, 1))
}

/// What activations lose as integers of a group: half a step of largest/127, evenly spread.
const ROUNDING_OF_GROUPS: f64 = 1.0 / 127.0 / 3.464;

/// Activations that are integers, the largest of each group 127, survive the rounding; others lose by it, even those of a weight that goes another way.
fn lut_gemm<B: Backend>(w: Operand, tokens: usize, stride: usize, integers: bool) -> Case<B> {
    let x = if integers {
        let x = below(255, tokens * w.inputs, 1).into_iter().map(|x| x as f32 - 127.0);
        x.enumerate().map(|(i, x)| if (i % w.inputs).is_multiple_of(GROUP) { -127.0 } else { x }).collect()
    } else {
        normal(tokens * w.inputs, 1)
    };
    let largest = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let lost = if integers { 0.0 } else { ROUNDING_OF_GROUPS * f64::from(largest) * 5.0 * (w.inputs as f64).sqrt() };
    let exact = sum_of(w.inputs, if integers { 127.0 } else { 1.0 });
    let tolerance = Tolerance { absolute: exact.absolute + lost, ..exact };
    let buffers = w.with(vec![random(tokens * stride, 31), Data::F32(x)]);
    let op = move |s: &CaseSpans| LutGemm { y: s.f(0), x: s.a(1), weight: w.weight(s), rows: tokens };
    let reference = move |v: &mut CaseBuffers| {
        let y = reference::linear(v.f(1), &w.values(v), w.inputs);
        v.set(0, reference::padded(v.f(0), &y, w.outputs, stride));
    };
    let shape = format!("{}{}", shape(w, tokens, stride), if integers { ", integers" } else { "" });
    Case::new(shape, buffers, op, reference, tolerance).flops(flops(w, tokens))
}
