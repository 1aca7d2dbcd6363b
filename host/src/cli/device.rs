//! `--device`: on which back end a command runs.

use std::str::FromStr;

#[cfg(not(feature = "cuda"))]
use crate::Error;
use crate::Result;
use primal_engine::backend::cpu::Cpu;
#[cfg(feature = "cuda")]
use primal_engine::backend::cuda::Cuda;
use primal_engine::backend::{AttentionShape, Backend, Device, cuda_plan};
use primal_engine::memory::{Act, Plan};

use primal_device::grid::ScaleForm;

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

/// How a device stores keys and values of earlier tokens: in halves, where it can.
pub(super) fn cache<D: Backend>() -> Act {
    if D::ACTS.contains(&Act::F16) { Act::F16 } else { Act::F32 }
}

impl DeviceName {
    /// Whether its ops can run such attention, over activations in such a form, and weights with such scales.
    ///
    /// # Errors
    /// Bad input that names the limit.
    pub(super) fn require(self, attention: &AttentionShape, act: Act, scales: ScaleForm) -> Result<()> {
        match self {
            Self::Cpu => Cpu::require(attention).and_then(|()| Cpu::require_act(act)).and_then(|()| Cpu::require_scales(scales))?,
            Self::Cuda => {
                cuda_plan::require(attention)?;
                cuda_plan::require_act(act)?;
                cuda_plan::require_scales(scales)?;
            }
        }
        Ok(())
    }

    /// How it stores keys and values of earlier tokens.
    pub(super) fn cache(self) -> Act {
        match self {
            Self::Cpu => cache::<Cpu>(),
            Self::Cuda if cuda_plan::ACTS.contains(&Act::F16) => Act::F16,
            Self::Cuda => Act::F32,
        }
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
        DeviceName::Cuda => work.run_on::<Cuda>(),
        #[cfg(not(feature = "cuda"))]
        DeviceName::Cuda => {
            let hint = "build it with `cargo build --release -p primal-host --features cuda`";
            Err(Error::bad_input("--device", "cpu, as this program was built without CUDA", "cuda", hint))
        }
    }
}
