//! A smoothed mel as the log amplitude of each frequency: where the network's corrections start from.

use std::f64::consts::PI;

use super::config::{BANDS, BINS, SAMPLING_RATE, SIZE};

/// Points of the mel's Fourier transform.
const MEL_SIZE: usize = 1024;
/// Frequencies narrower than this are averaged: single harmonics shall not show.
const WIDTH: f64 = 110.0;
/// Above this, in Hz, the amplitude is that of the highest bands.
const TOP: f64 = 7900.0;

/// The 82 corners of the mel's triangles on Slaney's scale, in Hz: linear to 1 kHz, logarithmic above.
fn edges() -> Vec<f64> {
    let top = 15.0 + 8f64.ln() * 27.0 / 6.4f64.ln();
    let mels = (0..BANDS + 2).map(|i| top * i as f64 / (BANDS + 1) as f64);
    mels.map(|mel| if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp() }).collect()
}

/// The log-mel of white noise of variance 1, `[80]`: the root of the sum of the squared window, times each filter's area in bins.
fn white(edges: &[f64]) -> Vec<f64> {
    let magnitude = (0..MEL_SIZE).map(|i| (PI * i as f64 / MEL_SIZE as f64).sin().powi(4)).sum::<f64>().sqrt();
    let area = |edges: &[f64]| {
        let &[low, mid, high] = edges else { unreachable!("three corners") };
        let hz = (0..=MEL_SIZE / 2).map(|bin| (bin * SAMPLING_RATE) as f64 / MEL_SIZE as f64);
        hz.map(|hz| ((hz - low) / (mid - low)).min((high - hz) / (high - mid)).max(0.0) * 2.0 / (high - low)).sum::<f64>()
    };
    edges.windows(3).map(|edges| (area(edges) * magnitude).ln()).collect()
}

/// Matrix `[257, 80]` and offset `[257]` from a log-mel to the log amplitude of each frequency, 0 for white noise of variance 1: the mean of the bands
/// around it, weighted by a Gaussian as wide as a band, and at least 110 Hz. Of the log-mel `factor · x + shift`, they take x.
pub fn envelope(factor: f32, shift: f32) -> (Vec<f32>, Vec<f32>) {
    let edges = edges();
    let (centres, white) = (&edges[1..=BANDS], white(&edges));
    let spacing: Vec<f64> = (0..BANDS)
        .map(|i| {
            let (low, high) = (i.saturating_sub(1), (i + 1).min(BANDS - 1));
            (centres[high] - centres[low]) / (high - low) as f64
        })
        .collect();
    let (mut matrix, mut offset) = (Vec::with_capacity(BINS * BANDS), Vec::with_capacity(BINS));
    for bin in 0..BINS {
        let hz = ((bin * SAMPLING_RATE) as f64 / SIZE as f64).min(TOP);
        let weight = |(centre, spacing): (&f64, &f64)| spacing * (-0.5 * ((hz - centre) / spacing.max(WIDTH)).powi(2)).exp();
        let weights: Vec<f64> = centres.iter().zip(&spacing).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        matrix.extend(weights.iter().map(|weight| factor * (weight / sum) as f32));
        let level: f64 = weights.iter().zip(&white).map(|(weight, white)| weight / sum * white).sum();
        offset.push(shift - level as f32);
    }
    (matrix, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_noise_is_flat() {
        let (matrix, offset) = envelope(1.0, 0.0);
        let white = white(&edges());
        for (bin, row) in matrix.chunks_exact(BANDS).enumerate() {
            let level: f64 = row.iter().zip(&white).map(|(weight, white)| f64::from(*weight) * white).sum::<f64>() + f64::from(offset[bin]);
            assert!(level.abs() < 1e-5, "bin {bin}: {level}");
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "bin {bin}");
        }
    }
}
