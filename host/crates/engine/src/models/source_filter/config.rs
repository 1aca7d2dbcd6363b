//! The configuration of the network, under the names of its training program, and what is fixed: spectrogram, transform, F0.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Samples per second.
pub const SAMPLING_RATE: usize = 22_050;
/// Samples of a frame.
pub const HOP: usize = 256;
/// Mel bands of a frame.
pub const BANDS: usize = 80;
/// Points of the filters' Fourier transform.
pub const SIZE: usize = 512;
/// Samples from one half-frame to the next.
pub const STEP: usize = HOP / 2;
/// Frequencies of a filter.
pub const BINS: usize = SIZE / 2 + 1;
/// Values of a half-frame: for each frequency the harmonics' amplitude and phase, and the noise's amplitude.
pub const HALF_FRAME: usize = 3 * BINS;
/// Taps of the F0 net's convolutions.
pub const PITCH_KERNEL: usize = 5;
/// Octaves of F0 around [`CENTRE`], and what it is kept within.
pub const OCTAVES: std::ops::RangeInclusive<f32> = -2.0..=1.5;
/// Where the F0 net counts octaves from, in Hz.
pub const CENTRE: f32 = 190.0;
/// No network comes near; what is larger is a damaged file.
const LARGEST: usize = 1 << 12;

/// Shape of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFilterConfig {
    /// Channels of the filter net.
    pub channels: usize,
    /// Channels within its blocks.
    pub hidden: usize,
    /// Its ConvNeXt blocks.
    pub blocks: usize,
    /// Taps of its convolutions.
    pub kernel: usize,
    /// The phase of the harmonics' filter.
    #[serde(default)]
    pub phase: Phase,
    /// Channels of the F0 net.
    #[serde(default = "pitch_channels")]
    pub pitch_channels: usize,
    /// Its convolutions, but for the last one.
    #[serde(default = "pitch_layers")]
    pub pitch_layers: usize,
    /// The share of the noise that is kept at frequencies where harmonics are much louder; where they are much softer, all is. Not learnt: to a
    /// network, what its F0 misses of the harmonics is noise.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub voiced_noise: f32,
}

/// The phase that the network's correction is added to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Minimum phase.
    #[default]
    Minimum,
}

fn pitch_channels() -> usize {
    96
}

fn pitch_layers() -> usize {
    4
}

fn all() -> f32 {
    1.0
}

fn is_all(share: &f32) -> bool {
    *share == 1.0
}

impl SourceFilterConfig {
    /// Checks that there is such a network.
    ///
    /// # Errors
    /// Bad input that names the field.
    pub fn validate(&self, subject: &str) -> Result<()> {
        let fields = [
            ("channels", self.channels),
            ("hidden", self.hidden),
            ("blocks", self.blocks),
            ("kernel", self.kernel),
            ("pitch_channels", self.pitch_channels),
            ("pitch_layers", self.pitch_layers),
        ];
        let hint = "give the configuration that the vocoder was trained with";
        if let Some((name, value)) = fields.into_iter().find(|(_, value)| !(1..=LARGEST).contains(value)) {
            return Err(Error::invalid(subject, format!("`{name}` from 1 to {LARGEST}"), value, hint));
        }
        if !(0.0..=1.0).contains(&self.voiced_noise) {
            return Err(Error::invalid(subject, "`voiced_noise` from 0 to 1", self.voiced_noise, "leave it out for 1: all of the noise"));
        }
        if self.kernel.is_multiple_of(2) {
            return Err(Error::invalid(subject, "an odd `kernel`", self.kernel, hint));
        }
        Ok(())
    }

    /// Frames that a filter sees before and after its own.
    pub fn filter_reach(&self) -> usize {
        (self.blocks + 1) * (self.kernel / 2)
    }

    /// Frames that F0 sees before and after its own.
    pub fn pitch_reach(&self) -> usize {
        self.pitch_layers * (PITCH_KERNEL / 2)
    }

    /// Frames of F0 that are needed before and after those of filters: for the filters, and for the half-frames of the harmonics.
    fn f0_reach(&self) -> usize {
        self.filter_reach().max(2)
    }

    /// Frames after its own that a frame's samples depend on, at most: one whose filters reach back into it, and what those depend on.
    pub fn look_ahead(&self) -> usize {
        1 + self.f0_reach() + self.pitch_reach()
    }
}

/// The frames of every part that some filters are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Filters.
    pub filters: Range<usize>,
    /// Mel and F0 into the filter net.
    pub inputs: Range<usize>,
    /// F0.
    pub f0: Range<usize>,
    /// Mel.
    pub mel: Range<usize>,
    /// Smoothed mels, between which a half-frame's lies.
    pub envelopes: Range<usize>,
    /// All frames.
    pub frames: usize,
}

impl Window {
    /// What the filters of some of an utterance's `frames` need.
    pub fn new(config: &SourceFilterConfig, filters: Range<usize>, frames: usize) -> Self {
        let widen = |range: &Range<usize>, by: usize| range.start.saturating_sub(by)..(range.end + by).min(frames);
        let f0 = widen(&filters, config.f0_reach());
        Self {
            inputs: widen(&filters, config.filter_reach()),
            mel: widen(&f0, config.pitch_reach()),
            envelopes: widen(&filters, 1),
            f0,
            filters,
            frames,
        }
    }

    /// The window of the most frames for so many filters: one far from both ends.
    pub fn largest(config: &SourceFilterConfig, filters: usize) -> Self {
        const FAR: usize = 1 << 20;
        Self::new(config, FAR..FAR + filters, 2 * FAR + filters)
    }
}
