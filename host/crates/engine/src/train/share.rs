//! What a rank's micro-batches measured, and what those of all ranks did.

use std::ops::Range;

use super::task::{MAX_TERMS, Seen};
use crate::ranks::Ranks;

/// What a rank tells of its share of a step, and hears of those of others; its memory stays from step to step.
#[derive(Default)]
pub(super) struct Share {
    /// What its micro-batches held.
    pub seen: Vec<Seen>,
    own: Vec<f64>,
    all: Vec<f64>,
}

/// What all ranks told.
pub(super) struct Told {
    /// The means of the loss's terms.
    pub terms: [f64; MAX_TERMS],
    /// Tokens or frames that the step saw.
    pub items: u64,
    /// The first rank with a value that is not finite.
    pub failed: Option<usize>,
    /// The mean share of time that ranks waited.
    pub waiting: f64,
}

impl Share {
    /// Begins a step: what its micro-batches count together, of which those of this rank count so much each.
    pub fn weigh(&mut self, weights: impl Iterator<Item = f64>, ranks: &mut dyn Ranks) -> f64 {
        let Self { seen, own, all } = self;
        seen.clear();
        own.clear();
        own.extend(weights);
        all.clear();
        all.resize(own.len() * ranks.count(), 0.0);
        ranks.gather(bytemuck::cast_slice(own), bytemuck::cast_slice_mut(all));
        all.iter().sum()
    }

    /// Tells the others whether all is finite, the share of time that the rank waited, and of each of its micro-batches, `range`, the part of the means of
    /// the loss's terms, whose sums are in `sums`, and the tokens or frames that it saw; and hears what they tell. Means are added up in the order of the
    /// micro-batches of the step.
    pub fn gather(&mut self, sums: &[f32], range: Range<u32>, is_finite: bool, waiting: f64, ranks: &mut dyn Ranks) -> Told {
        let Self { seen, own, all } = self;
        let terms = sums.len() / (range.len() * ranks.count());
        own.clear();
        own.extend([f64::from(u8::from(is_finite)), waiting]);
        for (sums, seen) in sums.chunks_exact(terms).skip(range.start as usize).zip(&*seen) {
            let mut told = [0.0; MAX_TERMS + 1];
            for ((part, &sum), values) in told.iter_mut().zip(sums).zip(seen.values) {
                *part = f64::from(sum) / values;
            }
            told[MAX_TERMS] = seen.items as f64;
            own.extend(told);
        }
        all.clear();
        all.resize(own.len() * ranks.count(), 0.0);
        ranks.gather(bytemuck::cast_slice(own), bytemuck::cast_slice_mut(all));
        let mut told = Told { terms: [0.0; MAX_TERMS], items: 0, failed: None, waiting: 0.0 };
        for (rank, values) in all.chunks_exact(own.len()).enumerate() {
            let ([is_finite, waiting], micro_batches) = values.split_first_chunk().expect("two values and micro-batches");
            if *is_finite == 0.0 && told.failed.is_none() {
                told.failed = Some(rank);
            }
            told.waiting += waiting / ranks.count() as f64;
            for micro_batch in micro_batches.chunks_exact(MAX_TERMS + 1) {
                told.terms.iter_mut().zip(micro_batch).for_each(|(term, part)| *term += part);
                told.items += micro_batch[MAX_TERMS] as u64;
            }
        }
        told
    }
}
