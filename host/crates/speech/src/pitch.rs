//! Pitch: the fundamental frequency of each frame, 0 where there is none.
//!
//! The method of Boersma (1993), "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled
//! sound": the peaks of a frame's autocorrelation, divided by that of the window, are candidates; the cheapest path through the candidates
//! of all frames decides. The constants are the paper's.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// Lowest and highest pitch that is looked for, in Hz.
pub const RANGE: (f64, f64) = (70.0, 500.0);
/// A window spans so many periods of the lowest pitch.
const PERIODS: f64 = 3.0;
/// Candidates of a frame, the unvoiced one included.
const CANDIDATES: usize = 8;
/// Autocorrelation below which a frame tends to be unvoiced, and how it rises in frames quieter than so much of the loudest.
const VOICING_THRESHOLD: f64 = 0.45;
const SILENCE_THRESHOLD: f64 = 0.03;
/// Costs of an octave lower, of a jump by an octave, and of a change between voiced and unvoiced; the last two for steps of 10 ms.
const OCTAVE_COST: f64 = 0.01;
const OCTAVE_JUMP_COST: f64 = 0.35;
const VOICING_COST: f64 = 0.14;

/// A possible pitch of a frame, 0 for unvoiced, and how good it is.
#[derive(Clone, Copy)]
struct Candidate {
    hz: f64,
    strength: f64,
}

/// Finds pitches in sounds of one sampling rate.
pub struct PitchTracker {
    sampling_rate: f64,
    hop: usize,
    window: Vec<f64>,
    /// Autocorrelation of the window over that at lag 0.
    window_correlation: Vec<f64>,
    forward: Arc<dyn RealToComplex<f64>>,
    inverse: Arc<dyn ComplexToReal<f64>>,
}

impl PitchTracker {
    /// A tracker for sounds of `sampling_rate` Hz, with one frame to `hop` samples, as those of a mel spectrogram.
    pub fn new(sampling_rate: u32, hop: usize) -> Self {
        let sampling_rate = f64::from(sampling_rate);
        let len = (PERIODS * sampling_rate / RANGE.0) as usize;
        let window: Vec<f64> =
            (0..len).map(|index| 0.5 - 0.5 * (std::f64::consts::TAU * (index as f64 + 0.5) / len as f64).cos()).collect();
        // Half a window of zeros, so that lags up to half of it do not wrap around.
        let points = (len + len / 2 + 1).next_power_of_two();
        let mut planner = RealFftPlanner::new();
        let mut tracker = Self {
            sampling_rate,
            hop,
            window_correlation: Vec::new(),
            forward: planner.plan_fft_forward(points),
            inverse: planner.plan_fft_inverse(points),
            window,
        };
        let mut buffers = Buffers::new(&tracker);
        buffers.time[..len].copy_from_slice(&tracker.window);
        buffers.correlate(&tracker);
        tracker.window_correlation = buffers.time[..len / 2].iter().map(|value| value / buffers.time[0]).collect();
        tracker
    }

    /// The pitch of each whole frame of a sound, in Hz, 0 where it is unvoiced or silent.
    pub fn track(&self, samples: &[f32]) -> Vec<f32> {
        let mean = samples.iter().map(|&sample| f64::from(sample)).sum::<f64>() / samples.len().max(1) as f64;
        let loudest = samples.iter().map(|&sample| (f64::from(sample) - mean).abs()).fold(0.0, f64::max);
        let frames = samples.len() / self.hop;
        let mut buffers = Buffers::new(self);
        let candidates: Vec<Vec<Candidate>> =
            (0..frames).map(|frame| self.candidates(samples, frame * self.hop + self.hop / 2, loudest, &mut buffers)).collect();
        self.cheapest_path(&candidates)
    }

    /// Candidates of the frame around a sample; the unvoiced one comes first.
    fn candidates(&self, samples: &[f32], centre: usize, loudest: f64, buffers: &mut Buffers) -> Vec<Candidate> {
        let len = self.window.len();
        let sample = |index: usize| (centre + index).checked_sub(len / 2).and_then(|at| samples.get(at)).map_or(0.0, |&s| f64::from(s));
        let mean = (0..len).map(sample).sum::<f64>() / len as f64;
        // The loudest sample within a period of the lowest pitch.
        let near = (len as f64 / PERIODS / 2.0) as usize;
        let local = (len / 2 - near..len / 2 + near).map(|index| (sample(index) - mean).abs()).fold(0.0, f64::max);
        let quietness = if loudest > 0.0 { local / loudest / (SILENCE_THRESHOLD / (1.0 + VOICING_THRESHOLD)) } else { 0.0 };
        let mut found = vec![Candidate { hz: 0.0, strength: VOICING_THRESHOLD + (2.0 - quietness).max(0.0) }];
        for (index, (value, weight)) in buffers.time.iter_mut().zip(&self.window).enumerate() {
            *value = (sample(index) - mean) * weight;
        }
        buffers.time[len..].fill(0.0);
        buffers.correlate(self);
        let power = buffers.time[0];
        if power <= 0.0 {
            return found;
        }
        let correlation = |lag: usize| buffers.time[lag] / power / self.window_correlation[lag];
        let shortest = (self.sampling_rate / RANGE.1) as usize;
        let longest = ((self.sampling_rate / RANGE.0) as usize).min(self.window_correlation.len() - 2);
        for lag in shortest.max(1)..=longest {
            let (before, here, after) = (correlation(lag - 1), correlation(lag), correlation(lag + 1));
            if !(here > before && here >= after && here > VOICING_THRESHOLD / 2.0) {
                continue;
            }
            // The top of the parabola through the three.
            let (slope, bend) = ((after - before) / 2.0, 2.0 * here - before - after);
            let hz = self.sampling_rate / (lag as f64 + slope / bend);
            let height = here + slope * slope / bend / 2.0;
            // Above 1 there are but artefacts of short windows.
            let height = if height > 1.0 { 1.0 / height } else { height };
            if (RANGE.0..=RANGE.1).contains(&hz) {
                found.push(Candidate { hz, strength: height - OCTAVE_COST * (RANGE.0 / hz).log2() });
            }
        }
        found[1..].sort_by(|a, b| b.strength.total_cmp(&a.strength));
        found.truncate(CANDIDATES);
        found
    }

    /// The path whose strengths less its costs of transition are the largest (Viterbi).
    fn cheapest_path(&self, frames: &[Vec<Candidate>]) -> Vec<f32> {
        let per_hop = 0.01 * self.sampling_rate / self.hop as f64;
        let cost = |from: f64, to: f64| {
            per_hop
                * match (from > 0.0, to > 0.0) {
                    (true, true) => OCTAVE_JUMP_COST * (from / to).log2().abs(),
                    (false, false) => 0.0,
                    _ => VOICING_COST,
                }
        };
        let mut best: Vec<f64> = Vec::new();
        let mut came_from: Vec<Vec<usize>> = Vec::with_capacity(frames.len());
        for (index, frame) in frames.iter().enumerate() {
            let before: &[Candidate] = if index == 0 { &[] } else { &frames[index - 1] };
            let steps = frame.iter().map(|to| {
                let value = |from: usize| best[from] - cost(before[from].hz, to.hz);
                match (0..before.len()).max_by(|&a, &b| value(a).total_cmp(&value(b))) {
                    Some(from) => (value(from) + to.strength, from),
                    None => (to.strength, 0),
                }
            });
            let (values, from) = steps.unzip();
            best = values;
            came_from.push(from);
        }
        let mut path = vec![0.0; frames.len()];
        let mut at = (0..best.len()).max_by(|&a, &b| best[a].total_cmp(&best[b])).unwrap_or(0);
        for index in (0..frames.len()).rev() {
            path[index] = frames[index][at].hz as f32;
            at = came_from[index][at];
        }
        path
    }
}

/// Memory for one autocorrelation.
struct Buffers {
    time: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
}

impl Buffers {
    fn new(tracker: &PitchTracker) -> Self {
        let scratch = tracker.forward.get_scratch_len().max(tracker.inverse.get_scratch_len());
        Self {
            time: tracker.forward.make_input_vec(),
            spectrum: tracker.forward.make_output_vec(),
            scratch: vec![Complex::default(); scratch],
        }
    }

    /// Replaces `time` by its circular autocorrelation, times the number of points.
    fn correlate(&mut self, tracker: &PitchTracker) {
        let forward = tracker.forward.process_with_scratch(&mut self.time, &mut self.spectrum, &mut self.scratch);
        for bin in &mut self.spectrum {
            *bin = Complex::new(bin.norm_sqr(), 0.0);
        }
        let inverse = tracker.inverse.process_with_scratch(&mut self.spectrum, &mut self.time, &mut self.scratch);
        debug_assert!(forward.is_ok() && inverse.is_ok(), "the buffers are the plans' own");
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const RATE: u32 = 22_050;
    const HOP: usize = 256;
    /// Frames at an end or a change, whose windows see something else.
    const EDGE: usize = 3;

    /// A buzz of `harmonics` harmonics, whose pitch at a time in seconds is `hz(time)`.
    fn buzz(seconds: f64, harmonics: u32, hz: impl Fn(f64) -> f64) -> Vec<f32> {
        let mut phase = 0.0;
        let sample = |at: usize| {
            phase += TAU * hz(at as f64 / f64::from(RATE)) / f64::from(RATE);
            (1..=harmonics).map(|k| (phase * f64::from(k)).sin() / f64::from(k)).sum::<f64>() as f32 * 0.3
        };
        (0..(seconds * f64::from(RATE)) as usize).map(sample).collect()
    }

    fn noise(len: usize, amplitude: f32) -> Vec<f32> {
        (0..len as u64).map(|at| (xxhash_rust::xxh3::xxh3_64(&at.to_le_bytes()) as f32 / u64::MAX as f32 - 0.5) * 2.0 * amplitude).collect()
    }

    fn track(samples: &[f32]) -> Vec<f32> {
        PitchTracker::new(RATE, HOP).track(samples)
    }

    /// Checks the pitch of all frames but those at the ends.
    fn check(samples: &[f32], tolerance: f64, hz: impl Fn(f64) -> f64) {
        let pitch = track(samples);
        assert_eq!(pitch.len(), samples.len() / HOP);
        for (frame, &got) in pitch.iter().enumerate().take(pitch.len() - EDGE).skip(EDGE) {
            let expected = hz(((frame * HOP + HOP / 2) as f64) / f64::from(RATE));
            let off = (f64::from(got) / expected - 1.0).abs();
            assert!(off < tolerance, "frame {frame}: got {got} Hz, expected {expected} Hz, tolerance {tolerance}");
        }
    }

    #[test]
    fn tones_and_buzzes_of_constant_pitch() {
        for hz in [75.0, 110.0, 187.3, 261.6, 440.0] {
            check(&buzz(0.5, 12, |_| hz), 1e-3, |_| hz);
            check(&buzz(0.5, 1, |_| hz), 1e-3, |_| hz);
        }
    }

    #[test]
    fn sweeps_are_followed_without_octave_jumps() {
        let hz = |time: f64| 120.0 * 2f64.powf(time);
        check(&buzz(1.0, 10, hz), 5e-3, hz);
        let vibrato = |time: f64| 200.0 + 15.0 * (TAU * 5.0 * time).sin();
        check(&buzz(1.0, 10, vibrato), 0.02, vibrato);
    }

    #[test]
    fn a_missing_fundamental_is_heard() {
        let hz = 150.0;
        let sample = |at: usize| (2..8).map(|k| (TAU * hz * f64::from(k * at as u32) / f64::from(RATE)).cos()).sum::<f64>() as f32 / 8.0;
        check(&(0..11_025).map(sample).collect::<Vec<f32>>(), 2e-3, |_| hz);
    }

    #[test]
    fn noise_and_silence_are_unvoiced() {
        for samples in [noise(22_050, 0.5), vec![0.0; 22_050], vec![0.25; 22_050]] {
            let pitch = track(&samples);
            let voiced = pitch.iter().filter(|hz| **hz > 0.0).count();
            assert!(voiced <= pitch.len() / 20, "{voiced} of {} frames are voiced", pitch.len());
        }
        assert!(track(&[]).is_empty() && track(&[0.1; 255]).is_empty());
        assert_eq!(track(&[0.1; 256]), [0.0]);
    }

    #[test]
    fn voicing_changes_where_the_sound_does() {
        let voiced = buzz(0.5, 12, |_| 180.0);
        let hiss = noise(11_025, 0.1);
        let quiet = noise(11_025, 1e-4);
        let samples = [&voiced[..], &hiss, &voiced, &quiet].concat();
        for (frame, hz) in track(&samples).into_iter().enumerate() {
            let (part, within) = (frame * HOP / 11_025, frame * HOP % 11_025);
            if (EDGE * HOP..11_025 - EDGE * HOP).contains(&within) {
                assert_eq!(hz > 0.0, part % 2 == 0, "frame {frame}: {hz} Hz");
            }
        }
    }
}
