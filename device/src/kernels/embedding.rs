//! Token and position embeddings.

use crate::launch::{kernels, on_gpu};

/// Threads of a block; in the backward pass also its columns.
const THREADS: u32 = 256;

on_gpu! {
    use super::common::values::ValuesMut;
    use crate::gpu::memory::{aligned, load};
    use crate::gpu::thread::{block_idx_x, block_idx_y, thread_idx_x};

    #[inline(always)]
    unsafe fn add_rows<const V: usize>(y: ValuesMut, token: *const f32, position: *const f32, dim: usize) {
        let mut c = thread_idx_x() as usize * V;
        while c < dim {
            let (t, p) = (load::<V>(token.add(c)), load::<V>(position.add(c)));
            y.store::<V>(c, core::array::from_fn(|i| t[i] + p[i]));
            c += THREADS as usize * V;
        }
    }
}

kernels! {
    /// `y[r] = table[ids[r]] + positions[r mod seq]`; y `[tokens, dim]`, table `[vocab, dim]`, positions `[≥ seq, dim]`, ids `[tokens]`, each
    /// below vocab; `halves` tells of y. A block takes a token; its threads four or one adjacent columns at a time. Items: tokens.
    fn embedding(y: *mut u8, halves: u32, table: *const f32, positions: *const f32, ids: *const u32, seq: u32, dim: u32)
        for [THREADS, 0, [1, 1]] {
        let (row, dim) = (block_idx_x(), dim as usize);
        let token = table.add(*ids.add(row as usize) as usize * dim);
        let position = positions.add((row % seq) as usize * dim);
        let y = ValuesMut::of(y, halves, 0).skip(row as usize * dim);
        if dim.is_multiple_of(4) && y.aligned() && aligned(token) && aligned(position) {
            add_rows::<4>(y, token, position, dim);
        } else {
            add_rows::<1>(y, token, position, dim);
        }
    }

    /// `d_table[ids[r]] += dy[r]`, tokens in order; d_table `[vocab, dim]`, dy `[tokens, dim]`, order `[tokens]`: the tokens by ascending id, those
    /// of an id in order. A block stands for a place in that order and 256 columns, a thread for a column: the block of an id's first token adds
    /// up all its tokens, the others end. Items: tokens, columns.
    fn embedding_backward_table(d_table: *mut f32, dy: *const f32, ids: *const u32, order: *const u32, tokens: u32, dim: u32)
        for [THREADS, 0, [1, THREADS]] {
        let id_at = |place: u32| *ids.add(*order.add(place as usize) as usize);
        let (mut place, dim) = (block_idx_x(), dim as usize);
        let (id, column) = (id_at(place), (block_idx_y() * THREADS + thread_idx_x()) as usize);
        if (place > 0 && id_at(place - 1) == id) || column >= dim {
            return;
        }
        let target = d_table.add(id as usize * dim + column);
        let mut sum = *target;
        while place < tokens && id_at(place) == id {
            sum += *dy.add(*order.add(place as usize) as usize * dim + column);
            place += 1;
        }
        *target = sum;
    }

    /// `d_positions[p] += dy[p] + dy[p + seq] + …`, in that order; d_positions `[≥ seq, dim]`, dy `[tokens, dim]`. A block takes a position
    /// and 256 columns, a thread a column. Items: positions of seq, columns.
    fn embedding_backward_positions(d_positions: *mut f32, dy: *const f32, tokens: u32, seq: u32, dim: u32) for [THREADS, 0, [1, THREADS]] {
        let (column, dim) = ((block_idx_y() * THREADS + thread_idx_x()) as usize, dim as usize);
        if column >= dim {
            return;
        }
        let target = d_positions.add(block_idx_x() as usize * dim + column);
        let mut sum = *target;
        let mut row = block_idx_x();
        while row < tokens {
            sum += *dy.add(row as usize * dim + column);
            row += seq;
        }
        *target = sum;
    }
}
