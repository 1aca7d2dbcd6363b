//! The 4-bit grids, and how weights and votes on them are stored.
//!
//! - `levels`: the grids as data
//! - `packing`: codes in rows
//! - `codec`: codes and votes of sixteen weights

mod codec;
mod levels;
mod packing;

pub use codec::{
    BLOCK, VoteBits, empty_votes, nibble_of_vote, pack_codes, pack_codes_to_word, unpack_codes, unpack_codes_of_word, vote_of_nibble,
};
pub use levels::{GRIDS, Grid, GridId, ZERO};
pub use packing::{ROW_ALIGN, get, histogram, pack_row, padded, row_bytes, set, unpack_row};
