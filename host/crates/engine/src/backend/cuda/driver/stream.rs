//! Streams, which run what is queued in order, and events in them.

use super::library::{self, Failure, Handle};

/// A queue of work.
pub struct Stream(Handle);

impl Stream {
    /// One that waits for the copies of the default stream, and they for it.
    pub fn new() -> Result<Self, Failure> {
        let mut stream = std::ptr::null_mut();
        // SAFETY: the driver writes a handle.
        unsafe { library::cuStreamCreateWithPriority(&raw mut stream, 0, 0) }?;
        Ok(Self(stream))
    }

    /// The driver's handle.
    pub(super) fn handle(&self) -> Handle {
        self.0
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        _ = unsafe { library::cuStreamDestroy_v2(self.0) };
    }
}

// SAFETY: a handle of the driver, which any thread may use whose current context is its own.
unsafe impl Send for Stream {}
// SAFETY: as above; the driver has locks of its own.
unsafe impl Sync for Stream {}

/// A moment in a stream.
pub struct Event(Handle);

impl Event {
    /// An event whose time is taken.
    pub fn new() -> Result<Self, Failure> {
        let mut event = std::ptr::null_mut();
        // SAFETY: the driver writes a handle.
        unsafe { library::cuEventCreate(&raw mut event, 0) }?;
        Ok(Self(event))
    }

    /// Queues the event on a stream.
    pub fn record(&self, stream: &Stream) -> Result<(), Failure> {
        // SAFETY: both exist.
        unsafe { library::cuEventRecord(self.0, stream.0) }
    }

    /// Waits until the event has happened.
    pub fn synchronize(&self) -> Result<(), Failure> {
        // SAFETY: the event exists.
        unsafe { library::cuEventSynchronize(self.0) }
    }

    /// Milliseconds from the event `start` to this one.
    pub fn milliseconds_since(&self, start: &Self) -> Result<f32, Failure> {
        let mut milliseconds = 0.0;
        // SAFETY: both exist; the driver writes a number.
        unsafe { library::cuEventElapsedTime(&raw mut milliseconds, start.0, self.0) }?;
        Ok(milliseconds)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        _ = unsafe { library::cuEventDestroy_v2(self.0) };
    }
}
