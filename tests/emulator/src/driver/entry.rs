//! `cuGetProcAddress`: functions by name.

use std::ffi::{c_char, c_void};

use super::errors::Error;
use super::{Result, context, device, errors, give, launch, memory, module, stream, text, unsupported};

/// The address of a function; a plain name stands for its newest version.
fn find(name: &str) -> Option<usize> {
    let tables = [
        context::TABLE,
        device::TABLE,
        errors::TABLE,
        launch::TABLE,
        memory::TABLE,
        module::TABLE,
        stream::TABLE,
        unsupported::TABLE,
        TABLE,
    ];
    let exact = |wanted: &str| tables.iter().copied().flatten().find(|(known, _)| *known == wanted).map(|(_, address)| address());
    exact(&format!("{name}_v2")).or_else(|| exact(name))
}

/// Looks a function up for `cuGetProcAddress`.
///
/// # Safety
/// `name` is a text, and `into` is valid for writes.
unsafe fn look_up(name: *const c_char, into: *mut *mut c_void) -> Result<()> {
    // SAFETY: promised by the caller.
    let found = find(unsafe { text(name)? });
    // SAFETY: promised by the caller.
    unsafe { give(into, found.unwrap_or(0) as *mut c_void)? };
    found.map(|_| ()).ok_or(Error::NotFound)
}

super::api! {
    plain fn cuGetProcAddress(name: *const c_char, into: *mut *mut c_void, _version: i32, _flags: u64) with () {
        // SAFETY: the caller's text and pointer.
        unsafe { look_up(name, into) }
    }
    plain fn cuGetProcAddress_v2(name: *const c_char, into: *mut *mut c_void, _version: i32, _flags: u64, status: *mut i32) with () {
        // SAFETY: the caller's text and pointer.
        let found = unsafe { look_up(name, into) };
        if !status.is_null() {
            // SAFETY: the caller's pointer; 1 says that there is no such function.
            unsafe { give(status, found.is_err().into())? };
        }
        found
    }
}
