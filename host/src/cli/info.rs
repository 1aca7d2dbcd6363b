//! `primal-host info`.

use std::path::PathBuf;

use argh::FromArgs;
use primal_device::grid;

use crate::output::print;
use crate::{Result, visible};
use primal_engine::config::{GhostTtsConfig, ModelConfig};
use primal_engine::files::checkpoint::Checkpoint;
use primal_engine::memory::Plan;
use primal_engine::nn::tensors;
use primal_engine::train::learner::Learner;
use primal_engine::train::state;
use primal_engine::train::trainer::Layout;

/// print what a checkpoint holds; all checksums and all values are verified
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
    /// A file that is no undamaged checkpoint, or has values that no run saves.
    pub fn run(self) -> Result<()> {
        let checkpoint = Checkpoint::open_verified(&self.file)?;
        if state::is_voice(&checkpoint) { describe::<GhostTtsConfig>(&checkpoint) } else { describe::<ModelConfig>(&checkpoint) }
    }
}

fn describe<M: Learner>(checkpoint: &Checkpoint) -> Result<()> {
    let config = state::config_of::<M>(checkpoint)?;
    let step = state::step_of(checkpoint, &config)?;
    let layout = Layout::<M>::plan(&config, &mut Plan::default());
    // Parameters come first; what training keeps besides need not be there.
    let (mut tensors, needed) = (state::tensors(&layout), tensors::parameters(&layout.parameters).len());
    let besides = tensors.split_off(needed).into_iter().filter(|tensor| checkpoint.header().tensors.contains_key(&tensor.name));
    tensors.extend(besides);
    tensors::validate(&tensors, checkpoint)?;
    print(format!("step {step}; every checksum is right\n\n{}", config.to_toml()))?;
    for name in checkpoint.names() {
        let view = checkpoint.tensor(name)?;
        print(format!("{:>12}  {:?} {:?}  {}", view.bytes.len(), view.dtype, view.shape, visible::line(name)))?;
    }
    for spec in &layout.parameters.specs.matrices {
        let Some(id) = spec.grid else { continue };
        let row = grid::row_bytes(spec.in_features);
        let codes = checkpoint.u8(&format!("{}.codes", spec.name), &[spec.out_features, row])?;
        let mut counts = [0u32; 16];
        codes.chunks_exact(row).for_each(|codes| grid::histogram(codes, spec.in_features, &mut counts));
        print(format!("{} on {}: {counts:?} weights by code", spec.name, id.name()))?;
    }
    Ok(())
}
