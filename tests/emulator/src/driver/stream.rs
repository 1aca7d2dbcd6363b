//! Streams and events. Work is done when it is submitted, so that a stream never has anything to wait for.

use std::ffi::c_void;
use std::time::Instant;

use super::errors::Error;
use super::state::Stream;
use super::{CUresult, Handle, give, with_driver};

super::api! {
    context fn cuStreamCreate(into: *mut Handle, flags: u32) with (driver, context) {
        let handle = driver.handle();
        driver.streams.insert(handle, Stream { flags, priority: 0, context });
        // SAFETY: the caller's pointer.
        unsafe { give(into, handle) }
    }
    context fn cuStreamCreateWithPriority(into: *mut Handle, flags: u32, priority: i32) with (driver, context) {
        let handle = driver.handle();
        driver.streams.insert(handle, Stream { flags, priority: priority.clamp(-5, 0), context });
        // SAFETY: the caller's pointer.
        unsafe { give(into, handle) }
    }
    context fn cuStreamDestroy_v2(stream: Handle) with (driver, _context) {
        driver.streams.remove(&stream).map(|_| ()).ok_or(Error::InvalidHandle)
    }
    context fn cuStreamSynchronize(stream: Handle) with (driver, _context) {
        driver.check_stream(stream)
    }
    context fn cuStreamQuery(stream: Handle) with (driver, _context) {
        driver.check_stream(stream)
    }
    context fn cuStreamGetFlags(stream: Handle, into: *mut u32) with (driver, _context) {
        driver.check_stream(stream)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, driver.streams.get(&stream).map_or(0, |stream| stream.flags)) }
    }
    context fn cuStreamGetPriority(stream: Handle, into: *mut i32) with (driver, _context) {
        driver.check_stream(stream)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, driver.streams.get(&stream).map_or(0, |stream| stream.priority)) }
    }
    context fn cuStreamGetCtx(stream: Handle, into: *mut Handle) with (driver, context) {
        driver.check_stream(stream)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, driver.streams.get(&stream).map_or(context, |stream| stream.context)) }
    }
    context fn cuStreamWaitEvent(stream: Handle, event: Handle, _flags: u32) with (driver, _context) {
        driver.check_stream(stream)?;
        driver.events.get(&event).map(|_| ()).ok_or(Error::InvalidHandle)
    }
    plain fn cuStreamAddCallback(
        stream: Handle,
        callback: Option<unsafe extern "C" fn(Handle, CUresult, *mut c_void)>,
        data: *mut c_void,
        _flags: u32,
    ) with () {
        with_driver(|driver| driver.check_stream(stream))?;
        // The callback may call the driver, which is not locked here.
        // SAFETY: the caller's function.
        unsafe { callback.ok_or(Error::InvalidValue)?(stream, 0, data) };
        Ok(())
    }
    plain fn cuLaunchHostFunc(stream: Handle, function: Option<unsafe extern "C" fn(*mut c_void)>, data: *mut c_void) with () {
        with_driver(|driver| driver.check_stream(stream))?;
        // SAFETY: the caller's function.
        unsafe { function.ok_or(Error::InvalidValue)?(data) };
        Ok(())
    }
    context fn cuEventCreate(into: *mut Handle, _flags: u32) with (driver, _context) {
        let handle = driver.handle();
        driver.events.insert(handle, None);
        // SAFETY: the caller's pointer.
        unsafe { give(into, handle) }
    }
    context fn cuEventRecord(event: Handle, stream: Handle) with (driver, _context) {
        driver.check_stream(stream)?;
        *driver.events.get_mut(&event).ok_or(Error::InvalidHandle)? = Some(Instant::now());
        Ok(())
    }
    context fn cuEventRecordWithFlags(event: Handle, stream: Handle, _flags: u32) with (driver, _context) {
        driver.check_stream(stream)?;
        *driver.events.get_mut(&event).ok_or(Error::InvalidHandle)? = Some(Instant::now());
        Ok(())
    }
    context fn cuEventQuery(event: Handle) with (driver, _context) {
        driver.events.get(&event).map(|_| ()).ok_or(Error::InvalidHandle)
    }
    context fn cuEventSynchronize(event: Handle) with (driver, _context) {
        driver.events.get(&event).map(|_| ()).ok_or(Error::InvalidHandle)
    }
    context fn cuEventElapsedTime(into: *mut f32, start: Handle, end: Handle) with (driver, _context) {
        let time = |event: Handle| driver.events.get(&event).copied().flatten().ok_or(Error::InvalidHandle);
        let (start, end) = (time(start)?, time(end)?);
        let seconds = if end >= start { (end - start).as_secs_f64() } else { -(start - end).as_secs_f64() };
        // SAFETY: the caller's pointer.
        unsafe { give(into, (1e3 * seconds) as f32) }
    }
    context fn cuEventDestroy_v2(event: Handle) with (driver, _context) {
        driver.events.remove(&event).map(|_| ()).ok_or(Error::InvalidHandle)
    }
    context fn cuProfilerStart() with (_driver, _context) {
        Ok(())
    }
    context fn cuProfilerStop() with (_driver, _context) {
        Ok(())
    }
}
