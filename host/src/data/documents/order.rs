//! Which documents a micro-batch holds: in each epoch every document once, in an order of its own, as many at a time as there is room for.
//!
//! Documents of an epoch's end that fill no micro-batch begin one with those of the next.

use std::ops::Range;

use primal_engine::models::text::TextModel;
use xxhash_rust::xxh3::xxh3_64;

/// What a batch has room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Tokens of a document; longer ones are cut.
    pub seq_len: usize,
    /// Tokens of all.
    pub tokens: usize,
    /// Documents.
    pub documents: usize,
}

impl Room {
    /// That of a model as it was planned.
    pub fn of(model: &impl TextModel) -> Self {
        let attention = model.attention();
        Self { seq_len: attention.sequences.longest(), tokens: attention.tokens(), documents: model.batch().documents() }
    }

    /// Where batches of documents of these lengths begin, one after another; the last, which has room for more, is none yet.
    fn pack(&self, lengths: impl Iterator<Item = usize>) -> Vec<usize> {
        let (mut starts, mut tokens) = (vec![0], 0);
        for (at, len) in lengths.enumerate() {
            let documents = at - starts[starts.len() - 1];
            if documents > 0 && (tokens + len > self.tokens || documents == self.documents) {
                starts.push(at);
                tokens = 0;
            }
            tokens += len;
        }
        starts
    }

    /// All batches, the last as full as it is.
    pub fn batches(&self, lengths: impl ExactSizeIterator<Item = usize>) -> Vec<Range<usize>> {
        let count = lengths.len();
        let starts = self.pack(lengths);
        let ends = starts[1..].iter().copied().chain([count]);
        starts.iter().zip(ends).map(|(&start, end)| start..end).filter(|batch| !batch.is_empty()).collect()
    }
}

/// The micro-batches of an epoch.
#[derive(Debug)]
pub(super) struct Epoch {
    seed: u64,
    number: u64,
    /// The number of its first micro-batch in the run.
    first: u64,
    /// What the last epoch left, and its own documents.
    order: Vec<u32>,
    /// Of each micro-batch, and of what is left for the next epoch.
    starts: Vec<usize>,
}

impl Epoch {
    /// The first of a run with that seed, of these documents.
    pub fn new(seed: u64, documents: &[u32], room: Room, len: impl Fn(u32) -> usize) -> Self {
        Self::after(Vec::new(), [seed, 0, 0], documents, room, len)
    }

    fn after(left: Vec<u32>, [seed, number, first]: [u64; 3], documents: &[u32], room: Room, len: impl Fn(u32) -> usize) -> Self {
        let mut keys: Vec<(u64, u32)> = documents.iter().map(|&document| (key(seed, number, document), document)).collect();
        keys.sort_unstable();
        let order: Vec<u32> = left.into_iter().chain(keys.into_iter().map(|(_, document)| document)).collect();
        let starts = room.pack(order.iter().map(|&document| len(document)));
        Self { seed, number, first, order, starts }
    }

    /// Whether micro-batches of that seed, from that number on, are in this epoch or later ones.
    pub fn leads_to(&self, seed: u64, number: u64) -> bool {
        self.seed == seed && self.first <= number
    }

    /// The documents of the micro-batch of that number in the run, to which this epoch leads; it becomes the epoch that has it.
    pub fn batch(&mut self, number: u64, documents: &[u32], room: Room, len: impl Fn(u32) -> usize) -> &[u32] {
        loop {
            let (at, whole) = ((number - self.first) as usize, self.starts.len() - 1);
            if at < whole {
                return &self.order[self.starts[at]..self.starts[at + 1]];
            }
            let left = self.order.split_off(self.starts[whole]);
            *self = Self::after(left, [self.seed, self.number + 1, self.first + whole as u64], documents, room, &len);
        }
    }
}

/// What documents are sorted by.
fn key(seed: u64, epoch: u64, document: u32) -> u64 {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&epoch.to_le_bytes());
    bytes[16..].copy_from_slice(&document.to_le_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_document_is_seen_once_an_epoch(
            lengths in proptest::collection::vec(1usize..=16, 1..60),
            tokens in 16usize..100,
            most in 1usize..20,
            seed in any::<u64>(),
        ) {
            let room = Room { seq_len: 16, tokens, documents: most };
            let documents: Vec<u32> = (0..lengths.len() as u32).collect();
            let len = |document: u32| lengths[document as usize];
            let mut epoch = Epoch::new(seed, &documents, room, len);
            let mut seen: Vec<u32> = Vec::new();
            let mut number = 0;
            while seen.len() < 4 * documents.len() {
                let batch = epoch.batch(number, &documents, room, len).to_vec();
                prop_assert!(!batch.is_empty() && batch.len() <= most);
                prop_assert!(batch.iter().map(|&document| len(document)).sum::<usize>() <= tokens);
                // The same, whichever epoch it is asked of.
                let mut anew = Epoch::new(seed, &documents, room, len);
                prop_assert!(anew.leads_to(seed, number) && !anew.leads_to(seed ^ 1, number));
                prop_assert_eq!(anew.batch(number, &documents, room, len), &batch[..]);
                seen.extend(batch);
                number += 1;
            }
            let epochs: Vec<&[u32]> = seen.chunks_exact(documents.len()).collect();
            for epoch in &epochs {
                let mut sorted = epoch.to_vec();
                sorted.sort_unstable();
                prop_assert_eq!(&sorted, &documents);
            }
            prop_assert!(documents.len() < 10 || epochs[0] != epochs[1], "two epochs in the same order");
        }

        #[test]
        fn batches_are_all_documents_in_order(lengths in proptest::collection::vec(1usize..=16, 0..60), tokens in 16usize..100) {
            let room = Room { seq_len: 16, tokens, documents: 7 };
            let batches = room.batches(lengths.iter().copied());
            let mut end = 0;
            for batch in batches {
                prop_assert_eq!(batch.start, end);
                prop_assert!(batch.len() <= 7 && lengths[batch.clone()].iter().sum::<usize>() <= tokens);
                end = batch.end;
            }
            prop_assert_eq!(end, lengths.len());
        }
    }
}
