//! Pitch and energy of phones: measured from frames, and on the scale that an acoustic model learns.

use serde::{Deserialize, Serialize};

/// Mean and standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normal {
    /// Mean.
    pub mean: f32,
    /// Standard deviation, above 0.
    pub std: f32,
}

impl Normal {
    /// Mean and deviation of the values that are numbers; NaN stands for a value that there is not.
    pub fn of(values: impl Iterator<Item = f32> + Clone) -> Self {
        let known = values.filter(|value| !value.is_nan()).map(f64::from);
        let count = known.clone().count().max(1) as f64;
        let mean = known.clone().sum::<f64>() / count;
        let variance = known.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        // Constant values are left as they are, about 0.
        let std = if variance > 1e-12 { variance.sqrt() } else { 1.0 };
        Self { mean: mean as f32, std: std as f32 }
    }

    /// A value in standard deviations from the mean.
    pub fn standardise(&self, value: f32) -> f32 {
        (value - self.mean) / self.std
    }

    /// The value so many standard deviations from the mean.
    pub fn restore(&self, value: f32) -> f32 {
        value * self.std + self.mean
    }
}

/// What a corpus is standardised by; a voice keeps it, to say what its predictions mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Of a phone's mean ln F0 in Hz, over voiced phones.
    pub log_f0: Normal,
    /// Of the ln of a phone's mean energy, over phones that are not pauses.
    pub log_energy: Normal,
    /// Of each bin of the log-mel over frames: `[num_mels]`.
    pub mel: Vec<Normal>,
}

/// Means over the frames of each phone of ln F0 (over voiced frames) and of the ln of the mean energy; NaN where a phone has no such frame.
///
/// `pitch` (Hz, 0 where unvoiced) and `energy` are `[frames]`, the sum of `durations` `[phones]`; the means are `[phones]`.
///
/// # Panics
/// When the durations sum to more frames than there are.
pub fn measure(pitch: &[f32], energy: &[f32], durations: &[u32]) -> (Vec<f32>, Vec<f32>) {
    let mut end = 0;
    let of_phone = |&duration: &u32| {
        let frames = end..end + duration as usize;
        end = frames.end;
        let voiced = pitch[frames.clone()].iter().filter(|hz| **hz > 0.0);
        let log_f0 = voiced.clone().map(|hz| hz.ln()).sum::<f32>() / voiced.count() as f32;
        let log_energy = (energy[frames].iter().sum::<f32>() / duration as f32).ln();
        (log_f0, log_energy)
    };
    durations.iter().map(of_phone).unzip()
}

/// Replaces each NaN by what lies on the line between the known values around it, or by the nearest at the ends, or by `otherwise` where
/// nothing is known.
pub fn fill_gaps(values: &mut [f32], otherwise: f32) {
    let mut last: Option<usize> = None;
    for at in 0..values.len() {
        let end = values[at];
        if end.is_nan() {
            continue;
        }
        match last {
            None => values[..at].fill(end),
            Some(from) => {
                let start = values[from];
                let step = (end - start) / (at - from) as f32;
                for (away, value) in (1..).zip(&mut values[from + 1..at]) {
                    *value = start + step * away as f32;
                }
            }
        }
        last = Some(at);
    }
    match last {
        None => values.fill(otherwise),
        Some(last) => {
            let value = values[last];
            values[last + 1..].fill(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;

    #[test]
    fn gaps_are_bridged() {
        const GAP: f32 = f32::NAN;
        let filled = |mut values: Vec<f32>| {
            fill_gaps(&mut values, 7.0);
            values
        };
        assert_eq!(filled(vec![GAP, 1.0, GAP, GAP, 4.0, 5.0, GAP]), [1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0]);
        assert_eq!(filled(vec![GAP; 3]), [7.0; 3]);
        assert!(filled(vec![]).is_empty());
    }

    #[test]
    fn phones_are_measured_over_their_frames() {
        let (f0, energy) = measure(&[0.0, 100.0, 400.0, 0.0, 90.0], &[1.0, 2.0, 4.0, 8.0, 16.0], &[1, 2, 0, 1, 1]);
        assert_abs_diff_eq!(f0[1], 200f32.ln(), epsilon = 1e-6);
        assert_abs_diff_eq!(f0[4], 90f32.ln(), epsilon = 1e-6);
        assert!(f0[0].is_nan() && f0[2].is_nan() && f0[3].is_nan(), "{f0:?}");
        assert_abs_diff_eq!(energy[1], 3f32.ln(), epsilon = 1e-6);
        assert!(energy[2].is_nan(), "{energy:?}");
    }

    #[test]
    fn standardised_values_come_back() {
        let normal = Normal::of([1.0, f32::NAN, 3.0].into_iter());
        assert_eq!(normal, Normal { mean: 2.0, std: 1.0 });
        assert_eq!(normal.restore(normal.standardise(5.0)), 5.0);
        assert_eq!(Normal::of([4.0; 3].into_iter()), Normal { mean: 4.0, std: 1.0 });
        assert_eq!(Normal::of(std::iter::empty()), Normal { mean: 0.0, std: 1.0 });
    }
}
