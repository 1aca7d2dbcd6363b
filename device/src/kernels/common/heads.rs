//! What the kernels of attention share: heads, and products of tiles.
//!
//! A block of 128 threads holds tiles of `OWN` = 16·R rows of its own and walks over tiles of `OTHER` = 8·C rows of the others, all of one
//! head, `[row][D + 4]` in shared memory: D = 32·W is the head's width, filled up with zeros. Thread (y, x) of 16 × 8 computes the R × C
//! scores of own rows `y·R + i` and other rows `x + 8·j`, and of its own rows' results the columns `4·x + 32·w`. Eight threads of one warp
//! share own rows; own rows are read as broadcasts, other rows at eight addresses that lie four banks apart.

use super::values::{Values, ValuesMut};
use crate::gpu::GpuFloat;
use crate::gpu::memory::{load, load4, store4};
use crate::gpu::thread::{block_idx_x, block_idx_y, thread_idx_x};
use crate::kernels::sizes::heads::{ACROSS, THREADS};

/// log₂ e: exponentials are powers of two.
pub const LOG2_E: f32 = core::f32::consts::LOG2_E;

/// One head of one sequence in `[tokens, heads · head_dim]`.
#[derive(Clone, Copy)]
pub struct Head {
    /// Offset of the head's first value.
    pub offset: usize,
    /// Values from one token to the next.
    pub stride: u32,
    /// Values of the head for a token.
    pub dim: u32,
    /// Tokens of the head's sequence.
    pub seq: u32,
    /// Offset of its values of rows: all heads of a sequence, one after another.
    pub row_values: usize,
}

/// The heads of an attention: query head h reads key head `h / (heads / kv_heads)`.
#[derive(Clone, Copy)]
pub struct Heads {
    /// First rows of sequences, `[sequences + 1]`, or null for sequences of `seq` rows.
    pub offsets: *const u32,
    /// Rows of a sequence, if all have as many.
    pub seq: u32,
    /// Query heads.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Values of a head.
    pub dim: u32,
}

impl Heads {
    /// Head `head` of `heads` of a sequence.
    #[inline(always)]
    unsafe fn head(&self, sequence: usize, head: u32, heads: u32) -> Head {
        let (first, seq) = if self.offsets.is_null() {
            (sequence * self.seq as usize, self.seq)
        } else {
            let first = *self.offsets.add(sequence);
            (first as usize, *self.offsets.add(sequence + 1) - first)
        };
        let (dim, stride) = (self.dim, heads * self.dim);
        let offset = first * stride as usize + head as usize * dim as usize;
        Head { offset, stride, dim, seq, row_values: first * heads as usize + head as usize * seq as usize }
    }

    /// Query heads that share a key head.
    #[inline(always)]
    pub fn group(&self) -> u32 {
        self.heads / self.kv_heads
    }

    /// Query head and key head of this block, whose y of the grid is a query head of all sequences.
    #[inline(always)]
    pub unsafe fn by_query(&self) -> [Head; 2] {
        let (sequence, head) = ((block_idx_y() / self.heads) as usize, block_idx_y() % self.heads);
        [self.head(sequence, head, self.heads), self.head(sequence, head / self.group(), self.kv_heads)]
    }

    /// Key head of this block, whose y of the grid is a key head of all sequences, and before it one of the query heads that read it.
    #[inline(always)]
    pub unsafe fn by_key(&self, member: u32) -> [Head; 2] {
        let (sequence, head) = ((block_idx_y() / self.kv_heads) as usize, block_idx_y() % self.kv_heads);
        [self.head(sequence, head * self.group() + member, self.heads), self.head(sequence, head, self.kv_heads)]
    }

    /// What scores are multiplied by.
    #[inline(always)]
    pub fn factor(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }
}

/// Who sees whom.
#[derive(Clone, Copy)]
pub struct Mask {
    /// Whether query i sees only the keys up to `past + i`.
    pub causal: bool,
    /// Keys before that of the first query.
    pub past: u32,
    /// All keys.
    pub keys: u32,
}

impl Mask {
    /// Behind the keys that the queries before `end` see.
    #[inline(always)]
    pub fn keys_end(&self, end: u32) -> u32 {
        if self.causal { self.keys.min(self.past + end) } else { self.keys }
    }

    /// The last key that a query sees.
    #[inline(always)]
    pub fn last_key(&self, query: u32) -> u32 {
        if self.causal { self.past + query } else { self.keys - 1 }
    }
}

impl Head {
    /// First of the block's own rows, the last tile's first: in causal attention those of queries are the longest. None beyond the sequence.
    #[inline(always)]
    pub fn own_queries(&self, own_rows: u32) -> Option<u32> {
        let tiles = self.seq.div_ceil(own_rows);
        if block_idx_x() < tiles { Some((tiles - 1 - block_idx_x()) * own_rows) } else { None }
    }

    /// Loads rows `first..first + 16·ROWS16` of `data` to `tile`, with zeros beyond the sequence and the width.
    #[inline(always)]
    pub unsafe fn load<const D: usize>(&self, tile: *mut f32, data: Values, first: u32, rows: u32) {
        let vectors = data.aligned() && self.dim.is_multiple_of(4);
        let across = D as u32 / 4;
        let mut index = thread_idx_x();
        while index < rows * across {
            let (row, column) = (index / across, index % across * 4);
            let at = data.skip(self.offset + (first + row) as usize * self.stride as usize + column as usize);
            let values = if first + row >= self.seq {
                [0.0; 4]
            } else if vectors && column < self.dim {
                at.load::<4>(0)
            } else {
                core::array::from_fn(|i| if column + (i as u32) < self.dim { at.get(i) } else { 0.0 })
            };
            store4(tile.add(row as usize * (D + 4) + column as usize), values);
            index += THREADS;
        }
    }

    /// Adds results of this thread's own rows, each times its factor, to what `data` has.
    #[inline(always)]
    pub unsafe fn add<const R: usize, const W: usize>(&self, data: *mut f32, first: u32, values: &mut [[[f32; 4]; W]; R]) {
        for i in 0..R {
            let row = first + own_row::<R>() + i as u32;
            for w in 0..W {
                let column = across() * 4 + 32 * w as u32;
                let at = data.wrapping_add(self.offset + row as usize * self.stride as usize + column as usize);
                for l in 0..4 {
                    if row < self.seq && column + (l as u32) < self.dim {
                        values[i][w][l] += *at.add(l);
                    }
                }
            }
        }
    }

    /// Stores results of this thread's own rows, each times its factor.
    #[inline(always)]
    pub unsafe fn store<const R: usize, const W: usize>(
        &self,
        data: ValuesMut,
        first: u32,
        values: &[[[f32; 4]; W]; R],
        factors: [f32; R],
    ) {
        let vectors = data.aligned() && self.dim.is_multiple_of(4);
        for i in 0..R {
            let row = first + own_row::<R>() + i as u32;
            for w in 0..W {
                let column = across() * 4 + 32 * w as u32;
                let at = data.skip(self.offset + row as usize * self.stride as usize + column as usize);
                let values = values[i][w].map(|x| x * factors[i]);
                if row < self.seq && vectors && column < self.dim {
                    at.store::<4>(0, values);
                } else if row < self.seq {
                    for l in 0..4 {
                        if column + (l as u32) < self.dim {
                            at.set(l, values[l]);
                        }
                    }
                }
            }
        }
    }

    /// A value of each row, `[heads, seq]` of each sequence; 0 beyond the sequence.
    #[inline(always)]
    pub unsafe fn row_value(&self, data: *const f32, row: u32) -> f32 {
        if row < self.seq { *data.add(self.row_values + row as usize) } else { 0.0 }
    }
}

/// x of the thread.
#[inline(always)]
pub fn across() -> u32 {
    thread_idx_x() % ACROSS
}

/// First of the thread's own rows in the tile.
#[inline(always)]
pub fn own_row<const R: usize>() -> u32 {
    thread_idx_x() / ACROSS * R as u32
}

/// `s[i][j] = own row y·R + i · other row x + 8·j`, over the first `width` columns, rounded up to four.
#[inline(always)]
pub unsafe fn products<const D: usize, const R: usize, const C: usize>(own: *const f32, other: *const f32, width: u32) -> [[f32; C]; R] {
    let own = own.add(own_row::<R>() as usize * (D + 4));
    let other = other.add(across() as usize * (D + 4));
    let mut sums = [[0.0; C]; R];
    let mut d = 0;
    while d < width as usize {
        let a: [[f32; 4]; R] = core::array::from_fn(|i| load4(own.add(i * (D + 4) + d)));
        let b: [[f32; 4]; C] = core::array::from_fn(|j| load4(other.add(j * 8 * (D + 4) + d)));
        for i in 0..R {
            for j in 0..C {
                for l in 0..4 {
                    sums[i][j] = a[i][l].mul_add(b[j][l], sums[i][j]);
                }
            }
        }
        d += 4;
    }
    sums
}

/// Stores the thread's `p` to `[other row][own row]`, rows padded by four: eight threads to eight times four adjacent banks.
#[inline(always)]
pub unsafe fn put<const R: usize, const C: usize>(to: *mut f32, p: &[[f32; C]; R]) {
    for j in 0..C {
        for i in 0..R {
            *to.add((across() as usize + 8 * j) * (16 * R + 4) + own_row::<R>() as usize + i) = p[i][j];
        }
    }
}

/// `sums[i] += Σ p[other][own i] · values[other]` over the first `count` other rows.
#[inline(always)]
pub unsafe fn accumulate<const D: usize, const R: usize, const C: usize, const W: usize>(
    sums: &mut [[[f32; 4]; W]; R],
    p: *const f32,
    values: *const f32,
    count: u32,
) {
    let p = p.add(own_row::<R>() as usize);
    let values = values.add(across() as usize * 4);
    for other in 0..count as usize {
        let p: [f32; R] = load(p.add(other * (16 * R + 4)));
        for w in 0..W {
            let v = load4(values.add(other * (D + 4) + 32 * w));
            for i in 0..R {
                for l in 0..4 {
                    sums[i][w][l] = p[i].mul_add(v[l], sums[i][w][l]);
                }
            }
        }
    }
}
