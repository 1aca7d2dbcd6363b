//! The scale on which a network sees spectrograms.

/// The scale on which a network sees log-mel spectrograms: each band about its mean, all by one standard deviation, so that an error counts
/// the same in all bands.
#[derive(Clone, Debug, PartialEq)]
pub struct MelScale {
    mean: Vec<f32>,
    /// Natural logarithms in one unit.
    pub std: f32,
}

impl MelScale {
    /// The scale of spectrograms whose bands have these means and standard deviations.
    pub fn new(bands: impl Iterator<Item = (f32, f32)>) -> Self {
        let (mean, std): (Vec<f32>, Vec<f32>) = bands.unzip();
        let variance = std.iter().map(|&std| f64::from(std).powi(2)).sum::<f64>() / std.len() as f64;
        Self { mean, std: variance.sqrt() as f32 }
    }

    /// The values of frames `[frames, mels]`, standardised.
    pub fn standardised<'a>(&'a self, mel: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        mel.chunks_exact(self.mean.len()).flat_map(|frame| frame.iter().zip(&self.mean).map(|(value, mean)| (value - mean) / self.std))
    }

    /// Turns standardised frames back into natural logarithms.
    pub fn restore(&self, mel: &mut [f32]) {
        for frame in mel.chunks_exact_mut(self.mean.len()) {
            frame.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value = *value * self.std + mean);
        }
    }
}
