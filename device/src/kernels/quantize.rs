//! Shadow weights to codes, and their straight-through gradients.

use super::sizes::WARP;
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

/// Threads of a block.
const THREADS: u32 = 128;

on_gpu! {
    use super::common::blocks::Counts;
    use super::common::scaling::AnyScales;
    use super::common::sums::warp_sum;
    use crate::gpu::thread::{block_idx_x, thread_idx_x};
    use crate::grid::{row_bytes};
    use crate::rules::quantise;

    /// Weights of a thread.
    const FOUR: u32 = 4;
}

kernels! {
    /// Shadow weights to the nearest codes; adds to `counts`, `[flipped, at a rail]`, which must be zero before; codes `[outputs, row_bytes]`,
    /// scale `[outputs]` or null, and then step and perhaps offset `[outputs, ⌈inputs / 32⌉]`, halves; shadow `[outputs, inputs]`. A thread takes
    /// four weights of a row; `rails` has in its low bytes the codes that count as such. Items: fours of weights, `outputs · ⌈inputs / 4⌉`.
    fn quantize(
        codes: *mut u8, scale: *const f32, step: *const u16, offset: *const u16, shadow: *const f32, counts: *mut u32, grid: *const Grid,
        rails: u32, outputs: u32, inputs: u32,
    ) for [THREADS, 0, [THREADS, 1]] {
        let (index, fours) = (block_idx_x() * THREADS + thread_idx_x(), inputs.div_ceil(FOUR));
        let (row, four, grid) = ((index / fours) as usize, (index % fours) as usize, &*grid);
        let (mut sums, scales) = (Counts::new(rails), AnyScales::new(scale, step, offset, grid, inputs));
        if row < outputs as usize {
            let inputs = inputs as usize;
            let codes = codes.add(row * row_bytes(inputs) + 2 * four).cast::<u16>();
            let shadow = shadow.add(row * inputs + 4 * four);
            let [scale, offset] = scales.at(row, 4 * four);
            let inverse = 1.0 / scale;
            let old = *codes;
            let mut new = old;
            for i in 0..4 {
                if 4 * four + i < inputs {
                    let (before, after) = ((old >> (4 * i)) as u8 & 15, quantise::quantise(grid, *shadow.add(i) - offset, inverse));
                    new = new & !(15 << (4 * i)) | u16::from(after) << (4 * i);
                    sums.count(before, after);
                }
            }
            *codes = new;
        }
        sums.add_to(counts);
    }

    /// From dw: `d_shadow += dw` inside the rails, and `d_scale += Σ dw·(level − shadow/scale)` there, `Σ dw·level` beyond (LSQ, Esser et al.
    /// 2020); d_shadow, dw, shadow `[outputs, inputs]`, d_scale `[outputs]` or null, codes `[outputs, row_bytes]`, scale, step and offset as
    /// `quantize` takes them. A warp takes a row. Items: rows.
    fn straight_through(
        d_shadow: *mut f32, d_scale: *mut f32, dw: *const f32, shadow: *const f32, codes: *const u8, scale: *const f32, step: *const u16,
        offset: *const u16, grid: *const Grid, outputs: u32, inputs: u32,
    ) for [THREADS, 0, [THREADS / WARP, 1]] {
        let row = (block_idx_x() * (THREADS / WARP) + thread_idx_x() / WARP) as usize;
        if row >= outputs as usize {
            return;
        }
        let grid = &*grid;
        let (scales, inputs) = (AnyScales::new(scale, step, offset, grid, inputs), inputs as usize);
        let (d_shadow, dw, shadow) = (d_shadow.add(row * inputs), dw.add(row * inputs), shadow.add(row * inputs));
        let codes = codes.add(row * row_bytes(inputs));
        let ([mut scale, mut offset], range) = (scales.at(row, 0), grid.range());
        let mut inverse = 1.0 / scale;
        let mut sum = 0.0;
        let mut i = (thread_idx_x() % WARP) as usize;
        while i < inputs {
            if scales.of_groups() {
                [scale, offset] = scales.at(row, i);
                inverse = 1.0 / scale;
            }
            let (g, at) = (*dw.add(i), (*shadow.add(i) - offset) * inverse);
            let level = grid.level(*codes.add(i / 2) >> (4 * (i % 2)) & 15);
            sum += quantise::straight_through(g, level, at, range, || *d_shadow.add(i) += g);
            i += WARP as usize;
        }
        let sum = warp_sum(sum);
        if thread_idx_x().is_multiple_of(WARP) && !d_scale.is_null() {
            *d_scale.add(row) += sum;
        }
    }
}
