//! Silence: how long it is between sentences, and that it is silent.

use primal_engine::backend::cpu::Cpu;
use primal_engine::models::ghost_tts::Controls;
use primal_host::Result;
use primal_host::voice::synthesis::{Listener, Said, Synthesizer};
use primal_host::voice::voice::Voice;
use primal_speech::Phone;

/// Samples of a frame.
const HOP: usize = 256;
/// Of a second.
const FRAMES: f64 = 22_050.0 / HOP as f64;

/// Whether each frame is of a pause, and its samples.
#[derive(Default)]
struct Heard {
    is_pause: Vec<bool>,
    samples: Vec<f32>,
}

impl Listener for Heard {
    fn said(&mut self, said: &Said<'_>) -> Result<()> {
        for (&phone, &frames) in said.phones.iter().zip(said.durations) {
            self.is_pause.extend(std::iter::repeat_n(phone == Phone::SIL, frames as usize));
        }
        Ok(())
    }
    fn samples(&mut self, samples: &[f32]) -> Result<()> {
        self.samples.extend_from_slice(samples);
        Ok(())
    }
}

impl Heard {
    fn of(text: &str, speed: f32) -> Self {
        let voice = Voice::embedded().expect("a voice");
        let mut heard = Self::default();
        let mut synthesizer = Synthesizer::<Cpu>::new(&voice).expect("a voice");
        synthesizer.speak(text, &Controls { speed, ..Controls::default() }, &mut heard).expect("speech");
        assert_eq!(heard.samples.len(), HOP * heard.is_pause.len(), "samples of frames");
        heard
    }

    /// Seconds of its pauses.
    fn pauses(&self) -> Vec<f64> {
        self.is_pause.chunk_by(|a, b| a == b).filter(|run| run[0]).map(|run| run.len() as f64 / FRAMES).collect()
    }
}

#[test]
fn pauses_are_as_long_as_people_expect() {
    for speed in [1.0, 2.0] {
        // No voice stops within these.
        let pauses = Heard::of("One. Two! Three?\n\nFour.", speed).pauses();
        println!("speed {speed}: {pauses:?} s");
        let [before, one, two, three, after] = pauses[..] else { panic!("{pauses:?}") };
        assert!(before * f64::from(speed) <= 0.1 && after * f64::from(speed) <= 0.35, "{before} s before, {after} s after");
        for (seconds, expected) in [(one, 0.3), (two, 0.3), (three, 0.6)] {
            // Half a frame either way.
            assert!((seconds - expected / f64::from(speed)).abs() <= 0.51 / FRAMES, "{pauses:?} s at speed {speed}");
        }
    }
    // A text of one sentence is that sentence.
    let (one, first) = (Heard::of("One.", 1.0), Heard::of("One. Two!", 1.0));
    assert!(first.samples.starts_with(&one.samples));
    assert!(Heard::of("\n\nOne.\n\n\n", 1.0).samples == one.samples, "silence around a text");
    let dots = Heard::of("...\nOne.", 1.0).samples;
    let (pause, said) = dots.split_at(dots.len() - one.samples.len());
    assert!(said == one.samples && pause.iter().all(|&sample| sample == 0.0) && pause.len() > 11_025 / 2, "dots before a text");
}

#[test]
fn pauses_are_silent_and_words_are_not_cut() {
    let heard = Heard::of("The ghost in the machine is singing. It was late, and the rain had not stopped for days.", 1.0);
    let (mut silent, mut pauses) = (0, 0);
    for (frame, samples) in heard.samples.chunks_exact(HOP).enumerate() {
        let is_silent = samples.iter().all(|&sample| sample == 0.0);
        let beside = &heard.is_pause[frame.saturating_sub(2)..(frame + 3).min(heard.is_pause.len())];
        assert!(!is_silent || beside.iter().all(|&is| is), "frame {frame} is silent within or beside a word");
        silent += usize::from(is_silent);
        pauses += usize::from(heard.is_pause[frame]);
    }
    println!("{silent} of {pauses} frames of pauses are silent");
    // The margins and fades on both sides of each take much of those that are short.
    assert!(3 * silent > pauses, "{silent} of {pauses} frames of pauses are silent");
}
