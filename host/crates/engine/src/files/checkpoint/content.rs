//! What the values of a tensor may be. A checksum says that a file is as it was written; this says that it can have been written by a run.

use half::f16;
use primal_device::grid::VoteBits;
use primal_device::grid::{self, Grid, PADDING};
use rayon::prelude::*;

use crate::{Error, Result};

/// No parameter of a run that learns comes near: larger ones overflow within a few layers.
pub const LARGEST: f32 = 1e6;
/// Row scales stay within it: training keeps them above 1e-4.
const SCALES: std::ops::RangeInclusive<f32> = 1e-6..=1e4;
/// Means of gradients: their squares are finite.
const LARGEST_MEAN: f32 = 1e18;
/// Weights of a group that a thread looks at.
const GROUP: usize = 1 << 16;

/// What a tensor holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Content {
    /// `f32` parameters.
    Values,
    /// `f32` factors of rows on a grid.
    Scales,
    /// `f16` steps or offsets of groups on a grid.
    Halves,
    /// Packed codes of a grid, in rows of so many weights.
    Codes(&'static Grid, usize),
    /// What another program wrote: any bytes.
    Blocks,
    /// Votes: `i8`, or two of 4 bits, excess 8, a byte.
    Votes(VoteBits),
    /// `f32` running means of gradients.
    Means,
    /// `f32` running means of squares of gradients.
    Squares,
}

impl Content {
    /// Checks bytes of the right length; `tensor` names them, and `file` where they are.
    ///
    /// # Errors
    /// Bad input that names the first value that cannot be.
    pub fn validate(self, file: impl std::fmt::Display, tensor: &str, bytes: &[u8]) -> Result<()> {
        let fault = match self {
            Self::Values => float_fault(bytes, -LARGEST..=LARGEST),
            Self::Scales => float_fault(bytes, SCALES),
            Self::Halves => half_fault(bytes),
            Self::Blocks => None,
            Self::Means => float_fault(bytes, -LARGEST_MEAN..=LARGEST_MEAN),
            Self::Squares => float_fault(bytes, 0.0..=LARGEST_MEAN * LARGEST_MEAN),
            Self::Codes(grid, in_features) => code_fault(bytes, grid, in_features),
            Self::Votes(bits) => vote_fault(bytes, bits),
        };
        fault.map_or(Ok(()), |(expected, found)| {
            let hint = "no run writes such a value, though the checksums are right: use an earlier checkpoint, or get the file from where it was made";
            Err(Error::invalid(format!("{file}: tensor {tensor}"), expected, found, hint))
        })
    }
}

/// What was expected, and what was found.
type Fault = Option<(String, String)>;

fn float_fault(bytes: &[u8], range: std::ops::RangeInclusive<f32>) -> Fault {
    let value = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    let bad = |&at: &usize| !range.contains(&value(&bytes[at..]));
    let groups = (0..bytes.len()).into_par_iter().step_by(4 * GROUP);
    let at = groups.find_map_first(|start| (start..bytes.len().min(start + 4 * GROUP)).step_by(4).find(bad))?;
    let expected = format!("finite values from {} to {}", range.start(), range.end());
    Some((expected, format!("{} at index {}", value(&bytes[at..]), at / 4)))
}

fn half_fault(bytes: &[u8]) -> Fault {
    let value = |two: &[u8]| f16::from_le_bytes([two[0], two[1]]);
    let at = bytes.par_chunks_exact(2).position_first(|two| !value(two).is_finite())?;
    Some(("finite values".into(), format!("{} at index {at}", value(&bytes[2 * at..]))))
}

fn code_fault(bytes: &[u8], grid: &Grid, in_features: usize) -> Fault {
    let known: [bool; 256] = std::array::from_fn(|byte| grid.is_level(byte as u8 & 15) && grid.is_level(byte as u8 >> 4));
    let row_bytes = grid::row_bytes(in_features);
    let is_right = |row: &[u8]| {
        let (pairs, rest) = row.split_at(in_features / 2);
        let odd = in_features.is_multiple_of(2) || grid.is_level(rest[0] & 15);
        let padding = (in_features..2 * row.len()).all(|at| grid::get(row, at) == PADDING);
        odd && padding && pairs.iter().all(|&byte| known[usize::from(byte)])
    };
    let rows = bytes.par_chunks(row_bytes).with_min_len(GROUP.div_ceil(row_bytes));
    let row = rows.position_first(|row| !is_right(row))?;
    let codes = &bytes[row * row_bytes..][..row_bytes];
    let wrong = |&at: &usize| if at < in_features { !grid.is_level(grid::get(codes, at)) } else { grid::get(codes, at) != PADDING };
    let at = (0..2 * row_bytes).find(wrong)?;
    let code = grid::get(codes, at);
    let (expected, place) = match at < in_features {
        true => (format!("codes of levels of {}, {} to {}", grid.name(), grid.min, grid.max), "column"),
        false => (format!("rows of {in_features} weights filled up with code {PADDING}"), "padding"),
    };
    Some((expected, format!("code {code} in row {row}, {place} {at}")))
}

fn vote_fault(bytes: &[u8], bits: VoteBits) -> Fault {
    let (at, least) = match bits {
        VoteBits::Eight => (bytes.iter().position(|&byte| byte as i8 == i8::MIN)?, i8::MIN),
        VoteBits::Four => (bytes.iter().position(|&byte| byte & 15 == 0 || byte >> 4 == 0)?, -8),
    };
    Some((format!("votes from {} to {}", least + 1, -(least + 1)), format!("{least} in byte {at}")))
}

#[cfg(test)]
mod tests {
    use primal_device::grid::GRIDS;

    use super::*;

    fn complaint(content: Content, bytes: &[u8]) -> Option<String> {
        content.validate("file", "name", bytes).err().map(|error| error.to_string())
    }

    #[test]
    fn floats_have_ranges() {
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        for (content, right, wrong) in [
            (Content::Values, [0.0, -3.5, 1e5], [f32::NAN, f32::INFINITY, -2e6]),
            (Content::Scales, [1e-4, 0.3, 100.0], [0.0, -0.1, 1e38]),
            (Content::Means, [0.0, -1e9, 1e9], [f32::NAN, f32::NEG_INFINITY, 1e30]),
            (Content::Squares, [0.0, 1e-30, 1e20], [-1e-9, f32::NAN, f32::INFINITY]),
        ] {
            assert_eq!(complaint(content, &bytes(&right)), None);
            for value in wrong {
                let mut values = vec![right[1]; 3 * GROUP];
                values[2 * GROUP + 5] = value;
                let message = complaint(content, &bytes(&values)).expect("a complaint");
                assert!(message.contains(&format!("{value} at index {}", 2 * GROUP + 5)), "{content:?}: {message}");
            }
        }
    }

    #[test]
    fn halves_are_finite() {
        let bytes = |values: &[f32]| values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect::<Vec<_>>();
        assert_eq!(complaint(Content::Halves, &bytes(&[0.0, -0.5, 65504.0, 6e-8])), None);
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let message = complaint(Content::Halves, &bytes(&[1.0, 2.0, value])).expect("a complaint");
            assert!(message.contains("at index 2"), "{message}");
        }
    }

    #[test]
    fn codes_are_levels_and_padding_is_padding() {
        // Without zero, and without a level of the padding's code.
        static FOUR: Grid = Grid::fractions("four", &[-3, -1, 1, 3], 4);
        for &grid in GRIDS.iter().chain([&&FOUR]) {
            for in_features in [1, 31, 32, 33, 100] {
                let row_bytes = grid::row_bytes(in_features);
                let mut bytes = vec![0; 3 * row_bytes];
                for row in bytes.chunks_mut(row_bytes) {
                    grid::pack_row(&vec![grid.max; in_features], row);
                }
                let content = Content::Codes(grid, in_features);
                assert_eq!(complaint(content, &bytes), None, "{in_features}");
                for (at, code) in [(0, 0), (in_features - 1, 15), (2 * row_bytes - 1, PADDING + 1)] {
                    let mut wrong = bytes.clone();
                    grid::set(&mut wrong[row_bytes..], at, code);
                    let is_wrong = at >= in_features || !grid.is_level(code);
                    assert_eq!(complaint(content, &wrong).is_some(), is_wrong, "{grid:?} {in_features}: code {code} at {at}");
                }
            }
        }
    }

    #[test]
    fn votes_are_symmetric() {
        assert_eq!(complaint(Content::Votes(VoteBits::Eight), &[127, 129, 0]), None);
        assert!(complaint(Content::Votes(VoteBits::Eight), &[0, 128]).expect("a complaint").contains("-128 in byte 1"));
        assert_eq!(complaint(Content::Votes(VoteBits::Four), &[0x88, 0x1f]), None);
        for byte in [0x80, 0x08, 0] {
            assert!(complaint(Content::Votes(VoteBits::Four), &[0x88, byte]).expect("a complaint").contains("-8 in byte 1"));
        }
    }
}
