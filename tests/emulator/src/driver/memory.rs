//! Memory and copies.

use std::collections::HashMap;
use std::sync::Mutex;

use super::errors::Error;
use super::state::Driver;
use super::{CUdevice, CUdeviceptr, Handle, Result, give, host, host_mut};
use crate::memory::Heap;
use crate::tally::Direction;

/// `CUDA_MEMCPY2D`.
#[repr(C)]
#[allow(missing_docs)]
pub struct Copy2d {
    source_x: usize,
    source_y: usize,
    source_type: u32,
    source_host: *const u8,
    source_device: CUdeviceptr,
    source_array: usize,
    source_pitch: usize,
    target_x: usize,
    target_y: usize,
    target_type: u32,
    target_host: *mut u8,
    target_device: CUdeviceptr,
    target_array: usize,
    target_pitch: usize,
    width: usize,
    height: usize,
}

/// `CU_MEMORYTYPE_HOST` and `CU_MEMORYTYPE_DEVICE`.
const HOST: u32 = 1;
const DEVICE: u32 = 2;

/// Page-locked memory: what the host asked for, by address. It is managed memory, so that kernels may use it too.
static PINNED: Mutex<Option<HashMap<u64, Handle>>> = Mutex::new(None);

fn upload(driver: &mut Driver, to: CUdeviceptr, from: &[u8]) -> Result<()> {
    driver.device.heap.write(to, from)?;
    driver.count(|tally| tally.copy(Direction::ToDevice, from.len() as u64));
    Ok(())
}

fn download(driver: &mut Driver, into: &mut [u8], from: CUdeviceptr) -> Result<()> {
    driver.device.heap.read(from, into)?;
    driver.count(|tally| tally.copy(Direction::ToHost, into.len() as u64));
    driver.end_section()
}

fn copy(driver: &mut Driver, to: CUdeviceptr, from: CUdeviceptr, bytes: usize) -> Result<()> {
    driver.device.heap.copy(to, from, bytes as u64)?;
    driver.count(|tally| tally.copy(Direction::OnDevice, bytes as u64));
    Ok(())
}

fn fill(driver: &mut Driver, to: CUdeviceptr, pattern: &[u8], count: usize) -> Result<()> {
    driver.device.heap.fill(to, pattern, count as u64)?;
    driver.count(|tally| tally.memset((count * pattern.len()) as u64));
    Ok(())
}

fn copy_2d(driver: &mut Driver, copy: &Copy2d) -> Result<()> {
    let heap = &mut driver.device.heap;
    for row in 0..copy.height {
        let from = (copy.source_y + row) * copy.source_pitch + copy.source_x;
        let to = (copy.target_y + row) * copy.target_pitch + copy.target_x;
        match (copy.source_type, copy.target_type) {
            (HOST, DEVICE) => {
                // SAFETY: the caller's memory, as large as width, height and pitch say.
                let source = unsafe { host(copy.source_host.wrapping_add(from), copy.width)? };
                heap.write(copy.target_device + to as u64, source)?;
            }
            (DEVICE, HOST) => {
                // SAFETY: as above.
                let target = unsafe { host_mut(copy.target_host.wrapping_add(to), copy.width)? };
                heap.read(copy.source_device + from as u64, target)?;
            }
            (DEVICE, DEVICE) => heap.copy(copy.target_device + to as u64, copy.source_device + from as u64, copy.width as u64)?,
            _ => return Err(Error::NotSupported),
        }
    }
    let direction = match (copy.source_type, copy.target_type) {
        (HOST, _) => Direction::ToDevice,
        (_, HOST) => Direction::ToHost,
        _ => Direction::OnDevice,
    };
    driver.count(|tally| tally.copy(direction, (copy.width * copy.height) as u64));
    if direction == Direction::ToHost { driver.end_section() } else { Ok(()) }
}

fn allocate(heap: &mut Heap, bytes: usize, what: &str, owner: Handle) -> Result<CUdeviceptr> {
    if bytes == 0 {
        return Err(Error::InvalidValue);
    }
    heap.allocate(bytes as u64, what, owner).ok_or(Error::OutOfMemory)
}

fn allocate_host(heap: &mut Heap, bytes: usize, owner: Handle) -> Result<u64> {
    if bytes == 0 {
        return Err(Error::InvalidValue);
    }
    let address = heap.allocate_managed(bytes as u64, "page-locked host memory", owner).ok_or(Error::OutOfMemory)?;
    PINNED.lock().expect("never poisoned").get_or_insert_default().insert(address, owner);
    Ok(address)
}

super::api! {
    context fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) with (driver, _context) {
        let info = driver.device.heap.info();
        // SAFETY: the caller's pointers.
        unsafe {
            give(free, info.0 as usize)?;
            give(total, info.1 as usize)
        }
    }
    context fn cuMemAlloc_v2(into: *mut CUdeviceptr, bytes: usize) with (driver, context) {
        let address = allocate(&mut driver.device.heap, bytes, "cuMemAlloc", context)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, address) }
    }
    context fn cuMemAllocAsync(into: *mut CUdeviceptr, bytes: usize, stream: Handle) with (driver, context) {
        driver.check_stream(stream)?;
        let address = allocate(&mut driver.device.heap, bytes, "cuMemAllocAsync", context)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, address) }
    }
    context fn cuMemAllocPitch_v2(into: *mut CUdeviceptr, pitch: *mut usize, width: usize, height: usize, _element: u32) with (driver, context) {
        let row = width.next_multiple_of(512);
        let address = allocate(&mut driver.device.heap, row.checked_mul(height).ok_or(Error::OutOfMemory)?, "cuMemAllocPitch", context)?;
        // SAFETY: the caller's pointers.
        unsafe {
            give(pitch, row)?;
            give(into, address)
        }
    }
    context fn cuMemAllocManaged(into: *mut CUdeviceptr, bytes: usize, _flags: u32) with (driver, context) {
        if bytes == 0 {
            return Err(Error::InvalidValue);
        }
        let address = driver.device.heap.allocate_managed(bytes as u64, "cuMemAllocManaged", context).ok_or(Error::OutOfMemory)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, address) }
    }
    context fn cuMemFree_v2(address: CUdeviceptr) with (driver, _context) {
        if address == 0 { Ok(()) } else { Ok(driver.device.heap.free(address)?) }
    }
    context fn cuMemFreeAsync(address: CUdeviceptr, stream: Handle) with (driver, _context) {
        driver.check_stream(stream)?;
        Ok(driver.device.heap.free(address)?)
    }
    context fn cuMemAllocHost_v2(into: *mut u64, bytes: usize) with (driver, context) {
        let address = allocate_host(&mut driver.device.heap, bytes, context)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, address) }
    }
    context fn cuMemHostAlloc(into: *mut u64, bytes: usize, _flags: u32) with (driver, context) {
        let address = allocate_host(&mut driver.device.heap, bytes, context)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, address) }
    }
    context fn cuMemFreeHost(address: u64) with (driver, _context) {
        let known = PINNED.lock().expect("never poisoned").get_or_insert_default().remove(&address);
        known.ok_or(Error::InvalidValue)?;
        Ok(driver.device.heap.free(address)?)
    }
    context fn cuMemHostGetDevicePointer_v2(into: *mut CUdeviceptr, address: u64, _flags: u32) with (driver, _context) {
        driver.device.heap.find(address).ok_or(Error::InvalidValue)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, address) }
    }
    context fn cuMemGetAddressRange_v2(base: *mut CUdeviceptr, bytes: *mut usize, address: CUdeviceptr) with (driver, _context) {
        let found = driver.device.heap.find(address).ok_or(Error::NotFound)?;
        // SAFETY: the caller's pointers, null if not wanted.
        unsafe {
            if !base.is_null() {
                give(base, found.start)?;
            }
            if bytes.is_null() { Ok(()) } else { give(bytes, found.bytes as usize) }
        }
    }
    context fn cuMemcpyHtoD_v2(to: CUdeviceptr, from: *const u8, bytes: usize) with (driver, _context) {
        // SAFETY: the caller's memory.
        upload(driver, to, unsafe { host(from, bytes)? })
    }
    context fn cuMemcpyHtoDAsync_v2(to: CUdeviceptr, from: *const u8, bytes: usize, stream: Handle) with (driver, _context) {
        driver.check_stream(stream)?;
        // SAFETY: the caller's memory.
        upload(driver, to, unsafe { host(from, bytes)? })
    }
    context fn cuMemcpyDtoH_v2(to: *mut u8, from: CUdeviceptr, bytes: usize) with (driver, _context) {
        // SAFETY: the caller's memory.
        download(driver, unsafe { host_mut(to, bytes)? }, from)
    }
    context fn cuMemcpyDtoHAsync_v2(to: *mut u8, from: CUdeviceptr, bytes: usize, stream: Handle) with (driver, _context) {
        driver.check_stream(stream)?;
        // SAFETY: the caller's memory.
        download(driver, unsafe { host_mut(to, bytes)? }, from)
    }
    context fn cuMemcpyDtoD_v2(to: CUdeviceptr, from: CUdeviceptr, bytes: usize) with (driver, _context) {
        copy(driver, to, from, bytes)
    }
    context fn cuMemcpyDtoDAsync_v2(to: CUdeviceptr, from: CUdeviceptr, bytes: usize, stream: Handle) with (driver, _context) {
        driver.check_stream(stream)?;
        copy(driver, to, from, bytes)
    }
    context fn cuMemcpy2D_v2(copy: *const Copy2d) with (driver, _context) {
        // SAFETY: the caller's pointer.
        let copy = unsafe { copy.as_ref() }.ok_or(Error::InvalidValue)?;
        copy_2d(driver, copy)
    }
    context fn cuMemcpy2DAsync_v2(copy: *const Copy2d, stream: Handle) with (driver, _context) {
        driver.check_stream(stream)?;
        // SAFETY: the caller's pointer.
        let copy = unsafe { copy.as_ref() }.ok_or(Error::InvalidValue)?;
        copy_2d(driver, copy)
    }
    context fn cuMemsetD8_v2(to: CUdeviceptr, value: u8, count: usize) with (driver, _context) {
        fill(driver, to, &[value], count)
    }
    context fn cuMemsetD16_v2(to: CUdeviceptr, value: u16, count: usize) with (driver, _context) {
        fill(driver, to, &value.to_le_bytes(), count)
    }
    context fn cuMemsetD32_v2(to: CUdeviceptr, value: u32, count: usize) with (driver, _context) {
        fill(driver, to, &value.to_le_bytes(), count)
    }
    context fn cuMemsetD8Async(to: CUdeviceptr, value: u8, count: usize, stream: Handle) with (driver, _context) {
        driver.check_stream(stream)?;
        fill(driver, to, &[value], count)
    }
    context fn cuMemsetD16Async(to: CUdeviceptr, value: u16, count: usize, stream: Handle) with (driver, _context) {
        driver.check_stream(stream)?;
        fill(driver, to, &value.to_le_bytes(), count)
    }
    context fn cuMemsetD32Async(to: CUdeviceptr, value: u32, count: usize, stream: Handle) with (driver, _context) {
        driver.check_stream(stream)?;
        fill(driver, to, &value.to_le_bytes(), count)
    }
    context fn cuMemPrefetchAsync(address: CUdeviceptr, _bytes: usize, _device: CUdevice, stream: Handle) with (driver, _context) {
        driver.check_stream(stream)?;
        driver.device.heap.find(address).map(|_| ()).ok_or(Error::InvalidValue)
    }
    context fn cuMemAdvise(address: CUdeviceptr, _bytes: usize, _advice: u32, _device: CUdevice) with (driver, _context) {
        driver.device.heap.find(address).map(|_| ()).ok_or(Error::InvalidValue)
    }
    driver fn cuPointerGetAttribute(into: *mut u64, attribute: u32, address: CUdeviceptr) with (driver) {
        let found = driver.device.heap.find(address).ok_or(Error::InvalidValue)?;
        // SAFETY: the caller's pointer, to the type that the attribute has.
        unsafe {
            match attribute {
                1 => give(into, found.owner),
                2 => give(into.cast(), DEVICE),
                3 => give(into, address),
                7 => give(into, found.id),
                8 => give(into.cast(), u32::from(found.start == found.host_address())),
                9 => give(into.cast(), 0i32),
                11 => give(into, found.start),
                12 => give(into, found.bytes),
                _ => Err(Error::NotSupported),
            }
        }
    }
}
