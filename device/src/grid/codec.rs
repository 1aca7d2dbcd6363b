//! How codes and votes are stored, sixteen weights at a time: codes two a byte, low nibble first; votes a byte each, or a nibble each in excess 8.

/// Weights that are read and written together: those that share one Philox call.
pub const BLOCK: usize = 16;

/// The width of a stored vote.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum VoteBits {
    /// −7..=7: with its code, a weight takes one byte.
    Four,
    /// −127..=127.
    Eight,
}

/// What is added to a vote of 4 bits.
const EXCESS: i32 = 8;

/// The codes of a block, from its bytes.
#[inline(always)]
pub fn unpack_codes(packed: [u8; BLOCK / 2]) -> [u8; BLOCK] {
    core::array::from_fn(|i| packed[i / 2] >> (i % 2 * 4) & 15)
}

/// A block of codes as bytes.
#[inline(always)]
pub fn pack_codes(codes: [u8; BLOCK]) -> [u8; BLOCK / 2] {
    core::array::from_fn(|i| codes[2 * i] | codes[2 * i + 1] << 4)
}

/// [`unpack_codes`] of the bytes of a word, little end first: what a GPU loads at once.
#[inline(always)]
pub fn unpack_codes_of_word(word: u64) -> [u8; BLOCK] {
    core::array::from_fn(|i| (word >> (4 * i)) as u8 & 15)
}

/// [`pack_codes`] to the bytes of a word, little end first.
#[allow(clippy::needless_range_loop, reason = "an iterator that owns an array keeps it in a GPU's local memory")]
#[inline(always)]
pub fn pack_codes_to_word(codes: [u8; BLOCK]) -> u64 {
    let mut word = 0;
    for i in 0..BLOCK {
        word |= u64::from(codes[i]) << (4 * i);
    }
    word
}

/// The vote of a nibble.
#[inline(always)]
pub fn vote_of_nibble(nibble: u8) -> i32 {
    i32::from(nibble) - EXCESS
}

/// The nibble of a vote of 4 bits.
#[inline(always)]
pub fn nibble_of_vote(vote: i32) -> u8 {
    (vote + EXCESS) as u8
}

/// Sets the vote of a column in the bytes of its row.
pub fn set_vote(bits: VoteBits, row: &mut [u8], column: usize, vote: i32) {
    match bits {
        VoteBits::Eight => row[column] = vote as i8 as u8,
        VoteBits::Four => {
            let shift = 4 * (column % 2);
            row[column / 2] = row[column / 2] & !(15 << shift) | nibble_of_vote(vote) << shift;
        }
    }
}

/// The byte of weights without votes.
pub const fn empty_votes(bits: VoteBits) -> u8 {
    match bits {
        VoteBits::Eight => 0,
        VoteBits::Four => EXCESS as u8 | (EXCESS as u8) << 4,
    }
}
