//! The library of the driver, its functions, and what it says when one fails.

use std::error::Error;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt;
use std::sync::OnceLock;

use libloading::Library;

/// `CUDA_ERROR_SHARED_OBJECT_INIT_FAILED` of the driver API.
const NO_LIBRARY: c_int = 303;
/// Names of the driver's library, in the order in which they are tried.
const NAMES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];
/// Where drivers are mounted that the loader does not look for: containers, WSL, NixOS, hosted notebooks, distributions.
const FOLDERS: [&str; 7] = [
    "/usr/local/nvidia/lib64",
    "/usr/lib/wsl/lib",
    "/usr/lib64-nvidia",
    "/run/opengl-driver/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/lib/nvidia",
];

fn library() -> &'static Result<Library, String> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mounted = FOLDERS.iter().flat_map(|folder| NAMES.map(|name| format!("{folder}/{name}")));
        let names = NAMES.map(str::to_owned).into_iter().chain(mounted);
        // SAFETY: what the driver runs when it is loaded is its own initialisation.
        let mut tried = names.map(|name| unsafe { Library::new(name) });
        let first = tried.next().expect("a name");
        let found = first.or_else(|error| tried.find_map(Result::ok).ok_or(error));
        found.map_err(|error| error.source().map_or(error.to_string(), ToString::to_string))
    })
}

/// What the loader says if there is no driver.
pub fn missing() -> Option<&'static str> {
    library().as_ref().err().map(String::as_str)
}

/// A call that failed: what the driver returned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failure(c_int);

impl Failure {
    /// What a function's result means.
    fn of(code: c_int) -> Result<(), Self> {
        if code == 0 { Ok(()) } else { Err(Self(code)) }
    }
}

/// What the driver says of it: name, number, text.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ask = |function: unsafe fn(c_int, *mut *const c_char) -> Result<(), Self>| {
            let mut text: *const c_char = std::ptr::null();
            // SAFETY: the driver sets the pointer to a text of its own, or leaves it.
            let asked = unsafe { function(self.0, &raw mut text) };
            // SAFETY: a text of the driver, which lives as long as it.
            (asked.is_ok() && !text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
        };
        let (name, text) = (ask(cuGetErrorName).unwrap_or("error".into()), ask(cuGetErrorString).unwrap_or("no description".into()));
        write!(f, "{name} ({}): {text}", self.0)
    }
}

/// A table of functions of the driver, found by name when the first is called, and a function of the same name for each, which calls it or returns
/// [`NO_LIBRARY`] where it is missing.
macro_rules! functions {
    ($(fn $name:ident($($parameter:ident: $type:ty),* $(,)?);)*) => {
        #[allow(non_snake_case, reason = "the driver's names")]
        struct Functions {
            $($name: Option<unsafe extern "C" fn($($type),*) -> c_int>,)*
        }

        impl Functions {
            fn get() -> &'static Self {
                static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
                FUNCTIONS.get_or_init(|| {
                    let library = library().as_ref().ok();
                    // SAFETY: the driver's function of that name has this signature (cuda.h of CUDA 12).
                    Self { $($name: library.and_then(|library| unsafe { library.get(stringify!($name)) }.ok().map(|symbol| *symbol)),)* }
                })
            }
        }

        $(
            /// The driver's function of that name.
            ///
            /// # Safety
            /// The contract is that of the driver's function.
            #[allow(non_snake_case, clippy::too_many_arguments, reason = "the driver's names and parameters")]
            pub unsafe fn $name($($parameter: $type),*) -> Result<(), Failure> {
                // SAFETY: by contract.
                Failure::of(Functions::get().$name.map_or(NO_LIBRARY, |function| unsafe { function($($parameter),*) }))
            }
        )*
    };
}

/// An object of the driver.
pub type Handle = *mut c_void;
/// An address on the device.
pub type Address = u64;

functions! {
    fn cuInit(flags: c_uint);
    fn cuDriverGetVersion(version: *mut c_int);
    fn cuGetErrorName(error: c_int, text: *mut *const c_char);
    fn cuGetErrorString(error: c_int, text: *mut *const c_char);
    fn cuDeviceGet(device: *mut c_int, ordinal: c_int);
    fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: c_int);
    fn cuDeviceGetName(name: *mut c_char, len: c_int, device: c_int);
    fn cuDevicePrimaryCtxRetain(context: *mut Handle, device: c_int);
    fn cuDevicePrimaryCtxRelease_v2(device: c_int);
    fn cuCtxSetCurrent(context: Handle);
    fn cuModuleLoadDataEx(module: *mut Handle, image: *const c_void, options: c_uint, names: *mut c_int, values: *mut *mut c_void);
    fn cuModuleGetFunction(function: *mut Handle, module: Handle, name: *const c_char);
    fn cuFuncSetAttribute(function: Handle, attribute: c_int, value: c_int);
    fn cuStreamCreateWithPriority(stream: *mut Handle, flags: c_uint, priority: c_int);
    fn cuStreamDestroy_v2(stream: Handle);
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize);
    fn cuMemAlloc_v2(address: *mut Address, bytes: usize);
    fn cuMemFree_v2(address: Address);
    fn cuMemcpyHtoD_v2(to: Address, from: *const c_void, bytes: usize);
    fn cuMemcpyDtoH_v2(to: *mut c_void, from: Address, bytes: usize);
    fn cuMemcpyDtoDAsync_v2(to: Address, from: Address, bytes: usize, stream: Handle);
    fn cuMemsetD8_v2(to: Address, value: u8, bytes: usize);
    fn cuMemsetD8Async(to: Address, value: u8, bytes: usize, stream: Handle);
    fn cuEventCreate(event: *mut Handle, flags: c_uint);
    fn cuEventRecord(event: Handle, stream: Handle);
    fn cuEventSynchronize(event: Handle);
    fn cuEventElapsedTime(milliseconds: *mut f32, start: Handle, end: Handle);
    fn cuEventDestroy_v2(event: Handle);
    fn cuLaunchKernel(
        function: Handle,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared_bytes: c_uint,
        stream: Handle,
        parameters: *mut *mut c_void,
        extra: *mut *mut c_void,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_named_by_number_whether_or_not_there_is_a_driver() {
        assert_eq!(Failure::of(0), Ok(()));
        for code in [2, 46, 225, 700, 912, -1] {
            let failure = Failure::of(code).expect_err("a code of failure");
            assert!(failure.to_string().contains(&format!("({code})")), "{failure}");
        }
    }
}
