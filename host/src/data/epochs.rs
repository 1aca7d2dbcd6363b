//! Every window of a text once an epoch, in an order of its own, of which nothing is kept: the place of a window is computed from its turn.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Where the window starts that is learnt in a turn of a run, of `seq_len` tokens and the one after it.
///
/// An epoch's windows lie side by side. They begin a few tokens later or earlier from epoch to epoch, as far as tokens are left over.
///
/// # Panics
/// When there are fewer tokens than one window's.
pub fn start(seed: u64, turn: u64, seq_len: u64, tokens: u64) -> u64 {
    let count = tokens.saturating_sub(1) / seq_len;
    assert!(count > 0, "fewer training tokens than one window");
    let (epoch, turn) = (turn / count, turn % count);
    let key = random(seed, epoch);
    let left_over = tokens - 1 - count * seq_len;
    key % (left_over + 1) + permuted(key, turn, count) * seq_len
}

/// Rounds of the network below.
const ROUNDS: u64 = 4;

/// The number below `count` that stands at `at` in a permutation: a Feistel network over the next power of four, gone through until it ends below `count`.
fn permuted(key: u64, at: u64, count: u64) -> u64 {
    let half = (u64::BITS - (count - 1).leading_zeros()).div_ceil(2);
    let mask = (1u64 << half) - 1;
    let mut at = at;
    loop {
        let (mut left, mut right) = (at >> half, at & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (random(key.wrapping_add(round), right) & mask));
        }
        at = left << half | right;
        if at < count {
            return at;
        }
    }
}

fn random(seed: u64, of: u64) -> u64 {
    xxh3_64_with_seed(&of.to_le_bytes(), seed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_epoch_has_every_window_once(seed in any::<u64>(), seq_len in 1u64..40, tokens in 0u64..2000) {
            let tokens = tokens + seq_len + 1;
            let count = (tokens - 1) / seq_len;
            let epoch = |number: u64| (0..count).map(|turn| start(seed, number * count + turn, seq_len, tokens)).collect::<Vec<_>>();
            for number in [0, 1] {
                let mut starts = epoch(number);
                prop_assert!(starts.iter().all(|start| start + seq_len < tokens));
                starts.sort_unstable();
                prop_assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == seq_len), "{:?}", starts);
            }
            prop_assert!(count < 10 || epoch(0) != epoch(1), "two epochs in the same order");
        }
    }

    #[test]
    fn neighbours_are_learnt_far_apart() {
        let count = 10_000;
        let starts: Vec<u64> = (0..count).map(|turn| start(7, turn, 1, count + 1)).collect();
        let near = starts.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < count / 100).count();
        assert!((100..300).contains(&near), "{near} of {count}, of which 200 are expected");
        let first: u64 = starts[..1000].iter().sum();
        assert!((4_600_000..5_400_000).contains(&first), "the mean of the first thousand: {}", first as f64 / 1000.0);
    }
}
