//! Where the data of a run are: what is learnt, and what is held back besides.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::source::{self, DATA, Source, line_cut};
use crate::{Error, Result};

const VALIDATION: &str = "--validation";

/// What of the data a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Some of each split.
    All,
    /// Training alone: what is held back are other files.
    Train,
    /// What is held back.
    HeldOut,
}

/// What `--data` and `--validation` name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct DataPaths {
    /// What is learnt, of which a part is held back if nothing else is.
    pub data: Vec<String>,
    /// What is held back.
    pub validation: Vec<String>,
}

/// The same in a file: where there is nothing besides, a list.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "neither a list of strings nor an object of two such lists")]
enum Written {
    Data(Vec<String>),
    Both { data: Vec<String>, validation: Vec<String> },
}

impl From<Written> for DataPaths {
    fn from(written: Written) -> Self {
        match written {
            Written::Data(data) => data.into(),
            Written::Both { data, validation } => Self { data, validation },
        }
    }
}

impl From<DataPaths> for Written {
    fn from(DataPaths { data, validation }: DataPaths) -> Self {
        if validation.is_empty() { Self::Data(data) } else { Self::Both { data, validation } }
    }
}

impl From<Vec<String>> for DataPaths {
    fn from(data: Vec<String>) -> Self {
        Self { data, validation: Vec::new() }
    }
}

impl DataPaths {
    /// Each path with its flag.
    pub fn by_flag(&self) -> impl Iterator<Item = (&'static str, &String)> {
        self.data.iter().map(|path| (DATA, path)).chain(self.validation.iter().map(|path| (VALIDATION, path)))
    }

    /// The files of each. What is held back is not learnt, where a folder of `--data` has it, too.
    ///
    /// # Errors
    /// Bad input for a path that is missing, a folder without files, and nothing that is left to learn.
    pub(super) fn files(&self) -> Result<[Vec<PathBuf>; 2]> {
        let mut data = source::names(&self.data, DATA)?;
        if self.validation.is_empty() {
            return Ok([data, Vec::new()]);
        }
        let held_out = source::names(&self.validation, VALIDATION)?;
        let resolved = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        let apart: Vec<PathBuf> = held_out.iter().map(resolved).collect();
        data.retain(|path| !apart.contains(&resolved(path)));
        if data.is_empty() {
            let hint = "give --data more, or --validation other files";
            return Err(Error::bad_input(VALIDATION, "other files than all of --data", self.validation.join(", "), hint));
        }
        Ok([data, held_out])
    }

    /// The texts.
    pub(super) fn open(&self, stories: impl Fn() -> String) -> Result<Vec<Source>> {
        let [data, held_out] = self.files()?;
        let mut sources = source::open_all(&data, DATA, &stories)?;
        if held_out.is_empty() {
            return Ok(sources);
        }
        for source in &mut sources {
            (source.part, source.cuts) = (Part::Train, [source.byte_len(); 2]);
        }
        let held_out = source::open_all(&held_out, VALIDATION, &stories)?.into_iter().map(|source| {
            let middle = line_cut(&source.bytes, 0, source.bytes.len() / 2) as u64;
            Source { part: Part::HeldOut, cuts: [0, middle], ..source }
        });
        sources.extend(held_out);
        Ok(sources)
    }
}
