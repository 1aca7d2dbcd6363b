//! What a run starts with.

use std::collections::BTreeMap;

use crate::Result;
use primal_engine::convert::{attached, import};
use primal_engine::files::checkpoint::{Checkpoint, LOSS_KEY, Latest, RUN_KEY, TensorRef};
use primal_engine::nn::kept;

/// What a run starts with.
pub(crate) enum Beginning {
    /// Start values.
    Anew,
    /// The weights of another run.
    Weights(Checkpoint),
    /// The last checkpoint of the run itself.
    Checkpoint(Latest),
}

impl Beginning {
    /// The checkpoint that the run goes on from or starts with, if any.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        match self {
            Self::Anew => None,
            Self::Weights(weights) => Some(weights),
            Self::Checkpoint(latest) => Some(&latest.checkpoint),
        }
    }

    /// What the file says of the model that its checkpoints go on to say: name, licence, where it came from.
    pub fn about(&self) -> BTreeMap<String, String> {
        const OF_A_RUN: [&str; 6] = ["config", "step", "data_fingerprint", RUN_KEY, LOSS_KEY, kept::KEY];
        let metadata = self.checkpoint().into_iter().flat_map(|checkpoint| checkpoint.metadata());
        let about = metadata.filter(|(key, _)| !OF_A_RUN.contains(&key.as_str()));
        about.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The files that came with the model, which its checkpoints keep.
    pub fn attached(&self) -> Result<Vec<TensorRef<'_>>> {
        let Some(checkpoint) = self.checkpoint() else { return Ok(Vec::new()) };
        let tensors = checkpoint.names().filter(|name| name.starts_with(attached::PREFIX)).map(|name| {
            let tensor = checkpoint.tensor(name)?;
            Ok(TensorRef::new(name, tensor.dtype, tensor.shape, tensor.bytes))
        });
        tensors.collect()
    }
}

/// Whether a file is as an import made it, and not the checkpoint of a run that began from one.
pub(super) fn is_imported(weights: &Checkpoint) -> bool {
    let has = |key| weights.metadata().contains_key(key);
    has(import::FROM) && !has(RUN_KEY)
}
