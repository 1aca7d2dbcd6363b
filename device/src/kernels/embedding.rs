//! Token and position embeddings.

use crate::gpu::memory::{aligned, load, store};
use crate::gpu::thread::{block_idx_x, block_idx_y, sync_threads, thread_idx_x};
use crate::gpu::warp::warp_vote_ballot;
use crate::gpu::{WARP, kernels, shared::dynamic_shared_mem};

/// Threads of a block; in the backward pass also its columns, and the tokens that it looks at together.
const THREADS: u32 = 256;
const WARPS: usize = (THREADS / WARP) as usize;

#[inline(always)]
unsafe fn add_rows<const V: usize>(y: *mut f32, token: *const f32, position: *const f32, dim: usize) {
    let mut c = thread_idx_x() as usize * V;
    while c < dim {
        let (t, p) = (load::<V>(token.add(c)), load::<V>(position.add(c)));
        store::<V>(y.add(c), core::array::from_fn(|i| t[i] + p[i]));
        c += THREADS as usize * V;
    }
}

/// For each warp of tokens, a bit for each token that has the block's id.
#[repr(C)]
struct Matches([u32; WARPS]);

/// Fills `matches` for the tokens from `first` on, below `end`. Ends behind a barrier.
#[inline(always)]
unsafe fn find(matches: *mut Matches, ids: *const u32, id: u32, first: u32, end: u32) {
    let token = first + thread_idx_x();
    let found = warp_vote_ballot(token < end && *ids.add(token as usize) == id);
    sync_threads();
    if thread_idx_x().is_multiple_of(WARP) {
        (*matches).0[(thread_idx_x() / WARP) as usize] = found;
    }
    sync_threads();
}

kernels! {
    /// `y[r] = table[ids[r]] + positions[r mod seq]`; y `[tokens, dim]`, table `[vocab, dim]`, positions `[≥ seq, dim]`, ids `[tokens]`, each
    /// below vocab. A block takes a token; its threads four or one adjacent columns at a time. Items: tokens.
    fn embedding(y: *mut f32, table: *const f32, positions: *const f32, ids: *const u32, seq: u32, dim: u32) for [THREADS, 0, [1, 1]] {
        let (row, dim) = (block_idx_x(), dim as usize);
        let token = table.add(*ids.add(row as usize) as usize * dim);
        let position = positions.add((row % seq) as usize * dim);
        let y = y.add(row as usize * dim);
        if dim.is_multiple_of(4) && aligned(y) && aligned(token) && aligned(position) {
            add_rows::<4>(y, token, position, dim);
        } else {
            add_rows::<1>(y, token, position, dim);
        }
    }

    /// `d_table[ids[r]] += dy[r]`, tokens in order; d_table `[vocab, dim]`, dy `[tokens, dim]`. A block stands for a token and 256 columns, a
    /// thread for a column: the block of an id's first token adds up all its tokens, the others end. Items: tokens, columns. Shared: 32
    /// bytes.
    fn embedding_backward_table(d_table: *mut f32, dy: *const f32, ids: *const u32, tokens: u32, dim: u32)
        for [THREADS, size_of::<Matches>(), [1, THREADS]] {
        let matches = dynamic_shared_mem::<Matches>();
        let token = block_idx_x();
        let id = *ids.add(token as usize);
        let mut first = 0;
        while first < token {
            find(matches, ids, id, first, token);
            if (*matches).0.iter().any(|&mask| mask != 0) {
                return;
            }
            first += THREADS;
        }
        let (column, dim) = ((block_idx_y() * THREADS + thread_idx_x()) as usize, dim as usize);
        let target = d_table.add(id as usize * dim).wrapping_add(column);
        let mut sum = if column < dim { *target } else { 0.0 };
        let mut first = token;
        while first < tokens {
            find(matches, ids, id, first, tokens);
            for warp in 0..WARPS {
                let mut mask = (*matches).0[warp];
                while mask != 0 {
                    let row = first + warp as u32 * WARP + mask.trailing_zeros();
                    if column < dim {
                        sum += *dy.add(row as usize * dim + column);
                    }
                    mask &= mask - 1;
                }
            }
            first += THREADS;
        }
        if column < dim {
            *target = sum;
        }
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
