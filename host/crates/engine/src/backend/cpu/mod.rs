//! The CPU back end: the reference and the default device. Here are its memory and what several ops are made of; each op is in [`ops`](crate::ops).
//!
//! Results do not depend on the number of threads: work is cut into tasks by shape alone, and sums are taken in a fixed order.

pub mod activations;
pub mod blocks;
pub mod elementwise;
pub mod exp;
pub mod gemm;
pub mod instructions;
pub mod integers;
pub mod memory;
pub mod microkernel;
pub mod norm;
pub mod quantized;
pub mod regression;
pub mod scaling;
pub mod scratch;
pub mod sequences;
pub mod softmax;
pub mod team;
pub mod unpack;
pub mod weight;
pub mod windows;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytemuck::Pod;
use memmap2::Mmap;

use memory::{Memory, Spans};

use super::profile::Profile;
use crate::memory::{Kind, Plan, Span};

/// The CPU as a device.
pub struct Cpu {
    memory: Memory,
    scratch: Span<f32>,
    profile: Option<Profile>,
}

impl Cpu {
    /// Adds the ops' own scratch to the plan.
    pub fn plan_scratch(plan: &mut Plan) -> Span<f32> {
        plan.span(Kind::Scratch, "cpu.scratch", scratch::PER_THREAD * rayon::current_num_threads())
    }

    /// Plans the scratch and allocates the arena. Ops must run on the pool of the calling thread.
    pub fn new(plan: &mut Plan) -> Self {
        let scratch = Self::plan_scratch(plan);
        Self { memory: Memory::new(plan.total_bytes()), scratch, profile: None }
    }

    /// The scratch of all threads, to take with [`Cpu::split`]: what it holds is anybody's guess.
    pub fn scratch(&self) -> Span<f32> {
        self.scratch
    }

    /// The values of a span.
    pub fn read<T: Pod>(&self, span: Span<T>) -> &[T] {
        self.memory.read(span)
    }

    /// The values of a span, to write.
    pub fn write<T: Pod>(&mut self, span: Span<T>) -> &mut [T] {
        self.memory.write(span)
    }

    /// Slices of a tuple of written spans and of a tuple of read spans at the same time.
    ///
    /// # Panics
    /// If a written span overlaps another one, or lies in a mapped file.
    pub fn split<W: Spans, R: Spans>(&mut self, writes: W, reads: R) -> (W::Mut<'_>, R::Ref<'_>) {
        self.memory.split(writes, reads)
    }

    /// A mapped file part as a span.
    pub fn map(&mut self, file: &Arc<Mmap>, range: Range<usize>) -> Span<u8> {
        self.memory.map(file, range)
    }

    /// Takes the time of each op from now on.
    pub fn start_profile(&mut self) {
        self.profile = Some(Profile::default());
    }

    /// What was measured since [`Cpu::start_profile`], which ends here.
    pub fn take_profile(&mut self) -> Option<Profile> {
        self.profile.take()
    }

    /// Does some work, and takes its time if that was asked for.
    pub(super) fn timed(&mut self, name: &'static str, flops: impl Fn() -> usize, work: impl FnOnce(&mut Self)) {
        if self.profile.is_none() {
            return work(self);
        }
        let start = Instant::now();
        work(self);
        let seconds = start.elapsed().as_secs_f64();
        if let Some(profile) = &mut self.profile {
            profile.add(name, seconds, flops() as f64);
        }
    }

    /// Bytes of the arena.
    pub fn arena_bytes(&self) -> usize {
        self.memory.arena_bytes()
    }
}
