//! What ranks that train together are told by the first one, which holds the folder of the run.

use std::path::PathBuf;

use primal_engine::config::{ConfigOf, ModelTable};
use primal_engine::files::checkpoint::{Checkpoint, Latest};
use serde::{Deserialize, Serialize};

use super::beginning::Beginning;
use super::folder::RunFolder;
use crate::data::DataPaths;
use crate::{Error, Result, ranks};

/// What the others need to make the same run.
#[derive(Serialize, Deserialize)]
struct Told {
    path: PathBuf,
    /// As TOML.
    config: String,
    is_resumed: bool,
    begins: Begins,
    sources: DataPaths,
}

/// With what the run begins.
#[derive(Serialize, Deserialize)]
enum Begins {
    Anew,
    Weights(PathBuf),
    /// That of a step.
    Checkpoint(u64, PathBuf),
}

/// The folder of a run and where its data are. The first rank opens it by `open`, and the others are told.
///
/// # Errors
/// Those of `open`; micro-batches that the ranks cannot share; a file that only the first rank can read.
pub(crate) fn open<M: ModelTable>(open: impl FnOnce() -> Result<(RunFolder<M>, DataPaths)>) -> Result<(RunFolder<M>, DataPaths)> {
    let place = ranks::place();
    if place.count == 1 {
        return open();
    }
    let mut ranks = ranks::all();
    if place.rank == 0 {
        let (folder, sources) = open()?;
        ranks::require(&folder.config.train)?;
        let begins = match &folder.beginning {
            Beginning::Anew => Begins::Anew,
            Beginning::Weights(weights) => Begins::Weights(weights.path().to_owned()),
            Beginning::Checkpoint(latest) => Begins::Checkpoint(latest.step, latest.checkpoint.path().to_owned()),
        };
        let (path, config, is_resumed) = (folder.path.clone(), folder.config.to_toml(), folder.is_resumed);
        let told = Told { path, config, is_resumed, begins, sources };
        ranks.tell(serde_json::to_vec(&told).map_err(unreadable)?);
        return Ok((folder, told.sources));
    }
    let told: Told = serde_json::from_slice(&ranks.tell(Vec::new())).map_err(unreadable)?;
    let beginning = match &told.begins {
        Begins::Anew => Beginning::Anew,
        Begins::Weights(path) => Beginning::Weights(Checkpoint::open(path)?),
        &Begins::Checkpoint(step, ref path) => {
            Beginning::Checkpoint(Latest { step, checkpoint: Checkpoint::open(path)?, skipped: Vec::new() })
        }
    };
    let config = ConfigOf::parse(&told.config, &told.path.display().to_string())?;
    Ok((RunFolder::of_another(told.path, config, beginning, told.is_resumed), told.sources))
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::failed(format!("what the first rank tells: {error}"), "start the same program on all machines")
}
