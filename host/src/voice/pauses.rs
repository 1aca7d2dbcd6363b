//! How long it is silent before, between and after the parts of a text.
//!
//! An acoustic model says the silence at both ends of a part as a teacher reads single sentences: from a tenth of a second to a third before the first
//! word, and up to half a second after the last. What is too long is cut, what is missing is added, so that between two parts it is silent for
//! [`seconds`] in all.

use primal_engine::models::ghost_tts::SpokenMel;
use primal_speech::Phone;
use primal_speech::sentences::End;

/// Silence before the first word of all, and of what is between two parts before the second, at most, in seconds.
const LEAD: f64 = 0.06;
/// Frames of silence beside a word that are never cut: it begins and ends in them.
const LEAST: usize = 2;

/// Silence between a part that ends so and the next one.
fn seconds(end: End) -> f64 {
    match end {
        End::Words => 0.1,
        End::Clause => 0.2,
        End::Sentence => 0.3,
        End::Paragraph => 0.6,
    }
}

/// The pauses of a text, as it is spoken.
#[derive(Clone, Debug)]
pub struct Pauses {
    /// Of a second of silence.
    frames: f64,
    /// How what was said last ended, and with how many frames of silence.
    last: Option<(End, usize)>,
}

impl Pauses {
    /// Before a text of which a second has so many frames; the faster it is spoken, the shorter are its pauses.
    pub fn new(frames_per_second: f64, speed: f32) -> Self {
        Self { frames: frames_per_second / f64::from(speed), last: None }
    }

    fn frames(&self, seconds: f64) -> usize {
        ((seconds * self.frames).round() as usize).max(LEAST)
    }

    /// Has what was said last end at least like `end`; before the first word of all there is such a pause then.
    pub fn lengthen(&mut self, end: End) {
        let (last, _) = self.last.get_or_insert((end, 0));
        *last = end.max(*last);
    }

    /// Cuts the silence of a part that is too long, and answers how many frames of silence come before it. A part without an `end` goes on with the next.
    pub fn fit(&mut self, phones: &[Phone], spoken: &mut SpokenMel, end: Option<End>) -> usize {
        let SpokenMel { durations, mel, .. } = spoken;
        let mels = mel.len() / durations.iter().sum::<u32>().max(1) as usize;
        let last = phones.len() - 1;
        let mut lead = 0;
        if phones[0] == Phone::SIL && last > 0 {
            lead = cut(&mut durations[0], self.frames(LEAD));
            let frames: u32 = durations.iter().sum();
            mel.drain(..mel.len() - frames as usize * mels);
        }
        let missing = self.last.map_or(0, |(end, trail)| self.frames(seconds(end)).saturating_sub(trail + lead));
        self.last = end.map(|end| {
            let mut trail = 0;
            if phones[last] == Phone::SIL {
                // What a paragraph has besides is added where another one follows.
                let most = self.frames(seconds(end.min(End::Sentence))).saturating_sub(self.frames(LEAD)).max(LEAST);
                trail = cut(&mut durations[last], most);
                mel.truncate(durations.iter().sum::<u32>() as usize * mels);
            }
            (end, trail)
        });
        missing
    }
}

/// Shortens a duration where it is longer; what is left of it.
fn cut(duration: &mut u32, most: usize) -> usize {
    *duration = (*duration).min(most as u32);
    *duration as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const MELS: usize = 2;
    /// Of a second.
    const FRAMES: f64 = 100.0;

    /// A vowel between silences of so many frames, of which each has its number.
    fn spoken(lead: u32, trail: u32) -> (Vec<Phone>, SpokenMel) {
        let durations = vec![lead, 7, trail];
        let frames: u32 = durations.iter().sum();
        let mel = (0..frames).flat_map(|frame| [frame as f32; MELS]).collect();
        let phones = vec![Phone::SIL, Phone::from_name("AA1").unwrap(), Phone::SIL];
        (phones, SpokenMel { unrounded: vec![0.0; 3], durations, mel })
    }

    #[test]
    fn pauses_are_as_long_as_they_ought_to_be_whatever_the_voice_says() {
        for speed in [0.25, 1.0, 2.0, 4.0] {
            for (lead, trail) in [(1, 1), (4, 9), (30, 50), (200, 200)] {
                let mut pauses = Pauses::new(FRAMES, speed);
                let frames = |seconds: f64| (seconds * FRAMES / f64::from(speed)).round() as u32;
                let ends = [End::Sentence, End::Words, End::Paragraph, End::Clause, End::Sentence];
                let mut before = None;
                for end in ends {
                    let (phones, mut said) = spoken(lead, trail);
                    let missing = pauses.fit(&phones, &mut said, Some(end));
                    let [first, vowel, last] = said.durations[..] else { panic!("phones") };
                    assert_eq!((vowel, said.mel.len()), (7, MELS * (first + vowel + last) as usize));
                    // What is cut is farthest from the words.
                    assert_eq!(said.mel[MELS * first as usize], lead as f32, "the first frame of the vowel");
                    assert!(first == lead || (first <= frames(LEAD).max(2) && first >= 2), "{first} frames before the first word");
                    assert!(last == trail || (last <= frames(0.3) && last >= 2), "{last} frames after the last word");
                    match before {
                        None => assert_eq!(missing, 0, "silence is added before a text"),
                        Some((end, trail)) => {
                            let (got, expected) = (trail + missing as u32 + first, frames(seconds(end)));
                            let case = format!("speed {speed}, {lead} and {trail} frames: {got} after {end:?}, expected {expected}");
                            // Twice the least where words stand that close.
                            assert!(got == expected || (expected < 4 && got <= 4), "{case}");
                        }
                    }
                    before = Some((end, last));
                }
            }
        }
    }

    #[test]
    fn what_goes_on_has_no_pause_and_blank_lines_one_of_a_paragraph() {
        let mut pauses = Pauses::new(FRAMES, 1.0);
        let vowel = [Phone::from_name("AA1").unwrap(); 2];
        let plain = SpokenMel { durations: vec![3, 4], unrounded: vec![3.0, 4.0], mel: vec![0.0; 7 * MELS] };
        for _ in 0..2 {
            let mut said = plain.clone();
            assert_eq!((pauses.fit(&vowel, &mut said, None), &said), (0, &plain));
        }
        let (phones, mut said) = spoken(2, 10);
        assert_eq!(pauses.fit(&phones, &mut said, Some(End::Clause)), 0);
        pauses.lengthen(End::Paragraph);
        pauses.lengthen(End::Words);
        assert_eq!(pauses.fit(&phones, &mut said, Some(End::Clause)), 60 - 10 - 2);
        // What begins with a blank line begins with a pause.
        let mut pauses = Pauses::new(FRAMES, 1.0);
        pauses.lengthen(End::Paragraph);
        assert_eq!(pauses.fit(&phones, &mut said, Some(End::Clause)), 60 - 2);
        // A pause alone is the end of what it follows.
        let mut pauses = Pauses::new(FRAMES, 1.0);
        let mut silence = SpokenMel { durations: vec![90], unrounded: vec![90.0], mel: vec![0.0; 90 * MELS] };
        assert_eq!(pauses.fit(&[Phone::SIL], &mut silence, Some(End::Sentence)), 0);
        assert_eq!((silence.durations[0], silence.mel.len()), (24, 24 * MELS));
    }
}
