//! Modules, kernels and their attributes.

use std::ffi::{CStr, c_char, c_void};

use super::errors::Error;
use super::state::Driver;
use super::{CUdeviceptr, Handle, Result, give, host_mut, text};
use crate::device::{LoadError, MAX_THREADS, REGISTERS, SHARED_BYTES_OPT_IN};
use crate::exec::program::Program;

/// `CU_JIT_ERROR_LOG_BUFFER` and its size.
const ERROR_LOG: u32 = 5;
const ERROR_LOG_BYTES: u32 = 6;
/// `CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES`.
const INFO_LOG_BYTES: u32 = 4;

/// Options of a module load, as the caller gave them.
struct JitOptions {
    count: usize,
    names: *const u32,
    values: *mut *mut c_void,
}

impl JitOptions {
    /// The place of an option's value.
    ///
    /// # Safety
    /// The arrays have `count` elements.
    unsafe fn find(&self, name: u32) -> Option<*mut *mut c_void> {
        if self.names.is_null() || self.values.is_null() {
            return None;
        }
        // SAFETY: promised by the caller.
        let names = unsafe { std::slice::from_raw_parts(self.names, self.count) };
        names.iter().position(|found| *found == name).map(|at| self.values.wrapping_add(at))
    }

    /// Writes the error log, and its length in place of its size.
    ///
    /// # Safety
    /// The arrays have `count` elements, and the log buffer has the size that is given.
    unsafe fn log(&self, message: &str) -> Result<()> {
        // SAFETY: promised by the caller.
        let (buffer, size) = unsafe { (self.find(ERROR_LOG), self.find(ERROR_LOG_BYTES)) };
        if let (Some(buffer), Some(size)) = (buffer, size) {
            // SAFETY: the buffer has `size` bytes; small values are passed in place of pointers.
            let into = unsafe { host_mut((*buffer).cast(), *size as usize)? };
            let count = message.len().min(into.len().saturating_sub(1));
            into[..count].copy_from_slice(&message.as_bytes()[..count]);
            if let Some(end) = into.get_mut(count) {
                *end = 0;
            }
            // SAFETY: a place of the caller's array.
            unsafe { *size = (count + 1) as *mut c_void };
        }
        // SAFETY: as above.
        if let Some(info) = unsafe { self.find(INFO_LOG_BYTES) } {
            // SAFETY: a place of the caller's array.
            unsafe { *info = std::ptr::null_mut() };
        }
        Ok(())
    }
}

/// Loads a module from PTX.
fn load(driver: &mut Driver, context: Handle, image: &[u8], log: impl FnOnce(&str) -> Result<()>) -> Result<Handle> {
    let Some(source) = std::str::from_utf8(image).ok().filter(|source| source.contains(".version")) else {
        eprintln!("ptx-emulator: module: the image is no PTX text; cubins and fat binaries are not supported");
        return Err(Error::InvalidImage);
    };
    match driver.device.load(source, context) {
        Ok(module) => {
            log("")?;
            let handle = driver.handle();
            driver.modules.insert(handle, (context, module));
            Ok(handle)
        }
        Err(error) => {
            eprintln!("ptx-emulator: module: {error}");
            log(&error.to_string())?;
            Err(match error {
                LoadError::Ptx(_) => Error::InvalidPtx,
                LoadError::Version(..) => Error::UnsupportedPtxVersion,
                LoadError::Target(_) => Error::NoBinaryForGpu,
                LoadError::OutOfMemory(_) => Error::OutOfMemory,
            })
        }
    }
}

/// The bytes of an image, up to the zero that ends it.
///
/// # Safety
/// A pointer that is not null points to bytes that end in a zero.
unsafe fn image<'a>(from: *const c_void) -> Result<&'a [u8]> {
    if from.is_null() {
        return Err(Error::InvalidValue);
    }
    // SAFETY: promised by the caller.
    Ok(unsafe { CStr::from_ptr(from.cast()) }.to_bytes())
}

/// An attribute of a kernel by its number (`CUfunction_attribute`).
fn attribute(program: &Program, limit: usize, capability: (u32, u32), number: u32) -> Result<i32> {
    let (major, minor) = capability;
    Ok(match number {
        0 => program.max_threads.unwrap_or(MAX_THREADS).min(MAX_THREADS) as i32,
        1 => program.shared_bytes as i32,
        2 => 0,
        3 => program.local_bytes as i32,
        // Rows of the emulator's register file would tell nothing: what a thread may use.
        4 => 32,
        5 | 6 => (major * 10 + minor) as i32,
        7 => 0,
        8 => limit.saturating_sub(program.shared_bytes) as i32,
        9 => -1,
        _ => return Err(Error::InvalidValue),
    })
}

/// Blocks of a kernel that a processor of the emulated device would hold: by threads, shared memory and their number.
fn resident_blocks(program: &Program, threads: i32, dynamic: usize) -> i32 {
    let per_thread = REGISTERS / 32 / threads.max(1);
    let shared = program.shared_bytes + dynamic;
    let by_shared = if shared == 0 { 32 } else { ((SHARED_BYTES_OPT_IN + 1024) / (shared + 1024)) as i32 };
    (2048 / threads.max(1)).min(by_shared).min(32).min(per_thread)
}

super::api! {
    context fn cuModuleLoadData(into: *mut Handle, data: *const c_void) with (driver, context) {
        // SAFETY: the caller's text.
        let handle = load(driver, context, unsafe { image(data)? }, |_| Ok(()))?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, handle) }
    }
    context fn cuModuleLoadDataEx(into: *mut Handle, data: *const c_void, count: u32, names: *const u32, values: *mut *mut c_void) with (driver, context) {
        let options = JitOptions { count: count as usize, names, values };
        // SAFETY: the caller's text and options.
        let handle = load(driver, context, unsafe { image(data)? }, |message| unsafe { options.log(message) })?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, handle) }
    }
    context fn cuModuleLoad(into: *mut Handle, path: *const c_char) with (driver, context) {
        // SAFETY: the caller's text.
        let bytes = std::fs::read(unsafe { text(path)? }).map_err(|_| Error::FileNotFound)?;
        let handle = load(driver, context, &bytes, |_| Ok(()))?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, handle) }
    }
    context fn cuModuleUnload(handle: Handle) with (driver, _context) {
        let (_, module) = driver.modules.remove(&handle).ok_or(Error::InvalidHandle)?;
        driver.functions.retain(|_, function| function.module != handle);
        driver.device.unload(&module);
        Ok(())
    }
    context fn cuModuleGetFunction(into: *mut Handle, module: Handle, name: *const c_char) with (driver, _context) {
        // SAFETY: the caller's text and pointer.
        unsafe { give(into, driver.function_of(module, text(name)?)?) }
    }
    context fn cuModuleGetGlobal_v2(into: *mut CUdeviceptr, bytes: *mut usize, module: Handle, name: *const c_char) with (driver, _context) {
        let (_, module) = driver.modules.get(&module).ok_or(Error::InvalidHandle)?;
        // SAFETY: the caller's text.
        let &(address, size) = module.variables.get(unsafe { text(name)? }).ok_or(Error::NotFound)?;
        // SAFETY: the caller's pointers, null if not wanted.
        unsafe {
            if !into.is_null() {
                give(into, address)?;
            }
            if bytes.is_null() { Ok(()) } else { give(bytes, size as usize) }
        }
    }
    context fn cuFuncGetModule(into: *mut Handle, function: Handle) with (driver, _context) {
        // SAFETY: the caller's pointer.
        unsafe { give(into, driver.function(function)?.module) }
    }
    context fn cuFuncGetAttribute(into: *mut i32, number: u32, function: Handle) with (driver, _context) {
        let capability = driver.device.options.capability;
        let function = driver.function(function)?;
        let value = attribute(&function.program, function.shared_limit, capability, number)?;
        // SAFETY: the caller's pointer.
        unsafe { give(into, value) }
    }
    context fn cuFuncSetAttribute(function: Handle, number: u32, value: i32) with (driver, _context) {
        let function = driver.function(function)?;
        match number {
            8 => {
                let wanted = function.program.shared_bytes + value.max(0) as usize;
                if value < 0 || wanted > SHARED_BYTES_OPT_IN {
                    return Err(Error::InvalidValue);
                }
                function.shared_limit = function.shared_limit.max(wanted);
                Ok(())
            }
            9 => Ok(()),
            _ => Err(Error::InvalidValue),
        }
    }
    context fn cuFuncSetCacheConfig(function: Handle, _config: u32) with (driver, _context) {
        driver.function(function).map(|_| ())
    }
    context fn cuFuncSetSharedMemConfig(function: Handle, _config: u32) with (driver, _context) {
        driver.function(function).map(|_| ())
    }
    context fn cuOccupancyMaxActiveBlocksPerMultiprocessor(into: *mut i32, function: Handle, threads: i32, dynamic: usize) with (driver, _context) {
        let blocks = resident_blocks(&driver.function(function)?.program, threads, dynamic);
        // SAFETY: the caller's pointer.
        unsafe { give(into, blocks) }
    }
    context fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(into: *mut i32, function: Handle, threads: i32, dynamic: usize, _flags: u32) with (driver, _context) {
        let blocks = resident_blocks(&driver.function(function)?.program, threads, dynamic);
        // SAFETY: the caller's pointer.
        unsafe { give(into, blocks) }
    }
    context fn cuOccupancyAvailableDynamicSMemPerBlock(into: *mut usize, function: Handle, blocks: i32, _threads: i32) with (driver, _context) {
        let program = &driver.function(function)?.program;
        let each = (SHARED_BYTES_OPT_IN + 1024) / blocks.max(1) as usize;
        // SAFETY: the caller's pointer.
        unsafe { give(into, each.saturating_sub(1024 + program.shared_bytes)) }
    }
    context fn cuOccupancyMaxPotentialBlockSize(
        grid: *mut i32,
        block: *mut i32,
        function: Handle,
        dynamic_of: Option<unsafe extern "C" fn(i32) -> usize>,
        dynamic: usize,
        limit: i32,
    ) with (driver, _context) {
        let program = driver.function(function)?.program.clone();
        let most = program.max_threads.unwrap_or(MAX_THREADS).min(MAX_THREADS) as i32;
        let most = if limit > 0 { most.min(limit) } else { most };
        // SAFETY: the caller's function.
        let bytes = |threads: i32| dynamic_of.map_or(dynamic, |dynamic_of| unsafe { dynamic_of(threads) });
        let busy = |threads: i32| resident_blocks(&program, threads, bytes(threads)) * threads;
        let best = (1..=most / 32).map(|warps| 32 * warps).max_by_key(|&threads| busy(threads)).unwrap_or(most);
        // SAFETY: the caller's pointers.
        unsafe {
            give(block, best)?;
            give(grid, resident_blocks(&program, best, bytes(best)) * rayon::current_num_threads() as i32)
        }
    }
}
