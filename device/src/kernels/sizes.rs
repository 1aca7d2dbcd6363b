//! Threads, items and shared memory of the blocks that several kernels have in common; each group is that of a file of `common`.

/// Lanes of a warp.
pub const WARP: u32 = 32;
/// Lanes that share a sum in the order of the CPU: half a warp.
pub const LANES: u32 = 16;

/// Functions of single elements.
pub mod elementwise {
    /// Threads of a block.
    pub const THREADS: usize = 256;
    /// Elements of a block: four a thread.
    pub const COVERS: [u32; 2] = [4 * THREADS as u32, 1];
}

/// Sixteen weights at a time.
pub mod blocks {
    /// Threads of a block of the grid: sixteen weights each.
    pub const THREADS: u32 = 128;
    /// Blocks of weights that a block of the grid covers.
    pub const COVERS: [u32; 2] = [THREADS, 1];
}

/// Tiles of a product.
pub mod tiles {
    /// Threads of a block.
    pub const THREADS: u32 = 128;
    /// Rows of a tile.
    pub const ROWS: u32 = 128;
    /// Columns of a tile.
    pub const COLUMNS: u32 = 64;
    /// k of a stage.
    pub const DEPTH: u32 = 16;
    /// Columns and rows of C that a block covers.
    pub const COVERS: [u32; 2] = [COLUMNS, ROWS];

    /// From k to k of a stage of A.
    pub const A_STRIDE: usize = ROWS as usize + 4;
    /// From k to k of a stage of B.
    pub const B_STRIDE: usize = COLUMNS as usize + 4;

    /// Shared memory of a block: two stages of each operand, and the level of each code.
    #[repr(C, align(16))]
    pub struct Shared {
        /// Stages of A.
        pub a: [[f32; A_STRIDE * DEPTH as usize]; 2],
        /// Stages of B.
        pub b: [[f32; B_STRIDE * DEPTH as usize]; 2],
        /// The grid's levels.
        pub levels: [f32; 16],
    }

    /// Shared bytes of a block.
    pub const SHARED: usize = size_of::<Shared>();
}

/// Tiles of a product of halves: those of [`tiles`], kept as `[row][k]` or `[k][row]`.
pub mod half_tiles {
    use super::tiles::{DEPTH, ROWS};

    /// Halves between rows of `[row][k]`.
    pub const ALONG: u32 = DEPTH + 8;
    /// Halves of a stage's part of A: 128 rows.
    pub const A_PART: usize = (ROWS * ALONG) as usize;
    /// Halves of a stage's part of B: 64 columns.
    pub const B_PART: usize = A_PART / 2;

    /// Shared memory of a block: two stages of each operand, in a high and a low part, and the level of each code.
    #[repr(C, align(16))]
    pub struct Shared {
        /// Stages of A.
        pub a: [[[u16; A_PART]; 2]; 2],
        /// Stages of B.
        pub b: [[[u16; B_PART]; 2]; 2],
        /// The grid's integers as halves.
        pub levels: [u32; 16],
    }

    /// Shared bytes of a block.
    pub const SHARED: usize = size_of::<Shared>();
}

/// Tiles of attention.
pub mod heads {
    /// Threads of a block.
    pub const THREADS: u32 = 128;
    /// Threads that share own rows.
    pub const ACROSS: u32 = 8;
    /// Widths of a head that there are kernels for; a narrower one takes the next.
    pub const WIDTHS: [usize; 3] = [32, 64, 128];

    /// Shared bytes of `own_tiles` own and two other tiles, and one of probabilities: `r`, `c` and `w` as in `common::heads`.
    pub const fn shared_bytes(own_tiles: usize, r: usize, c: usize, w: usize) -> usize {
        let (own, other, stride) = (16 * r, 8 * c, 32 * w + 4);
        4 * ((own_tiles * own + 2 * other) * stride + other * (own + 4))
    }
}
