//! What is filtered: harmonics of F0, and noise, made in order as far as they are needed.

use std::f64::consts::TAU;

use primal_device::philox::RandomStream;

use super::config::{HOP, SAMPLING_RATE, SIZE, STEP};
use crate::nn::parameters::normals;

/// No harmonic above, in Hz.
const LIMIT: f64 = 10_000.0;
/// The seed of the noise: the same mel gives the same samples.
const SEED: u64 = 0;
/// Samples of a half-frame before its step begins.
const BEFORE: usize = (SIZE - STEP) / 2;

/// Equal cosines at all multiples of F0 up to 10 kHz, and white noise, both of unit spectral density.
pub struct Source<'a> {
    /// Samples of the utterance.
    samples: usize,
    /// Noise `[samples]`, where it is given.
    given: Option<&'a [f32]>,
    stream: RandomStream,
    /// Phase of the last sample, in turns. In f64: f32 would drift within seconds.
    turns: f64,
    /// The sample that `harmonics` and `noise` begin with.
    first: usize,
    harmonics: Vec<f32>,
    noise: Vec<f32>,
}

/// The harmonics at a phase in turns, within ±½.
///
/// `½ + Σ cos kφ` over k to n is `sin((n + ½)φ) / (2 sin ½φ)`, Dirichlet's kernel. The highest harmonic is a fraction, so that it comes and goes
/// without a click.
fn harmonics(turns: f64, hz: f32) -> f32 {
    let (phi, count) = (TAU * turns, LIMIT / f64::from(hz));
    let whole = count.floor();
    let sine = (0.5 * phi).sin();
    let kernel = if sine.abs() < 1e-6 { whole + 0.5 } else { ((whole + 0.5) * phi).sin() / (2.0 * sine) };
    let sum = kernel - 0.5 + (count - whole) * ((whole + 1.0) * phi).cos();
    (sum * (4.0 * f64::from(hz) / SAMPLING_RATE as f64).sqrt()) as f32
}

impl<'a> Source<'a> {
    /// Of an utterance of so many frames.
    pub fn new(frames: usize, given: Option<&'a [f32]>) -> Self {
        let stream = RandomStream::new(SEED, 0, 0);
        Self { samples: frames * HOP, given, stream, turns: 0.0, first: 0, harmonics: Vec::new(), noise: Vec::new() }
    }

    /// The sample after the last one that a half-frame sees, within the utterance.
    pub fn end_of(&self, half_frame: usize) -> usize {
        (half_frame * STEP + SIZE - BEFORE).min(self.samples)
    }

    /// Goes on to sample `end`, and forgets what comes before half-frame `from`. F0 in Hz is of the frames from `first_frame` on, and linear between
    /// their middles.
    pub fn advance(&mut self, from: usize, end: usize, f0: &[f32], first_frame: usize) {
        let keep = (from * STEP).saturating_sub(BEFORE);
        let forget = (keep - self.first).min(self.harmonics.len());
        self.harmonics.drain(..forget);
        self.noise.drain(..forget);
        self.first += forget;
        let start = self.first + self.harmonics.len();
        let last = self.samples / HOP - 1;
        for sample in start..end {
            let at = ((sample as f32 + 0.5) / HOP as f32 - 0.5).max(0.0);
            let (frame, part) = (at as usize, at.fract());
            let hz = (1.0 - part) * f0[frame - first_frame] + part * f0[(frame + 1).min(last) - first_frame];
            self.turns += f64::from(hz) / SAMPLING_RATE as f64;
            self.turns -= self.turns.round();
            self.harmonics.push(harmonics(self.turns, hz));
        }
        match self.given {
            Some(given) => self.noise.extend(&given[start..end]),
            None => {
                for block in start / 4..end.div_ceil(4) {
                    let samples = (4 * block).max(start) - 4 * block..(4 * block + 4).min(end) - 4 * block;
                    self.noise.extend(&normals(&self.stream, block as u32)[samples]);
                }
            }
        }
    }

    /// The samples that half-frame `j` sees, those around sample `128 j + 64`, windowed: harmonics and noise, `[512]` each. The ends of the utterance are
    /// reflected.
    pub fn windowed(&self, j: usize, window: &[f32], harmonics: &mut [f32], noise: &mut [f32]) {
        let (start, end) = ((j * STEP) as isize - BEFORE as isize, self.samples as isize);
        for (i, weight) in window.iter().enumerate() {
            let at = (start + i as isize).abs();
            let at = if at >= end { 2 * (end - 1) - at } else { at } as usize - self.first;
            harmonics[i] = weight * self.harmonics[at];
            noise[i] = weight * self.noise[at];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What rounds to f32, and the closed form's own cancellation.
    const TOLERANCE: f64 = 1e-6;

    #[test]
    fn harmonics_are_a_sum_of_cosines() {
        for hz in [60.0f32, 190.0, 199.9, 333.3, 537.0] {
            let count = LIMIT / f64::from(hz);
            for turns in [-0.5, -0.3, -1e-4, 0.0, 1e-9, 0.01, 0.25, 0.49999] {
                let part = |k: f64| (count - (k - 1.0)).clamp(0.0, 1.0) * (TAU * turns * k).cos();
                let sum: f64 = (1..=count.ceil() as usize).map(|k| part(k as f64)).sum();
                let expected = sum * (4.0 * f64::from(hz) / SAMPLING_RATE as f64).sqrt();
                let got = f64::from(harmonics(turns, hz));
                assert!((got - expected).abs() < TOLERANCE * (1.0 + expected.abs()), "{hz} Hz at {turns}: got {got}, expected {expected}");
            }
        }
    }

    #[test]
    fn both_have_unit_variance_and_do_not_depend_on_how_far_they_go_at_once() {
        let frames = 200;
        let f0: Vec<f32> = (0..frames).map(|frame| 150.0 + frame as f32).collect();
        let mut whole = Source::new(frames, None);
        whole.advance(0, frames * HOP, &f0, 0);
        // Of the half of the spectrum that has harmonics.
        let variance = |x: &[f32]| x.iter().map(|x| f64::from(x * x)).sum::<f64>() / x.len() as f64;
        let share = LIMIT / (SAMPLING_RATE as f64 / 2.0);
        assert!((variance(&whole.harmonics) / share - 1.0).abs() < 0.03, "{}", variance(&whole.harmonics));
        assert!((variance(&whole.noise) - 1.0).abs() < 0.02, "{}", variance(&whole.noise));
        let mut parts = Source::new(frames, None);
        let (mut harmonics, mut noise) = ([vec![0.0; SIZE], vec![0.0; SIZE]], [vec![0.0; SIZE], vec![0.0; SIZE]]);
        let window = vec![1.0; SIZE];
        for j in 0..2 * frames {
            let frame = (j / 2).saturating_sub(1);
            parts.advance(j, parts.end_of(j), &f0[frame..], frame);
            parts.windowed(j, &window, &mut harmonics[0], &mut noise[0]);
            whole.windowed(j, &window, &mut harmonics[1], &mut noise[1]);
            assert_eq!((&harmonics[0], &noise[0]), (&harmonics[1], &noise[1]), "half-frame {j}");
        }
    }
}
