//! The CUDA driver, looked for when it is first called: the same binary starts on machines without one.
//!
//! `cust` wants a `libcuda` when it is linked. It gets an empty archive of that name and the functions below, which pass each call on to the
//! library that the system's loader finds, or return `CUDA_ERROR_SHARED_OBJECT_INIT_FAILED` where there is none.

use std::error::Error;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use libloading::Library;

/// `CUDA_ERROR_SHARED_OBJECT_INIT_FAILED` of the driver API.
const NO_LIBRARY: c_int = 303;
/// Names of the driver's library, in the order in which they are tried.
const NAMES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];

fn library() -> &'static Result<Library, String> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        // SAFETY: what the driver runs when it is loaded is its own initialisation.
        let mut tried = NAMES.iter().map(|name| unsafe { Library::new(*name) });
        let first = tried.next().expect("a name");
        let found = first.or_else(|error| tried.find_map(Result::ok).ok_or(error));
        found.map_err(|error| error.source().map_or(error.to_string(), ToString::to_string))
    })
}

/// What the loader says if there is no driver.
pub fn missing() -> Option<&'static str> {
    library().as_ref().err().map(String::as_str)
}

/// Declares functions of the driver under their own names; all return a `CUresult`.
macro_rules! forward {
    ($(fn $name:ident($($parameter:ident: $type:ty),* $(,)?);)*) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($parameter: $type),*) -> c_int {
                type Function = unsafe extern "C" fn($($type),*) -> c_int;
                static FUNCTION: OnceLock<Option<Function>> = OnceLock::new();
                let function = FUNCTION.get_or_init(|| {
                    let library = library().as_ref().ok()?;
                    // SAFETY: the driver's function of that name has this signature (cuda.h of CUDA 12).
                    unsafe { library.get::<Function>(stringify!($name)) }.ok().map(|symbol| *symbol)
                });
                match function {
                    // SAFETY: the caller keeps the contract of the driver's function.
                    Some(function) => unsafe { function($($parameter),*) },
                    None => NO_LIBRARY,
                }
            }
        )*
    };
}

type Handle = *mut c_void;
type Address = u64;

forward! {
    fn cuInit(flags: c_uint);
    fn cuDriverGetVersion(version: *mut c_int);
    fn cuGetErrorString(error: c_int, text: *mut *const c_char);
    fn cuDeviceGet(device: *mut c_int, ordinal: c_int);
    fn cuDeviceGetCount(count: *mut c_int);
    fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: c_int);
    fn cuDeviceGetName(name: *mut c_char, len: c_int, device: c_int);
    fn cuDevicePrimaryCtxRetain(context: *mut Handle, device: c_int);
    fn cuDevicePrimaryCtxRelease_v2(device: c_int);
    fn cuDevicePrimaryCtxSetFlags_v2(device: c_int, flags: c_uint);
    fn cuCtxSetCurrent(context: Handle);
    fn cuModuleLoadDataEx(module: *mut Handle, image: *const c_void, options: c_uint, names: *mut c_int, values: *mut *mut c_void);
    fn cuModuleGetFunction(function: *mut Handle, module: Handle, name: *const c_char);
    fn cuModuleUnload(module: Handle);
    fn cuStreamCreateWithPriority(stream: *mut Handle, flags: c_uint, priority: c_int);
    fn cuStreamSynchronize(stream: Handle);
    fn cuStreamDestroy_v2(stream: Handle);
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize);
    fn cuMemAlloc_v2(address: *mut Address, bytes: usize);
    fn cuMemFree_v2(address: Address);
    fn cuMemcpyHtoD_v2(to: Address, from: *const c_void, bytes: usize);
    fn cuMemcpyDtoH_v2(to: *mut c_void, from: Address, bytes: usize);
    fn cuMemcpyDtoDAsync_v2(to: Address, from: Address, bytes: usize, stream: Handle);
    fn cuMemcpyHtoDAsync_v2(to: Address, from: *const c_void, bytes: usize, stream: Handle);
    fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: Address, bytes: usize, stream: Handle);
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
