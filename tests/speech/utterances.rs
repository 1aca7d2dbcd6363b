//! Utterances of nothing.

use primal_device::philox::{RandomStream, uniform};
use primal_engine::models::ghost_tts::{GhostTts, MelScale, SpeechBatch, UtteranceInput};
use primal_speech::Phone;

/// An utterance of random phones and durations. Its spectrogram is far from anything that an untrained model says, so that the sign of no
/// error changes with a small step: there the slope of an absolute error jumps.
pub struct Random {
    phones: Vec<Phone>,
    durations: Vec<u32>,
    pitch: Vec<f32>,
    energy: Vec<f32>,
    mel: Vec<f32>,
}

impl Random {
    /// The utterance of that number.
    pub fn new(number: u64, phones: usize, mels: usize) -> Self {
        let stream = RandomStream::new(7, 0, number);
        let draw = |i: usize, of: u32| (uniform(stream.words(i as u32)[0]) * of as f32) as u32;
        let durations: Vec<u32> = (0..phones).map(|i| draw(i, 7)).collect();
        let frames: u32 = durations.iter().sum();
        let normal = |at: usize| (0..phones).map(|i| 2.0 * uniform(stream.words((at + i) as u32)[1]) - 1.0).collect();
        let sign = |i: usize| if uniform(stream.words(i as u32)[2]) < 0.5 { -5.0 } else { 5.0 };
        Self {
            phones: (0..phones).map(|i| Phone::new(draw(1000 + i, Phone::COUNT as u32) as u8).expect("a phone")).collect(),
            pitch: normal(0),
            energy: normal(phones),
            mel: (0..frames as usize * mels).map(sign).collect(),
            durations,
        }
    }

    fn utterance(&self) -> UtteranceInput<'_, Phone> {
        UtteranceInput { phones: &self.phones, durations: &self.durations, pitch: &self.pitch, energy: &self.energy, mel: &self.mel }
    }
}

fn scale(mels: usize) -> MelScale {
    MelScale::new(std::iter::repeat_n((0.0, 1.0), mels))
}

/// A batch of them; their spectrograms count as standardised.
pub fn batch(model: &GhostTts, utterances: &[Random]) -> SpeechBatch {
    let mut batch = model.batch();
    utterances.iter().for_each(|utterance| batch.push(&utterance.utterance(), &scale(model.mels)));
    batch
}
