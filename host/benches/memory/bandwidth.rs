//! How fast memory is read that is not cached.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

/// Several times the last-level cache.
const BYTES: usize = 192 << 20;

/// Bytes a second that the threads of this pool together read in order.
pub fn bandwidth() -> f64 {
    let words = vec![1u64; BYTES / size_of::<u64>()];
    let part = words.len() / rayon::current_num_threads();
    let read = || {
        let began = Instant::now();
        black_box(&words).par_chunks_exact(part).for_each(|words| {
            let mut sums = [0u64; 32];
            for words in words.as_chunks::<32>().0 {
                sums.iter_mut().zip(words).for_each(|(sum, word)| *sum += word);
            }
            black_box(sums);
        });
        BYTES as f64 / began.elapsed().as_secs_f64()
    };
    (0..9).map(|_| read()).fold(0.0, f64::max)
}
