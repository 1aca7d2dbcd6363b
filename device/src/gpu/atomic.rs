//! Atomic updates, without order.

use core::sync::atomic::{AtomicU32, Ordering};

/// `*pointer += value`, for all threads of the device.
///
/// # Safety
/// The pointer is valid and aligned, and the word is accessed atomically only.
#[inline(always)]
pub unsafe fn atomic_fetch_add_relaxed_u32_device(pointer: *mut u32, value: u32) {
    // SAFETY: by contract.
    unsafe { AtomicU32::from_ptr(pointer) }.fetch_add(value, Ordering::Relaxed);
}

/// `*pointer = max(*pointer, value)`, for all threads of the device.
///
/// # Safety
/// The pointer is valid and aligned, and the word is accessed atomically only.
#[inline(always)]
pub unsafe fn atomic_fetch_max_relaxed_u32_device(pointer: *mut u32, value: u32) {
    // SAFETY: by contract.
    unsafe { AtomicU32::from_ptr(pointer) }.fetch_max(value, Ordering::Relaxed);
}
