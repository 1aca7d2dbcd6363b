//! `RUN/run.json`: which run a folder holds, so that no other's checkpoints are taken for its own, and no edit of `config.toml` goes unnoticed.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::{Error, Result};
use primal_engine::files::checkpoint::Checkpoint;
use primal_engine::files::durable;

/// The file's name inside a run folder.
pub const FILE_NAME: &str = "run.json";
/// What a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// A hash of what decides all numbers of the run: its first configuration, its data, and the checkpoint that it started from.
    pub id: String,
    /// `config.toml` as this program wrote it last.
    pub config: String,
    /// What `config.toml` may still say if the program was killed between the two files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Steps at which the run was finished before more were asked for; their checkpoints are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<u64>,
    /// The checkpoint whose weights it started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
}

/// A checkpoint by path and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Where it was, absolute.
    pub path: String,
    /// Hash of its header, in which every tensor has a checksum.
    pub content: String,
}

impl Origin {
    /// Names an open checkpoint.
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let path = checkpoint.path();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
        Self { path, content: hash(&[&checkpoint.header().encode()]) }
    }
}

impl Identity {
    /// The identity of a new run.
    pub fn new(config: String, fingerprint: u64, from: Option<Origin>) -> Self {
        let parent = from.as_ref().map_or("", |from| from.content.as_str());
        let id = hash(&[config.as_bytes(), &fingerprint.to_le_bytes(), parent.as_bytes()]);
        Self { id, config, previous: None, ends: Vec::new(), from }
    }

    /// Reads that of a run folder; `None` where an earlier version began the run.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn read(run: &Path) -> Result<Option<Self>> {
        let path = run.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("reading", &path, error, "see that the run folder can be read")),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            Error::bad_input(path.display(), "the identity of a run, as this program wrote it", error, "put back what it was")
        })
    }

    /// Writes the identity into a run folder.
    ///
    /// # Errors
    /// I/O errors.
    pub fn write(&self, run: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).expect("strings and numbers");
        text.push(b'\n');
        Ok(durable::write(&run.join(FILE_NAME), &text)?)
    }
}

/// XXH3-128 of parts, each with its length.
fn hash(parts: &[&[u8]]) -> String {
    let mut hash = Xxh3::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    format!("{:032x}", hash.digest128())
}
