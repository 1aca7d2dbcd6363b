//! Devices and their primary contexts.

use std::ffi::{CStr, c_int};

use super::library::{self, Failure, Handle};

/// A GPU.
#[derive(Clone, Copy)]
pub struct Device(c_int);

/// What a device can be asked for (`CUdevice_attribute`).
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Attribute {
    /// Multiprocessors.
    Multiprocessors = 16,
    /// The first number of its architecture.
    ComputeCapabilityMajor = 75,
    /// The second number of its architecture.
    ComputeCapabilityMinor = 76,
}

impl Device {
    /// The GPU of that number of the driver, which it wakes.
    pub fn of(number: c_int) -> Result<Self, Failure> {
        let mut device = 0;
        // SAFETY: the driver writes a number.
        unsafe {
            library::cuInit(0)?;
            library::cuDeviceGet(&raw mut device, number)?;
        }
        Ok(Self(device))
    }

    /// What the device says of itself.
    pub fn attribute(self, attribute: Attribute) -> Result<i32, Failure> {
        let mut value = 0;
        // SAFETY: the driver writes a number.
        unsafe { library::cuDeviceGetAttribute(&raw mut value, attribute as c_int, self.0) }?;
        Ok(value)
    }

    /// The name that the maker gave the device.
    pub fn name(self) -> Result<String, Failure> {
        let mut name = [0u8; 128];
        // SAFETY: the driver writes at most so many bytes.
        unsafe { library::cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as c_int, self.0) }?;
        Ok(CStr::from_bytes_until_nul(&name).map_or_else(|_| String::from_utf8_lossy(&name).into(), |name| name.to_string_lossy().into()))
    }
}

/// A device's primary context, which lives as long as someone holds it.
pub struct Context(Device);

impl Context {
    /// Takes hold of it, and makes it the current one of this thread.
    pub fn retain(device: Device) -> Result<Self, Failure> {
        let mut context: Handle = std::ptr::null_mut();
        // SAFETY: the driver writes a handle.
        unsafe { library::cuDevicePrimaryCtxRetain(&raw mut context, device.0) }?;
        let held = Self(device);
        // SAFETY: the context is held.
        unsafe { library::cuCtxSetCurrent(context) }?;
        Ok(held)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it was retained once. What the driver says of it then is too late for anyone.
        _ = unsafe { library::cuDevicePrimaryCtxRelease_v2(self.0.0) };
    }
}

/// The newest CUDA that the driver knows: major and minor.
pub fn version() -> Result<[i32; 2], Failure> {
    let mut version = 0;
    // SAFETY: the driver writes a number.
    unsafe { library::cuDriverGetVersion(&raw mut version) }?;
    Ok([version / 1000, version % 1000 / 10])
}

/// Bytes of the current context's device: free, and all.
pub fn memory_info() -> Result<[usize; 2], Failure> {
    let (mut free, mut total) = (0, 0);
    // SAFETY: the driver writes two numbers.
    unsafe { library::cuMemGetInfo_v2(&raw mut free, &raw mut total) }?;
    Ok([free, total])
}
