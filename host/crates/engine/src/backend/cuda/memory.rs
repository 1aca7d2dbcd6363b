//! The device's memory: one allocation for the arena, and one for each mapped file part.
//!
//! `PRIMAL_CUDA_DEBUG=1` gives each span of the plan an allocation of its own, filled with 0xFF (as floats: NaN), so that compute-sanitizer's
//! memcheck sees what leaves a span; `PRIMAL_CUDA_DEBUG=bare` does not fill them, so that its initcheck sees what nobody wrote.

use std::ops::Range;

use bytemuck::Pod;
use cust::memory::{AsyncCopyDestination, CopyDestination, DeviceBuffer, DeviceSlice};
use cust::stream::Stream;
use memmap2::Mmap;

use super::{driver, driver_error};
use crate::memory::{ALIGNMENT, Plan, Span};
use crate::{Error, Result};

/// Names the mode in which faults of memory are looked for.
const DEBUG: &str = "PRIMAL_CUDA_DEBUG";

/// How spans are laid out.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// In one zeroed allocation.
    Arena,
    /// Each in an allocation of its own, filled with ones or with nothing.
    Debug { fill: bool },
}

impl Mode {
    fn of_environment() -> Result<Self> {
        match std::env::var(DEBUG).as_deref() {
            Err(_) | Ok("" | "0") => Ok(Self::Arena),
            Ok("1") => Ok(Self::Debug { fill: true }),
            Ok("bare") => Ok(Self::Debug { fill: false }),
            Ok(other) => Err(Error::invalid(DEBUG, "1, bare or 0", format!("{other:?}"), "see host/src/backend/cuda/memory.rs")),
        }
    }
}

/// Part of a segment, from a byte on.
struct Allocation {
    offset: usize,
    buffer: DeviceBuffer<u8>,
}

/// Segment 0 is the arena; the others are copies of file parts.
pub(super) struct Memory {
    /// In the order of their offsets.
    segments: Vec<Vec<Allocation>>,
    arena_bytes: usize,
}

impl Memory {
    /// Allocates what is planned.
    ///
    /// # Errors
    /// What the driver says.
    pub(super) fn new(plan: &Plan) -> Result<Self> {
        let failed = |_| driver_error("allocating the arena");
        let bytes = plan.total_bytes().max(ALIGNMENT);
        let arena = match Mode::of_environment()? {
            Mode::Arena => vec![Allocation { offset: 0, buffer: DeviceBuffer::zeroed(bytes).map_err(failed)? }],
            Mode::Debug { fill } => {
                let spans = plan.entries().iter().filter(|entry| entry.bytes > 0);
                let allocations = spans.map(|entry| {
                    // SAFETY: that its contents are not set is the point: ops write before they read.
                    let mut buffer = unsafe { DeviceBuffer::uninitialized(entry.bytes) }.map_err(failed)?;
                    if fill {
                        buffer.set_8(u8::MAX).map_err(failed)?;
                    }
                    Ok(Allocation { offset: entry.offset, buffer })
                });
                allocations.collect::<Result<_>>()?
            }
        };
        Ok(Self { segments: vec![arena], arena_bytes: bytes })
    }

    /// Bytes of the arena.
    pub(super) fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Copies a file part to the device, for reading.
    pub(super) fn map(&mut self, file: &Mmap, range: Range<usize>) -> Span<u8> {
        let len = range.len();
        let copy = DeviceBuffer::from_slice(&file[range]);
        let buffer = copy.unwrap_or_else(|_| panic!("copying {len} bytes of a file to the device: {}", driver::last_error()));
        self.segments.push(vec![Allocation { offset: 0, buffer }]);
        Span::new(self.segments.len() as u32 - 1, 0, len)
    }

    /// The bytes of a span.
    fn part<T: Pod>(&self, span: Span<T>) -> DeviceSlice<u8> {
        let segment = &self.segments[span.segment as usize];
        let at = segment.partition_point(|allocation| allocation.offset <= span.offset).saturating_sub(1);
        let Allocation { offset, buffer } = &segment[at];
        let start = span.offset - offset;
        let end = start.checked_add(span.bytes()).filter(|end| *end <= buffer.len());
        let end = end.unwrap_or_else(|| panic!("span at {} of {} bytes outside of an allocation", span.offset, span.bytes()));
        assert!(span.offset.is_multiple_of(align_of::<T>()), "span at {} is misaligned", span.offset);
        buffer.index(start..end)
    }

    /// The bytes of a span to write.
    ///
    /// # Panics
    /// If it is part of a file.
    fn part_mut<T: Pod>(&self, span: Span<T>) -> DeviceSlice<u8> {
        assert_eq!(span.segment, 0, "a mapped file is read-only");
        self.part(span)
    }

    /// Where a span is on the device.
    pub(super) fn read<T: Pod>(&self, span: Span<T>) -> *const T {
        self.part(span).as_device_ptr().as_raw() as *const T
    }

    /// Where a span to write is on the device.
    pub(super) fn write<T: Pod>(&self, span: Span<T>) -> *mut T {
        self.part_mut(span).as_device_ptr().as_raw() as *mut T
    }

    /// Copies from the host, after all queued work; the copy is done when it returns.
    pub(super) fn upload<T: Pod>(&mut self, to: Span<T>, from: &[T]) {
        let copied = self.part_mut(to).copy_from(bytemuck::cast_slice::<T, u8>(from));
        copied.unwrap_or_else(|_| panic!("copying {} bytes to the device: {}", to.bytes(), driver::last_error()));
    }

    /// Copies to the host, after all queued work.
    pub(super) fn download<T: Pod>(&self, from: Span<T>, to: &mut [T]) {
        let copied = self.part(from).copy_to(bytemuck::cast_slice_mut::<T, u8>(to));
        copied.unwrap_or_else(|_| panic!("copying {} bytes from the device: {}", from.bytes(), driver::last_error()));
    }

    /// Queues `to = from` within the device.
    pub(super) fn copy<T: Pod>(&self, to: Span<T>, from: Span<T>, stream: &Stream) {
        let (mut to, from) = (self.part_mut(to), self.part(from));
        // SAFETY: both outlive the stream's work, which a download or the context's end waits for.
        let queued = unsafe { to.async_copy_from(&from, stream) };
        queued.unwrap_or_else(|_| panic!("copying {} bytes on the device: {}", from.len(), driver::last_error()));
    }

    /// Queues `to = 0`.
    pub(super) fn zero<T: Pod>(&self, to: Span<T>, stream: &Stream) {
        // SAFETY: as in `copy`.
        let queued = unsafe { self.part_mut(to).set_8_async(0, stream) };
        queued.unwrap_or_else(|_| panic!("clearing {} bytes: {}", to.bytes(), driver::last_error()));
    }
}
