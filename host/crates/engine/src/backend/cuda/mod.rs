//! The CUDA back end: the kernels of `primal-device` on one GPU, launched through the driver's own functions.
//!
//! One allocation holds the arena. Ops are queued in order on one stream and nobody waits for them: only
//! [`download`](crate::backend::Backend::download) does. After a call of the driver that failed nothing is queued any more, downloads give zeros, and
//! [`fault`](crate::backend::Backend::fault) tells.

mod driver;
mod grids;
mod kernels;
mod largest;
pub mod launch;
mod memory;
mod profile;
mod queue;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

use bytemuck::Pod;
use memmap2::Mmap;

use driver::{Attribute, Context, Failure};
use grids::Grids;
use kernels::LoadedKernels;
use largest::Largest;
use memory::Memory;
use queue::Queue;

use super::cuda_plan::{self, Planned, SUBJECT};
use crate::memory::{Plan, Span};
use crate::{Error, Result};

/// A GPU.
pub struct Cuda {
    kernels: LoadedKernels,
    memory: Memory,
    scratch: Span<f32>,
    largest: Largest,
    grids: Grids,
    // Last, so that it outlives what was made in it.
    _context: Context,
}

/// An error for a call of the driver that failed.
fn failed(doing: &'static str) -> impl Fn(Failure) -> Error + Copy {
    let hint = "see that the GPU and its driver work, with nvidia-smi; the CPU back end needs neither";
    move |failure| Error::failed(format!("{doing}: {failure}"), hint)
}

/// The number of the GPU among those of the driver.
static NUMBER: AtomicI32 = AtomicI32::new(0);

/// The GPU, its context current in this thread.
fn open_device() -> Result<(driver::Device, Context)> {
    let hint = "install the NVIDIA driver, or run on the CPU";
    if let Some(cause) = driver::missing() {
        return Err(Error::invalid(SUBJECT, "an NVIDIA driver", cause, hint));
    }
    let number = NUMBER.load(Ordering::Relaxed);
    let expected = if number == 0 { "a GPU".to_string() } else { format!("{} GPUs, one for each process on this machine", number + 1) };
    let device = driver::Device::of(number).map_err(|failure| Error::invalid(SUBJECT, expected, failure, hint))?;
    Ok((device, Context::retain(device).map_err(failed("making a context"))?))
}

impl Cuda {
    /// Takes the GPU of that number, from 0, in place of the first one: before anything is asked of it.
    pub fn choose(number: usize) {
        NUMBER.store(i32::try_from(number).unwrap_or(i32::MAX), Ordering::Relaxed);
    }

    /// Bytes that an arena could have now.
    pub(super) fn available_memory() -> Result<Option<usize>> {
        let (_, _context) = open_device()?;
        let [free, _] = driver::memory_info().map_err(failed("asking for the memory that is free"))?;
        Ok(Some(free))
    }

    /// Plans the scratch and allocates the arena.
    pub(super) fn open(plan: &mut Plan) -> Result<Self> {
        let Planned { scratch, largest, grids } = cuda_plan::plan(plan);
        let (device, context) = open_device()?;
        let kernels = LoadedKernels::load(device, Queue::new().map_err(failed("making a stream"))?)?;
        Ok(Self {
            kernels,
            memory: Memory::new(plan)?,
            scratch,
            largest: Largest::new(largest),
            grids: Grids::new(grids),
            _context: context,
        })
    }

    /// Bytes of the arena.
    pub(super) fn arena_bytes(&self) -> usize {
        self.memory.arena_bytes()
    }

    /// Copies from the host.
    pub(super) fn upload<T: Pod>(&mut self, to: Span<T>, from: &[T]) {
        self.largest.forget(to);
        self.memory.upload(to, from, self.kernels.queue());
    }

    /// Copies to the host, after all queued work.
    pub(super) fn download<T: Pod>(&mut self, from: Span<T>, to: &mut [T]) {
        self.memory.download(from, to, self.kernels.queue());
    }

    /// What failed first.
    pub(super) fn fault(&self) -> Result<()> {
        self.kernels.queue().check()
    }

    /// Copies a file part to the device, for reading.
    pub(super) fn map(&mut self, file: &Arc<Mmap>, range: Range<usize>) -> Span<u8> {
        self.memory.map(file, range, self.kernels.queue())
    }

    /// Queues `to = from`.
    pub(crate) fn copy<T: Pod>(&mut self, to: Span<T>, from: Span<T>) {
        self.largest.forget(to);
        self.memory.copy(to, from, self.kernels.queue());
    }

    /// Queues `to = 0`.
    pub fn zero<T: Pod>(&mut self, to: Span<T>) {
        self.largest.forget(to);
        self.memory.zero(to, self.kernels.queue());
    }

    /// Names and facts.
    pub(super) fn describe() -> Result<Vec<(&'static str, String)>> {
        let (device, _context) = open_device()?;
        let asked = failed("asking what the device is");
        let number = |attribute| device.attribute(attribute).map_err(asked);
        let [major, minor] = driver::version().map_err(asked)?;
        let [free, total] = driver::memory_info().map_err(asked)?;
        let began = Instant::now();
        let opened = Self::open(&mut Plan::default())?;
        Ok(vec![
            ("device", device.name().map_err(asked)?),
            ("architecture", format!("sm_{}{}", number(Attribute::ComputeCapabilityMajor)?, number(Attribute::ComputeCapabilityMinor)?)),
            ("multiprocessors", number(Attribute::Multiprocessors)?.to_string()),
            ("memory", format!("{} MiB, {} MiB free", total >> 20, free >> 20)),
            ("driver", format!("CUDA {major}.{minor}")),
            ("kernels", opened.kernels.file().display().to_string()),
            ("seconds to load the kernels", format!("{:.1}", began.elapsed().as_secs_f64())),
        ])
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        profile::write();
    }
}
