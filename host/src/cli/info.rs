//! `primal-host info`.

use std::path::PathBuf;

use argh::FromArgs;
use primal_device::grid;

use super::output::print;
use crate::Result;
use crate::checkpoint::Checkpoint;
use crate::config::{GhostTtsConfig, ModelConfig};
use crate::run::state;
use crate::train::learner::Learner;

/// print what a checkpoint holds; all checksums are verified
#[derive(FromArgs)]
#[argh(subcommand, name = "info")]
pub struct Info {
    /// checkpoint file
    #[argh(positional)]
    file: PathBuf,
}

impl Info {
    /// Verifies and prints.
    ///
    /// # Errors
    /// A file that is no undamaged checkpoint.
    pub fn run(self) -> Result<()> {
        let checkpoint = Checkpoint::open_verified(&self.file)?;
        if state::is_voice(&checkpoint) { describe::<GhostTtsConfig>(&checkpoint) } else { describe::<ModelConfig>(&checkpoint) }
    }
}

fn describe<M: Learner>(checkpoint: &Checkpoint) -> Result<()> {
    let config = state::config_of::<M>(checkpoint)?;
    print(format!("step {}; every checksum is right\n\n{}", checkpoint.meta("step")?, config.to_toml()))?;
    for name in checkpoint.names() {
        let view = checkpoint.tensor(name)?;
        print(format!("{:>12}  {:?} {:?}  {name}", view.bytes.len(), view.dtype, view.shape))?;
    }
    let (_, specs) = M::name_parameters(&config);
    for spec in specs.matrices {
        let Some(id) = spec.grid else { continue };
        let row = grid::row_bytes(spec.in_features);
        let codes = checkpoint.u8(&format!("{}.codes", spec.name), &[spec.out_features, row])?;
        let mut counts = [0u32; 16];
        codes.chunks_exact(row).for_each(|codes| grid::histogram(codes, spec.in_features, &mut counts));
        print(format!("{} on {}: {counts:?} weights by code", spec.name, id.name()))?;
    }
    Ok(())
}
