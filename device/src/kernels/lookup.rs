//! Rows of a weight on a grid by index.

use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

/// Threads of a block.
const THREADS: u32 = 128;

on_gpu! {
    use super::common::scaling::AnyScales;
    use crate::gpu::thread::{block_idx_x, thread_idx_x};
    use crate::grid::row_bytes;
}

kernels! {
    /// `y[r] = weight[ids[r]]`; y `[rows, inputs]`, codes `[entries, row_bytes]`, ids `[rows]`, each below entries; scale `[entries]`, or null and step and
    /// offset, which may be null, `[entries, groups]`. A block takes a row, its threads a column at a time. Items: rows.
    fn lookup(
        y: *mut f32, codes: *const u8, scale: *const f32, step: *const u16, offset: *const u16, grid: *const Grid, ids: *const u32, inputs: u32,
    ) for [THREADS, 0, [1, 1]] {
        let (row, grid) = (block_idx_x() as usize, &*grid);
        let (from, scales) = (*ids.add(row) as usize, AnyScales::new(scale, step, offset, grid, inputs));
        let codes = codes.add(from * row_bytes(inputs as usize));
        let mut column = thread_idx_x() as usize;
        while column < inputs as usize {
            let byte = *codes.add(column / 2);
            let code = if column % 2 == 0 { byte & 15 } else { byte >> 4 };
            let [factor, offset] = scales.at(from, column);
            *y.add(row * inputs as usize + column) = grid.level(code) * factor + offset;
            column += THREADS as usize;
        }
    }
}
