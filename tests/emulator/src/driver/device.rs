//! The one device.

use std::ffi::c_char;

use super::errors::Error;
use super::{CUdevice, Result, give, host_mut};
use crate::device::{MAX_THREADS, Options, REGISTERS, SHARED_BYTES, SHARED_BYTES_OPT_IN};
use crate::exec::LANES;

/// Name of the device.
const NAME: &[u8] = b"PTX emulator\0";

/// Whether there is such a device.
pub fn check(device: CUdevice) -> Result<()> {
    if device == 0 { Ok(()) } else { Err(Error::InvalidDevice) }
}

/// A device attribute by its number (`CUdevice_attribute`).
pub fn attribute(options: &Options, number: u32) -> Result<i32> {
    let (major, minor) = options.capability;
    let cores = rayon::current_num_threads() as i32;
    Ok(match number {
        1..=3 => MAX_THREADS as i32,
        4 => 64,
        5 => i32::MAX,
        6 | 7 => 65535,
        8 => SHARED_BYTES as i32,
        // Total constant memory.
        9 => 64 << 10,
        10 => LANES as i32,
        // Greatest pitch of a copy.
        11 => i32::MAX,
        12 | 82 => REGISTERS,
        // Clocks of processor and memory in kHz.
        13 | 36 => 1_000_000,
        14 => 512,
        16 => cores,
        // Can map host memory, concurrent kernels, unified addressing, managed memory, stream priorities, caches.
        19 | 31 | 41 | 78 | 79 | 80 | 83 | 89 => 1,
        34 => 0,
        37 => 64,
        38 => 1 << 20,
        39 => 2048,
        40 => 1,
        75 => major as i32,
        76 => minor as i32,
        81 => 228 << 10,
        97 => SHARED_BYTES_OPT_IN as i32,
        106 => 32,
        111 => 1 << 10,
        // Memory pools serve `cuMemAllocAsync`.
        115 => 1,
        15 | 17 | 18 | 20 | 21..=30 | 32 | 33 | 35 | 42..=74 | 77 | 84..=88 | 90..=96 | 98..=105 | 107..=110 | 112..=114 | 116..=150 => 0,
        _ => return Err(Error::InvalidValue),
    })
}

super::api! {
    driver fn cuDeviceGetCount(into: *mut i32) with (_driver) {
        // SAFETY: the caller's pointer.
        unsafe { give(into, 1) }
    }
    driver fn cuDeviceGet(into: *mut CUdevice, ordinal: i32) with (_driver) {
        check(ordinal)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, ordinal) }
    }
    driver fn cuDeviceGetName(into: *mut c_char, length: i32, device: CUdevice) with (_driver) {
        check(device)?;
        // SAFETY: the caller's buffer of `length` bytes.
        let into = unsafe { host_mut(into.cast(), length.max(0) as usize)? };
        let count = NAME.len().min(into.len());
        into[..count].copy_from_slice(&NAME[..count]);
        into.last_mut().map_or(Err(Error::InvalidValue), |last| {
            *last = 0;
            Ok(())
        })
    }
    driver fn cuDeviceGetUuid(into: *mut [u8; 16], device: CUdevice) with (_driver) {
        check(device)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, *b"ptx-emulator-000") }
    }
    driver fn cuDeviceGetUuid_v2(into: *mut [u8; 16], device: CUdevice) with (_driver) {
        check(device)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, *b"ptx-emulator-000") }
    }
    driver fn cuDeviceTotalMem_v2(into: *mut usize, device: CUdevice) with (driver) {
        check(device)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, driver.device.heap.info().1 as usize) }
    }
    driver fn cuDeviceGetAttribute(into: *mut i32, number: u32, device: CUdevice) with (driver) {
        check(device)?;
        let value = attribute(&driver.device.options, number)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, value) }
    }
    driver fn cuDeviceComputeCapability(major: *mut i32, minor: *mut i32, device: CUdevice) with (driver) {
        check(device)?;
        let capability = driver.device.options.capability;
        // SAFETY: the caller's pointers.
        unsafe {
            give(major, capability.0 as i32)?;
            give(minor, capability.1 as i32)
        }
    }
}
