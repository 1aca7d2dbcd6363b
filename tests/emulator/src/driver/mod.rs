//! The CUDA driver API, as far as it is needed: <https://docs.nvidia.com/cuda/cuda-driver-api/>.
//!
//! Handles are numbers, never addresses, so a stale handle is an error and not a crash. Everything is executed at once, in the calling
//! thread; a fault of a kernel stays with its context and is given by the next call that can report it, as by a driver.

#![allow(non_snake_case, non_camel_case_types)]

pub mod context;
pub mod device;
pub mod entry;
pub mod errors;
pub mod launch;
pub mod memory;
pub mod module;
mod state;
pub mod stream;
pub mod unsupported;

use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use errors::CUresult;
use errors::Error;
use state::{Driver, with_driver};

type Result<T> = std::result::Result<T, Error>;

/// Device addresses.
pub type CUdeviceptr = u64;
/// A number of a device.
pub type CUdevice = i32;
/// Any other handle.
pub type Handle = u64;

/// Defines functions of the driver API, and the table of their addresses. The body has the driver's state, or the current context too:
/// `driver` ends in a result, `context` first checks that there is a current context without a fault.
macro_rules! api {
    ($($kind:ident fn $name:ident($($argument:ident: $ty:ty),* $(,)?) with ($($state:ident),*) $body:block)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "` of the CUDA driver API.")]
            ///
            /// # Safety
            /// Pointers are valid as the driver API says.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($argument: $ty),*) -> $crate::driver::CUresult {
                $crate::driver::$kind(|$($state),*| $body)
            }
        )*
        /// Names and addresses of the functions of this file.
        pub const TABLE: &[(&str, fn() -> usize)] = &[$((stringify!($name), || $name as *const () as usize)),*];
    };
}
use api;

/// Calls `f`; a panic becomes an error.
fn plain(f: impl FnOnce() -> Result<()>) -> CUresult {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => error as CUresult,
        Err(_) => Error::Unknown as CUresult,
    }
}

/// Calls `f` with the driver's state, which must have been initialised.
fn driver(f: impl FnOnce(&mut Driver) -> Result<()>) -> CUresult {
    plain(|| with_driver(|driver| if driver.initialised { f(driver) } else { Err(Error::NotInitialized) }))
}

/// Calls `f` with the driver's state and the current context, which must be without a fault.
fn context(f: impl FnOnce(&mut Driver, Handle) -> Result<()>) -> CUresult {
    driver(|driver| {
        let current = driver.current()?;
        match driver.contexts[&current].fault {
            Some(fault) => Err(fault),
            None => f(driver, current),
        }
    })
}

/// Writes a result through a pointer, if there is one.
///
/// # Safety
/// A pointer that is not null is valid for writes.
unsafe fn give<T>(to: *mut T, value: T) -> Result<()> {
    if to.is_null() {
        return Err(Error::InvalidValue);
    }
    // SAFETY: promised by the caller.
    unsafe { to.write_unaligned(value) };
    Ok(())
}

/// A text that the caller gave.
///
/// # Safety
/// A pointer that is not null points to a text that ends in a zero.
unsafe fn text<'a>(from: *const c_char) -> Result<&'a str> {
    if from.is_null() {
        return Err(Error::InvalidValue);
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(from) }.to_str().map_err(|_| Error::InvalidValue)
}

/// Bytes of the host, to read.
///
/// # Safety
/// `bytes` bytes at `from` are valid for reads.
unsafe fn host<'a>(from: *const u8, bytes: usize) -> Result<&'a [u8]> {
    match (from.is_null(), bytes) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Error::InvalidValue),
        // SAFETY: promised by the caller.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(from, bytes) }),
    }
}

/// Bytes of the host, to write.
///
/// # Safety
/// `bytes` bytes at `to` are valid for writes, and the caller's alone.
unsafe fn host_mut<'a>(to: *mut u8, bytes: usize) -> Result<&'a mut [u8]> {
    match (to.is_null(), bytes) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(Error::InvalidValue),
        // SAFETY: promised by the caller.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts_mut(to, bytes) }),
    }
}
