//! `--device`: on which back end a command runs.

use std::str::FromStr;

#[cfg(not(feature = "cuda"))]
use crate::Error;
use crate::Result;
#[cfg(feature = "cuda")]
use crate::ranks;
use primal_engine::backend::cpu::Cpu;
#[cfg(feature = "cuda")]
use primal_engine::backend::cuda::Cuda;
use primal_engine::backend::{AttentionShape, Device, cuda_plan};
use primal_engine::memory::Plan;

/// A back end, by the name that users give it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum DeviceName {
    #[default]
    Cpu,
    Cuda,
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => Err(format!("expected cpu or cuda, found {name:?}")),
        }
    }
}

impl DeviceName {
    /// Whether its ops can run such attention.
    ///
    /// # Errors
    /// Bad input that names the limit.
    pub(super) fn require(self, attention: &AttentionShape) -> Result<()> {
        match self {
            Self::Cpu => Cpu::require(attention)?,
            Self::Cuda => cuda_plan::require(attention)?,
        }
        Ok(())
    }

    /// Adds what its ops need for themselves; the device need not be there, nor built in.
    pub(super) fn plan_scratch(self, plan: &mut Plan) {
        match self {
            Self::Cpu => _ = Cpu::plan_scratch(plan),
            Self::Cuda => _ = cuda_plan::plan(plan),
        }
    }
}

/// What a command does on whatever back end.
pub(super) trait Work {
    /// Runs the command on the back end `D`.
    ///
    /// # Errors
    /// Errors of the command.
    fn run_on<D: Device>(&self) -> Result<()>;
}

/// Does the work on that device.
///
/// # Errors
/// Errors of the command; a device that this program was built without.
pub(super) fn run(device: DeviceName, work: &impl Work) -> Result<()> {
    match device {
        DeviceName::Cpu => work.run_on::<Cpu>(),
        #[cfg(feature = "cuda")]
        DeviceName::Cuda => {
            Cuda::choose(ranks::local_place().rank);
            work.run_on::<Cuda>()
        }
        #[cfg(not(feature = "cuda"))]
        DeviceName::Cuda => {
            let hint = "build it with `cargo build --release -p primal-host --features cuda`";
            Err(Error::bad_input("--device", "cpu, as this program was built without CUDA", "cuda", hint))
        }
    }
}
