//! What the CUDA back end adds to a plan, and what it cannot run: known without CUDA, so that any build can say what a run would take on a GPU.

use primal_device::grid::Grid;
use primal_device::kernels::sizes::{heads, tiles};
use primal_device::kernels::{bias_backward, layer_norm};

use super::operands::AttentionShape;
use crate::memory::{Kind, Plan, Span};
use crate::{Error, Result};

/// What messages call the back end.
pub const SUBJECT: &str = "the CUDA back end";
/// Widest heads of attention.
pub const MAX_HEAD_DIM: usize = heads::WIDTHS[heads::WIDTHS.len() - 1];
/// Most blocks of a launch along y, which no device exceeds.
const MAX_BLOCKS_Y: usize = 65_535;
/// Rows that the kernels with the most blocks along y give to each: partial sums of columns.
const ROWS_OF_A_BLOCK: usize = {
    let (norm, bias) = (layer_norm::GROUP as usize, bias_backward::GROUP as usize);
    if norm < bias { norm } else { bias }
};

/// Whether the kernels can run attention of that shape, and others over as many rows.
pub fn require(attention: &AttentionShape) -> Result<()> {
    let limit = |what: &str, most: usize, found: usize, hint: &str| {
        let expected = format!("at most {most} {what}");
        if found <= most { Ok(()) } else { Err(Error::invalid(SUBJECT, expected, found, hint)) }
    };
    limit("values in an attention head", MAX_HEAD_DIM, attention.head_dim, "use more heads, or the CPU back end")?;
    let sequences = attention.sequences.count() * attention.heads;
    limit("heads of all sequences of a micro-batch", MAX_BLOCKS_Y, sequences, "lower the batch, and raise grad_accum")?;
    limit("rows in a micro-batch", MAX_BLOCKS_Y * ROWS_OF_A_BLOCK, attention.tokens(), "lower the batch, and raise grad_accum")
}

/// Values of a span's tensor that share one value of scratch: partial sums of such rows, two a column.
const VALUES_PER_SCRATCH: usize = ROWS_OF_A_BLOCK / 2;
/// Values of scratch for what does not grow with the tensors: parts of products.
const LEAST_SCRATCH: usize = 1 << 22;
/// Tiles that fill a large device, three to a multiprocessor.
const MOST_TILES: usize = 384;
/// k that a part of a product has at least.
const LEAST_DEPTH: usize = 128;

/// Parts of its k into which a product on tensor cores is divided, of so many columns and rows and so deep: by its shape alone, so that its bits are
/// the same on all devices that have them.
pub fn parts([columns, rows]: [usize; 2], depth: usize) -> usize {
    let tiles = columns.div_ceil(tiles::COLUMNS as usize) * rows.div_ceil(tiles::ROWS as usize);
    (MOST_TILES / tiles).min(depth / LEAST_DEPTH).min(LEAST_SCRATCH / (columns * rows)).max(1)
}

/// Words for the largest values of tensors that are known at a time.
const LARGEST: usize = 1024;

/// Grids whose tables are on the device at a time.
const GRIDS: usize = 16;

/// What the back end has for itself.
pub struct Planned {
    /// The ops' own scratch.
    pub scratch: Span<f32>,
    /// Words for the largest values of tensors.
    pub largest: Span<u32>,
    /// Words for tables of grids.
    pub grids: Span<u32>,
}

/// Adds it to the plan of all else.
pub fn plan(plan: &mut Plan) -> Planned {
    let largest = plan.entries().iter().map(|entry| entry.bytes / size_of::<f32>()).max().unwrap_or(0);
    let scratch = plan.span(Kind::Scratch, "cuda.scratch", largest / VALUES_PER_SCRATCH + LEAST_SCRATCH);
    let grids = GRIDS * size_of::<Grid>() / size_of::<u32>();
    Planned { scratch, largest: plan.span(Kind::Scratch, "cuda.largest", LARGEST), grids: plan.span(Kind::Scratch, "cuda.grids", grids) }
}

#[cfg(test)]
mod tests {
    use super::{LEAST_SCRATCH, parts};

    #[test]
    fn products_of_few_tiles_are_divided_as_far_as_depth_and_scratch_allow() {
        // Square layers of width 768, 32,768 tokens; those four times as wide fill the device; a layer of width 144, 2048 tokens.
        assert_eq!(parts([768, 768], 32_768), 5);
        assert_eq!(parts([768, 3072], 32_768), 1);
        assert_eq!(parts([144, 144], 2048), 16);
        assert_eq!(parts([64, 128], 127), 1);
        for items @ [columns, rows] in [[768, 1024], [2048, 2048], [1, 1], [50_257, 768]] {
            assert!(parts(items, 1 << 20) * columns * rows <= LEAST_SCRATCH.max(columns * rows));
        }
    }
}
