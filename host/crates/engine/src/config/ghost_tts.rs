//! The configuration of GhostTTS.

use primal_device::grid::{Grid, ScaleForm};
use serde::{Deserialize, Serialize};

use super::by_name::{grid, scales};
use super::key::Architecture;
use super::table::{Check, Family, MAX_CONTEXT, ModelTable, is_row};
use super::train::TrainConfig;
use crate::Result;
use crate::memory::Act;

/// A model from phones to mel spectrograms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GhostTtsConfig {
    /// `ghost-tts`.
    #[serde(default)]
    pub architecture: Architecture<Self>,
    /// Phones that are told apart.
    #[serde(default = "phones_of_arpabet", skip_serializing_if = "is_arpabet")]
    pub phones: usize,
    /// Mel bands.
    pub mels: usize,
    /// Width.
    pub dim: usize,
    /// Attention heads; they divide `dim`.
    pub heads: usize,
    /// Blocks over phones.
    pub encoder_layers: usize,
    /// Blocks over frames.
    pub decoder_layers: usize,
    /// Width of the MLPs' hidden layers.
    pub hidden: usize,
    /// Rows that the first layer of an MLP sees; odd.
    pub kernel: usize,
    /// Width of the predictors of duration, pitch and energy.
    pub predictor_dim: usize,
    /// Rows that a layer of a predictor sees; odd.
    pub predictor_kernel: usize,
    /// Width of the post-net.
    pub postnet_dim: usize,
    /// Convolutions of the post-net.
    pub postnet_layers: usize,
    /// Frames that a convolution of the post-net sees; odd.
    pub postnet_kernel: usize,
    /// Frames from a phone's start, and to its end, that are told apart.
    pub places: usize,
    /// The grid of all matrices.
    #[serde(with = "grid")]
    pub grid: &'static Grid,
    /// What the weights on the grid have scales for.
    #[serde(default, with = "scales", skip_serializing_if = "is_row")]
    pub scales: ScaleForm,
}

/// The phones of American English with their stress, as configurations mean that do not say how many: those of ARPAbet as CMUdict has them, and silence.
const ARPABET: usize = 55;

fn phones_of_arpabet() -> usize {
    ARPABET
}

fn is_arpabet(phones: &usize) -> bool {
    *phones == ARPABET
}

impl ModelTable for GhostTtsConfig {
    const ARCHITECTURE: &'static str = "ghost-tts";
    const FAMILY: Family = Family::Speech;

    fn scales(&self) -> ScaleForm {
        self.scales
    }

    fn scales_mut(&mut self) -> &mut ScaleForm {
        &mut self.scales
    }

    fn check(&self, t: &TrainConfig, check: &Check) -> Result<()> {
        check.width(self.dim, self.heads)?;
        check.scales(self.scales, &[("model.grid", self.grid)])?;
        for (key, layers) in [("encoder_layers", self.encoder_layers), ("decoder_layers", self.decoder_layers)] {
            check.that((1..=1024).contains(&layers), &format!("model.{key}"), "1 to 1024", &layers)?;
        }
        check.that((2..=64).contains(&self.postnet_layers), "model.postnet_layers", "2 to 64", &self.postnet_layers)?;
        for (key, width) in [
            ("phones", self.phones),
            ("mels", self.mels),
            ("hidden", self.hidden),
            ("predictor_dim", self.predictor_dim),
            ("postnet_dim", self.postnet_dim),
            ("places", self.places),
        ] {
            check.that((1..=16384).contains(&width), &format!("model.{key}"), "1 to 16384", &width)?;
        }
        for (key, kernel) in [("kernel", self.kernel), ("predictor_kernel", self.predictor_kernel), ("postnet_kernel", self.postnet_kernel)]
        {
            check.that(kernel % 2 == 1 && kernel < 256, &format!("model.{key}"), "an odd number below 256", &kernel)?;
        }
        check.that(
            t.activations == Act::F32,
            "train.activations",
            "f32, which is all that a voice is trained with",
            &t.activations.name(),
        )?;
        let frames = t.batch_frames;
        check.that((1..=MAX_CONTEXT).contains(&frames), "train.batch_frames", &format!("1 to {MAX_CONTEXT}"), &frames)
    }
}
