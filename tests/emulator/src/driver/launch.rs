//! Kernel launches.

use std::ffi::c_void;

use super::errors::Error;
use super::state::Driver;
use super::{Handle, Result, host};
use crate::device::LaunchSize;
use crate::exec::program::Program;

/// `CU_LAUNCH_PARAM_BUFFER_POINTER` and `CU_LAUNCH_PARAM_BUFFER_SIZE`.
const BUFFER: usize = 1;
const BUFFER_BYTES: usize = 2;

/// The parameter block from pointers to the parameters.
///
/// # Safety
/// `values` has a valid pointer for each parameter.
unsafe fn from_pointers(program: &Program, values: *mut *mut c_void) -> Result<Vec<u8>> {
    let mut block = vec![0; program.param_bytes()];
    for (at, param) in program.params.iter().enumerate() {
        // SAFETY: promised by the caller.
        let value = unsafe { host((*values.add(at)).cast(), param.bytes) };
        let value = value.inspect_err(|_| eprintln!("ptx-emulator: launch of {}: parameter {at} is a null pointer", program.name))?;
        block[param.offset..param.offset + param.bytes].copy_from_slice(value);
    }
    Ok(block)
}

/// The parameter block from the list `extra`.
///
/// # Safety
/// The list is as the driver API says.
unsafe fn from_buffer(program: &Program, extra: *mut *mut c_void) -> Result<Vec<u8>> {
    let (mut buffer, mut bytes) = (std::ptr::null(), 0);
    let mut at = extra;
    // SAFETY: the list ends in a zero, and names and values take turns.
    unsafe {
        while !(*at).is_null() {
            match *at as usize {
                BUFFER => buffer = (*at.add(1)).cast::<u8>().cast_const(),
                BUFFER_BYTES => bytes = *(*at.add(1)).cast::<usize>(),
                _ => return Err(Error::InvalidValue),
            }
            at = at.add(2);
        }
    }
    let expected = program.param_bytes();
    // A structure may be padded at its end.
    if bytes < expected || bytes > expected.next_multiple_of(16) {
        eprintln!("ptx-emulator: launch of {}: {bytes} bytes of parameters, but the kernel has {expected}", program.name);
        return Err(Error::InvalidValue);
    }
    // SAFETY: the caller's buffer.
    Ok(unsafe { host(buffer, expected)? }.to_vec())
}

fn launch(driver: &mut Driver, context: Handle, function: Handle, size: LaunchSize, params: &[u8]) -> Result<()> {
    let program = driver.function(function)?.program.clone();
    let executed = driver.device.launch(&program, size, params).map_err(|refused| {
        eprintln!("ptx-emulator: {refused}");
        Error::InvalidValue
    })?;
    if driver.device.options.profile {
        let [grid, block] = [size.grid, size.block].map(|[x, y, z]| format!("{x} x {y} x {z}"));
        eprintln!("ptx-emulator: {}, {grid} blocks of {block} threads\n{}", program.name, executed.counters);
    }
    if let Err(fault) = executed.result {
        eprintln!("ptx-emulator: {fault}");
        // A launch is asynchronous: the fault is given by the next call.
        driver.contexts.get_mut(&context).expect("it is current").fault = Some(fault.kind.into());
    }
    Ok(())
}

super::api! {
    context fn cuLaunchKernel(
        function: Handle,
        grid_x: u32,
        grid_y: u32,
        grid_z: u32,
        block_x: u32,
        block_y: u32,
        block_z: u32,
        shared: u32,
        stream: Handle,
        values: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) with (driver, context) {
        driver.check_stream(stream)?;
        let (program, shared_limit) = {
            let function = driver.function(function)?;
            (function.program.clone(), function.shared_limit)
        };
        let params = match (values.is_null(), extra.is_null()) {
            // SAFETY: the caller's pointers.
            (false, true) => unsafe { from_pointers(&program, values)? },
            // SAFETY: the caller's list.
            (true, false) => unsafe { from_buffer(&program, extra)? },
            (true, true) if program.params.is_empty() => Vec::new(),
            _ => {
                eprintln!("ptx-emulator: launch of {}: expected {} parameters, found none or two lists", program.name, program.params.len());
                return Err(Error::InvalidValue);
            }
        };
        let size = LaunchSize {
            grid: [grid_x, grid_y, grid_z],
            block: [block_x, block_y, block_z],
            dynamic_shared: shared as usize,
            shared_limit,
        };
        launch(driver, context, function, size, &params)
    }
}
