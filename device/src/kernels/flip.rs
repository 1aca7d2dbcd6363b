//! Flips over a whole tensor, by [`crate::rules::votes`].

use super::sizes::blocks::{COVERS, THREADS};
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::blocks::{Counts, Place, load_votes, store_votes};
    use crate::grid::{BLOCK, pack_codes_to_word, unpack_codes_of_word};
    use crate::rules::votes::{VoteRule, flip_between};
}

kernels! {
    /// Flips the weights whose votes agree and adds to `counts`, `[flipped, at a rail]`, which must be zero before; codes
    /// `[outputs, row_bytes]`, votes `[outputs, padded inputs]` of `bits` = 8 or 4 bits; `threshold` and `consumed` are the rule's. A thread
    /// takes sixteen weights of a row; `rails` has in its low bytes the codes that count as such. Items: blocks of sixteen weights, `outputs · ⌈inputs / 16⌉`.
    fn flip(
        codes: *mut u8, votes: *mut u8, bits: u32, counts: *mut u32, grid: *const Grid, rails: u32, outputs: u32, inputs: u32, threshold: i32,
        consumed: f32,
    ) for [THREADS, 0, COVERS] {
        let ends = (*grid).ends();
        let rule = VoteRule { max: 0, quantum: 0.0, threshold, consumed };
        let mut sums = Counts::new(rails);
        if let Some(place) = Place::of_thread(outputs, inputs) {
            let (at_codes, at_votes) = (place.codes(codes, inputs), place.votes(bits, votes, inputs));
            let (mut codes, mut votes) = (unpack_codes_of_word(*at_codes), load_votes(bits, at_votes));
            for j in 0..BLOCK {
                if j < place.count {
                    let before = codes[j];
                    (codes[j], votes[j]) = flip_between(&rule, ends, before, votes[j]);
                    sums.count(before, codes[j]);
                }
            }
            *at_codes = pack_codes_to_word(codes);
            store_votes(bits, at_votes, votes);
        }
        sums.add_to(counts);
    }
}
