//! Rows of a table by index, and their gradients.

use super::sizes::WARP;
use crate::launch::{kernels, on_gpu};

/// Threads of a block; in the backward pass also its columns, and the rows that it looks at together.
const THREADS: u32 = 256;
const WARPS: usize = (THREADS / WARP) as usize;

/// For each warp of rows, a bit for each row that has the block's id.
#[repr(C)]
struct Matches([u32; WARPS]);

on_gpu! {
    use crate::gpu::atomic::atomic_fetch_max_relaxed_u32_device;
    use crate::gpu::memory::{aligned, load, store};
    use crate::gpu::shared::dynamic_shared_mem;
    use crate::gpu::thread::{block_idx_x, block_idx_y, sync_threads, thread_idx_x};
    use crate::gpu::warp::warp_vote_ballot;

    /// `y = f(y, from)` over rows of `dim`, `V` adjacent values a thread.
    #[inline(always)]
    unsafe fn copy_row<const V: usize>(y: *mut f32, from: *const f32, dim: usize, accumulate: bool) {
        let mut c = thread_idx_x() as usize * V;
        while c < dim {
            let mut values = load::<V>(from.add(c));
            if accumulate {
                let old = load::<V>(y.add(c));
                values = core::array::from_fn(|i| old[i] + values[i]);
            }
            store::<V>(y.add(c), values);
            c += THREADS as usize * V;
        }
    }
}

kernels! {
    /// `y[r] = table[ids[r]]`, or `y[r] += …` if `accumulate` is 1; y `[rows, dim]`, table `[entries, dim]`, ids `[rows]`, each below entries.
    /// A block takes a row; its threads four or one adjacent columns at a time. Items: rows.
    fn gather(y: *mut f32, table: *const f32, ids: *const u32, dim: u32, accumulate: u32) for [THREADS, 0, [1, 1]] {
        let (row, dim) = (block_idx_x() as usize, dim as usize);
        let from = table.add(*ids.add(row) as usize * dim);
        let y = y.add(row * dim);
        if dim.is_multiple_of(4) && aligned(y) && aligned(from) {
            copy_row::<4>(y, from, dim, accumulate == 1);
        } else {
            copy_row::<1>(y, from, dim, accumulate == 1);
        }
    }

    /// Where the rows of each entry lie: `extent[id] = [rows − first row, last row + 1]`, both 0 for an id that is not there; extent
    /// `[entries, 2]`, zeroed, ids `[rows]`, each below entries. A thread takes a row. Items: rows.
    fn gather_backward_extent(extent: *mut u32, ids: *const u32, rows: u32) for [THREADS, 0, [THREADS, 1]] {
        let row = block_idx_x() * THREADS + thread_idx_x();
        if row < rows {
            let extent = extent.add(*ids.add(row as usize) as usize * 2);
            // The largest of exact integers is the same in any order.
            atomic_fetch_max_relaxed_u32_device(extent, rows - row);
            atomic_fetch_max_relaxed_u32_device(extent.add(1), row + 1);
        }
    }

    /// `d_table[ids[r]] += dy[r]`, rows in order; d_table `[entries, dim]`, dy `[rows, dim]`, extent as `gather_backward_extent` leaves it. A
    /// block takes an entry and 256 columns, a thread a column: ascending ids cost a pass over all rows, others one for each entry that
    /// is there at most. Items: entries, columns. Shared: 32 bytes.
    fn gather_backward(d_table: *mut f32, dy: *const f32, ids: *const u32, extent: *const u32, rows: u32, dim: u32)
        for [THREADS, size_of::<Matches>(), [1, THREADS]] {
        let matches = dynamic_shared_mem::<Matches>();
        let id = block_idx_x();
        let (before_end, end) = (*extent.add(id as usize * 2), *extent.add(id as usize * 2 + 1));
        if end == 0 {
            return;
        }
        let (column, dim) = ((block_idx_y() * THREADS + thread_idx_x()) as usize, dim as usize);
        let target = d_table.add(id as usize * dim).wrapping_add(column);
        let mut sum = if column < dim { *target } else { 0.0 };
        let mut first = rows - before_end;
        while first < end {
            let row = first + thread_idx_x();
            let found = warp_vote_ballot(row < end && *ids.add(row as usize) == id);
            sync_threads();
            if thread_idx_x().is_multiple_of(WARP) {
                (*matches).0[(thread_idx_x() / WARP) as usize] = found;
            }
            sync_threads();
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
}
