//! The 4-bit grids, and how weights and votes on them are stored.
//!
//! - `levels`: what a grid is
//! - `table`: the grids
//! - `scales`: what levels are multiplied by
//! - `packing`: codes in rows
//! - `codec`: codes and votes of sixteen weights

mod codec;
mod levels;
mod packing;
mod scales;
mod table;

pub use codec::{
    BLOCK, VoteBits, empty_votes, nibble_of_vote, pack_codes, pack_codes_to_word, set_vote, unpack_codes, unpack_codes_of_word,
    vote_of_nibble,
};
pub use levels::{Ends, Grid};
pub use packing::{PADDING, ROW_ALIGN, get, histogram, pack_row, padded, row_bytes, set, unpack_row};
pub use scales::{GROUP, ScaleForm, groups, half_bits, half_value};
pub use table::{E2M1, FINE15, GRIDS, INT4, NF4, PRIME13, PRIME15, UINT4, UNIFORM15, UNIFORM16, by_name};
