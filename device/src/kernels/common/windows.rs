//! Operands of [`super::gemm`] that convolutions are made of: x and dy shifted by taps, and weights tap by tap, none of them copied.
//!
//! k runs over channels within taps. A tap's `period` in k is its number of channels, or that rounded up to [`DEPTH`], so that a stage
//! has one tap; channels beyond are zeros.

use core::cell::Cell;

use super::gemm::{AcrossK, AlongK, CodesAcrossK, CodesAlongK, Operand};
use super::scaling::{Scaling, eight_weights};
use crate::gpu::memory::{aligned, load_constant, load4_constant};
use crate::grid::{GROUP, Grid};
use crate::kernels::sizes::tiles::{B_STRIDE, COLUMNS, DEPTH};

/// Where sequences lie in the rows.
#[derive(Clone, Copy)]
pub struct Sequences {
    /// First rows, `[count + 1]`, or null for sequences of `len` rows.
    pub offsets: *const u32,
    /// Sequences.
    pub count: u32,
    /// Rows of each, where they are equal.
    pub len: u32,
    /// Rows of all.
    pub rows: u32,
}

impl Sequences {
    /// Number, start and end of the sequence that has `row`.
    #[inline(always)]
    pub unsafe fn of(&self, row: u32) -> [u32; 3] {
        if self.offsets.is_null() {
            let sequence = row / self.len;
            return [sequence, sequence * self.len, (sequence + 1) * self.len];
        }
        // offsets[low] ≤ row < offsets[high]
        let (mut low, mut high) = (0, self.count);
        while high - low > 1 {
            let middle = (low + high) / 2;
            if *self.offsets.add(middle as usize) <= row {
                low = middle;
            } else {
                high = middle;
            }
        }
        [low, *self.offsets.add(low as usize), *self.offsets.add(low as usize + 1)]
    }
}

/// Which rows the taps of a row reach: those `first + tap · step` away.
#[derive(Clone, Copy)]
pub struct Taps {
    /// Taps.
    pub count: u32,
    /// Distance of the first.
    pub first: i32,
    /// From tap to tap.
    pub step: i32,
}

/// A row of the tile within its sequence.
#[derive(Clone, Copy)]
struct Row {
    /// The sequence's first row.
    data: *const f32,
    /// Rows of the sequence; 0 for a row beyond the matrix.
    len: u32,
    /// The row that the first tap reaches.
    first: i32,
}

/// Windows of x as A: `(t, k)` is `x[t + first + tap · step][channel]`, or 0 outside of t's sequence, at `k = tap · period + channel`.
///
/// Places as of [`AlongK`]: a thread has two rows, whose sequences it looks up once.
pub struct Windows {
    rows: [Row; 2],
    taps: Taps,
    channels: u32,
    period: u32,
    vectors: bool,
}

impl Windows {
    /// Of rows from `first` on; `data` is `[sequences.rows, channels]`.
    #[inline(always)]
    pub unsafe fn new(data: *const f32, sequences: Sequences, taps: Taps, first: u32, channels: u32, period: u32) -> Self {
        let rows = core::array::from_fn(|half| {
            let row = first + AlongK::<4>::place(2 * half).0;
            if row >= sequences.rows {
                return Row { data, len: 0, first: 0 };
            }
            let [_, start, end] = sequences.of(row);
            let data = data.wrapping_add(start as usize * channels as usize);
            Row { data, len: end - start, first: (row - start) as i32 + taps.first }
        });
        let vectors = aligned(data) && channels.is_multiple_of(4);
        Self { rows, taps, channels, period, vectors }
    }
}

impl Operand for Windows {
    type Held = [[f32; 4]; 4];

    #[inline(always)]
    unsafe fn load(&self, k: u32) -> Self::Held {
        core::array::from_fn(|pass| {
            let row = &self.rows[pass / 2];
            let k = k + AlongK::<4>::place(pass).1;
            let place = |k: u32| {
                let (tap, channel) = (k / self.period, k % self.period);
                // A row before the sequence is far beyond its end as an unsigned number.
                let from = (row.first + tap as i32 * self.taps.step) as u32;
                let inside = tap < self.taps.count && channel < self.channels && from < row.len;
                (row.data.wrapping_add(from as usize * self.channels as usize + channel as usize), inside)
            };
            if self.vectors {
                let (at, inside) = place(k);
                if inside { load4_constant(at) } else { [0.0; 4] }
            } else {
                core::array::from_fn(|i| {
                    let (at, inside) = place(k + i as u32);
                    if inside { *at } else { 0.0 }
                })
            }
        })
    }

    #[inline(always)]
    unsafe fn store(&self, held: Self::Held, stage: *mut f32, _: *const f32) {
        AlongK::<4>::put(held, stage);
    }
}

/// Windows of x as B: k are rows t, column `tap · channels + channel` is `x[t + first + tap · step][channel]`, or 0 outside of t's sequence.
///
/// Places as of [`AcrossK`]: a thread's columns stay, and so do the taps; its rows ascend, and the sequence with them.
pub struct WindowsAcrossK {
    data: *const f32,
    sequences: Sequences,
    taps: Taps,
    channels: u32,
    /// First column of the tile.
    first: u32,
    /// Tap's distance and channel of this thread's first column, if that is one.
    vector: Option<(i32, u32)>,
    /// The sequence of the last row: number, start and end.
    sequence: [Cell<u32>; 3],
}

impl WindowsAcrossK {
    /// Of columns from `first` on; `data` is `[sequences.rows, channels]`.
    #[inline(always)]
    pub unsafe fn new(data: *const f32, sequences: Sequences, taps: Taps, first: u32, channels: u32) -> Self {
        let column = first + AcrossK::<2>::place(0).0;
        let (tap, channel) = (column / channels, column % channels);
        let vectors = aligned(data) && channels.is_multiple_of(4) && tap < taps.count;
        let vector = if vectors { Some((taps.first + tap as i32 * taps.step, channel)) } else { None };
        Self { data, sequences, taps, channels, first, vector, sequence: sequences.of(0).map(Cell::new) }
    }

    /// Start and end of the sequence of `row`, which is not before that of the last call.
    #[inline(always)]
    unsafe fn seek(&self, row: u32) -> [u32; 2] {
        let [number, start, end] = &self.sequence;
        while row >= end.get() {
            number.set(number.get() + 1);
            start.set(end.get());
            let offsets = self.sequences.offsets;
            end.set(if offsets.is_null() { end.get() + self.sequences.len } else { *offsets.add(number.get() as usize + 1) });
        }
        [start.get(), end.get()]
    }
}

impl Operand for WindowsAcrossK {
    type Held = [[f32; 4]; 2];

    #[inline(always)]
    unsafe fn load(&self, k: u32) -> Self::Held {
        core::array::from_fn(|pass| {
            let (column, offset) = AcrossK::<2>::place(pass);
            let row = k + offset;
            if row >= self.sequences.rows {
                return [0.0; 4];
            }
            let [start, end] = self.seek(row);
            let place = |distance: i32, channel: u32| {
                let from = (row as i32 + distance) as u32;
                let inside = from.wrapping_sub(start) < end - start;
                (self.data.wrapping_add(from as usize * self.channels as usize + channel as usize), inside)
            };
            if let Some((distance, channel)) = self.vector {
                let (at, inside) = place(distance, channel);
                if inside { load4_constant(at) } else { [0.0; 4] }
            } else {
                core::array::from_fn(|i| {
                    let column = self.first + column + i as u32;
                    let (tap, channel) = (column / self.channels, column % self.channels);
                    let (at, inside) = place(self.taps.first + tap as i32 * self.taps.step, channel);
                    if inside && tap < self.taps.count { *at } else { 0.0 }
                })
            }
        })
    }

    #[inline(always)]
    unsafe fn store(&self, held: Self::Held, stage: *mut f32, _: *const f32) {
        AcrossK::put(held, stage);
    }
}

/// A convolution's weight as B of its backward pass: k are taps and their output channels, columns input channels.
#[derive(Clone, Copy)]
pub struct TapShape {
    /// Taps.
    pub taps: u32,
    /// Output channels, rows of the weight.
    pub outputs: u32,
    /// Input channels of each tap in such a row.
    pub inputs: u32,
    /// k of a tap, a multiple of [`DEPTH`].
    pub period: u32,
    /// First column of the tile.
    pub first: u32,
}

impl TapShape {
    /// This thread's place of a pass in the weight `[outputs, taps · inputs]`: row and column; none outside of it.
    #[inline(always)]
    fn place(&self, k: u32, pass: usize) -> Option<(u32, u32, u32)> {
        let (column, offset) = AcrossK::<2>::place(pass);
        let (tap, output, column) = (k / self.period, k % self.period + offset, self.first + column);
        let inside = tap < self.taps && output < self.outputs && column < self.inputs;
        inside.then_some((output, tap * self.inputs + column, self.inputs - column))
    }
}

/// Of a float weight `[outputs, taps · inputs]`: places as of [`AcrossK`].
pub struct TapsAcrossK {
    /// Values.
    pub weight: *const f32,
    /// Shape.
    pub shape: TapShape,
}

impl Operand for TapsAcrossK {
    type Held = [[f32; 4]; 2];

    #[inline(always)]
    unsafe fn load(&self, k: u32) -> Self::Held {
        let TapShape { taps, inputs, .. } = self.shape;
        core::array::from_fn(|pass| {
            let Some((row, column, count)) = self.shape.place(k, pass) else { return [0.0; 4] };
            let at = self.weight.wrapping_add(row as usize * (taps as usize * inputs as usize) + column as usize);
            if aligned(self.weight) && inputs.is_multiple_of(4) {
                load4_constant(at)
            } else {
                core::array::from_fn(|i| if (i as u32) < count { *at.add(i) } else { 0.0 })
            }
        })
    }

    #[inline(always)]
    unsafe fn store(&self, held: Self::Held, stage: *mut f32, _: *const f32) {
        AcrossK::put(held, stage);
    }
}

/// Of codes: places as of [`CodesAcrossK`].
pub struct TapCodesAcrossK<S> {
    /// Packed codes.
    pub codes: *const u8,
    /// Their scales.
    pub scaling: S,
    /// Bytes of a packed row.
    pub row_bytes: usize,
    /// Shape.
    pub shape: TapShape,
}

/// Four adjacent codes of a row, which may begin anywhere and be of two groups.
#[derive(Clone, Copy, Default)]
pub struct TapCodes<H> {
    /// The codes, and above them how many are of the first group.
    codes: u32,
    /// The scales of the first and of the last.
    scales: [H; 2],
}

impl<S: Scaling> Operand for TapCodesAcrossK<S> {
    type Held = [TapCodes<S::Held>; 2];

    #[inline(always)]
    fn entry(grid: &Grid, code: u8) -> f32 {
        S::entry(grid, code)
    }

    #[inline(always)]
    unsafe fn load(&self, k: u32) -> Self::Held {
        core::array::from_fn(|pass| {
            let Some((row, column, count)) = self.shape.place(k, pass) else { return Default::default() };
            let codes = self.codes.wrapping_add(row as usize * self.row_bytes);
            let four = if self.shape.inputs.is_multiple_of(4) {
                u32::from(*codes.add(column as usize / 2).cast::<u16>())
            } else {
                let mut four = 0;
                for i in 0..4u32 {
                    let at = column + i;
                    if i < count {
                        four |= u32::from(*codes.add(at as usize / 2) >> (at % 2 * 4) & 15) << (4 * i);
                    }
                }
                four
            };
            let of_first = if S::OF_GROUPS { (GROUP as u32 - column % GROUP as u32).min(4) } else { 4 };
            let scales = [0, 3].map(|i: u32| self.scaling.load(row, column + i.min(count - 1)));
            TapCodes { codes: four | of_first << 16, scales }
        })
    }

    #[inline(always)]
    unsafe fn store(&self, held: Self::Held, stage: *mut f32, levels: *const f32) {
        for pass in 0..2 {
            let TapCodes { codes, scales } = held[pass];
            let entries = CodesAcrossK::<S>::entries(codes as u16, levels);
            let [first, last] = scales.map(|scale| S::weights(scale, entries));
            let weights = core::array::from_fn(|i| if !S::OF_GROUPS || (i as u32) < codes >> 16 { first[i] } else { last[i] });
            CodesAcrossK::<S>::put(pass, weights, stage);
        }
    }
}

/// A transposed convolution's weight `[kernel · outputs, inputs]` as B: column `phase · outputs + output` at `k = i · period + channel` is
/// the weight of tap `stride · (least + i) + phase + half`, or 0 if there is none.
#[derive(Clone, Copy)]
pub struct PhaseShape {
    /// Taps of the weight.
    pub kernel: u32,
    /// Rows of y for one of x.
    pub stride: u32,
    /// Output channels.
    pub outputs: u32,
    /// Input channels.
    pub inputs: u32,
    /// k from one row of x to the one before, a multiple of [`DEPTH`].
    pub period: u32,
    /// First column of the tile.
    pub first: u32,
}

impl PhaseShape {
    /// Rows of y before the first that the first row of x does not reach by its first tap.
    #[inline(always)]
    fn half(&self) -> u32 {
        (self.kernel - self.stride) / 2
    }

    /// Of the tile's columns, how many rows before t in x the nearest and the farthest are that row t's phases take.
    #[inline(always)]
    pub fn reach(&self) -> (i32, i32) {
        let last = (self.first + COLUMNS).min(self.stride * self.outputs) - 1;
        let (low, high) = (self.first / self.outputs, last / self.outputs);
        let farthest = (self.kernel - 1 - low - self.half()) / self.stride;
        (-(((high + self.half()) / self.stride) as i32), farthest as i32)
    }

    /// The weight's row that column `column` of the tile takes for `k`; none outside of it.
    #[inline(always)]
    fn row(&self, column: u32, k: u32) -> Option<u32> {
        let column = self.first + column;
        let (phase, output) = (column / self.outputs, column % self.outputs);
        let tap = self.stride as i32 * (self.reach().0 + (k / self.period) as i32) + (phase + self.half()) as i32;
        (phase < self.stride && (tap as u32) < self.kernel).then_some(tap as u32 * self.outputs + output)
    }
}

/// Of a float weight: places as of [`AlongK`].
pub struct PhasesAlongK {
    /// Values.
    pub weight: *const f32,
    /// Shape.
    pub shape: PhaseShape,
}

impl Operand for PhasesAlongK {
    type Held = [[f32; 4]; 2];

    #[inline(always)]
    unsafe fn load(&self, k: u32) -> Self::Held {
        let inputs = self.shape.inputs;
        core::array::from_fn(|pass| {
            let (column, offset) = AlongK::<2>::place(pass);
            let channel = k % self.shape.period + offset;
            let Some(row) = self.shape.row(column, k) else { return [0.0; 4] };
            let at = self.weight.wrapping_add(row as usize * inputs as usize + channel as usize);
            if aligned(self.weight) && inputs.is_multiple_of(4) && channel < inputs {
                load4_constant(at)
            } else {
                core::array::from_fn(|i| if channel + (i as u32) < inputs { *at.add(i) } else { 0.0 })
            }
        })
    }

    #[inline(always)]
    unsafe fn store(&self, held: Self::Held, stage: *mut f32, _: *const f32) {
        AlongK::<2>::put(held, stage);
    }
}

/// Of codes: places as of [`CodesAlongK`].
pub struct PhaseCodesAlongK<S> {
    /// Packed codes.
    pub codes: *const u8,
    /// Their scales: rows are taps and outputs.
    pub scaling: S,
    /// Bytes of a packed row.
    pub row_bytes: usize,
    /// Shape.
    pub shape: PhaseShape,
}

impl<S: Scaling> Operand for PhaseCodesAlongK<S> {
    /// Eight codes and their scale.
    type Held = (u32, S::Held);

    #[inline(always)]
    fn entry(grid: &Grid, code: u8) -> f32 {
        S::entry(grid, code)
    }

    #[inline(always)]
    unsafe fn load(&self, k: u32) -> Self::Held {
        let (column, offset) = CodesAlongK::<S>::place();
        // Rows are padded to 32 codes, a tap in k to 16; A has zeros for both.
        let channel = k % self.shape.period + offset;
        let Some(row) = self.shape.row(column, k) else { return Default::default() };
        let codes = self.codes.add(row as usize * self.row_bytes + (channel / 2) as usize);
        (load_constant(codes.cast()), self.scaling.load(row, channel))
    }

    #[inline(always)]
    unsafe fn store(&self, (codes, scale): Self::Held, stage: *mut f32, levels: *const f32) {
        let (column, k) = CodesAlongK::<S>::place();
        let at = stage.add(k as usize * B_STRIDE + column as usize);
        let weights = eight_weights::<S>(codes, scale, levels);
        for i in 0..8 {
            *at.add(i * B_STRIDE) = weights[i];
        }
    }
}

/// `channels` rounded up to stages: the period of taps that share no stage.
#[inline(always)]
pub fn padded(channels: u32) -> u32 {
    channels.next_multiple_of(DEPTH)
}
