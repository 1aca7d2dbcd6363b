//! The log-mel spectrogram between acoustic model and vocoder, as HiFi-GAN defines it (Kong et al. 2020), and the energy of its frames.
//!
//! Frame `t` sees `win_size` samples around sample `hop_size * t + hop_size / 2`; the ends are reflected. The filters are those of Slaney's
//! Auditory Toolbox (1998): triangles of unit area, linear in frequency to 1 kHz and logarithmic above.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Below this a mel value counts as silence.
pub const FLOOR: f32 = 1e-5;
/// Added to the squared magnitude of a bin.
const POWER_FLOOR: f64 = 1e-9;

/// What a mel spectrogram depends on, under the names of HiFi-GAN's configuration files.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MelSettings {
    /// Samples per second.
    pub sampling_rate: u32,
    /// Points of the Fourier transform.
    pub n_fft: usize,
    /// Length of the Hann window in samples, at most `n_fft`.
    pub win_size: usize,
    /// Samples from one frame to the next.
    pub hop_size: usize,
    /// Number of filters.
    pub num_mels: usize,
    /// Where the lowest filter starts, in Hz.
    pub fmin: f64,
    /// Where the highest filter ends, in Hz.
    pub fmax: f64,
}

impl Default for MelSettings {
    fn default() -> Self {
        Self { sampling_rate: 22_050, n_fft: 1_024, win_size: 1_024, hop_size: 256, num_mels: 80, fmin: 0.0, fmax: 8_000.0 }
    }
}

impl MelSettings {
    /// The first field in which the other settings differ: its name, the value here and the value there.
    pub fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let fields = |settings: &Self| {
            [
                ("sampling_rate", f64::from(settings.sampling_rate)),
                ("n_fft", settings.n_fft as f64),
                ("win_size", settings.win_size as f64),
                ("hop_size", settings.hop_size as f64),
                ("num_mels", settings.num_mels as f64),
                ("fmin", settings.fmin),
                ("fmax", settings.fmax),
            ]
        };
        let mut pairs = fields(self).into_iter().zip(fields(other));
        pairs.find(|((_, here), (_, there))| here != there).map(|((name, here), (_, there))| (name, here.to_string(), there.to_string()))
    }

    /// Checks that `subject`, made with the settings `other`, fits what was made with these.
    ///
    /// # Errors
    /// Bad input that names the field and both values.
    pub fn require_same(&self, other: &Self, subject: impl ToString, hint: impl ToString) -> Result<()> {
        match self.difference(other) {
            None => Ok(()),
            Some((field, here, there)) => {
                Err(Error::invalid(subject, format!("mel setting {field} = {here}"), format!("{field} = {there}"), hint))
            }
        }
    }

    /// Checks that the settings make sense.
    ///
    /// # Errors
    /// Bad input that names the field.
    pub fn validate(&self, subject: impl ToString) -> Result<()> {
        let nyquist = f64::from(self.sampling_rate) / 2.0;
        let wrong = if !(1_000..=768_000).contains(&self.sampling_rate) {
            Some(("a sampling_rate of 1000 to 768000", self.sampling_rate.to_string()))
        } else if !(2..=1 << 16).contains(&self.n_fft) || !self.n_fft.is_multiple_of(2) {
            Some(("an even n_fft of 2 to 65536", self.n_fft.to_string()))
        } else if !(1..=self.n_fft).contains(&self.win_size) {
            Some(("a win_size of 1 to n_fft", self.win_size.to_string()))
        } else if !(1..=self.n_fft).contains(&self.hop_size) || !(self.n_fft - self.hop_size).is_multiple_of(2) {
            Some(("an even hop_size of at most n_fft", self.hop_size.to_string()))
        } else if !(1..=self.n_fft).contains(&self.num_mels) {
            Some(("a num_mels of 1 to n_fft", self.num_mels.to_string()))
        } else if !(self.fmin >= 0.0 && self.fmin < self.fmax && self.fmax <= nyquist) {
            Some(("0 <= fmin < fmax <= sampling_rate / 2", format!("fmin {} and fmax {}", self.fmin, self.fmax)))
        } else {
            None
        };
        match wrong {
            None => Ok(()),
            Some((expected, found)) => Err(Error::invalid(subject, expected, found, "correct the mel settings")),
        }
    }

    /// Number of frames of so many samples.
    pub const fn frames(&self, samples: usize) -> usize {
        samples / self.hop_size
    }

    /// Length in seconds of so many frames.
    pub fn seconds(&self, frames: usize) -> f64 {
        (frames * self.hop_size) as f64 / f64::from(self.sampling_rate)
    }
}

/// What [`Analyser::analyse`] finds in a sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Log-mel spectrogram `[frames, num_mels]`: natural logarithms of magnitudes, not below ln [`FLOOR`].
    pub mel: Vec<f32>,
    /// Energy `[frames]`: the L2 norm of a frame's magnitude spectrum, as in FastSpeech 2 (Ren et al. 2021).
    pub energy: Vec<f32>,
}

/// A triangular filter: its weights from bin `first` on.
struct Filter {
    first: usize,
    weights: Vec<f64>,
}

/// Computes mel spectrograms.
pub struct Analyser {
    settings: MelSettings,
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    filters: Vec<Filter>,
}

impl Analyser {
    /// Plans the transform and makes window and filters.
    ///
    /// # Errors
    /// Bad input for settings that make no sense.
    pub fn new(settings: MelSettings) -> Result<Self> {
        settings.validate("mel settings")?;
        let fft = RealFftPlanner::new().plan_fft_forward(settings.n_fft);
        Ok(Self { settings, fft, window: window(settings.n_fft, settings.win_size), filters: filters(&settings) })
    }

    /// Settings of the analyser.
    pub fn settings(&self) -> &MelSettings {
        &self.settings
    }

    /// Log-mel and energy of all whole frames of a sound.
    pub fn analyse(&self, samples: &[f32]) -> Analysis {
        let MelSettings { n_fft, hop_size, num_mels, .. } = self.settings;
        let frames = self.settings.frames(samples.len());
        let mut mel = Vec::with_capacity(frames * num_mels);
        let mut energy = Vec::with_capacity(frames);
        let (mut input, mut spectrum, mut scratch) = (self.fft.make_input_vec(), self.fft.make_output_vec(), self.fft.make_scratch_vec());
        let mut magnitudes = vec![0.0; spectrum.len()];
        let pad = (n_fft - hop_size) / 2;
        for frame in 0..frames {
            let start = (frame * hop_size) as isize - pad as isize;
            for (at, (value, weight)) in (start..).zip(input.iter_mut().zip(&self.window)) {
                *value = f64::from(samples[reflect(at, samples.len())]) * weight;
            }
            let result = self.fft.process_with_scratch(&mut input, &mut spectrum, &mut scratch);
            debug_assert!(result.is_ok(), "the buffers are the plan's own");
            for (magnitude, bin) in magnitudes.iter_mut().zip(&spectrum) {
                *magnitude = (bin.norm_sqr() + POWER_FLOOR).sqrt();
            }
            energy.push(magnitudes.iter().map(|magnitude| magnitude * magnitude).sum::<f64>().sqrt() as f32);
            mel.extend(self.filters.iter().map(|filter| {
                let bins = &magnitudes[filter.first..][..filter.weights.len()];
                let sum: f64 = bins.iter().zip(&filter.weights).map(|(magnitude, weight)| magnitude * weight).sum();
                sum.max(f64::from(FLOOR)).ln() as f32
            }));
        }
        Analysis { mel, energy }
    }
}

/// The index of `0..len` that an index before or behind it is reflected to; the ends are not repeated.
fn reflect(at: isize, len: usize) -> usize {
    if (0..len as isize).contains(&at) {
        return at as usize;
    }
    let period = (2 * (len as isize - 1)).max(1);
    let at = at.rem_euclid(period);
    at.min(period - at).min(len as isize - 1) as usize
}

/// A periodic Hann window of `len` in the middle of `n_fft` points.
fn window(n_fft: usize, len: usize) -> Vec<f64> {
    let before = (n_fft - len) / 2;
    let mut window = vec![0.0; n_fft];
    for (index, weight) in window[before..][..len].iter_mut().enumerate() {
        *weight = 0.5 - 0.5 * (std::f64::consts::TAU * index as f64 / len as f64).cos();
    }
    window
}

/// Slaney's scale: 15 mels to 1 kHz, 27 more to each 6.4-fold.
fn hz_to_mel(hz: f64) -> f64 {
    if hz < 1_000.0 { hz * 3.0 / 200.0 } else { 15.0 + (hz / 1_000.0).ln() * 27.0 / 6.4f64.ln() }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1_000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp() }
}

fn filters(settings: &MelSettings) -> Vec<Filter> {
    let (low, high) = (hz_to_mel(settings.fmin), hz_to_mel(settings.fmax));
    let edge = |index: usize| mel_to_hz(low + (high - low) * index as f64 / (settings.num_mels + 1) as f64);
    let bin_hz = f64::from(settings.sampling_rate) / settings.n_fft as f64;
    let filter = |index| {
        let (left, centre, right) = (edge(index), edge(index + 1), edge(index + 2));
        let weight = |bin: usize| {
            let hz = bin as f64 * bin_hz;
            ((hz - left) / (centre - left)).min((right - hz) / (right - centre)) * 2.0 / (right - left)
        };
        let bins = (0..=settings.n_fft / 2).filter(|&bin| weight(bin) > 0.0);
        let first = bins.clone().next().unwrap_or(0);
        Filter { first, weights: bins.map(weight).collect() }
    };
    (0..settings.num_mels).map(filter).collect()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    /// The reference was computed in f32, which is off by up to 2e-4 in quiet bins.
    const TOLERANCE: f32 = 2e-3;

    /// `audio` [samples] and `mel` [80, frames], computed by PyTorch. See `tests/fixtures/README.md`.
    #[test]
    fn matches_the_reference() {
        let bytes = include_bytes!("../../../../tests/fixtures/mel.safetensors");
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let tensor = |name| {
            let data = file.tensor(name).unwrap().data().chunks_exact(4);
            data.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect::<Vec<f32>>()
        };
        let (audio, expected) = (tensor("audio"), tensor("mel"));
        let settings = MelSettings::default();
        let mel = Analyser::new(settings).unwrap().analyse(&audio).mel;
        assert!(!audio.len().is_multiple_of(settings.hop_size), "a rest of a frame is part of the test");
        assert_eq!(mel.len(), expected.len());
        let frames = mel.len() / 80;
        let difference = |index: usize| (mel[index] - expected[index % 80 * frames + index / 80]).abs();
        let worst = (0..mel.len()).max_by(|&a, &b| difference(a).total_cmp(&difference(b))).unwrap();
        let (frame, bin) = (worst / 80, worst % 80);
        assert!(
            difference(worst) < TOLERANCE,
            "frame {frame}, bin {bin}: got {}, expected {}, tolerance {TOLERANCE}",
            mel[worst],
            expected[bin * frames + frame]
        );
    }

    #[test]
    fn a_tone_is_where_it_should_be() {
        let settings = MelSettings::default();
        let analyser = Analyser::new(settings).unwrap();
        for hz in [300.0, 1_000.0, 5_000.0] {
            let tone: Vec<f32> = (0..22_050).map(|at| (std::f64::consts::TAU * hz * f64::from(at) / 22_050.0).sin() as f32 / 2.0).collect();
            let Analysis { mel, energy } = analyser.analyse(&tone);
            let frame = &mel[40 * 80..][..80];
            let loudest = (0..80).max_by(|&a, &b| frame[a].total_cmp(&frame[b])).unwrap();
            let expected = hz_to_mel(hz) / hz_to_mel(8_000.0) * 81.0 - 1.0;
            assert!((loudest as f64 - expected).abs() <= 0.75, "{hz} Hz: bin {loudest}, expected {expected}");
            // Parseval: a tone of amplitude 1/2 has power 1/8; the window's mean square is 3/8; half of the spectrum is seen.
            let expected = (0.125 * 0.375 * 1_024.0 * 1_024.0 / 2.0f64).sqrt();
            assert_relative_eq!(f64::from(energy[40]), expected, max_relative = 1e-3);
        }
    }

    #[test]
    fn short_sounds_have_few_frames_or_none() {
        let analyser = Analyser::new(MelSettings::default()).unwrap();
        for len in [0, 1, 255, 256, 257, 384, 385, 512] {
            let analysis = analyser.analyse(&vec![0.0; len]);
            assert_eq!(analysis.energy.len(), len / 256, "{len} samples");
            // No filter reaches the floor of a power spectrum of silence: 3e-5 x 2 / width.
            assert!(analysis.mel.iter().all(|value| *value >= FLOOR.ln()), "{len} samples");
        }
        assert_eq!([-2, -1, 0, 2, 3, 4].map(|at| reflect(at, 3)), [2, 1, 0, 2, 1, 0]);
        assert_eq!([-1, 0, 5].map(|at| reflect(at, 1)), [0, 0, 0]);
    }

    #[test]
    fn settings_that_differ_are_named() {
        let settings = MelSettings::default();
        assert_eq!(settings.difference(&settings), None);
        let other = MelSettings { fmax: 11_025.0, ..settings };
        let error = settings.require_same(&other, "vocoder.safetensors", "use the vocoder of this voice").unwrap_err().to_string();
        assert!(error.contains("fmax = 8000") && error.contains("fmax = 11025"), "{error}");
        let parsed: MelSettings = serde_json::from_str(
            r#"{"sampling_rate": 22050, "n_fft": 1024, "win_size": 1024, "hop_size": 256, "num_mels": 80, "fmin": 0, "fmax": 8000}"#,
        )
        .unwrap();
        assert_eq!(parsed, settings);
        for wrong in [
            MelSettings { n_fft: 0, ..settings },
            MelSettings { hop_size: 0, ..settings },
            MelSettings { win_size: 2_048, ..settings },
            MelSettings { num_mels: 0, ..settings },
            MelSettings { fmax: f64::NAN, ..settings },
            MelSettings { fmax: 12_000.0, ..settings },
        ] {
            assert!(Analyser::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
