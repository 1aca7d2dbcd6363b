//! C = A·B on tensor cores, for sm_80 and later: halves are multiplied, their products added up in `f32`.
//!
//! A float operand is multiplied by the power of two that brings the tensor's largest value to 2¹⁴ … 2¹⁵, and each value becomes the sum of
//! two halves, high + low. What that loses is at most 2⁻²³·|x| + 2⁻³⁹·max|x|: these products are about as good as those of `f32`, but for
//! values that are smaller than the tensor's largest by sixteen powers of two and more. A grid's levels are integers over its denominator; where
//! rows have the scales, on the grids that come here a half holds them exactly. So a product with codes takes two of halves, one of two float
//! operands three: low · low is at most 2⁻²² of the product. Weights whose groups have scales are floats here, worked out where codes are unpacked. Sums of a stage are added to the others outside of the tensor cores, which cut off instead of rounding: a long
//! chain of theirs would drift towards zero (Ootomo and Yokota, "Recovering single precision accuracy from Tensor Cores", 2022).
//!
//! Tiles are those of [`super::gemm`], 128 × 64 with stages of 16 k; a warp has 64 × 32, four by four fragments of 16 × 8. An operand whose k
//! are adjacent in memory is kept as `[row][k]`, rows 48 bytes apart; one whose rows are adjacent as `[k][row]`, padded by 16 bytes, and transposed
//! on its way to registers. Either way `ldmatrix` finds its eight rows in different banks.

use super::gemm::{AcrossK, AlongK, CodesAcrossK, CodesAlongK, Operand, tile};
use super::scaling::{GroupScales, Levels, Scaling, eight_weights};
use super::values::{Element, ValuesMut};
use crate::gpu::matrix::{ldmatrix_x4, ldmatrix_x4_trans, mma_m16n8k16, pack_halves, shared_address, unpack_halves};
use crate::gpu::memory::{aligned, load2, load4_constant, store_words2, store_words4, store2};
use crate::gpu::shared::dynamic_shared_mem;
use crate::gpu::thread::{block_idx_y, sync_threads, thread_idx_x};
use crate::grid::Grid;
use crate::kernels::sizes::half_tiles::{A_PART, ALONG, B_PART, Shared};
use crate::kernels::sizes::tiles::{DEPTH, ROWS};

/// A float operand's power of two and its reciprocal, from the largest absolute value.
#[derive(Clone, Copy)]
pub struct Power {
    up: f32,
    down: f32,
}

impl Power {
    /// Of a tensor whose largest absolute value is at most this.
    #[inline(always)]
    pub fn of(largest: f32) -> Self {
        // Exponents are biased by 127; smaller ones would have a power that is no float.
        let exponent = (largest.to_bits() >> 23).clamp(20, 254);
        Self { up: f32::from_bits((268 - exponent) << 23), down: f32::from_bits((exponent - 14) << 23) }
    }
}

/// High and low part of two values, as halves.
#[inline(always)]
fn split(power: Power, x: [f32; 2]) -> [u32; 2] {
    let x = [x[0] * power.up, x[1] * power.up];
    let high = pack_halves(x[0], x[1]);
    let rounded = unpack_halves(high);
    // Exact in `f32`.
    [high, pack_halves(x[0] - rounded[0], x[1] - rounded[1])]
}

/// Stores the high parts of four adjacent values, and their low parts `part` halves behind.
#[inline(always)]
unsafe fn store_split(power: Power, x: [f32; 4], at: *mut u16, part: usize) {
    let (first, second) = (split(power, [x[0], x[1]]), split(power, [x[2], x[3]]));
    store_words2(at.cast(), [first[0], second[0]]);
    store_words2(at.add(part).cast(), [first[1], second[1]]);
}

/// An operand as halves in shared memory.
pub trait Halves: Operand {
    /// Whether a stage is `[k][row]`.
    const ACROSS: bool;
    /// Whether there is a low part.
    const LOW: bool;
    /// What is looked up for a code of a grid: the bits of a float where there is a low part, else an integer as a half.
    #[inline(always)]
    fn word(grid: &Grid, code: u8) -> u32 {
        if Self::LOW { Self::entry(grid, code).to_bits() } else { pack_halves(f32::from(grid.integers[(code & 15) as usize]), 0.0) }
    }
    /// Stores what `load` gave to a stage's parts, `part` halves apart.
    unsafe fn store_halves(&self, held: Self::Held, power: Power, stage: *mut u16, part: usize, levels: *const u32);
}

impl<const PASSES: usize, T: Element> Halves for AlongK<PASSES, T, true> {
    const ACROSS: bool = false;
    const LOW: bool = true;

    #[inline(always)]
    unsafe fn store_halves(&self, held: Self::Held, power: Power, stage: *mut u16, part: usize, _: *const u32) {
        for pass in 0..PASSES {
            let (row, k) = Self::place(pass);
            store_split(power, held[pass], stage.add((row * ALONG + k) as usize), part);
        }
    }
}

impl<const PASSES: usize, T: Element> Halves for AcrossK<PASSES, T> {
    const ACROSS: bool = true;
    const LOW: bool = true;

    #[inline(always)]
    unsafe fn store_halves(&self, held: Self::Held, power: Power, stage: *mut u16, part: usize, _: *const u32) {
        for pass in 0..PASSES {
            let (row, k) = AcrossK::<PASSES>::place(pass);
            store_split(power, held[pass], stage.add((k * (PASSES as u32 * 32 + 8) + row) as usize), part);
        }
    }
}

/// [`AlongK`] times a factor for each k.
pub struct ScaledAlongK {
    /// The matrix.
    pub matrix: AlongK<4, f32, true>,
    /// The factors, as many as the matrix has columns.
    pub scale: *const f32,
    /// Number of factors.
    pub depth: u32,
}

impl Operand for ScaledAlongK {
    type Held = [[f32; 4]; 4];

    #[inline(always)]
    unsafe fn load(&self, k: u32) -> Self::Held {
        let held = self.matrix.load(k);
        // All passes take the same k.
        let k = k + AlongK::<4, f32, true>::place(0).1;
        let factors: [f32; 4] = if aligned(self.scale) && k + 4 <= self.depth {
            load4_constant(self.scale.add(k as usize))
        } else {
            core::array::from_fn(|i| if k + (i as u32) < self.depth { *self.scale.add(k as usize + i) } else { 0.0 })
        };
        held.map(|values| core::array::from_fn(|i| values[i] * factors[i]))
    }

    #[inline(always)]
    unsafe fn store(&self, held: Self::Held, stage: *mut f32, levels: *const f32) {
        self.matrix.store(held, stage, levels);
    }
}

impl Halves for ScaledAlongK {
    const ACROSS: bool = false;
    const LOW: bool = true;

    #[inline(always)]
    unsafe fn store_halves(&self, held: Self::Held, power: Power, stage: *mut u16, part: usize, levels: *const u32) {
        self.matrix.store_halves(held, power, stage, part, levels);
    }
}

/// The levels of two adjacent codes. No two words of the table share a bank.
#[inline(always)]
unsafe fn pair(levels: *const u32, codes: u32, at: usize) -> u32 {
    let level = |code: u32| *levels.add((code & 15) as usize);
    level(codes >> (8 * at)) | level(codes >> (8 * at + 4)) << 16
}

impl Halves for CodesAlongK<Levels, true> {
    const ACROSS: bool = false;
    const LOW: bool = false;

    #[inline(always)]
    unsafe fn store_halves(&self, (codes, ()): Self::Held, _: Power, stage: *mut u16, _: usize, levels: *const u32) {
        let (row, k) = Self::place();
        store_words4(stage.add((row * ALONG + k) as usize).cast(), core::array::from_fn(|at| pair(levels, codes, at)));
    }
}

impl Halves for CodesAlongK<GroupScales, true> {
    const ACROSS: bool = false;
    const LOW: bool = true;

    #[inline(always)]
    unsafe fn store_halves(&self, (codes, scale): Self::Held, power: Power, stage: *mut u16, part: usize, levels: *const u32) {
        let ((row, k), w) = (Self::place(), eight_weights::<GroupScales>(codes, scale, levels.cast()));
        let at = stage.add((row * ALONG + k) as usize);
        store_split(power, [w[0], w[1], w[2], w[3]], at, part);
        store_split(power, [w[4], w[5], w[6], w[7]], at.add(4), part);
    }
}

/// The scales of a weight's rows belong to the other operand: see [`ScaledAlongK`].
impl Halves for CodesAcrossK<Levels> {
    const ACROSS: bool = true;
    const LOW: bool = false;

    #[inline(always)]
    unsafe fn store_halves(&self, held: Self::Held, _: Power, stage: *mut u16, _: usize, levels: *const u32) {
        for pass in 0..2 {
            let (column, k) = Self::place(pass);
            let at = stage.add((k * (2 * 32 + 8) + column) as usize);
            store_words2(at.cast(), [0, 1].map(|at| pair(levels, held[pass].0.into(), at)));
        }
    }
}

impl Halves for CodesAcrossK<GroupScales> {
    const ACROSS: bool = true;
    const LOW: bool = true;

    #[inline(always)]
    unsafe fn store_halves(&self, held: Self::Held, power: Power, stage: *mut u16, part: usize, levels: *const u32) {
        for pass in 0..2 {
            let ((codes, scale), (column, k)) = (held[pass], Self::place(pass));
            let weights = GroupScales::weights(scale, Self::entries(codes, levels.cast()));
            store_split(power, weights, stage.add((k * (2 * 32 + 8) + column) as usize), part);
        }
    }
}

/// Where C is and what becomes of a sum before it is stored.
pub struct Output {
    /// `[rows, columns]`.
    pub c: ValuesMut,
    /// Rows of C.
    pub rows: u32,
    /// Columns of C.
    pub columns: u32,
    /// Values from one row of C to the next.
    pub stride: u32,
    /// Whether to add to C.
    pub accumulate: bool,
    /// A factor for each column, or null.
    pub column_scale: *const f32,
}

/// A part of k for each of several blocks of a tile, so that a product of few tiles fills the device; `add_parts` adds up their sums.
#[derive(Clone, Copy)]
pub struct Part {
    /// First row of the tile.
    pub row: u32,
    /// The part's place among them.
    pub index: u32,
    /// Its k.
    pub k: [u32; 2],
}

impl Part {
    /// This block's, of so many of a product of so many rows and k: one after another along y.
    #[inline(always)]
    pub fn of(parts: u32, rows: u32, depth: u32) -> Self {
        let tiles = rows.div_ceil(ROWS);
        let (index, each) = (block_idx_y() / tiles, depth.div_ceil(DEPTH).div_ceil(parts) * DEPTH);
        let first = index * each;
        Self { row: block_idx_y() % tiles * ROWS, index, k: [first, depth.min(first + each)] }
    }

    /// A product that is not divided.
    #[inline(always)]
    pub fn whole(depth: u32) -> Self {
        Self { row: tile().0, index: 0, k: [0, depth] }
    }
}

/// This block's tile of the product, or of a part of it. `powers` are those of A and B, of which codes without a low part have none; `grid` is that
/// of codes, if B has any.
#[inline(always)]
pub unsafe fn half_gemm<A: Halves, B: Halves>(output: Output, a: A, b: B, powers: [Power; 2], part: Part, grid: Option<&Grid>) {
    let shared = dynamic_shared_mem::<Shared>();
    let levels = (&raw mut (*shared).levels).cast::<u32>();
    let stage = |index: usize| ((&raw mut (*shared).a[index]).cast::<u16>(), (&raw mut (*shared).b[index]).cast::<u16>());
    let mut unit = powers[1].down;
    if let Some(grid) = grid {
        if !B::LOW {
            unit = 1.0 / grid.denominator().unwrap_or(1) as f32;
        }
        let code = thread_idx_x();
        if code < 16 {
            *levels.add(code as usize) = B::word(grid, code as u8);
        }
    }
    let [mut k, end] = part.k;
    let (mut held_a, mut held_b) = (a.load(k), b.load(k));
    let mut sums = [[[0.0; 4]; 4]; 4];
    let mut current = 0;
    sync_threads();
    while k < end {
        let (to_a, to_b) = stage(current);
        a.store_halves(held_a, powers[0], to_a, A_PART, levels);
        b.store_halves(held_b, powers[1], to_b, B_PART, levels);
        // Who stores to this stage next has passed the barrier after this one, so all have multiplied it by then.
        sync_threads();
        k += DEPTH;
        (held_a, held_b) = (a.load(k), b.load(k));
        multiply::<A, B>(&mut sums, to_a, to_b);
        current ^= 1;
    }
    finish(&output, &sums, part.row, powers[0].down, unit);
}

/// First row and column of this warp in the tile.
#[inline(always)]
fn warp() -> (u32, u32) {
    let warp = thread_idx_x() / 32;
    (warp / 2 * 64, warp % 2 * 32)
}

/// Adds the products of one stage.
#[inline(always)]
unsafe fn multiply<A: Halves, B: Halves>(sums: &mut [[[f32; 4]; 4]; 4], a: *mut u16, b: *mut u16) {
    let ((row, column), lane) = (warp(), thread_idx_x() % 32);
    let (half, eight) = (lane / 8 % 2 * 8, lane % 8);
    // Each lane points to one of the 32 rows of four 8 × 8 matrices: A's run through its rows, then its k; B's the other way round.
    let (a_step, a) = if A::ACROSS {
        (16, a.add(((lane / 16 * 8 + eight) * (ROWS + 8) + row + half) as usize))
    } else {
        (16 * ALONG, a.add(((row + half + eight) * ALONG + lane / 16 * 8) as usize))
    };
    let (b_step, b) = if B::ACROSS {
        (16, b.add(((half + eight) * (2 * 32 + 8) + column + lane / 16 * 8) as usize))
    } else {
        (16 * ALONG, b.add(((column + lane / 16 * 8 + eight) * ALONG + half) as usize))
    };
    let (a, b) = (shared_address(a), shared_address(b));
    let load_a = |at: u32| if A::ACROSS { ldmatrix_x4_trans(at) } else { ldmatrix_x4(at) };
    let load_b = |at: u32| if B::ACROSS { ldmatrix_x4_trans(at) } else { ldmatrix_x4(at) };
    let part = |of: u32, pair: u32| load_b(b + 2 * (of * B_PART as u32 + pair * b_step));
    let b_high = [part(0, 0), part(0, 1)];
    let b_low = if B::LOW { [part(1, 0), part(1, 1)] } else { b_high };
    for i in 0..4 {
        let at = a + 2 * i as u32 * a_step;
        let (high, low) = (load_a(at), load_a(at + 2 * A_PART as u32));
        for j in 0..4 {
            let columns = |b: &[[u32; 4]; 2]| [b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]];
            let mut stage = [0.0; 4];
            mma_m16n8k16(&mut stage, low, columns(&b_high));
            if B::LOW {
                mma_m16n8k16(&mut stage, high, columns(&b_low));
            }
            mma_m16n8k16(&mut stage, high, columns(&b_high));
            for n in 0..4 {
                sums[i][j][n] += stage[n];
            }
        }
    }
}

/// Stores a thread's sums: two adjacent columns of two rows in each fragment.
#[inline(always)]
unsafe fn finish(output: &Output, sums: &[[[f32; 4]; 4]; 4], first_row: u32, a_down: f32, unit: f32) {
    let ((row, column), (_, first_column), lane) = (warp(), tile(), thread_idx_x() % 32);
    for i in 0..4 {
        for j in 0..4 {
            for half in 0..2 {
                let row = first_row + row + 16 * i as u32 + 8 * half as u32 + lane / 4;
                let column = first_column + column + 8 * j as u32 + lane % 4 * 2;
                let sums = [sums[i][j][2 * half], sums[i][j][2 * half + 1]];
                output.store(row, column, sums.map(|sum| sum * a_down * unit));
            }
        }
    }
}

impl Output {
    /// Stores two adjacent sums.
    #[inline(always)]
    unsafe fn store(&self, row: u32, column: u32, mut sums: [f32; 2]) {
        if row >= self.rows || column >= self.columns {
            return;
        }
        let both = column + 1 < self.columns;
        if !self.column_scale.is_null() {
            let scale = self.column_scale.add(column as usize);
            sums = [sums[0] * *scale, if both { sums[1] * *scale.add(1) } else { 0.0 }];
        }
        let c = self.c.skip(row as usize * self.stride as usize + column as usize);
        // Pairs of columns are even: vectors of 8 bytes fit if C and its rows begin on 16 and 8.
        if let Some(c) = c.floats()
            && both
            && self.c.aligned()
            && self.stride.is_multiple_of(2)
        {
            let old = if self.accumulate { load2(c) } else { [0.0; 2] };
            store2(c, [old[0] + sums[0], old[1] + sums[1]]);
        } else {
            for i in 0..2 {
                if i == 0 || both {
                    c.set(i, if self.accumulate { c.values().get(i) + sums[i] } else { sums[i] });
                }
            }
        }
    }
}
