//! How a file keeps the weights that differ from its configuration: the metadata key `weights`, an object of JSON by the names of matrices.
//!
//! `{"head": {"blocks": "Q6_K"}, "blocks.0.mlp.up": {"grid": "uint4", "scales": "group32-offset"}, "embedding.tokens": {"float": true}}`

use std::collections::BTreeMap;

use primal_device::grid::{Grid, ScaleForm, by_name};
use serde::{Deserialize, Serialize};

use super::parameters::{MatrixSpec, Specs};
use crate::files::dequantize::dequantizer;
use crate::files::{Dtype, TensorFile};
use crate::{Error, Result};

/// The metadata key.
pub const KEY: &str = "weights";

/// How a matrix is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kept {
    /// Codes of a grid, and scales.
    Grid(&'static Grid, ScaleForm),
    /// The blocks of another format.
    Blocks(Dtype),
    /// `f32`.
    Float,
}

/// By name, as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    grid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scales: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    float: Option<bool>,
}

impl From<Kept> for Written {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Grid(grid, scales) => Self { grid: Some(grid.name().into()), scales: Some(scales.name().into()), ..Self::default() },
            Kept::Blocks(dtype) => Self { blocks: Some(dtype.name().into()), ..Self::default() },
            Kept::Float => Self { float: Some(true), ..Self::default() },
        }
    }
}

impl TryFrom<Written> for Kept {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written { grid: Some(grid), scales: Some(scales), blocks: None, float: None } => {
                let grid = by_name(&grid).ok_or_else(|| format!("the grid {grid:?}"))?;
                let scales = ScaleForm::by_name(&scales).ok_or_else(|| format!("the scales {scales:?}"))?;
                if scales.is_for(grid) {
                    Ok(Self::Grid(grid, scales))
                } else {
                    Err(format!("{} scales of weights on {}", scales.name(), grid.name()))
                }
            }
            Written { grid: None, scales: None, blocks: Some(name), float: None } => {
                let dtype = Dtype::ALL.iter().find(|dtype| dtype.name() == name && dequantizer(**dtype).is_some());
                dtype.map(|&dtype| Self::Blocks(dtype)).ok_or_else(|| format!("blocks of {name:?}"))
            }
            Written { grid: None, scales: None, blocks: None, float: Some(true) } => Ok(Self::Float),
            _ => Err("something else".into()),
        }
    }
}

/// The value of the key for these matrices.
pub fn to_json<'a>(kept: impl IntoIterator<Item = (&'a str, Kept)>) -> String {
    let map: BTreeMap<&str, Written> = kept.into_iter().map(|(name, kept)| (name, kept.into())).collect();
    serde_json::to_string(&map).expect("plain data")
}

/// Lets the specs say of matrices what the file does.
///
/// # Errors
/// A key that does not parse; a matrix that the model does not have, or that cannot be kept so.
pub fn apply(specs: &mut Specs, file: &dyn TensorFile) -> Result<()> {
    for (name, kept) in of(file)? {
        let spec = specs.matrices.iter_mut().find(|spec| spec.name == name);
        let spec = spec.ok_or_else(|| bad(file, "names of matrices of the model", format!("{name:?}")))?;
        spec.keep(kept).map_err(|found| bad(file, "rows of whole blocks", found))?;
    }
    Ok(())
}

/// What the file says of matrices, by their names.
///
/// # Errors
/// A key that does not parse.
pub fn of(file: &dyn TensorFile) -> Result<BTreeMap<String, Kept>> {
    let Some(text) = file.metadata().get(KEY) else { return Ok(BTreeMap::new()) };
    const EXPECTED: &str = "an object that says of matrices on which grid, in which blocks or whether in floats they are";
    let written: BTreeMap<String, Written> = serde_json::from_str(text).map_err(|error| bad(file, EXPECTED, error.to_string()))?;
    let each = written.into_iter().map(|(name, written)| match Kept::try_from(written) {
        Ok(kept) => Ok((name, kept)),
        Err(found) => Err(bad(file, EXPECTED, format!("{found} for {name:?}"))),
    });
    each.collect()
}

fn bad(file: &dyn TensorFile, expected: &str, found: String) -> Error {
    let subject = format!("{}: metadata `{KEY}`", file.path().display());
    Error::invalid(subject, expected, found, "the file is damaged, or of another version of this program: import it again")
}

impl MatrixSpec {
    /// Has the matrix kept so.
    ///
    /// # Errors
    /// Rows are no whole blocks; what was found.
    pub fn keep(&mut self, kept: Kept) -> Result<(), String> {
        (self.grid, self.blocks) = match kept {
            Kept::Grid(grid, scales) => {
                self.scales = scales;
                (Some(grid), None)
            }
            Kept::Blocks(dtype) if dtype.byte_len(self.in_features).is_none() => {
                return Err(format!("rows of {} values of {} in {dtype}", self.in_features, self.name));
            }
            Kept::Blocks(dtype) => (None, Some(dtype)),
            Kept::Float => (None, None),
        };
        Ok(())
    }

    /// How the matrix is kept.
    pub fn kept(&self) -> Kept {
        match (self.grid, self.blocks) {
            (Some(grid), _) => Kept::Grid(grid, self.scales),
            (None, Some(dtype)) => Kept::Blocks(dtype),
            (None, None) => Kept::Float,
        }
    }
}

#[cfg(test)]
mod tests {
    use primal_device::grid::UINT4;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let all = [
            ("a", Kept::Grid(&UINT4, ScaleForm::Group32Offset)),
            ("b", Kept::Blocks(Dtype::Q6_K)),
            ("c", Kept::Blocks(Dtype::F16)),
            ("d", Kept::Float),
        ];
        let read: BTreeMap<String, Written> = serde_json::from_str(&to_json(all)).unwrap();
        for ((name, written), (expected_name, expected)) in read.into_iter().zip(all) {
            assert_eq!((name.as_str(), Kept::try_from(written)), (expected_name, Ok(expected)));
        }
    }

    #[test]
    fn what_no_weight_is_kept_as_is_refused() {
        for (json, word) in [
            (r#"{"grid": "prime17", "scales": "row"}"#, "prime17"),
            (r#"{"grid": "nf4", "scales": "group8"}"#, "group8"),
            (r#"{"blocks": "U8"}"#, "U8"),
            (r#"{"float": false}"#, "something else"),
            (r#"{"grid": "nf4"}"#, "something else"),
        ] {
            let found = Kept::try_from(serde_json::from_str::<Written>(json).unwrap()).unwrap_err();
            assert!(found.contains(word), "{json}: {found}");
        }
    }
}
