//! From filters and source to samples: the short-time Fourier transform, filtering, and the sum of overlapping half-frames.

use std::f64::consts::TAU;
use std::fmt;
use std::sync::Arc;

use rayon::prelude::*;
use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::config::{BINS, HALF_FRAME, HOP, SIZE, STEP};
use super::source::Source;

/// Samples of a half-frame before its step begins.
const BEFORE: usize = (SIZE - STEP) / 2;
/// The sum of the squared windows at any sample.
const OVERLAP: f32 = 1.5;
/// What the network's phases are multiplied by.
const TURN: f32 = 4.0;

/// The transform between samples of a half-frame and its spectrum, 512 points of a Hann window.
#[derive(Clone)]
pub struct Transform {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    window: Vec<f32>,
}

impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transform").finish_non_exhaustive()
    }
}

/// What a thread works in.
struct Scratch {
    harmonics: Vec<f32>,
    noise: Vec<f32>,
    cepstrum: Vec<f32>,
    voice: Vec<f32>,
    spectra: [Vec<Complex32>; 3],
    transform: Vec<Complex32>,
}

impl Scratch {
    fn new(transform: &Transform) -> Self {
        let samples = || vec![0.0; SIZE];
        let longest = transform.forward.get_scratch_len().max(transform.inverse.get_scratch_len());
        Self {
            harmonics: samples(),
            noise: samples(),
            cepstrum: samples(),
            voice: vec![0.0; BINS],
            spectra: std::array::from_fn(|_| vec![Complex32::default(); BINS]),
            transform: vec![Complex32::default(); longest],
        }
    }
}

/// The filters of some frames, as the network gives them.
#[derive(Clone, Copy)]
pub struct Filters<'a> {
    /// The first frame.
    pub first: usize,
    /// What is added to the envelopes, `[frames, 2, 3, 257]`: of each half-frame the harmonics' log amplitude, their phase, the noise's log amplitude.
    pub corrections: &'a [f32],
    /// The first frame of the envelopes.
    pub first_envelope: usize,
    /// Log amplitudes of frames, `[frames, 257]`, of at least one frame before and after where the utterance has them.
    pub envelopes: &'a [f32],
    /// The share of the noise that is kept where harmonics are much louder.
    pub voiced_noise: f32,
}

impl Filters<'_> {
    /// The envelope of half-frame `j`, on the line through the middles of its frame and the nearer one; the ends go on as they are.
    fn envelope(&self, j: usize, envelope: &mut [f32]) {
        let frame = j / 2;
        let last = self.first_envelope + self.envelopes.len() / BINS - 1;
        let other = if j.is_multiple_of(2) { frame.saturating_sub(1) } else { (frame + 1).min(last) };
        let row = |frame: usize| &self.envelopes[(frame - self.first_envelope) * BINS..][..BINS];
        envelope.iter_mut().zip(row(frame)).zip(row(other)).for_each(|((envelope, near), far)| *envelope = 0.75 * near + 0.25 * far);
    }
}

impl Transform {
    /// Plans the transform.
    pub fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let window = (0..SIZE).map(|i| (0.5 - 0.5 * (TAU * i as f64 / SIZE as f64).cos()) as f32).collect();
        Self { forward: planner.plan_fft_forward(SIZE), inverse: planner.plan_fft_inverse(SIZE), window }
    }

    fn forward(&self, samples: &mut [f32], spectrum: &mut [Complex32], scratch: &mut [Complex32]) {
        let result = self.forward.process_with_scratch(samples, spectrum, &mut scratch[..self.forward.get_scratch_len()]);
        debug_assert!(result.is_ok(), "the buffers are the plan's own");
    }

    /// 512 times the inverse; the first and the last value of the spectrum count as real.
    fn inverse(&self, spectrum: &mut [Complex32], samples: &mut [f32], scratch: &mut [Complex32]) {
        (spectrum[0].im, spectrum[BINS - 1].im) = (0.0, 0.0);
        let result = self.inverse.process_with_scratch(spectrum, samples, &mut scratch[..self.inverse.get_scratch_len()]);
        debug_assert!(result.is_ok(), "the buffers are the plan's own");
    }

    /// The samples `[512]` that half-frame `j` adds.
    fn half_frame(&self, j: usize, filters: &Filters, source: &Source, out: &mut [f32], scratch: &mut Scratch) {
        let Scratch { harmonics, noise, cepstrum, voice, spectra: [phases, harmonic, noisy], transform } = scratch;
        let corrections = &filters.corrections[(j - 2 * filters.first) * HALF_FRAME..][..HALF_FRAME];
        let (amplitude, rest) = corrections.split_at(BINS);
        let (turn, noise_amplitude) = rest.split_at(BINS);
        filters.envelope(j, voice);
        // Minimum phase: the folded cepstrum of the log amplitude (Oppenheim & Schafer). `cepstrum` is 512 times it.
        for ((phase, envelope), correction) in phases.iter_mut().zip(&*voice).zip(amplitude) {
            *phase = Complex32::new(envelope + correction, 0.0);
        }
        self.inverse(phases, cepstrum, transform);
        cepstrum[1..SIZE / 2].iter_mut().for_each(|value| *value *= 2.0);
        cepstrum[SIZE / 2 + 1..].fill(0.0);
        self.forward(cepstrum, phases, transform);
        source.windowed(j, &self.window, harmonics, noise);
        self.forward(harmonics, harmonic, transform);
        self.forward(noise, noisy, transform);
        for bin in 0..BINS {
            let phase = phases[bin].im / SIZE as f32 + TURN * turn[bin];
            let filter = Complex32::from_polar((voice[bin] + amplitude[bin]).exp(), phase);
            let masked = if filters.voiced_noise < 1.0 { louder(amplitude[bin] - noise_amplitude[bin]) } else { 0.0 };
            let kept = 1.0 - (1.0 - filters.voiced_noise) * masked;
            harmonic[bin] = filter * harmonic[bin] + noisy[bin].scale(kept * (voice[bin] + noise_amplitude[bin]).exp());
        }
        self.inverse(harmonic, out, transform);
        let factor = 1.0 / (SIZE as f32 * OVERLAP);
        out.iter_mut().zip(&self.window).for_each(|(out, window)| *out *= window * factor);
    }
}

/// How much the harmonics are louder than the noise, from 0 to 1, a half where they are as loud; of the difference of their log amplitudes.
fn louder(nepers: f32) -> f32 {
    1.0 / (1.0 + (-2.0 * nepers).exp())
}

/// The sum of half-frames, as far as it goes.
pub struct Overlap {
    /// Sums of samples that are not all there yet, from `first` on.
    sums: Vec<f32>,
    first: usize,
    half_frames: Vec<f32>,
}

impl Overlap {
    /// Before the first half-frame.
    pub fn new() -> Self {
        Self { sums: Vec::new(), first: 0, half_frames: Vec::new() }
    }

    /// Adds the half-frames of these filters, in order: whatever is added at once, the sums have the same bits. The source reaches far enough.
    pub fn add(&mut self, transform: &Transform, filters: &Filters, source: &Source) {
        let start = 2 * filters.first;
        let count = filters.corrections.len() / HALF_FRAME;
        self.half_frames.resize(count * SIZE, 0.0);
        self.half_frames
            .par_chunks_exact_mut(SIZE)
            .enumerate()
            .for_each_init(|| Scratch::new(transform), |scratch, (i, out)| transform.half_frame(start + i, filters, source, out, scratch));
        for (i, half_frame) in self.half_frames.chunks_exact(SIZE).enumerate() {
            let first = (start + i) * STEP;
            // What lies before the utterance is dropped.
            let skip = BEFORE.saturating_sub(first);
            let at = first + skip - BEFORE - self.first;
            let end = at + SIZE - skip;
            self.sums.resize(end.max(self.sums.len()), 0.0);
            self.sums[at..end].iter_mut().zip(&half_frame[skip..]).for_each(|(sum, sample)| *sum += sample);
        }
    }

    /// Takes the samples to the end of frame `frames`, within ±1.
    pub fn take(&mut self, frames: usize, samples: &mut Vec<f32>) {
        let count = frames * HOP - self.first;
        samples.clear();
        samples.extend(self.sums.drain(..count).map(|sample| sample.clamp(-1.0, 1.0)));
        self.first += count;
    }
}
