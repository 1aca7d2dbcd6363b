//! The device's memory: one allocation for the arena, and one for each mapped file part.
//!
//! `PRIMAL_CUDA_DEBUG=1` gives each span of the plan an allocation of its own, filled with 0xFF (as floats: NaN), so that compute-sanitizer's
//! memcheck sees what leaves a span; `PRIMAL_CUDA_DEBUG=bare` does not fill them, so that its initcheck sees what nobody wrote.

use std::ops::Range;

use bytemuck::Pod;
use memmap2::Mmap;

use super::driver::{Buffer, Slice};
use super::failed;
use super::queue::Queue;
use crate::memory::{ALIGNMENT, Plan, Span};
use crate::{Error, Result};

/// Names the mode in which faults of memory are looked for.
const DEBUG: &str = "PRIMAL_CUDA_DEBUG";

/// How spans are laid out.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// Spans share one zeroed allocation.
    Arena,
    /// Each span has an allocation of its own, filled with ones or with nothing.
    Debug { fill: bool },
}

impl Mode {
    fn of_environment() -> Result<Self> {
        match std::env::var(DEBUG).as_deref() {
            Err(_) | Ok("" | "0") => Ok(Self::Arena),
            Ok("1") => Ok(Self::Debug { fill: true }),
            Ok("bare") => Ok(Self::Debug { fill: false }),
            Ok(other) => Err(Error::invalid(
                DEBUG,
                "1, bare or 0",
                format!("{other:?}"),
                "unset it, or set it to 1 (each span filled with ones) or bare (not filled)",
            )),
        }
    }
}

/// Part of a segment, from a byte on.
struct Allocation {
    offset: usize,
    buffer: Buffer,
}

/// Segment 0 is the arena; the others are copies of file parts.
pub(super) struct Memory {
    /// Allocations of each segment, in the order of their offsets.
    segments: Vec<Vec<Allocation>>,
    arena_bytes: usize,
}

impl Memory {
    /// Allocates what is planned.
    ///
    /// # Errors
    /// What the driver says.
    pub(super) fn new(plan: &Plan) -> Result<Self> {
        let failed = failed("allocating the arena");
        let bytes = plan.total_bytes().max(ALIGNMENT);
        let arena = match Mode::of_environment()? {
            Mode::Arena => vec![Allocation { offset: 0, buffer: Buffer::filled(bytes, 0).map_err(failed)? }],
            Mode::Debug { fill } => {
                let spans = plan.entries().iter().filter(|entry| entry.bytes > 0);
                let allocations = spans.map(|entry| {
                    // That contents are not set is the point: ops write before they read.
                    let made = if fill { Buffer::filled(entry.bytes, u8::MAX) } else { Buffer::uninitialized(entry.bytes) };
                    let buffer = made.map_err(failed)?;
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
    pub(super) fn map(&mut self, file: &Mmap, range: Range<usize>, queue: &Queue) -> Span<u8> {
        let len = range.len();
        let mut buffer = Buffer::nowhere(len);
        queue.call(
            || format!("copying {len} bytes of a file to the device"),
            |_| {
                buffer = Buffer::copy_of(&file[range])?;
                Ok(())
            },
        );
        self.segments.push(vec![Allocation { offset: 0, buffer }]);
        Span::new(self.segments.len() as u32 - 1, 0, len)
    }

    /// The bytes of a span.
    fn part<T: Pod>(&self, span: Span<T>) -> Slice<'_> {
        let segment = &self.segments[span.segment as usize];
        let at = segment.partition_point(|allocation| allocation.offset <= span.offset).saturating_sub(1);
        let Allocation { offset, buffer } = &segment[at];
        let start = span.offset - offset;
        let end = start.checked_add(span.bytes()).filter(|end| *end <= buffer.len());
        let end = end.unwrap_or_else(|| panic!("span at {} of {} bytes outside of an allocation", span.offset, span.bytes()));
        assert!(span.offset.is_multiple_of(align_of::<T>()), "span at {} is misaligned", span.offset);
        buffer.slice(start, end - start)
    }

    /// The bytes of a span to write.
    ///
    /// # Panics
    /// If it is part of a file.
    fn part_mut<T: Pod>(&self, span: Span<T>) -> Slice<'_> {
        assert_eq!(span.segment, 0, "a mapped file is read-only");
        self.part(span)
    }

    /// Where a span is on the device.
    pub(super) fn read<T: Pod>(&self, span: Span<T>) -> *const T {
        self.part(span).address() as *const T
    }

    /// Where a span to write is on the device.
    pub(super) fn write<T: Pod>(&self, span: Span<T>) -> *mut T {
        self.part_mut(span).address() as *mut T
    }

    /// Copies from the host, after all queued work; the copy is done when it returns.
    pub(super) fn upload<T: Pod>(&self, to: Span<T>, from: &[T], queue: &Queue) {
        let part = self.part_mut(to);
        queue.call(|| format!("copying {} bytes to the device", to.bytes()), |_| part.copy_from(bytemuck::cast_slice(from)));
    }

    /// Copies to the host, after all queued work; zeros if anything failed.
    pub(super) fn download<T: Pod>(&self, from: Span<T>, to: &mut [T], queue: &Queue) {
        let (part, doing) = (self.part(from), || format!("copying {} bytes from the device", from.bytes()));
        if !queue.call(doing, |_| part.copy_to(bytemuck::cast_slice_mut(to))) {
            bytemuck::fill_zeroes(to);
        }
    }

    /// Queues `to = from` within the device.
    pub(super) fn copy<T: Pod>(&self, to: Span<T>, from: Span<T>, queue: &Queue) {
        let (to, part) = (self.part_mut(to), self.part(from));
        // SAFETY: both outlive the stream's work, which a download or the context's end waits for.
        let call = |stream: &_| unsafe { to.queue_copy_from(part, stream) };
        queue.call(|| format!("copying {} bytes on the device", from.bytes()), call);
    }

    /// Queues `to = 0`.
    pub(super) fn zero<T: Pod>(&self, to: Span<T>, queue: &Queue) {
        let part = self.part_mut(to);
        // SAFETY: as in `copy`.
        queue.call(|| format!("clearing {} bytes", to.bytes()), |stream| unsafe { part.queue_fill(0, stream) });
    }
}
