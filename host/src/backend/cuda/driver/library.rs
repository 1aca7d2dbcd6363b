//! The CUDA driver, looked for when it is first called: the same binary starts on machines without one.
//!
//! `cust` wants a `libcuda` when it is linked. It gets an empty archive of that name and the functions below, which pass each call on to the
//! library that the system's loader finds, or return `CUDA_ERROR_SHARED_OBJECT_INIT_FAILED` where there is none.

use std::cell::Cell;
use std::error::Error;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use libloading::Library;

/// `CUDA_ERROR_SHARED_OBJECT_INIT_FAILED` of the driver API.
const NO_LIBRARY: c_int = 303;
/// `CUDA_ERROR_UNKNOWN`.
const UNKNOWN: c_int = 999;
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

thread_local! {
    /// What the last call that failed in this thread returned.
    static LAST: Cell<c_int> = const { Cell::new(0) };
}

/// A result as `cust_raw`'s enumeration of CUDA 11 has it: a code that it lacks must not become one of its values.
fn known(code: c_int) -> c_int {
    if code != 0 {
        LAST.set(code);
    }
    let is_known = matches!(
        code,
        0..=8 | 34 | 100..=102 | 200..=202 | 205..=224 | 300..=304 | 400 | 401 | 500 | 600 | 700..=705 | 708..=720 | 800..=808 | 900..=911
    );
    if is_known { code } else { UNKNOWN }
}

/// What the driver says of the last call that failed in this thread: name, number, text.
pub fn last_error() -> String {
    let code = LAST.get();
    let ask = |function: unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int| {
        let mut text: *const c_char = std::ptr::null();
        // SAFETY: the driver sets the pointer to a text of its own, or leaves it.
        let asked = unsafe { function(code, &raw mut text) };
        // SAFETY: a text of the driver, which lives as long as it.
        (asked == 0 && !text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    };
    let (name, text) = (ask(cuGetErrorName).unwrap_or("error".into()), ask(cuGetErrorString).unwrap_or("no description".into()));
    LAST.set(code);
    format!("{name} ({code}): {text}")
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
                // SAFETY: the caller keeps the contract of the driver's function.
                known(function.map_or(NO_LIBRARY, |function| unsafe { function($($parameter),*) }))
            }
        )*
    };
}

type Handle = *mut c_void;
type Address = u64;

forward! {
    fn cuInit(flags: c_uint);
    fn cuDriverGetVersion(version: *mut c_int);
    fn cuGetErrorName(error: c_int, text: *mut *const c_char);
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
    fn cuFuncSetAttribute(function: Handle, attribute: c_int, value: c_int);
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

/// Options of a module load (`CUjit_option`): the error log's buffer and size.
const ERROR_LOG: c_int = 5;
const ERROR_LOG_BYTES: c_int = 6;
/// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
const MAX_DYNAMIC_SHARED: c_int = 8;
/// Dynamic shared bytes that a launch may ask for without that attribute.
const SHARED_WITHOUT_ASKING: u32 = 48 << 10;

/// A module of the context that was current when it was loaded; it stays loaded until the process ends.
#[derive(Clone, Copy)]
pub struct Module(Handle);

/// A kernel of a [`Module`].
#[derive(Clone, Copy)]
pub struct Function(Handle);

// SAFETY: handles of the driver, which any thread may use whose current context is theirs.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Module {
    /// Loads PTX or a cubin.
    ///
    /// # Errors
    /// What the driver and its compiler say.
    pub fn load(image: &[u8]) -> Result<Self, String> {
        let image = [image, &[0]].concat();
        let (mut module, mut log) = (std::ptr::null_mut(), vec![0u8; 16 << 10]);
        let mut names = [ERROR_LOG, ERROR_LOG_BYTES];
        // Small values are passed in place of pointers.
        let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len() as *mut c_void];
        // SAFETY: the image ends in a zero; the log has the size that is given.
        let code = unsafe { cuModuleLoadDataEx(&raw mut module, image.as_ptr().cast(), 2, names.as_mut_ptr(), values.as_mut_ptr()) };
        if code == 0 {
            return Ok(Self(module));
        }
        let log = String::from_utf8_lossy(log.split(|&byte| byte == 0).next().unwrap_or_default()).trim().to_owned();
        Err(if log.is_empty() { last_error() } else { format!("{}\n{log}", last_error()) })
    }

    /// A kernel by its name, ready for launches with so many bytes of dynamic shared memory.
    ///
    /// # Errors
    /// What the driver says: there is no such kernel, or the device has less memory.
    pub fn function(self, name: &str, shared: u32) -> Result<Function, String> {
        let (mut function, name) = (std::ptr::null_mut(), [name.as_bytes(), &[0]].concat());
        // SAFETY: the module stays loaded; the name ends in a zero.
        let mut code = unsafe { cuModuleGetFunction(&raw mut function, self.0, name.as_ptr().cast()) };
        if code == 0 && shared > SHARED_WITHOUT_ASKING {
            // SAFETY: a kernel of the module.
            code = unsafe { cuFuncSetAttribute(function, MAX_DYNAMIC_SHARED, shared as c_int) };
        }
        if code == 0 { Ok(Function(function)) } else { Err(last_error()) }
    }
}

impl Function {
    /// Queues a launch.
    ///
    /// # Errors
    /// What the driver says.
    ///
    /// # Safety
    /// The arguments are values of the kernel's parameter types, each in the low bytes of a word, and pointers among these are valid for what the
    /// kernel does.
    pub unsafe fn launch<const N: usize>(
        self,
        stream: Handle,
        blocks: [u32; 2],
        threads: u32,
        shared: u32,
        arguments: &[u64; N],
    ) -> Result<(), String> {
        // A value's low bytes are its first ones on all hosts of CUDA.
        let mut parameters = arguments.each_ref().map(|argument| (&raw const *argument).cast_mut().cast());
        let parameters = parameters.as_mut_ptr();
        // SAFETY: by contract.
        let code =
            unsafe { cuLaunchKernel(self.0, blocks[0], blocks[1], 1, threads, 1, 1, shared, stream, parameters, std::ptr::null_mut()) };
        if code == 0 { Ok(()) } else { Err(last_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_the_enumeration_lacks_are_unknown_and_still_named_by_number() {
        for (code, expected) in
            [(0, 0), (2, 2), (700, 700), (911, 911), (46, UNKNOWN), (225, UNKNOWN), (721, UNKNOWN), (912, UNKNOWN), (-1, UNKNOWN)]
        {
            assert_eq!(known(code), expected, "{code}");
            if code != 0 {
                assert!(last_error().contains(&format!("({code})")), "{}", last_error());
            }
        }
    }
}
