//! The angles of rotary positions (Su et al. 2021), and how models stretch them to longer contexts than they began with.

use serde::{Deserialize, Serialize};

use super::pass::Rows;
use crate::backend::{Backend, Sequences};
use crate::memory::{Kind, Plan, Span};

/// How the frequencies of pairs differ from `base^(−i/pairs)`. Names and numbers are those of Hugging Face's `rope_scaling`, which is read as models write
/// it: the kind as `rope_type` or `type`, and keys besides that say other things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase", try_from = "Written")]
pub enum RopeScaling {
    /// Not at all.
    #[default]
    Default,
    /// All are divided by `factor` (Chen et al. 2023).
    Linear {
        /// What the context is stretched by.
        factor: f64,
    },
    /// Those with long waves are divided by `factor`, with a ramp to the short ones, which stay (Llama 3.1).
    Llama3 {
        /// What the context is stretched by.
        factor: f64,
        /// Waves longer than the original context over this are stretched.
        low_freq_factor: f64,
        /// Waves shorter than the original context over this stay.
        high_freq_factor: f64,
        /// Context of the first training.
        original_max_position_embeddings: usize,
    },
    /// The same idea by counting turns within the original context, and scores that are a little larger (YaRN, Peng et al. 2023).
    Yarn {
        /// What the context is stretched by.
        factor: f64,
        /// Context of the first training.
        original_max_position_embeddings: usize,
        /// Pairs that turn more often than this stay.
        beta_fast: f64,
        /// Pairs that turn less often than this are stretched.
        beta_slow: f64,
        /// What cosines and sines are multiplied by, if not by `0.1·ln(factor) + 1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        attention_factor: Option<f64>,
    },
}

/// A scaling as a model's configuration has it.
#[derive(Deserialize)]
struct Written {
    rope_type: Option<String>,
    r#type: Option<String>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    attention_factor: Option<f64>,
    mscale: Option<f64>,
    mscale_all_dim: Option<f64>,
    truncate: Option<bool>,
    partial_rotary_factor: Option<f64>,
}

impl TryFrom<Written> for RopeScaling {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let number = |name: &str, value: Option<f64>| match value {
            Some(value) if value.is_finite() && value > 0.0 => Ok(value),
            Some(value) => Err(format!("{name} of a rope scaling is {value}, not a positive number")),
            None => Err(format!("a rope scaling of this kind needs {name}")),
        };
        let context = match written.original_max_position_embeddings {
            Some(0) | None => Err("a rope scaling of this kind needs original_max_position_embeddings".to_string()),
            Some(context) => Ok(context),
        };
        let factor = || number("factor", written.factor);
        if let Some(part) = written.partial_rotary_factor.filter(|&part| part != 1.0) {
            return Err(format!("partial_rotary_factor {part}: all pairs of a head turn"));
        }
        if written.truncate == Some(false) {
            return Err("truncate false: the ramp begins and ends at whole pairs".into());
        }
        match written.rope_type.or(written.r#type).as_deref() {
            None if written.factor.is_some_and(|factor| factor != 1.0) => Err("a rope scaling with a factor and no rope_type".into()),
            None | Some("default") => Ok(Self::Default),
            Some("linear") => Ok(Self::Linear { factor: factor()? }),
            Some("llama3") => {
                let low_freq_factor = number("low_freq_factor", written.low_freq_factor)?;
                let high_freq_factor = number("high_freq_factor", written.high_freq_factor)?;
                if low_freq_factor >= high_freq_factor {
                    return Err(format!("low_freq_factor {low_freq_factor} is not below high_freq_factor {high_freq_factor}"));
                }
                Ok(Self::Llama3 { factor: factor()?, low_freq_factor, high_freq_factor, original_max_position_embeddings: context? })
            }
            Some("yarn") => Ok(Self::Yarn {
                factor: factor()?,
                original_max_position_embeddings: context?,
                beta_fast: number("beta_fast", written.beta_fast.or(Some(BETA_FAST)))?,
                beta_slow: number("beta_slow", written.beta_slow.or(Some(BETA_SLOW)))?,
                attention_factor: match (written.attention_factor, written.mscale, written.mscale_all_dim) {
                    (Some(by), ..) => Some(number("attention_factor", Some(by))?),
                    (None, Some(one), Some(other)) if one != 0.0 && other != 0.0 => {
                        Some(larger(factor()?, number("mscale", Some(one))?) / larger(factor()?, number("mscale_all_dim", Some(other))?))
                    }
                    _ => None,
                },
            }),
            Some(other) => Err(format!("a rope scaling {other:?}; known are default, linear, llama3 and yarn")),
        }
    }
}

/// What YaRN multiplies cosines and sines by for a context that is stretched by `factor`; `mscale` is 1 in the paper.
fn larger(factor: f64, mscale: f64) -> f64 {
    if factor > 1.0 { 0.1 * mscale * factor.ln() + 1.0 } else { 1.0 }
}

/// Of YaRN's paper.
const BETA_FAST: f64 = 32.0;
const BETA_SLOW: f64 = 1.0;

/// The angles of a model's heads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotary {
    /// Pair i turns by `base^(−i/pairs)` radians a position.
    pub base: f64,
    /// Pairs of a head.
    pub pairs: usize,
    /// What is changed for a longer context.
    pub scaling: RopeScaling,
}

impl Rotary {
    /// Radians a position of each pair.
    pub fn frequencies(&self) -> Vec<f32> {
        let turning = |i: usize| self.base.powf(-(i as f64) / self.pairs as f64);
        (0..self.pairs).map(|i| (turning(i) * self.stretch(i, turning(i))) as f32).collect()
    }

    /// What a pair's frequency is multiplied by.
    fn stretch(&self, pair: usize, frequency: f64) -> f64 {
        // Of `1/factor` and 1, so much of the latter.
        let between = |factor: f64, kept: f64| (1.0 - kept) / factor + kept;
        match self.scaling {
            RopeScaling::Default => 1.0,
            RopeScaling::Linear { factor } => 1.0 / factor,
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                let waves = original_max_position_embeddings as f64 * frequency / std::f64::consts::TAU;
                between(factor, ((waves - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0))
            }
            RopeScaling::Yarn { factor, original_max_position_embeddings, beta_fast, beta_slow, .. } => {
                let context = original_max_position_embeddings as f64;
                // The pair that turns so often within the context, between pairs.
                let pair_of = |turns: f64| self.pairs as f64 * (context / (turns * std::f64::consts::TAU)).ln() / self.base.ln();
                let (low, high) = (pair_of(beta_fast).floor().max(0.0), pair_of(beta_slow).ceil().min(2.0 * self.pairs as f64 - 1.0));
                let width = if high == low { 0.001 } else { high - low };
                between(factor, 1.0 - ((pair as f64 - low) / width).clamp(0.0, 1.0))
            }
        }
    }

    /// What cosines and sines are multiplied by, so that scores are by its square.
    pub fn attention_factor(&self) -> f64 {
        match self.scaling {
            RopeScaling::Yarn { attention_factor: Some(given), .. } => given,
            RopeScaling::Yarn { factor, .. } => larger(factor, 1.0),
            _ => 1.0,
        }
    }

    /// The table of [`Rope`](crate::ops::Rope), `[positions, 2 · pairs]`: cosines of all pairs, then sines.
    ///
    /// An angle is a product of two `f32`, as in Hugging Face's code: at position 4,096 it is off by 2e-4 radians.
    pub fn table(&self, positions: usize) -> Vec<f32> {
        let (frequencies, factor) = (self.frequencies(), self.attention_factor());
        let row = |position: usize| {
            let angles = frequencies.iter().map(move |&frequency| f64::from(position as f32 * frequency));
            angles.clone().map(move |angle| (angle.cos() * factor) as f32).chain(angles.map(move |angle| (angle.sin() * factor) as f32))
        };
        (0..positions).flat_map(row).collect()
    }
}

/// Where a model has the table of its angles, and which position each row of a batch has.
#[derive(Clone, Copy, Debug)]
pub struct RotaryPlace {
    /// `[positions, 2 · pairs]`, as [`Rotary::table`] makes it.
    pub table: Span<f32>,
    rows: Span<u32>,
}

impl RotaryPlace {
    /// Reserves it for so many positions, and batches of so many rows.
    pub fn plan(plan: &mut Plan, name: &str, rotary: &Rotary, positions: usize, rows: usize) -> Self {
        let table = plan.span(Kind::Io, format!("{name}.table"), positions * 2 * rotary.pairs);
        Self { table, rows: plan.span(Kind::Io, format!("{name}.positions"), rows) }
    }

    /// Writes the angles, and the positions of sequences of one length, which begin one after another.
    pub fn fill<B: Backend>(&self, b: &mut B, rotary: &Rotary, len: usize) {
        b.upload(self.table, &rotary.table(self.table.len() / (2 * rotary.pairs)));
        let positions: Vec<u32> = (0..self.rows.len()).map(|row| (row % len) as u32).collect();
        b.upload(self.rows, &positions);
    }

    /// The positions of these rows.
    pub fn positions(&self, rows: Rows) -> Span<u32> {
        match rows {
            Rows::Of(Sequences::Ragged { positions, .. }) => positions,
            Rows::Of(sequences) => self.rows.slice(0, sequences.rows()),
            Rows::After { past, count } => self.rows.slice(past, count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frequencies of pairs 0, 1, 8, 14, 16, 18, 20, 24 and 31 of 32, base 500,000, by `ROPE_INIT_FUNCTIONS` of transformers 5.24.0.
    #[test]
    fn frequencies_are_those_of_transformers() {
        let llama3 =
            RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192 };
        let yarn = RopeScaling::Yarn {
            factor: 4.0,
            original_max_position_embeddings: 32_768,
            beta_fast: BETA_FAST,
            beta_slow: BETA_SLOW,
            attention_factor: None,
        };
        let cases: [(RopeScaling, f64, [f64; 9]); 3] = [
            (
                RopeScaling::Linear { factor: 4.0 },
                1.0,
                [
                    0.25,
                    0.165900319814682,
                    0.009401507675647736,
                    0.0008028615266084671,
                    0.0003535533614922315,
                    0.00015569310926366597,
                    6.856204709038138e-05,
                    1.3295739336172119e-05,
                    7.5346451922087e-07,
                ],
            ),
            (
                llama3,
                1.0,
                [
                    1.0,
                    0.663601279258728,
                    0.03760603070259094,
                    0.0032114461064338684,
                    0.000429556705057621,
                    1.9461638657958247e-05,
                    8.570255886297673e-06,
                    1.6619674170215148e-06,
                    9.418306490260875e-08,
                ],
            ),
            (
                yarn,
                1.138629436111989,
                [
                    1.0,
                    0.663601279258728,
                    0.03760603070259094,
                    0.0026762052439153194,
                    0.0009428090415894985,
                    0.0003113861894235015,
                    9.141606278717518e-05,
                    1.3295739336172119e-05,
                    7.5346451922087e-07,
                ],
            ),
        ];
        for (scaling, factor, expected) in cases {
            let rotary = Rotary { base: 500_000.0, pairs: 32, scaling };
            let found = rotary.frequencies();
            for (pair, expected) in [0, 1, 8, 14, 16, 18, 20, 24, 31].into_iter().zip(expected) {
                approx::assert_relative_eq!(f64::from(found[pair]), expected, max_relative = 1e-6);
            }
            approx::assert_relative_eq!(rotary.attention_factor(), factor, max_relative = 1e-12);
        }
    }

    #[test]
    fn a_table_has_cosines_then_sines() {
        let rotary = Rotary { base: 100.0, pairs: 2, scaling: RopeScaling::Default };
        let table = rotary.table(3);
        let expected =
            [1.0, 1.0, 0.0, 0.0, 1f32.cos(), 0.1f32.cos(), 1f32.sin(), 0.1f32.sin(), 2f32.cos(), 0.2f32.cos(), 2f32.sin(), 0.2f32.sin()];
        approx::assert_abs_diff_eq!(&table[..], &expected[..], epsilon = 1e-7);
    }

    #[test]
    fn scalings_are_read_as_models_write_them() {
        let llama3 = r#"{"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"}"#;
        assert!(matches!(serde_json::from_str(llama3).unwrap(), RopeScaling::Llama3 { factor: 8.0, .. }));
        let yarn = r#"{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}"#;
        let Ok(RopeScaling::Yarn { beta_fast, attention_factor, .. }) = serde_json::from_str(yarn) else { panic!("{yarn}") };
        assert_eq!((beta_fast, attention_factor), (32.0, None));
        // As transformers 4.57.6 has it of DeepSeek's keys.
        let both =
            r#"{"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096, "mscale": 0.707, "mscale_all_dim": 1.0}"#;
        let Ok(RopeScaling::Yarn { attention_factor: Some(by), .. }) = serde_json::from_str(both) else { panic!("{both}") };
        approx::assert_relative_eq!(by, 0.9210423553163399, max_relative = 1e-12);
        let older = r#"{"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}"#;
        let both = r#"{"type": "yarn", "rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 32768, "beta_fast": null}"#;
        let expected: RopeScaling = serde_json::from_str(yarn).unwrap();
        for text in [older, both, &serde_json::to_string(&expected).unwrap()] {
            assert_eq!(serde_json::from_str::<RopeScaling>(text).unwrap(), expected, "{text}");
        }
        for (wrong, word) in [
            (r#"{"rope_type": "longrope", "factor": 4.0}"#, "longrope"),
            (r#"{"rope_type": "linear", "factor": 0.0}"#, "factor"),
            (
                r#"{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4, "high_freq_factor": 4, "original_max_position_embeddings": 8}"#,
                "below",
            ),
            (r#"{"rope_type": "yarn", "factor": 4.0}"#, "original_max_position_embeddings"),
            (r#"{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8, "truncate": false}"#, "truncate"),
            (
                r#"{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8, "mscale": -1.0, "mscale_all_dim": 1.0}"#,
                "mscale",
            ),
            (r#"{"rope_type": "default", "partial_rotary_factor": 0.5}"#, "partial_rotary_factor"),
            (r#"{"factor": 2.0}"#, "rope_type"),
        ] {
            let error = serde_json::from_str::<RopeScaling>(wrong).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
