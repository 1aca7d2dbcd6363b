//! Batches of speech: which utterances a step trains on.
//!
//! Each epoch visits the utterances in an order of its own. What a step trains on is a function of (seed, step) and the data, so a run
//! resumes without a cursor.

use xxhash_rust::xxh3::xxh3_64;

use super::speech_corpus::{SpeechCorpus, SpeechSplit};
use super::utterance::Utterance;
use crate::{Error, Result};

/// Utterances of similar length meet in a batch; they are sorted within so many batches, which leaves the rest to chance.
const POOL_BATCHES: usize = 8;

/// Chooses the utterances of each step.
pub struct SpeechBatches {
    lengths: Vec<usize>,
    seed: u64,
    batch_frames: usize,
    epoch: u64,
    first_step: u64,
    batches: Vec<Vec<usize>>,
}

impl SpeechBatches {
    /// Batches of the training split with at most `batch_frames` frames.
    ///
    /// # Errors
    /// Bad input when an utterance is longer.
    pub fn new(corpus: &SpeechCorpus, seed: u64, batch_frames: usize) -> Result<Self> {
        fits(corpus, SpeechSplit::Train, batch_frames)?;
        let lengths = corpus.utterances(SpeechSplit::Train).iter().map(|utterance| utterance.frames).collect();
        Ok(Self::of_lengths(lengths, seed, batch_frames))
    }

    fn of_lengths(lengths: Vec<usize>, seed: u64, batch_frames: usize) -> Self {
        let batches = epoch_batches(&lengths, seed, 0, batch_frames);
        Self { lengths, seed, batch_frames, epoch: 0, first_step: 0, batches }
    }

    /// Indices of the training utterances of a step. Steps in order are the fast way; any order gives the same.
    pub fn at(&mut self, step: u64) -> &[usize] {
        if step < self.first_step {
            (self.epoch, self.first_step) = (0, 0);
            self.batches = epoch_batches(&self.lengths, self.seed, 0, self.batch_frames);
        }
        while step - self.first_step >= self.batches.len() as u64 {
            self.first_step += self.batches.len() as u64;
            self.epoch += 1;
            self.batches = epoch_batches(&self.lengths, self.seed, self.epoch, self.batch_frames);
        }
        &self.batches[(step - self.first_step) as usize]
    }

    /// The epoch of the step that was asked for last, from 0.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// The batches that together have every held-out utterance once, in order.
///
/// # Errors
/// Bad input when an utterance is longer than `batch_frames`.
pub fn heldout_batches(corpus: &SpeechCorpus, batch_frames: usize) -> Result<Vec<Vec<usize>>> {
    fits(corpus, SpeechSplit::HeldOut, batch_frames)?;
    let lengths: Vec<usize> = corpus.utterances(SpeechSplit::HeldOut).iter().map(|utterance| utterance.frames).collect();
    Ok(cut(&lengths, &(0..lengths.len()).collect::<Vec<_>>(), batch_frames))
}

fn fits(corpus: &SpeechCorpus, split: SpeechSplit, batch_frames: usize) -> Result<()> {
    let longest = corpus.utterances(split).iter().max_by_key(|utterance| utterance.frames);
    match longest {
        Some(longest) if longest.frames > batch_frames => Err(Error::bad_input(
            "--batch-frames",
            format!("at least the {} frames of the longest utterance, {}", longest.frames, longest.id),
            batch_frames,
            "raise it, or remove long utterances from the corpus",
        )),
        _ => Ok(()),
    }
}

/// Fills batches in the given order, each until the next utterance would be too much.
fn cut(lengths: &[usize], order: &[usize], batch_frames: usize) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for &index in order {
        if room < lengths[index] || batches.is_empty() {
            batches.push(Vec::new());
            room = batch_frames;
        }
        room -= lengths[index];
        batches.last_mut().expect("there is one").push(index);
    }
    batches
}

fn random(seed: u64, epoch: u64, purpose: u64, index: usize) -> u64 {
    let mut key = [0; 32];
    for (bytes, part) in key.chunks_exact_mut(8).zip([seed, epoch, purpose, index as u64]) {
        bytes.copy_from_slice(&part.to_le_bytes());
    }
    xxh3_64(&key)
}

fn epoch_batches(lengths: &[usize], seed: u64, epoch: u64, batch_frames: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_cached_key(|&index| (random(seed, epoch, 0, index), index));
    let mut batches = Vec::new();
    let mut rest = Vec::new();
    for pool in cut(lengths, &order, batch_frames.saturating_mul(POOL_BATCHES)) {
        // What did not fill a batch of one pool goes on to the next.
        let mut pool = [std::mem::take(&mut rest), pool].concat();
        pool.sort_by_key(|&index| (lengths[index], index));
        // So that it is not always the longest that are left over.
        let turn = random(seed, epoch, 2, pool[0]) as usize % pool.len();
        pool.rotate_left(turn);
        batches.extend(cut(lengths, &pool, batch_frames));
        rest = batches.pop().unwrap_or_default();
    }
    // Steps count alike, so a small batch would give its utterances too much weight: they wait for another epoch.
    if batches.is_empty() || 2 * rest.iter().map(|&index| lengths[index]).sum::<usize>() >= batch_frames {
        batches.push(rest);
    }
    batches.sort_by_cached_key(|batch| (random(seed, epoch, 1, batch[0]), batch[0]));
    batches
}

/// Bounds of all batches of a size, by which memory is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpeechLimits {
    /// Utterances of a batch.
    pub utterances: usize,
    /// Phones of a batch.
    pub phones: usize,
    /// Frames of a batch.
    pub frames: usize,
    /// Phones of one utterance.
    pub longest_phones: usize,
    /// Frames of one utterance.
    pub longest_frames: usize,
}

impl SpeechLimits {
    /// Limits over both splits of a corpus.
    pub fn of(corpus: &SpeechCorpus, batch_frames: usize) -> Self {
        let all = || [SpeechSplit::Train, SpeechSplit::HeldOut].into_iter().flat_map(|split| corpus.utterances(split));
        let most = |of: fn(&Utterance) -> usize| all().map(of).max().unwrap_or(0);
        let shortest = all().map(|utterance| utterance.frames).min().unwrap_or(1);
        // No batch has more phones to a frame than the utterance that has most.
        let phones = all().map(|utterance| (utterance.phones.len() * batch_frames).div_ceil(utterance.frames)).max().unwrap_or(0);
        Self {
            utterances: batch_frames / shortest,
            phones,
            frames: batch_frames,
            longest_phones: most(|utterance| utterance.phones.len()),
            longest_frames: most(|utterance| utterance.frames),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: usize = 1_000;

    fn lengths() -> Vec<usize> {
        (0..200).map(|index| 50 + index * 7 % 401).collect()
    }

    #[test]
    fn an_epoch_visits_utterances_once_within_the_bound() {
        let lengths = lengths();
        for epoch in 0..5 {
            let batches = epoch_batches(&lengths, 1, epoch, BATCH);
            let mut seen: Vec<usize> = batches.concat();
            seen.sort_unstable();
            let visited = seen.len();
            seen.dedup();
            assert_eq!(seen.len(), visited, "an utterance came twice");
            let left: usize = (0..lengths.len()).filter(|index| seen.binary_search(index).is_err()).map(|index| lengths[index]).sum();
            assert!(left < BATCH / 2, "{left} frames were left out");
            let frames: Vec<usize> = batches.iter().map(|batch| batch.iter().map(|&index| lengths[index]).sum()).collect();
            assert!(frames.iter().all(|frames| (BATCH / 2..=BATCH).contains(frames)), "{frames:?}");
            let mean = frames.iter().sum::<usize>() / frames.len();
            assert!(mean > BATCH * 8 / 10, "batches are filled to {mean} of {BATCH}");
        }
    }

    #[test]
    fn a_step_depends_on_seed_and_step_alone() {
        let mut batches = SpeechBatches::of_lengths(lengths(), 3, BATCH);
        let steps: Vec<Vec<usize>> = (0..300).map(|step| batches.at(step).to_vec()).collect();
        assert!(batches.epoch() > 3);
        for step in [299, 0, 150, 149, 298] {
            assert_eq!(batches.at(step), steps[step as usize], "step {step} in another order");
            assert_eq!(SpeechBatches::of_lengths(lengths(), 3, BATCH).at(step), steps[step as usize], "step {step} after a resume");
        }
        let mut other = SpeechBatches::of_lengths(lengths(), 4, BATCH);
        assert!((0..300).any(|step| other.at(step) != steps[step as usize]), "the seed does nothing");
        let per_epoch = epoch_batches(&lengths(), 3, 0, BATCH).len();
        assert!(steps[..per_epoch] != steps[per_epoch..2 * per_epoch], "the epochs are the same");
    }

    #[test]
    fn little_data_is_one_batch() {
        let mut batches = SpeechBatches::of_lengths(vec![10, 20], 1, BATCH);
        for step in 0..3 {
            let mut batch = batches.at(step).to_vec();
            batch.sort_unstable();
            assert_eq!(batch, [0, 1]);
        }
    }
}
