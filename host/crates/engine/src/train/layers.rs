//! What a step leaves in the matrices on the grid, for records and reports.

use serde::{Deserialize, Deserializer, Serialize};

/// The state of one grid matrix after a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Name of the matrix, as in the checkpoint: `blocks.0.attention.q`.
    pub name: String,
    /// Share of its weights (0 to 1) whose code changed in this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flip_rate: Option<f64>,
    /// Share of its weights (0 to 1) on the lowest or highest level, where that is not zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturation: Option<f64>,
    /// Number of weights on each of the 16 codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<[u64; 16]>,
    /// Level that each code stands for, before the scale; `None` where a code is not a level.
    /// Enough on a layer's first record: readers keep the last one they saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub levels: Option<[Option<f32>; 16]>,
    /// Distribution of the scales of rows or groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<ScaleSummary>,
}

/// Distribution of a matrix's scales (their magnitudes), the factors of levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScaleSummary {
    /// Smallest.
    #[serde(deserialize_with = "nan_if_null")]
    pub min: f64,
    /// Middle one in order; the mean of the two middle ones of an even number.
    #[serde(deserialize_with = "nan_if_null")]
    pub median: f64,
    /// Largest.
    #[serde(deserialize_with = "nan_if_null")]
    pub max: f64,
    /// Arithmetic mean.
    #[serde(deserialize_with = "nan_if_null")]
    pub mean: f64,
}

impl ScaleSummary {
    /// Summary of the magnitudes of `scales`, of rows or groups; `None` when there are none.
    #[must_use]
    pub fn of(scales: &[f32]) -> Option<Self> {
        let mut sorted: Vec<f64> = scales.iter().map(|&s| f64::from(s).abs()).collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        Some(Self { min, median, max, mean })
    }
}

fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_summary_of_small_sets() {
        assert_eq!(ScaleSummary::of(&[]), None);
        let one = ScaleSummary::of(&[-0.5]).unwrap();
        assert_eq!((one.min, one.median, one.max, one.mean), (0.5, 0.5, 0.5, 0.5));
        let four = ScaleSummary::of(&[4.0, 1.0, -2.0, 5.0]).unwrap();
        assert_eq!((four.min, four.median, four.max, four.mean), (1.0, 3.0, 5.0, 3.0));
    }
}
