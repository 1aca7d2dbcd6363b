//! One token's `y = x · Wᵀ`, each code read once: in exact integers by `lut_gemv_quantize`, then `lut_gemv`; on a grid without a denominator by
//! `lut_gemv_float`. Where groups have scales, `lut_gemv_groups` and `lut_gemv_float_groups` come in their places.
//!
//! The arithmetic of `lut_gemv` is that of the CPU, and so are all bits; where groups have scales the CPU rounds activations by groups, and sums of floats
//! are taken in another order. Weights are integers of 16 bits over the grid's denominator; a `dp2a` multiplies pairs of activations by the weights' high bytes, another by the low ones. The bytes of four weights come from two registers
//! of a table by three `prmt`, whose selector is the four codes themselves.

use super::sizes::WARP;
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

/// Largest magnitude of a quantised activation.
pub const LARGEST: i32 = 4095;
/// Activations below it are zero: their step would not be a normal number.
pub const TINY: f32 = 1e-30;
/// Threads of a block that quantises.
const QUANTIZERS: usize = 256;
/// Threads of a block that multiplies, and the rows of each warp.
const THREADS: u32 = 128;
const ROWS: usize = 2;
/// Weights of a lane in a step: 16 bytes of codes.
const LANE: usize = 32;
/// Weights of a row that a warp takes in a step.
pub const STEP: usize = LANE * WARP as usize;
/// Where `q` begins in scratch behind `step`: it is loaded as vectors of 16 bytes.
pub const QUANTIZED_AT: usize = 16;

#[repr(C)]
struct Shared([f32; QUANTIZERS / WARP as usize]);

#[repr(C)]
struct Entries([f32; 16]);

on_gpu! {
    use super::common::scaling::{GroupScales, Levels, Scaling, eight_weights};
    use super::common::sums::{block_reduce, warp_sum};
    use crate::gpu::dot::{dp2a_hi_s32_s32, dp2a_hi_s32_u32, dp2a_lo_s32_s32, dp2a_lo_s32_u32, prmt};
    use crate::gpu::GpuFloat;
    use crate::gpu::memory::{U32x4, aligned, load, load_constant};
    use crate::gpu::shared::dynamic_shared_mem;
    use crate::gpu::thread::{block_idx_x, sync_threads, thread_idx_x};
    use crate::gpu::warp::warp_shuffle_xor;
    use crate::grid::{row_bytes};

    /// Weights of a lane of `lut_gemv_float` in a step: a word of codes.
    const WORD: usize = 8;
    /// Steps whose sums fit into `i32`: 32 · 32 weights of at most 255 · 4095.
    const STEPS: usize = 32;

    /// The bytes of a grid's integers, codes 0–3, 4–7, 8–11 and 12–15: high bytes, then low ones.
    #[derive(Clone, Copy)]
    struct Table([[u32; 4]; 2]);

    impl Table {
        #[inline(always)]
        fn new(grid: &Grid) -> Self {
            let integers = &grid.integers;
            let byte = |shift: u32, code: usize| u32::from(integers[code] as u16) >> shift & 255;
            let words = |shift| {
                core::array::from_fn(|i| {
                    byte(shift, 4 * i) | byte(shift, 4 * i + 1) << 8 | byte(shift, 4 * i + 2) << 16 | byte(shift, 4 * i + 3) << 24
                })
            };
            Self([words(8), words(0)])
        }

        /// The bytes of the four weights whose codes are the low half of `codes`.
        #[inline(always)]
        fn bytes(&self, half: usize, codes: u32) -> u32 {
            let [a, b, c, d] = self.0[half];
            let index = codes & 0x7777;
            // Bit 3 of a code chooses between the table's halves.
            let side = codes >> 1 & 0x4444 | 0x3210;
            prmt(prmt(a, b, index), prmt(c, d, index), side)
        }

        /// `sum` and eight products of integers of a byte: a word of codes, four of activations.
        #[inline(always)]
        fn dot(&self, mut sum: i32, codes: u32, q: [u32; 4]) -> i32 {
            for i in 0..2 {
                let low = self.bytes(1, codes >> (16 * i));
                sum = dp2a_hi_s32_s32(q[2 * i + 1], low, dp2a_lo_s32_s32(q[2 * i], low, sum));
            }
            sum
        }
    }

    /// Sums of high and of low bytes.
    type Sums = [i32; 2];

    /// Adds eight weights: a word of codes, four of activations.
    #[inline(always)]
    fn add(sums: &mut Sums, table: &Table, codes: u32, q: [u32; 4]) {
        for i in 0..2 {
            let codes = codes >> (16 * i);
            let (high, low) = (table.bytes(0, codes), table.bytes(1, codes));
            sums[0] = dp2a_hi_s32_s32(q[2 * i + 1], high, dp2a_lo_s32_s32(q[2 * i], high, sums[0]));
            sums[1] = dp2a_hi_s32_u32(q[2 * i + 1], low, dp2a_lo_s32_u32(q[2 * i], low, sums[1]));
        }
    }

    /// The sum over all lanes.
    #[inline(always)]
    fn warp_sum_i64(mut value: i64) -> i64 {
        let mut lanes = WARP / 2;
        while lanes > 0 {
            let (low, high) = (warp_shuffle_xor(value as u32, lanes), warp_shuffle_xor((value >> 32) as u32, lanes));
            value += (u64::from(high) << 32 | u64::from(low)) as i64;
            lanes /= 2;
        }
        value
    }

    /// The two rows of this warp in `f32`; `scale`, `[outputs]` or null, multiplies their sums.
    #[inline(always)]
    unsafe fn float_rows<S: Scaling>(
        y: *mut f32, x: *const f32, codes: *const u8, scaling: S, scale: *const f32, grid: &Grid, [outputs, inputs]: [u32; 2],
    ) {
        let entries = (&raw mut (*dynamic_shared_mem::<Entries>()).0).cast::<f32>();
        if thread_idx_x() < 16 {
            *entries.add(thread_idx_x() as usize) = S::entry(grid, thread_idx_x() as u8);
        }
        sync_threads();
        let first = (block_idx_x() * (THREADS / WARP) + thread_idx_x() / WARP) as usize * ROWS;
        if first >= outputs as usize {
            return;
        }
        let (lane, row_bytes, inputs) = ((thread_idx_x() % WARP) as usize, row_bytes(inputs as usize), inputs as usize);
        // An odd number of rows: the last one twice.
        let rows: [usize; ROWS] = core::array::from_fn(|r| (first + r).min(outputs as usize - 1));
        let mut sums = [0.0; ROWS];
        let mut column = lane * WORD;
        while column < inputs {
            let at = x.add(column);
            let x: [f32; WORD] = if aligned(at) && column + WORD <= inputs {
                load(at)
            } else {
                core::array::from_fn(|i| if column + i < inputs { *at.add(i) } else { 0.0 })
            };
            for r in 0..ROWS {
                let word = load_constant(codes.add(rows[r] * row_bytes + column / 2).cast());
                let weights = eight_weights::<S>(word, scaling.load(rows[r] as u32, column as u32), entries);
                for i in 0..WORD {
                    sums[r] = x[i].mul_add(weights[i], sums[r]);
                }
            }
            column += WARP as usize * WORD;
        }
        for r in 0..ROWS {
            let sum = warp_sum(sums[r]);
            if lane == 0 && first + r < outputs as usize {
                *y.add(first + r) = if scale.is_null() { sum } else { sum * *scale.add(first + r) };
            }
        }
    }
}

kernels! {
    /// Rounds x to integers over one step, max|x| / 4095, which goes to `step[0]`; x `[inputs]`, q 16-bit integers, `⌈inputs / 1024⌉ · 1024`, zeros
    /// beyond the end, in the order in which the lanes of `lut_gemv` take them: `[step of 1024 weights][8 of a lane's 32][lane][8]`. One
    /// block. Shared: 32 bytes.
    fn lut_gemv_quantize(q: *mut u32, step: *mut f32, x: *const f32, inputs: u32) for [QUANTIZERS, size_of::<Shared>(), [u32::MAX, 1]] {
        // Adding 1.5·2²³ rounds to the nearest even integer and leaves it in the low bits, two's complement.
        const ROUND: f32 = 12_582_912.0;
        let scratch = &raw mut (*dynamic_shared_mem::<Shared>()).0;
        let (thread, inputs) = (thread_idx_x() as usize, inputs as usize);
        // As integers, magnitudes keep their order, and NaN comes last.
        let larger = |a: f32, b: f32| if b.to_bits() > a.to_bits() { b } else { a };
        let mut largest = 0.0;
        let mut i = thread;
        while i < inputs {
            largest = larger(largest, (*x.add(i)).abs());
            i += QUANTIZERS;
        }
        let largest = block_reduce(largest, scratch, larger);
        let inverse = if largest < TINY { 0.0 } else { LARGEST as f32 / largest };
        let mut vector = thread;
        while vector < inputs.div_ceil(STEP) * (STEP / 8) {
            let first = vector / 128 * STEP + vector % 32 * LANE + vector / 32 % 4 * 8;
            let rounded = |i: usize| if i < inputs { (*x.add(i) * inverse + ROUND).to_bits() & 0xFFFF } else { 0 };
            let words = core::array::from_fn(|i| rounded(first + 2 * i) | rounded(first + 2 * i + 1) << 16);
            q.cast::<U32x4>().add(vector).write(U32x4(words));
            vector += QUANTIZERS;
        }
        if thread == 0 {
            *step = if largest < TINY {
                0.0
            } else if largest.is_finite() {
                largest / LARGEST as f32
            } else {
                f32::NAN
            };
        }
    }

    /// `y = x · Wᵀ` from `lut_gemv_quantize`'s q and step; y, scale `[outputs]`, codes `[outputs, row_bytes]`. A warp takes two rows, 1024 weights
    /// of each a step, 16 bytes of codes a lane. Items: rows.
    fn lut_gemv(y: *mut f32, q: *const u32, step: *const f32, codes: *const u8, scale: *const f32, grid: *const Grid, outputs: u32, inputs: u32)
        for [THREADS, 0, [THREADS / WARP * ROWS as u32, 1]] {
        let first = (block_idx_x() * (THREADS / WARP) + thread_idx_x() / WARP) as usize * ROWS;
        if first >= outputs as usize {
            return;
        }
        let (lane, row_bytes, inputs) = ((thread_idx_x() % WARP) as usize, row_bytes(inputs as usize), inputs as usize);
        let (table, q) = (Table::new(&*grid), q.cast::<U32x4>());
        // An odd number of rows: the last one twice.
        let rows: [*const u8; ROWS] = core::array::from_fn(|r| codes.add((first + r).min(outputs as usize - 1) * row_bytes));
        let mut totals = [0i64; ROWS];
        let mut sums = [[0; 2]; ROWS];
        for at in 0..inputs.div_ceil(STEP) {
            let byte = (at * WARP as usize + lane) * LANE / 2;
            if byte < row_bytes {
                let codes = rows.map(|row| row.add(byte).cast::<U32x4>().read().0);
                for i in 0..4 {
                    let q = q.add((at * 4 + i) * WARP as usize + lane).read().0;
                    for r in 0..ROWS {
                        add(&mut sums[r], &table, codes[r][i], q);
                    }
                }
            }
            if at % STEPS == STEPS - 1 {
                for r in 0..ROWS {
                    totals[r] += i64::from(sums[r][0]) * 256 + i64::from(sums[r][1]);
                    sums[r] = [0; 2];
                }
            }
        }
        let factor = f64::from(*step) / f64::from((*grid).denominator().unwrap_or(1));
        for r in 0..ROWS {
            let total = warp_sum_i64(totals[r] + i64::from(sums[r][0]) * 256 + i64::from(sums[r][1]));
            if lane == 0 && first + r < outputs as usize {
                *y.add(first + r) = (total as f64 * factor * f64::from(*scale.add(first + r))) as f32;
            }
        }
    }
    /// `lut_gemv` where groups have scales: halves, step `[outputs, ⌈inputs / 32⌉]`, offset as step or null; `x_step` is that of q. A lane has a group
    /// of each row a step; products of groups are added up in sixteen sums, one for lanes l and l + 16. Items: rows.
    fn lut_gemv_groups(
        y: *mut f32, q: *const u32, x_step: *const f32, codes: *const u8, step: *const u16, offset: *const u16, grid: *const Grid, outputs: u32,
        inputs: u32,
    ) for [THREADS, 0, [THREADS / WARP * ROWS as u32, 1]] {
        let first = (block_idx_x() * (THREADS / WARP) + thread_idx_x() / WARP) * ROWS as u32;
        if first >= outputs {
            return;
        }
        let (lane, row_bytes, scaling) = (thread_idx_x() % WARP, row_bytes(inputs as usize), GroupScales::new(step, offset, inputs));
        let (table, q) = (Table::new(&*grid), q.cast::<U32x4>());
        // An odd number of rows: the last one twice.
        let rows: [u32; ROWS] = core::array::from_fn(|r| (first + r as u32).min(outputs - 1));
        let mut sums = [0.0; ROWS];
        for at in 0..inputs.div_ceil(STEP as u32) {
            let group = at * WARP + lane;
            let mut products = [[0.0; 2]; ROWS];
            if group < scaling.groups {
                let at_codes = codes.add(group as usize * LANE / 2);
                let codes = rows.map(|row| at_codes.add(row as usize * row_bytes).cast::<U32x4>().read().0);
                let (mut dots, mut total) = ([0; ROWS], 0);
                for i in 0..4 {
                    let q = q.add(((at * 4 + i) * WARP + lane) as usize).read().0;
                    for r in 0..ROWS {
                        dots[r] = table.dot(dots[r], codes[r][i as usize], q);
                    }
                    for word in 0..4 {
                        total = dp2a_lo_s32_s32(q[word], 0x0101, total);
                    }
                }
                for r in 0..ROWS {
                    let [step, offset] = GroupScales::values(scaling.load(rows[r], group * LANE as u32));
                    products[r] = [step * dots[r] as f32, offset * total as f32];
                }
            }
            for r in 0..ROWS {
                let [product, offset] = products[r];
                let other = |value: f32| f32::from_bits(warp_shuffle_xor(value.to_bits(), WARP / 2));
                let later = [other(product), other(offset)];
                sums[r] = sums[r] + product + offset + later[0] + later[1];
            }
        }
        for r in 0..ROWS {
            let mut sum = sums[r];
            for lanes in [8, 4, 2, 1] {
                sum += f32::from_bits(warp_shuffle_xor(sum.to_bits(), lanes));
            }
            if lane == 0 && first + (r as u32) < outputs {
                *y.add((first + r as u32) as usize) = sum * *x_step;
            }
        }
    }

    /// `y = x · Wᵀ` in `f32`; y, scale `[outputs]`, x `[inputs]`, codes `[outputs, row_bytes]`. A warp takes two rows, eight weights of each and lane a
    /// step; what is beyond `inputs` does not count, whatever its codes. Items: rows. Shared: the levels, 64 bytes.
    fn lut_gemv_float(y: *mut f32, x: *const f32, codes: *const u8, scale: *const f32, grid: *const Grid, outputs: u32, inputs: u32)
        for [THREADS, size_of::<Entries>(), [THREADS / WARP * ROWS as u32, 1]] {
        float_rows(y, x, codes, Levels, scale, &*grid, [outputs, inputs]);
    }

    /// `lut_gemv_float` where groups have scales: halves, step `[outputs, ⌈inputs / 32⌉]`, offset as step or null.
    fn lut_gemv_float_groups(
        y: *mut f32, x: *const f32, codes: *const u8, step: *const u16, offset: *const u16, grid: *const Grid, outputs: u32, inputs: u32,
    ) for [THREADS, size_of::<Entries>(), [THREADS / WARP * ROWS as u32, 1]] {
        float_rows(y, x, codes, GroupScales::new(step, offset, inputs), core::ptr::null(), &*grid, [outputs, inputs]);
    }
}
