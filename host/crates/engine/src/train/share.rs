//! What a rank's micro-batches measured, and what those of all ranks did.

use std::ops::Range;

use super::task::{MAX_TERMS, Seen};
use crate::ranks::Ranks;

/// What a rank tells of its share of a step.
pub(super) struct Share {
    /// Of each micro-batch: its part of the means of the loss's terms, then the tokens or frames that it saw.
    micro_batches: Vec<[f64; MAX_TERMS + 1]>,
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
    /// Of the sums of `terms` terms for each micro-batch of a step; the rank made those of `range`.
    pub fn new(sums: &[f32], range: Range<u32>, seen: &[Seen], micro_batches: u32, terms: usize) -> Self {
        let own = sums.chunks_exact(terms).skip(range.start as usize).zip(seen).map(|(sums, seen)| {
            let mut told = [0.0; MAX_TERMS + 1];
            for ((part, &sum), values) in told.iter_mut().zip(sums).zip(seen.values) {
                *part = f64::from(sum) / (values * f64::from(micro_batches));
            }
            told[MAX_TERMS] = seen.items as f64;
            told
        });
        Self { micro_batches: own.collect() }
    }

    /// Hears what the other ranks tell. Means are added up in the order of the micro-batches.
    pub fn gather(&self, is_finite: bool, waiting: f64, ranks: &mut dyn Ranks) -> Told {
        let mut own: Vec<f64> = vec![f64::from(u8::from(is_finite)), waiting];
        own.extend(self.micro_batches.as_flattened());
        let mut all = vec![0.0f64; own.len() * ranks.count()];
        ranks.gather(bytemuck::cast_slice(&own), bytemuck::cast_slice_mut(&mut all));
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
