//! C = A·B in `f32`: tiles of 128 × 64 on 128 threads, 8 × 8 sums in the registers of each, two stages of shared memory.
//!
//! Every element is one chain of fused multiply-adds in the order of k. A stage holds 16 k of both operands as `[k][row]`, rows padded by four
//! floats. In the main loop a warp reads A at four addresses and B at eight that follow each other, so that no banks conflict; nor do
//! they where operands are stored: see the operands.

use super::scaling::{Scaling, eight_weights};
use super::values::{Element, ValuesMut};
use crate::gpu::memory::{aligned, load_constant, load4, store4};
use crate::gpu::thread::{block_idx_x, block_idx_y, sync_threads, thread_idx_x};
use crate::gpu::{GpuFloat, shared::dynamic_shared_mem};
use crate::grid::Grid;
use crate::kernels::sizes::tiles::{A_STRIDE, B_STRIDE, COLUMNS, DEPTH, ROWS, Shared, THREADS};

/// A stage of an operand on its way: loaded to registers while the stage before is multiplied, then stored to shared memory.
pub trait Operand {
    /// What a thread holds.
    type Held: Copy;
    /// What is looked up for a code of a grid.
    #[inline(always)]
    fn entry(grid: &Grid, code: u8) -> f32 {
        grid.level(code)
    }
    /// Loads this thread's part of the k from `k` on; zeros outside of the operand.
    unsafe fn load(&self, k: u32) -> Self::Held;
    /// Stores it to `stage`, `[DEPTH][stride]`.
    unsafe fn store(&self, held: Self::Held, stage: *mut f32, levels: *const f32);
}

/// `(i, k)` is `data[i · stride + k]`: `PASSES` · 32 rows from `first` on, of `rows`; `depth` k.
///
/// Eight lanes take eight rows, the next eight their next four k: a sector of each row. In a stage of floats half of a warp's 32 values of a
/// k are 16 banks from the other half, so that none conflict. If `WHOLE`, four lanes take a row's 16 k, so that eight touch two rows in place of eight: for
/// stages that are `[row][k]`.
pub struct AlongK<const PASSES: usize, T = f32, const WHOLE: bool = false> {
    data: *const T,
    stride: usize,
    first: u32,
    rows: u32,
    depth: u32,
    vectors: bool,
}

impl<const PASSES: usize, T, const WHOLE: bool> AlongK<PASSES, T, WHOLE> {
    /// Rows `first..rows` of a matrix of `depth` columns.
    #[inline(always)]
    pub fn new(data: *const T, first: u32, rows: u32, depth: u32) -> Self {
        Self::strided(data, first, rows, depth, depth)
    }

    /// Rows `first..rows` of a matrix of `depth` columns, whose rows are `stride` values apart.
    #[inline(always)]
    pub fn strided(data: *const T, first: u32, rows: u32, depth: u32, stride: u32) -> Self {
        Self { data, stride: stride as usize, first, rows, depth, vectors: aligned(data) && stride.is_multiple_of(4) }
    }
}

impl<const PASSES: usize, T, const WHOLE: bool> AlongK<PASSES, T, WHOLE> {
    /// Row in the tile and k in the stage of a pass.
    #[inline(always)]
    pub fn place(pass: usize) -> (u32, u32) {
        let thread = thread_idx_x();
        if WHOLE {
            // Even rows, then odd ones: rows are 48 bytes apart in a stage, so that the 32 bytes of four even ones, or odd ones, fill all banks once.
            let row = pass as u32 * 32 + thread / 32 * 8 + thread / 4 % 4 * 2 + thread / 16 % 2;
            return (row, thread % 4 * 4);
        }
        let row = (pass as u32 / 2) * 64 + thread / 16 * 8 + thread % 8;
        (row, (pass as u32 % 2) * 8 + thread / 8 % 2 * 4)
    }

    /// Stores what a thread holds of the places.
    #[inline(always)]
    pub unsafe fn put(held: [[f32; 4]; PASSES], stage: *mut f32) {
        let stride = PASSES * 32 + 4;
        for pass in 0..PASSES {
            let (row, k) = Self::place(pass);
            for i in 0..4 {
                *stage.add((k as usize + i) * stride + row as usize) = held[pass][i];
            }
        }
    }
}

impl<const PASSES: usize, T: Element, const WHOLE: bool> Operand for AlongK<PASSES, T, WHOLE> {
    type Held = [[f32; 4]; PASSES];

    #[inline(always)]
    unsafe fn load(&self, k: u32) -> Self::Held {
        core::array::from_fn(|pass| {
            let (row, offset) = Self::place(pass);
            let (row, k) = (self.first + row, k + offset);
            let at = self.data.wrapping_add(row as usize * self.stride + k as usize);
            if row >= self.rows {
                [0.0; 4]
            } else if self.vectors && k + 4 <= self.depth {
                T::load4_constant(at)
            } else {
                core::array::from_fn(|i| if k + (i as u32) < self.depth { T::get(at.add(i)) } else { 0.0 })
            }
        })
    }

    #[inline(always)]
    unsafe fn store(&self, held: Self::Held, stage: *mut f32, _: *const f32) {
        Self::put(held, stage);
    }
}

/// `(i, k)` is `data[k · stride + i]`: `PASSES` · 32 rows from `first` on, of `rows`; `depth` k.
///
/// A vector of rows a thread, so that a warp takes whole lines; stored as vectors.
pub struct AcrossK<const PASSES: usize, T = f32> {
    data: *const T,
    stride: usize,
    first: u32,
    rows: u32,
    depth: u32,
    vectors: bool,
}

impl<const PASSES: usize, T> AcrossK<PASSES, T> {
    /// Columns `first..rows` of a matrix of `depth` rows.
    #[inline(always)]
    pub fn new(data: *const T, first: u32, rows: u32, depth: u32) -> Self {
        Self::strided(data, first, rows, depth, rows)
    }

    /// Columns `first..rows` of a matrix of `depth` rows, which are `stride` values apart.
    #[inline(always)]
    pub fn strided(data: *const T, first: u32, rows: u32, depth: u32, stride: u32) -> Self {
        Self { data, stride: stride as usize, first, rows, depth, vectors: aligned(data) && stride.is_multiple_of(4) }
    }
}

impl<const PASSES: usize> AcrossK<PASSES> {
    /// Row in the tile and k in the stage of a pass.
    #[inline(always)]
    pub fn place(pass: usize) -> (u32, u32) {
        let (index, across) = (pass as u32 * THREADS + thread_idx_x(), PASSES as u32 * 8);
        (index % across * 4, index / across)
    }

    /// Stores what a thread holds of the places.
    #[inline(always)]
    pub unsafe fn put(held: [[f32; 4]; PASSES], stage: *mut f32) {
        let stride = PASSES * 32 + 4;
        for pass in 0..PASSES {
            let (row, k) = Self::place(pass);
            store4(stage.add(k as usize * stride + row as usize), held[pass]);
        }
    }
}

impl<const PASSES: usize, T: Element> Operand for AcrossK<PASSES, T> {
    type Held = [[f32; 4]; PASSES];

    #[inline(always)]
    unsafe fn load(&self, k: u32) -> Self::Held {
        core::array::from_fn(|pass| {
            let (row, offset) = AcrossK::<PASSES>::place(pass);
            let (row, k) = (self.first + row, k + offset);
            let at = self.data.wrapping_add(k as usize * self.stride + row as usize);
            if k >= self.depth {
                [0.0; 4]
            } else if self.vectors && row + 4 <= self.rows {
                T::load4_constant(at)
            } else {
                core::array::from_fn(|i| if row + (i as u32) < self.rows { T::get(at.add(i)) } else { 0.0 })
            }
        })
    }

    #[inline(always)]
    unsafe fn store(&self, held: Self::Held, stage: *mut f32, _: *const f32) {
        AcrossK::put(held, stage);
    }
}

/// Wᵀ from codes, as B: k runs along the weight's rows, columns are its output features. Scales of rows are better left to the columns.
///
/// A thread takes eight codes of one row, all of one group; a warp 32 rows, which it stores to 32 adjacent banks, or all 16 k of 16 rows if `WHOLE`,
/// for stages that are `[row][k]`.
pub struct CodesAlongK<S, const WHOLE: bool = false> {
    /// Packed codes.
    pub codes: *const u8,
    /// Their scales.
    pub scaling: S,
    /// Bytes of a packed row.
    pub row_bytes: usize,
    /// First output feature of the tile.
    pub first: u32,
    /// Output features.
    pub outputs: u32,
}

impl<S, const WHOLE: bool> CodesAlongK<S, WHOLE> {
    /// Row in the tile and first k in the stage of this thread.
    #[inline(always)]
    pub fn place() -> (u32, u32) {
        if WHOLE {
            return (thread_idx_x() / 16 * 8 + thread_idx_x() % 8, thread_idx_x() / 8 % 2 * 8);
        }
        (thread_idx_x() % COLUMNS, thread_idx_x() / COLUMNS * 8)
    }
}

impl<S: Scaling, const WHOLE: bool> Operand for CodesAlongK<S, WHOLE> {
    /// Codes and their scale.
    type Held = (u32, S::Held);

    #[inline(always)]
    fn entry(grid: &Grid, code: u8) -> f32 {
        S::entry(grid, code)
    }

    #[inline(always)]
    unsafe fn load(&self, k: u32) -> Self::Held {
        let (row, offset) = Self::place();
        let (row, k) = (self.first + row, k + offset);
        // Rows are padded to 32 codes, and A has zeros for them.
        let byte = k as usize / 2;
        let at = self.codes.wrapping_add(row as usize * self.row_bytes + byte);
        let inside = row < self.outputs && byte < self.row_bytes;
        if inside { (load_constant(at.cast()), self.scaling.load(row, k)) } else { Default::default() }
    }

    #[inline(always)]
    unsafe fn store(&self, (codes, scale): Self::Held, stage: *mut f32, levels: *const f32) {
        let (row, k) = Self::place();
        let column = stage.add(k as usize * B_STRIDE + row as usize);
        let weights = eight_weights::<S>(codes, scale, levels);
        for i in 0..8 {
            *column.add(i * B_STRIDE) = weights[i];
        }
    }
}

/// W from codes, as B: k are its output features, columns run along its rows.
///
/// A thread takes four codes of a row, all of one group, 16 threads the row's 64, twice; stored as vectors.
pub struct CodesAcrossK<S> {
    /// Packed codes.
    pub codes: *const u8,
    /// Their scales.
    pub scaling: S,
    /// Bytes of a packed row.
    pub row_bytes: usize,
    /// First column of the tile.
    pub first: u32,
    /// Output features.
    pub outputs: u32,
}

impl<S: Scaling> CodesAcrossK<S> {
    /// First column in the tile and k in the stage of a pass.
    #[inline(always)]
    pub fn place(pass: usize) -> (u32, u32) {
        (thread_idx_x() % 16 * 4, pass as u32 * 8 + thread_idx_x() / 16)
    }

    /// What is looked up for four codes.
    #[inline(always)]
    pub unsafe fn entries(codes: u16, levels: *const f32) -> [f32; 4] {
        core::array::from_fn(|i| *levels.add((codes >> (4 * i) & 15) as usize))
    }

    /// Stores the weights of a pass.
    #[inline(always)]
    pub unsafe fn put(pass: usize, weights: [f32; 4], stage: *mut f32) {
        let (column, k) = Self::place(pass);
        store4(stage.add(k as usize * B_STRIDE + column as usize), weights);
    }
}

impl<S: Scaling> Operand for CodesAcrossK<S> {
    /// Codes and their scale.
    type Held = [(u16, S::Held); 2];

    #[inline(always)]
    fn entry(grid: &Grid, code: u8) -> f32 {
        S::entry(grid, code)
    }

    #[inline(always)]
    unsafe fn load(&self, k: u32) -> Self::Held {
        core::array::from_fn(|pass| {
            let (column, offset) = Self::place(pass);
            let (row, byte) = (k + offset, ((self.first + column) / 2) as usize);
            if row < self.outputs && byte < self.row_bytes {
                let at = self.codes.add(row as usize * self.row_bytes + byte);
                (*at.cast::<u16>(), self.scaling.load(row, self.first + column))
            } else {
                Default::default()
            }
        })
    }

    #[inline(always)]
    unsafe fn store(&self, held: Self::Held, stage: *mut f32, levels: *const f32) {
        for pass in 0..2 {
            let (codes, scale) = held[pass];
            Self::put(pass, S::weights(scale, Self::entries(codes, levels)), stage);
        }
    }
}

/// Where C is and what becomes of a sum before it is stored.
pub struct Target {
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
    /// What is added to each column, or null: column j gets `bias[j % biases]`.
    pub bias: *const f32,
    /// Values of the bias.
    pub biases: u32,
}

/// First row and column of this block's tile.
#[inline(always)]
pub fn tile() -> (u32, u32) {
    (block_idx_y() * ROWS, block_idx_x() * COLUMNS)
}

/// This block's tile of the product. `grid` is that of codes, if B has any.
#[inline(always)]
pub unsafe fn gemm<B: Operand>(target: Target, a: impl Operand, b: B, depth: u32, grid: Option<&Grid>) {
    let shared = dynamic_shared_mem::<Shared>();
    let levels = (&raw mut (*shared).levels).cast::<f32>();
    let stage = |index: usize| ((&raw mut (*shared).a[index]).cast::<f32>(), (&raw mut (*shared).b[index]).cast::<f32>());
    if let Some(grid) = grid
        && thread_idx_x() < 16
    {
        *levels.add(thread_idx_x() as usize) = B::entry(grid, thread_idx_x() as u8);
    }
    let (mut held_a, mut held_b) = (a.load(0), b.load(0));
    let mut sums = [[0.0; 8]; 8];
    let (mut k, mut current) = (0, 0);
    sync_threads();
    while k < depth {
        let (to_a, to_b) = stage(current);
        a.store(held_a, to_a, levels);
        b.store(held_b, to_b, levels);
        // Who stores to this stage next has passed the barrier after this one, so all have multiplied it by then.
        sync_threads();
        k += DEPTH;
        (held_a, held_b) = (a.load(k), b.load(k));
        multiply(&mut sums, stage(current));
        current ^= 1;
    }
    finish(&target, &sums);
}

/// Rows, or columns, of a thread's 8 × 8 sums: four adjacent ones in each half of the tile.
#[inline(always)]
fn place(i: usize, index: u32, half: u32) -> u32 {
    i as u32 / 4 * half + index * 4 + i as u32 % 4
}

/// Adds the products of one stage.
#[inline(always)]
unsafe fn multiply(sums: &mut [[f32; 8]; 8], (a, b): (*mut f32, *mut f32)) {
    let (a, b) = (a.add(thread_idx_x() as usize / 8 * 4), b.add(thread_idx_x() as usize % 8 * 4));
    for k in 0..DEPTH as usize {
        let (a, b) = (a.add(k * A_STRIDE), b.add(k * B_STRIDE));
        let a = [load4(a), load4(a.add(ROWS as usize / 2))];
        let b = [load4(b), load4(b.add(COLUMNS as usize / 2))];
        for i in 0..8 {
            for j in 0..8 {
                sums[i][j] = a[i / 4][i % 4].mul_add(b[j / 4][j % 4], sums[i][j]);
            }
        }
    }
}

/// Stores a thread's sums.
#[inline(always)]
unsafe fn finish(target: &Target, sums: &[[f32; 8]; 8]) {
    let (first_row, first_column) = tile();
    for (i, sums) in sums.iter().enumerate() {
        let row = first_row + place(i, thread_idx_x() / 8, ROWS / 2);
        let column = first_column + place(0, thread_idx_x() % 8, COLUMNS / 2);
        target.store(row, column, [sums[0], sums[1], sums[2], sums[3]]);
        target.store(row, column + COLUMNS / 2, [sums[4], sums[5], sums[6], sums[7]]);
    }
}

impl Target {
    /// Stores four adjacent sums.
    #[inline(always)]
    unsafe fn store(&self, row: u32, column: u32, mut sums: [f32; 4]) {
        if row >= self.rows || column >= self.columns {
            return;
        }
        let count = self.columns - column;
        if !self.column_scale.is_null() {
            let scale = self.column_scale.add(column as usize);
            sums = core::array::from_fn(|i| if (i as u32) < count { sums[i] * *scale.add(i) } else { 0.0 });
        }
        if !self.bias.is_null() {
            let bias = |i: u32| *self.bias.add(((column + i) % self.biases) as usize);
            sums = core::array::from_fn(|i| if (i as u32) < count { sums[i] + bias(i as u32) } else { 0.0 });
        }
        let c = self.c.skip(row as usize * self.stride as usize + column as usize);
        if c.aligned() && count >= 4 {
            let old = if self.accumulate { c.values().load(0) } else { [0.0; 4] };
            c.store::<4>(0, core::array::from_fn(|i| old[i] + sums[i]));
        } else {
            for i in 0..4 {
                if (i as u32) < count {
                    c.set(i, if self.accumulate { c.values().get(i) + sums[i] } else { sums[i] });
                }
            }
        }
    }
}
