//! Buffers on the device.

use std::marker::PhantomData;

use super::library::{self, Address, Failure};
use super::stream::Stream;

/// Bytes on the device.
pub struct Buffer {
    /// 0 if there is no memory behind it.
    address: Address,
    bytes: usize,
}

impl Buffer {
    /// So many bytes, with any contents.
    pub fn uninitialized(bytes: usize) -> Result<Self, Failure> {
        let mut buffer = Self::nowhere(bytes);
        if bytes > 0 {
            // SAFETY: the driver writes an address.
            unsafe { library::cuMemAlloc_v2(&raw mut buffer.address, bytes) }?;
        }
        Ok(buffer)
    }

    /// So many bytes, each of this value.
    pub fn filled(bytes: usize, value: u8) -> Result<Self, Failure> {
        let buffer = Self::uninitialized(bytes)?;
        if bytes > 0 {
            // SAFETY: the buffer has so many bytes.
            unsafe { library::cuMemsetD8_v2(buffer.address, value, bytes) }?;
        }
        Ok(buffer)
    }

    /// A copy of bytes of the host.
    pub fn copy_of(bytes: &[u8]) -> Result<Self, Failure> {
        let buffer = Self::uninitialized(bytes.len())?;
        buffer.all().copy_from(bytes)?;
        Ok(buffer)
    }

    /// A buffer without memory, which nothing may be queued for.
    pub fn nowhere(bytes: usize) -> Self {
        Self { address: 0, bytes }
    }

    /// Bytes of the buffer.
    pub fn len(&self) -> usize {
        self.bytes
    }

    fn all(&self) -> Slice<'_> {
        self.slice(0, self.bytes)
    }

    /// `bytes` bytes of the buffer from `first` on.
    ///
    /// # Panics
    /// If the buffer has fewer.
    pub fn slice(&self, first: usize, bytes: usize) -> Slice<'_> {
        assert!(first.checked_add(bytes).is_some_and(|end| end <= self.bytes), "{bytes} bytes from {first} on of {}", self.bytes);
        Slice { address: self.address + first as u64, bytes, buffer: PhantomData }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.address != 0 {
            // SAFETY: the driver gave this address, and nobody else frees it.
            _ = unsafe { library::cuMemFree_v2(self.address) };
        }
    }
}

/// Part of a buffer.
#[derive(Clone, Copy)]
pub struct Slice<'a> {
    address: Address,
    bytes: usize,
    buffer: PhantomData<&'a Buffer>,
}

impl Slice<'_> {
    /// Where the slice is on the device.
    pub fn address(self) -> Address {
        self.address
    }

    /// Copies from the host, after all queued work.
    pub fn copy_from(self, from: &[u8]) -> Result<(), Failure> {
        assert_eq!(self.bytes, from.len(), "as many bytes on both sides");
        // SAFETY: both have so many bytes.
        if from.is_empty() { Ok(()) } else { unsafe { library::cuMemcpyHtoD_v2(self.address, from.as_ptr().cast(), from.len()) } }
    }

    /// Copies to the host, after all queued work.
    pub fn copy_to(self, to: &mut [u8]) -> Result<(), Failure> {
        assert_eq!(self.bytes, to.len(), "as many bytes on both sides");
        // SAFETY: both have so many bytes.
        if to.is_empty() { Ok(()) } else { unsafe { library::cuMemcpyDtoH_v2(to.as_mut_ptr().cast(), self.address, to.len()) } }
    }

    /// Queues a copy within the device.
    ///
    /// # Safety
    /// Both buffers outlive the stream's work.
    pub unsafe fn queue_copy_from(self, from: Slice<'_>, stream: &Stream) -> Result<(), Failure> {
        assert_eq!(self.bytes, from.bytes, "as many bytes on both sides");
        if self.bytes == 0 {
            return Ok(());
        }
        // SAFETY: both have so many bytes, for long enough by contract.
        unsafe { library::cuMemcpyDtoDAsync_v2(self.address, from.address, self.bytes, stream.handle()) }
    }

    /// Queues that all its bytes become `value`.
    ///
    /// # Safety
    /// The buffer outlives the stream's work.
    pub unsafe fn queue_fill(self, value: u8, stream: &Stream) -> Result<(), Failure> {
        // SAFETY: it has so many bytes, for long enough by contract.
        unsafe { library::cuMemsetD8Async(self.address, value, self.bytes, stream.handle()) }
    }
}
