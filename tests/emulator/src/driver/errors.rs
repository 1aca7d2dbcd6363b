//! Error codes with their names and texts.

use std::ffi::{CStr, c_char};

use super::give;
use crate::exec::FaultKind;
use crate::memory::OutOfBounds;

/// What every function of the driver API returns; 0 is success.
pub type CUresult = i32;

macro_rules! errors {
    ($($variant:ident = $code:literal, $name:literal, $text:literal;)*) => {
        /// The errors that this driver gives.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        #[allow(missing_docs)]
        pub enum Error {
            $($variant = $code),*
        }

        /// Code, name and text of each.
        const ERRORS: &[(CUresult, &CStr, &CStr)] = &[(0, c"CUDA_SUCCESS", c"no error"), $(($code, $name, $text)),*];
    };
}

errors! {
    InvalidValue = 1, c"CUDA_ERROR_INVALID_VALUE", c"invalid argument";
    OutOfMemory = 2, c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory";
    NotInitialized = 3, c"CUDA_ERROR_NOT_INITIALIZED", c"initialization error";
    NoDevice = 100, c"CUDA_ERROR_NO_DEVICE", c"no CUDA-capable device is detected";
    InvalidDevice = 101, c"CUDA_ERROR_INVALID_DEVICE", c"invalid device ordinal";
    InvalidImage = 200, c"CUDA_ERROR_INVALID_IMAGE", c"device kernel image is invalid";
    InvalidContext = 201, c"CUDA_ERROR_INVALID_CONTEXT", c"invalid device context";
    NoBinaryForGpu = 209, c"CUDA_ERROR_NO_BINARY_FOR_GPU", c"no kernel image is available for execution on the device";
    UnsupportedLimit = 215, c"CUDA_ERROR_UNSUPPORTED_LIMIT", c"limit is not supported on this architecture";
    InvalidPtx = 218, c"CUDA_ERROR_INVALID_PTX", c"a PTX JIT compilation failed";
    UnsupportedPtxVersion = 222, c"CUDA_ERROR_UNSUPPORTED_PTX_VERSION", c"the provided PTX was compiled with an unsupported toolchain.";
    FileNotFound = 301, c"CUDA_ERROR_FILE_NOT_FOUND", c"file not found";
    OperatingSystem = 304, c"CUDA_ERROR_OPERATING_SYSTEM", c"OS call failed or operation not supported on this OS";
    InvalidHandle = 400, c"CUDA_ERROR_INVALID_HANDLE", c"invalid resource handle";
    NotFound = 500, c"CUDA_ERROR_NOT_FOUND", c"named symbol not found";
    NotReady = 600, c"CUDA_ERROR_NOT_READY", c"device not ready";
    IllegalAddress = 700, c"CUDA_ERROR_ILLEGAL_ADDRESS", c"an illegal memory access was encountered";
    LaunchOutOfResources = 701, c"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", c"too many resources requested for launch";
    LaunchTimeout = 702, c"CUDA_ERROR_LAUNCH_TIMEOUT", c"the launch timed out and was terminated";
    PrimaryContextActive = 708, c"CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE", c"cannot set while device is active in this process";
    ContextIsDestroyed = 709, c"CUDA_ERROR_CONTEXT_IS_DESTROYED", c"context is destroyed";
    Assert = 710, c"CUDA_ERROR_ASSERT", c"device-side assert triggered";
    MisalignedAddress = 716, c"CUDA_ERROR_MISALIGNED_ADDRESS", c"misaligned address";
    InvalidPc = 718, c"CUDA_ERROR_INVALID_PC", c"invalid program counter";
    LaunchFailed = 719, c"CUDA_ERROR_LAUNCH_FAILED", c"unspecified launch failure";
    NotSupported = 801, c"CUDA_ERROR_NOT_SUPPORTED", c"operation not supported";
    Unknown = 999, c"CUDA_ERROR_UNKNOWN", c"unknown error";
}

impl From<FaultKind> for Error {
    fn from(kind: FaultKind) -> Self {
        match kind {
            FaultKind::IllegalAddress => Error::IllegalAddress,
            FaultKind::Misaligned => Error::MisalignedAddress,
            FaultKind::InvalidPc => Error::InvalidPc,
            FaultKind::Assert => Error::Assert,
            FaultKind::Timeout => Error::LaunchTimeout,
            FaultKind::LaunchFailed => Error::LaunchFailed,
        }
    }
}

impl From<OutOfBounds> for Error {
    fn from(_: OutOfBounds) -> Self {
        Error::InvalidValue
    }
}

fn find(code: CUresult) -> Result<&'static (CUresult, &'static CStr, &'static CStr), Error> {
    ERRORS.iter().find(|(known, ..)| *known == code).ok_or(Error::InvalidValue)
}

super::api! {
    plain fn cuGetErrorName(error: CUresult, name: *mut *const c_char) with () {
        // SAFETY: the caller's pointer.
        unsafe { give(name, find(error)?.1.as_ptr()) }
    }
    plain fn cuGetErrorString(error: CUresult, text: *mut *const c_char) with () {
        // SAFETY: the caller's pointer.
        unsafe { give(text, find(error)?.2.as_ptr()) }
    }
}
