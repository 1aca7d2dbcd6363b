//! Rows of a table by number: embeddings without positions, and the repetition of a phone's row for each of its frames.

use rayon::prelude::*;

use super::memory::Parts;

/// Columns that a task of the backward pass takes.
const COLUMNS: usize = 32;
/// Values that a task of the forward pass takes at least.
const VALUES: usize = 16 * 1024;

/// `y[r] = table[ids[r]]`, or `y[r] += …`.
///
/// # Panics
/// If an id is not in the table.
pub fn gather(y: &mut [f32], table: &[f32], ids: &[u32], dim: usize, accumulate: bool) {
    y.par_chunks_exact_mut(dim).zip(ids).with_min_len(VALUES.div_ceil(dim)).for_each(|(y, &id)| {
        let row = &table[id as usize * dim..][..dim];
        if accumulate {
            y.iter_mut().zip(row).for_each(|(y, x)| *y += x);
        } else {
            y.copy_from_slice(row);
        }
    });
}

/// `d_table[ids[r]] += dy[r]`; each task walks all rows in order over its own columns.
pub fn gather_backward(d_table: &mut [f32], dy: &[f32], ids: &[u32], dim: usize) {
    let d_table = Parts::new(d_table);
    (0..dim.div_ceil(COLUMNS)).into_par_iter().for_each(|block| {
        let start = block * COLUMNS;
        let len = COLUMNS.min(dim - start);
        for (dy, &id) in dy.chunks_exact(dim).zip(ids) {
            // SAFETY: each task writes its own columns, one row at a time.
            let row = unsafe { d_table.part(id as usize * dim + start, len) };
            row.iter_mut().zip(&dy[start..]).for_each(|(d, g)| *d += g);
        }
    });
}
