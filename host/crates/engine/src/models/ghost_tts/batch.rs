//! What GhostTTS reads: utterances one after another, without padding.

use super::scale::MelScale;

/// An utterance as the network sees it.
#[derive(Clone, Copy, Debug)]
pub struct UtteranceInput<'a, P> {
    /// Phones of the utterance; the network takes their indices.
    pub phones: &'a [P],
    /// Frames of each phone; their sum is the number of frames.
    pub durations: &'a [u32],
    /// Standardised pitch of each phone.
    pub pitch: &'a [f32],
    /// Standardised energy of each phone.
    pub energy: &'a [f32],
    /// Log-mel spectrogram, `[frames, mels]`; empty where it is to be predicted.
    pub mel: &'a [f32],
}

impl<P> UtteranceInput<'_, P> {
    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.durations.iter().map(|&d| d as usize).sum()
    }
}

/// The most that a batch can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Utterances.
    pub utterances: usize,
    /// Phones of all utterances.
    pub phones: usize,
    /// Frames of all utterances.
    pub frames: usize,
}

impl Capacity {
    /// The capacity for training batches of at most so many frames. A phone takes four frames or more on average.
    pub fn of_frames(frames: usize) -> Self {
        let phones = frames.div_ceil(4);
        Self { utterances: phones.div_ceil(4), phones, frames }
    }
}

/// Utterances one after another; see [`super::GhostTts::load`].
#[derive(Clone, Debug)]
pub struct SpeechBatch {
    /// Indices of phones.
    pub phones: Vec<u32>,
    /// The place of each phone in its utterance.
    pub phone_positions: Vec<u32>,
    /// Where utterances start in the phones, and the end of the last.
    pub phone_offsets: Vec<u32>,
    /// `ln(frames + 1)` of each phone.
    pub log_durations: Vec<f32>,
    /// Standardised pitch of each phone.
    pub pitch: Vec<f32>,
    /// Standardised energy of each phone.
    pub energy: Vec<f32>,
    /// The phone of each frame: a row of the batch's phones.
    pub frame_phones: Vec<u32>,
    /// The place of each frame in its utterance.
    pub frame_positions: Vec<u32>,
    /// Frames since its phone's start, clamped.
    pub from_start: Vec<u32>,
    /// Frames until its phone's end, clamped.
    pub to_end: Vec<u32>,
    /// Where utterances start in the frames, and the end of the last.
    pub frame_offsets: Vec<u32>,
    /// Standardised log-mel spectrogram, `[frames, mels]`.
    pub mel: Vec<f32>,
    /// Places within a phone that are told apart.
    places: u32,
}

impl SpeechBatch {
    /// An empty batch with memory for that capacity.
    pub fn new(capacity: Capacity, mels: usize, places: usize) -> Self {
        let Capacity { utterances, phones, frames } = capacity;
        let mut batch = Self {
            phones: Vec::with_capacity(phones),
            phone_positions: Vec::with_capacity(phones),
            phone_offsets: Vec::with_capacity(utterances + 1),
            log_durations: Vec::with_capacity(phones),
            pitch: Vec::with_capacity(phones),
            energy: Vec::with_capacity(phones),
            frame_phones: Vec::with_capacity(frames),
            frame_positions: Vec::with_capacity(frames),
            from_start: Vec::with_capacity(frames),
            to_end: Vec::with_capacity(frames),
            frame_offsets: Vec::with_capacity(utterances + 1),
            mel: Vec::with_capacity(frames * mels),
            places: places as u32,
        };
        batch.clear();
        batch
    }

    /// Removes all utterances.
    pub fn clear(&mut self) {
        for ids in [
            &mut self.phones,
            &mut self.phone_positions,
            &mut self.frame_phones,
            &mut self.frame_positions,
            &mut self.from_start,
            &mut self.to_end,
        ] {
            ids.clear();
        }
        for values in [&mut self.log_durations, &mut self.pitch, &mut self.energy, &mut self.mel] {
            values.clear();
        }
        for offsets in [&mut self.phone_offsets, &mut self.frame_offsets] {
            offsets.clear();
            offsets.push(0);
        }
    }

    /// Adds an utterance; its spectrogram is standardised by `scale`.
    pub fn push<P: Copy + Into<u32>>(&mut self, utterance: &UtteranceInput<P>, scale: &MelScale) {
        self.phone_positions.extend(0..utterance.phones.len() as u32);
        self.frame_positions.extend(0..utterance.frames() as u32);
        for (row, &frames) in (self.phones.len() as u32..).zip(utterance.durations) {
            let last = self.places - 1;
            self.frame_phones.extend((0..frames).map(|_| row));
            self.from_start.extend((0..frames).map(|at| at.min(last)));
            self.to_end.extend((0..frames).rev().map(|left| left.min(last)));
            self.log_durations.push((frames as f32 + 1.0).ln());
        }
        self.phones.extend(utterance.phones.iter().map(|&phone| phone.into()));
        self.pitch.extend(utterance.pitch);
        self.energy.extend(utterance.energy);
        self.mel.extend(scale.standardised(utterance.mel));
        self.phone_offsets.push(self.phones.len() as u32);
        self.frame_offsets.push(self.frame_phones.len() as u32);
    }

    /// Number of utterances.
    pub fn utterances(&self) -> usize {
        self.phone_offsets.len() - 1
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.frame_phones.len()
    }
}

/// Rows of the longest sequence.
pub(super) fn longest(offsets: &[u32]) -> usize {
    offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utterances_are_rows_one_after_another() {
        let scale = MelScale::new([(1.0, 2.0), (-1.0, 2.0)].into_iter());
        let (sil, ah) = (0, 7);
        let mut batch = SpeechBatch::new(Capacity { utterances: 2, phones: 5, frames: 9 }, 2, 3);
        let first = UtteranceInput { phones: &[sil, ah], durations: &[1, 5], pitch: &[0.5, 0.6], energy: &[0.7, 0.8], mel: &[5.0; 12] };
        let second = UtteranceInput { phones: &[ah, sil, ah], durations: &[2, 0, 1], pitch: &[1.0; 3], energy: &[2.0; 3], mel: &[3.0; 6] };
        batch.push(&second, &scale);
        batch.clear();
        batch.push(&first, &scale);
        batch.push(&second, &scale);
        assert_eq!(batch.phones, [sil, ah, ah, sil, ah]);
        assert_eq!(batch.phone_positions, [0, 1, 0, 1, 2]);
        assert_eq!((&batch.phone_offsets[..], &batch.frame_offsets[..]), (&[0, 2, 5][..], &[0, 6, 9][..]));
        assert_eq!(batch.frame_phones, [0, 1, 1, 1, 1, 1, 2, 2, 4]);
        assert_eq!(batch.frame_positions, [0, 1, 2, 3, 4, 5, 0, 1, 2]);
        assert_eq!(batch.from_start, [0, 0, 1, 2, 2, 2, 0, 1, 0]);
        assert_eq!(batch.to_end, [0, 2, 2, 2, 1, 0, 1, 0, 0]);
        assert_eq!(batch.pitch, [0.5, 0.6, 1.0, 1.0, 1.0]);
        assert_eq!(batch.energy, [0.7, 0.8, 2.0, 2.0, 2.0]);
        assert_eq!(batch.log_durations[1], 6f32.ln());
        // Two deviations above the first band's mean, three above the second's.
        assert_eq!(batch.mel[..4], [2.0, 3.0, 2.0, 3.0]);
        assert_eq!(batch.mel[12..14], [1.0, 2.0]);
        assert_eq!((batch.utterances(), batch.frames(), longest(&batch.frame_offsets)), (2, 9, 6));
        let mut mel = batch.mel[..2].to_vec();
        scale.restore(&mut mel);
        assert_eq!(mel, [5.0, 5.0]);
    }
}
