//! Token and position embeddings.

use rayon::prelude::*;

use super::memory::Parts;

/// Columns that a task of the backward pass takes.
const COLUMNS: usize = 32;

/// `y[r] = table[ids[r]] + positions[r mod seq]`.
///
/// # Panics
/// If an id is not in the table.
pub fn embedding(y: &mut [f32], table: &[f32], positions: &[f32], ids: &[u32], seq: usize, dim: usize) {
    y.par_chunks_exact_mut(dim).zip(ids).enumerate().with_min_len(64).for_each(|(row, (y, &id))| {
        let token = &table[id as usize * dim..][..dim];
        let position = &positions[row % seq * dim..][..dim];
        for ((y, t), p) in y.iter_mut().zip(token).zip(position) {
            *y = t + p;
        }
    });
}

/// Adds the gradients; each task walks all tokens in order over its own columns.
pub fn embedding_backward(d_table: &mut [f32], d_positions: &mut [f32], dy: &[f32], ids: &[u32], seq: usize, dim: usize) {
    let (d_table, d_positions) = (Parts::new(d_table), Parts::new(d_positions));
    (0..dim.div_ceil(COLUMNS)).into_par_iter().for_each(|block| {
        let start = block * COLUMNS;
        let len = COLUMNS.min(dim - start);
        for (row, (dy, &id)) in dy.chunks_exact(dim).zip(ids).enumerate() {
            // SAFETY: each task writes its own columns, one row at a time.
            let rows = unsafe { [d_table.part(id as usize * dim + start, len), d_positions.part(row % seq * dim + start, len)] };
            for target in rows {
                for (d, g) in target.iter_mut().zip(&dy[start..]) {
                    *d += g;
                }
            }
        }
    });
}
