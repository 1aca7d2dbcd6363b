//! Initialisation and contexts.

use super::device::check;
use super::errors::Error;
use super::state::CURRENT;
use super::{CUdevice, Handle, give, with_driver};

/// The version that is reported: CUDA 12.8.
pub const VERSION: i32 = 12080;

/// Makes a context the current one of the thread; 0 stands for none.
fn set_current(handle: Handle) {
    CURRENT.with_borrow_mut(|stack| {
        stack.pop();
        stack.push(handle);
    });
}

/// Default value of each limit.
fn default_limit(limit: u32) -> Option<usize> {
    [1024, 1 << 20, 8 << 20, 2, 2048, 64, 0].get(limit as usize).copied()
}

super::api! {
    plain fn cuInit(flags: u32) with () {
        if flags != 0 {
            return Err(Error::InvalidValue);
        }
        with_driver(|driver| {
            driver.initialised = true;
            Ok(())
        })
    }
    plain fn cuDriverGetVersion(version: *mut i32) with () {
        // SAFETY: the caller's pointer.
        unsafe { give(version, VERSION) }
    }
    driver fn cuDevicePrimaryCtxRetain(into: *mut Handle, device: CUdevice) with (driver) {
        check(device)?;
        let flags = driver.primary_flags;
        let (handle, count) = driver.primary.unwrap_or_else(|| (driver.new_context(flags), 0));
        driver.primary = Some((handle, count + 1));
        // SAFETY: the caller's pointer.
        unsafe { give(into, handle) }
    }
    driver fn cuDevicePrimaryCtxRelease_v2(device: CUdevice) with (driver) {
        check(device)?;
        let (handle, count) = driver.primary.ok_or(Error::InvalidContext)?;
        driver.primary = (count > 1).then_some((handle, count - 1));
        if driver.primary.is_none() { driver.end_context(handle) } else { Ok(()) }
    }
    driver fn cuDevicePrimaryCtxReset_v2(device: CUdevice) with (driver) {
        check(device)?;
        driver.primary.take().map_or(Ok(()), |(handle, _)| driver.end_context(handle))
    }
    driver fn cuDevicePrimaryCtxSetFlags_v2(device: CUdevice, flags: u32) with (driver) {
        check(device)?;
        driver.primary_flags = flags;
        if let Some((handle, _)) = driver.primary
            && let Some(context) = driver.contexts.get_mut(&handle)
        {
            context.flags = flags;
        }
        Ok(())
    }
    driver fn cuDevicePrimaryCtxGetState(device: CUdevice, flags: *mut u32, active: *mut i32) with (driver) {
        check(device)?;
        // SAFETY: the caller's pointers.
        unsafe {
            give(flags, driver.primary_flags)?;
            give(active, driver.primary.is_some().into())
        }
    }
    driver fn cuCtxCreate_v2(into: *mut Handle, flags: u32, device: CUdevice) with (driver) {
        check(device)?;
        let handle = driver.new_context(flags);
        CURRENT.with_borrow_mut(|stack| stack.push(handle));
        // SAFETY: the caller's pointer.
        unsafe { give(into, handle) }
    }
    driver fn cuCtxDestroy_v2(handle: Handle) with (driver) {
        if !driver.contexts.contains_key(&handle) {
            return Err(Error::InvalidContext);
        }
        driver.end_context(handle)?;
        CURRENT.with_borrow_mut(|stack| {
            if stack.last() == Some(&handle) {
                stack.pop();
            }
        });
        Ok(())
    }
    driver fn cuCtxPushCurrent_v2(handle: Handle) with (driver) {
        if !driver.contexts.contains_key(&handle) {
            return Err(Error::InvalidContext);
        }
        CURRENT.with_borrow_mut(|stack| stack.push(handle));
        Ok(())
    }
    driver fn cuCtxPopCurrent_v2(into: *mut Handle) with (_driver) {
        let popped = CURRENT.with_borrow_mut(Vec::pop).ok_or(Error::InvalidContext)?;
        if into.is_null() {
            return Ok(());
        }
        // SAFETY: the caller's pointer.
        unsafe { give(into, popped) }
    }
    driver fn cuCtxSetCurrent(handle: Handle) with (driver) {
        if handle != 0 && !driver.contexts.contains_key(&handle) {
            return Err(Error::InvalidContext);
        }
        set_current(handle);
        Ok(())
    }
    driver fn cuCtxGetCurrent(into: *mut Handle) with (_driver) {
        let current = CURRENT.with_borrow(|stack| stack.last().copied().unwrap_or(0));
        // SAFETY: the caller's pointer.
        unsafe { give(into, current) }
    }
    context fn cuCtxSynchronize() with (_driver, _context) {
        Ok(())
    }
    driver fn cuCtxGetDevice(into: *mut CUdevice) with (driver) {
        driver.current()?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, 0) }
    }
    driver fn cuCtxGetFlags(into: *mut u32) with (driver) {
        let flags = driver.contexts[&driver.current()?].flags;
        // SAFETY: the caller's pointer.
        unsafe { give(into, flags) }
    }
    driver fn cuCtxGetApiVersion(handle: Handle, into: *mut u32) with (driver) {
        if handle != 0 && !driver.contexts.contains_key(&handle) {
            return Err(Error::InvalidContext);
        }
        // SAFETY: the caller's pointer.
        unsafe { give(into, 3020) }
    }
    context fn cuCtxSetLimit(limit: u32, value: usize) with (driver, context) {
        default_limit(limit).ok_or(Error::UnsupportedLimit)?;
        driver.contexts.get_mut(&context).expect("it is current").limits.insert(limit, value);
        Ok(())
    }
    context fn cuCtxGetLimit(into: *mut usize, limit: u32) with (driver, context) {
        let default = default_limit(limit).ok_or(Error::UnsupportedLimit)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, driver.contexts[&context].limits.get(&limit).copied().unwrap_or(default)) }
    }
    context fn cuCtxGetCacheConfig(into: *mut u32) with (_driver, _context) {
        // SAFETY: the caller's pointer.
        unsafe { give(into, 0) }
    }
    context fn cuCtxSetCacheConfig(_config: u32) with (_driver, _context) {
        Ok(())
    }
    context fn cuCtxGetSharedMemConfig(into: *mut u32) with (_driver, _context) {
        // Banks of four bytes.
        // SAFETY: the caller's pointer.
        unsafe { give(into, 1) }
    }
    context fn cuCtxSetSharedMemConfig(_config: u32) with (_driver, _context) {
        Ok(())
    }
    context fn cuCtxGetStreamPriorityRange(least: *mut i32, greatest: *mut i32) with (_driver, _context) {
        // SAFETY: the caller's pointers, null if not wanted.
        unsafe {
            if !least.is_null() {
                give(least, 0)?;
            }
            if greatest.is_null() { Ok(()) } else { give(greatest, -5) }
        }
    }
}
