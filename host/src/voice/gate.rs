//! A gate on pauses: what is quiet in them is silent.
//!
//! A vocoder's pauses hiss a little. A frame is silent if it and its neighbours belong to pauses, and it is [`QUIET`] below the loudest frame of its breath;
//! the frames beside silence fade, so that nothing clicks. Breaths that are louder stay. No sample of any other phone than the pause changes, nor of the
//! frame next to it: words die away there.

use std::f32::consts::PI;

use primal_speech::Phone;

/// A frame of a pause that is so much quieter than the loudest one of its breath is silent, in dB. In the pauses of recordings words have died away
/// by as much after 3 frames (the median; after 5 in 19 of 20).
const QUIET: f32 = 42.0;
/// Frames beside a phone that stay as they are, or fade.
const MARGIN: usize = 2;
/// What is quiet for fewer frames stays: a gate that opens and shuts is heard.
const SHORTEST: usize = 4;

/// The loudness of the frames of a breath, between 0 and 1.
#[derive(Clone, Debug)]
pub struct Gate {
    frames: Vec<Frame>,
    hop: usize,
    /// The next sample.
    at: usize,
    passed: Vec<f32>,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Silent,
    /// Heard: whether it begins and ends as silence.
    Heard {
        rises: bool,
        falls: bool,
    },
}

impl Gate {
    /// For phones of so many frames each, and their log-mel frames `[Σ durations, mels]`; `hop` samples are a frame.
    pub fn new(phones: &[Phone], durations: &[u32], mel: &[f32], hop: usize) -> Self {
        let is_pause: Vec<bool> =
            phones.iter().zip(durations).flat_map(|(&phone, &frames)| std::iter::repeat_n(phone == Phone::SIL, frames as usize)).collect();
        let mels = mel.len() / is_pause.len().max(1);
        let decibels = |frame: &[f32]| 10.0 * frame.iter().map(|log| (2.0 * log).exp()).sum::<f32>().log10();
        let levels: Vec<f32> = mel.chunks_exact(mels.max(1)).map(decibels).collect();
        let threshold = levels.iter().copied().fold(f32::NEG_INFINITY, f32::max) - QUIET;
        let is_far = |frame: usize| is_pause[frame.saturating_sub(MARGIN)..(frame + MARGIN + 1).min(is_pause.len())].iter().all(|&is| is);
        let mut is_silent: Vec<bool> = levels.iter().enumerate().map(|(frame, &level)| level < threshold && is_far(frame)).collect();
        is_silent.chunk_by_mut(|a, b| a == b).filter(|run| run.len() < SHORTEST).for_each(|run| run.fill(false));
        // Before and after the breath there is nothing.
        let beside = |frame: Option<usize>| frame.and_then(|frame| is_silent.get(frame)).is_none_or(|&is| is);
        let frame = |frame: usize| match is_silent[frame] {
            true => Frame::Silent,
            false => Frame::Heard {
                rises: is_pause[frame] && beside(frame.checked_sub(1)),
                falls: is_pause[frame] && beside(frame.checked_add(1)),
            },
        };
        Self { frames: (0..is_silent.len()).map(frame).collect(), hop, at: 0, passed: Vec::new() }
    }

    /// The next samples of the breath, as they are heard.
    ///
    /// # Panics
    /// If there are more than it has.
    pub fn pass(&mut self, samples: &[f32]) -> &[f32] {
        self.passed.clear();
        self.passed.extend_from_slice(samples);
        let mut rest = &mut self.passed[..];
        while !rest.is_empty() {
            let (frame, first) = (self.at / self.hop, self.at % self.hop);
            let (part, others) = rest.split_at_mut(rest.len().min(self.hop - first));
            self.frames[frame].apply(first, self.hop, part);
            self.at += part.len();
            rest = others;
        }
        &self.passed
    }
}

impl Frame {
    /// Makes the samples of a frame from `first` on as loud as they are to be.
    fn apply(self, first: usize, hop: usize, samples: &mut [f32]) {
        let (rises, falls) = match self {
            Self::Silent => return samples.fill(0.0),
            Self::Heard { rises, falls } => (rises, falls),
        };
        // Raised cosines.
        let rise = |at: usize| 0.5 - 0.5 * (PI * (at as f32 + 0.5) / hop as f32).cos();
        for (at, sample) in (first..).zip(samples) {
            if rises {
                *sample *= rise(at);
            }
            if falls {
                *sample *= rise(hop - 1 - at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOP: usize = 16;
    const MELS: usize = 3;
    /// Levels of a frame, as log-mel values.
    const LOUD: f32 = 0.0;
    const SOFT: f32 = -9.0;

    /// A gate over phones, `_` for a pause, with the loudness of each frame, `#` or `.`.
    fn gate(phones: &[(char, u32)], levels: &str) -> Gate {
        let vowel = Phone::from_name("AA1").unwrap();
        let names: Vec<Phone> = phones.iter().map(|&(name, _)| if name == '_' { Phone::SIL } else { vowel }).collect();
        let durations: Vec<u32> = phones.iter().map(|&(_, frames)| frames).collect();
        let mel: Vec<f32> = levels.chars().flat_map(|level| [if level == '#' { LOUD } else { SOFT }; MELS]).collect();
        Gate::new(&names, &durations, &mel, HOP)
    }

    /// What the gate makes of ones: the gains.
    fn gains(mut gate: Gate, chunk: usize) -> Vec<f32> {
        let ones = vec![1.0; gate.frames.len() * HOP];
        ones.chunks(chunk).flat_map(|chunk| gate.pass(chunk).to_vec()).collect()
    }

    /// A letter for each frame: 0 for silence, 1 for what stays, / and \ for fades, ^ for both.
    fn shape(gate: Gate) -> String {
        let letter = |frame: &[f32]| match (frame[0], frame[HOP - 1]) {
            (0.0, 0.0) => '0',
            (1.0, 1.0) => '1',
            (first, last) if first < last => '/',
            (first, last) if first > last => '\\',
            _ => '^',
        };
        gains(gate, HOP).chunks_exact(HOP).map(letter).collect()
    }

    #[test]
    fn quiet_pauses_are_silent_and_fade_within_themselves() {
        for (phones, levels, expected) in [
            // Both ends, and between words.
            (&[('_', 8), ('a', 4), ('_', 10), ('a', 3), ('_', 2)][..], "........####..........###..", r"000000/111111\000000/11111\"),
            // Quiet phones stay.
            (&[('a', 6), ('_', 8), ('a', 6)], "#..................#", r"1111111\0000/1111111"),
            // Loud breaths stay, and so does what is quiet too briefly.
            (&[('a', 2), ('_', 17), ('a', 1)], "##....#....#.....##.", r"111111\0000^00000/11"),
            (&[('a', 1), ('_', 14), ('a', 1)], "#.......#.....##", r"11\00000^0000/11"),
            // Nothing but a pause, and nothing at all.
            (&[('_', 3)], "#.#", r"/1\"),
            (&[], "", ""),
        ] {
            assert_eq!(shape(gate(phones, levels)), expected, "{phones:?} {levels}");
        }
    }

    proptest! {
        #[test]
        fn phones_stay_silence_is_silent_fades_are_monotone_and_chunks_do_not_matter(
            phones in prop::collection::vec((prop::sample::select(vec!['_', 'a']), 1u32..12), 1..12),
            seed in any::<u64>(),
            chunk in 1usize..100,
        ) {
            let frames: u32 = phones.iter().map(|&(_, frames)| frames).sum();
            // Loud and soft by turns of 1 to 8 frames.
            let levels: String = (0..frames).map(|frame| if seed >> (frame / (1 + (seed % 8) as u32) % 64) & 1 == 1 { '#' } else { '.' }).collect();
            let gate = gate(&phones, &levels);
            let whole = gains(gate.clone(), usize::MAX);
            prop_assert_eq!(&gains(gate.clone(), chunk), &whole);
            let is_pause: Vec<bool> = phones.iter().flat_map(|&(name, frames)| std::iter::repeat_n(name == '_', frames as usize)).collect();
            for (frame, gains) in whole.chunks_exact(HOP).enumerate() {
                let rising = gains.windows(2).all(|pair| pair[0] < pair[1]);
                let falling = gains.windows(2).all(|pair| pair[0] > pair[1]);
                let constant = gains.iter().all(|&gain| gain == gains[0]) && (gains[0] == 0.0 || gains[0] == 1.0);
                let bump = gate.frames[frame] == Frame::Heard { rises: true, falls: true };
                prop_assert!(rising || falling || constant || bump, "frame {}: {:?}", frame, gains);
                prop_assert!(is_pause[frame] || gains[0] == 1.0 && constant, "frame {} of a phone: {:?}", frame, gains);
                if gate.frames[frame] == Frame::Silent {
                    prop_assert!(levels.as_bytes()[frame] == b'.' && gains[0] == 0.0);
                    let beside = &is_pause[frame.saturating_sub(MARGIN)..(frame + MARGIN + 1).min(frames as usize)];
                    prop_assert!(beside.iter().all(|&is| is), "frame {} is silent beside a phone", frame);
                }
            }
            // Nothing clicks: from one sample to the next no gain changes by more than the steepest slope of a fade.
            let steepest = PI / 2.0 / HOP as f32 + 1e-6;
            prop_assert!(whole.windows(2).all(|pair| (pair[0] - pair[1]).abs() <= 2.0 * steepest));
        }
    }
}
