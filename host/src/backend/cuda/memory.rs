//! The device's memory: one allocation for the arena, and one for each mapped file part.

use std::ops::Range;

use bytemuck::Pod;
use cust::memory::{AsyncCopyDestination, CopyDestination, DeviceBuffer, DeviceSlice};
use cust::stream::Stream;
use memmap2::Mmap;

use super::driver_error;
use crate::Result;
use crate::arena::{ALIGNMENT, Span};

/// Segment 0 is the arena; the others are copies of file parts.
pub(super) struct Memory {
    segments: Vec<DeviceBuffer<u8>>,
}

impl Memory {
    /// Allocates `bytes` zeroed bytes.
    ///
    /// # Errors
    /// What the driver says.
    pub(super) fn new(bytes: usize) -> Result<Self> {
        let arena = DeviceBuffer::zeroed(bytes.max(ALIGNMENT)).map_err(|error| driver_error("allocating the arena", error))?;
        Ok(Self { segments: vec![arena] })
    }

    /// Bytes of the arena.
    pub(super) fn arena_bytes(&self) -> usize {
        self.segments[0].len()
    }

    /// Copies a file part to the device, for reading.
    pub(super) fn map(&mut self, file: &Mmap, range: Range<usize>) -> Span<u8> {
        let len = range.len();
        let copy =
            DeviceBuffer::from_slice(&file[range]).unwrap_or_else(|error| panic!("copying {len} bytes of a file to the device: {error}"));
        self.segments.push(copy);
        Span::new(self.segments.len() as u32 - 1, 0, len)
    }

    /// The bytes of a span.
    fn part<T: Pod>(&self, span: Span<T>) -> DeviceSlice<u8> {
        let segment = &self.segments[span.segment as usize];
        let range = span.offset..span.offset + span.bytes();
        assert!(range.end <= segment.len(), "span {range:?} outside of a segment of {} bytes", segment.len());
        assert!(span.offset.is_multiple_of(align_of::<T>()), "span at {} is misaligned", span.offset);
        segment.index(range)
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
        copied.unwrap_or_else(|error| panic!("copying {} bytes to the device: {error}", to.bytes()));
    }

    /// Copies to the host, after all queued work.
    pub(super) fn download<T: Pod>(&self, from: Span<T>, to: &mut [T]) {
        let copied = self.part(from).copy_to(bytemuck::cast_slice_mut::<T, u8>(to));
        copied.unwrap_or_else(|error| panic!("copying {} bytes from the device: {error}", from.bytes()));
    }

    /// Queues `to = from` within the device.
    pub(super) fn copy<T: Pod>(&self, to: Span<T>, from: Span<T>, stream: &Stream) {
        let (mut to, from) = (self.part_mut(to), self.part(from));
        // SAFETY: both outlive the stream's work, which a download or the context's end waits for.
        let queued = unsafe { to.async_copy_from(&from, stream) };
        queued.unwrap_or_else(|error| panic!("copying {} bytes on the device: {error}", from.len()));
    }

    /// Queues `to = 0`.
    pub(super) fn zero<T: Pod>(&self, to: Span<T>, stream: &Stream) {
        // SAFETY: as in `copy`.
        let queued = unsafe { self.part_mut(to).set_8_async(0, stream) };
        queued.unwrap_or_else(|error| panic!("clearing {} bytes: {error}", to.bytes()));
    }
}
