//! The CUDA back end: the kernels of `primal-device` on one GPU, launched by `cust`.
//!
//! One allocation holds the arena. Ops are queued in order on one stream and nobody waits for them: only [`Backend::download`] does. A kernel
//! that faults makes every later call fail, so what the driver then says of it ends the program.

mod driver;
mod kernels;
mod largest;
mod memory;
mod ops;
mod profile;

use std::time::Instant;

use bytemuck::Pod;
use cust::context::{Context, CurrentContext};
use cust::device::DeviceAttribute::{ComputeCapabilityMajor, ComputeCapabilityMinor, MultiprocessorCount};
use cust::stream::{Stream, StreamFlags};
use cust::{CudaApiVersion, CudaFlags};

use kernels::Kernels;
use largest::Largest;
use memory::Memory;

use super::cuda_plan::{self, SUBJECT};
use super::{AttentionShape, Device};
use crate::memory::{Plan, Span};
use crate::{Error, Result};

/// A GPU.
pub struct Cuda {
    kernels: Kernels,
    memory: Memory,
    scratch: Span<f32>,
    largest: Largest,
    // Last, so that it outlives what was made in it.
    _context: Context,
}

/// A call of the driver that just failed in this thread.
fn driver_error(doing: &str) -> Error {
    let hint = "see that the GPU and its driver work, with nvidia-smi; the CPU back end needs neither";
    Error::failed(format!("{doing}: {}", driver::last_error()), hint)
}

/// The first GPU, its context current in this thread.
fn open_device() -> Result<(cust::device::Device, Context)> {
    let hint = "install the NVIDIA driver, or run on the CPU";
    if let Some(cause) = driver::missing() {
        return Err(Error::invalid(SUBJECT, "an NVIDIA driver", cause, hint));
    }
    let no_device = |_| Error::invalid(SUBJECT, "a GPU", driver::last_error(), hint);
    cust::init(CudaFlags::empty()).map_err(no_device)?;
    let device = cust::device::Device::get_device(0).map_err(no_device)?;
    let context = Context::new(device).map_err(|_| driver_error("making a context"))?;
    CurrentContext::set_current(&context).map_err(|_| driver_error("making a context"))?;
    Ok((device, context))
}

impl Cuda {
    /// Where `len` values of scratch are.
    fn scratch(&self, len: usize) -> *mut f32 {
        assert!(len <= self.scratch.len(), "{len} values of scratch, {} planned", self.scratch.len());
        self.memory.write(self.scratch)
    }

    fn r<T: Pod>(&self, span: Span<T>) -> *const T {
        self.memory.read(span)
    }

    fn w<T: Pod>(&self, span: Span<T>) -> *mut T {
        self.largest.forget(span);
        self.memory.write(span)
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        profile::write();
    }
}

impl Device for Cuda {
    fn plan_scratch(plan: &mut Plan) {
        cuda_plan::plan(plan);
    }

    fn require(attention: &AttentionShape) -> Result<()> {
        cuda_plan::require(attention)
    }

    fn available_memory() -> Result<Option<usize>> {
        let (_, _context) = open_device()?;
        let (free, _) = cust::memory::mem_get_info().map_err(|_| driver_error("asking for the memory that is free"))?;
        Ok(Some(free))
    }

    fn open(plan: &mut Plan) -> Result<Self> {
        let (scratch, words) = cuda_plan::plan(plan);
        let (device, context) = open_device()?;
        // A stream that the copies of `upload` and `download` wait for.
        let stream = Stream::new(StreamFlags::DEFAULT, None).map_err(|_| driver_error("making a stream"))?;
        let kernels = Kernels::load(device, stream)?;
        Ok(Self { kernels, memory: Memory::new(plan)?, scratch, largest: Largest::new(words), _context: context })
    }

    fn arena_bytes(&self) -> usize {
        self.memory.arena_bytes()
    }

    fn describe() -> Result<Vec<(&'static str, String)>> {
        let (device, _context) = open_device()?;
        let asked = |_| driver_error("asking what the device is");
        let number = |attribute| device.get_attribute(attribute).map_err(asked);
        let version = CudaApiVersion::get().map_err(asked)?;
        let (free, total) = cust::memory::mem_get_info().map_err(asked)?;
        let began = Instant::now();
        let opened = Self::open(&mut Plan::default())?;
        Ok(vec![
            ("device", device.name().map_err(asked)?),
            ("architecture", format!("sm_{}{}", number(ComputeCapabilityMajor)?, number(ComputeCapabilityMinor)?)),
            ("multiprocessors", number(MultiprocessorCount)?.to_string()),
            ("memory", format!("{} MiB, {} MiB free", total >> 20, free >> 20)),
            ("driver", format!("CUDA {}.{}", version.major(), version.minor())),
            ("kernels", opened.kernels.file().display().to_string()),
            ("seconds to load the kernels", format!("{:.1}", began.elapsed().as_secs_f64())),
        ])
    }
}
