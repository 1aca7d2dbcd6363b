//! Kernels in modules.

use std::ffi::{c_int, c_void};

use super::library::{self, Failure, Handle};
use super::stream::Stream;

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
        let loaded =
            unsafe { library::cuModuleLoadDataEx(&raw mut module, image.as_ptr().cast(), 2, names.as_mut_ptr(), values.as_mut_ptr()) };
        let Err(failure) = loaded else { return Ok(Self(module)) };
        let log = String::from_utf8_lossy(log.split(|&byte| byte == 0).next().unwrap_or_default()).trim().to_owned();
        Err(if log.is_empty() { failure.to_string() } else { format!("{failure}\n{log}") })
    }

    /// A kernel by its name, ready for launches with so many bytes of dynamic shared memory.
    ///
    /// # Errors
    /// What the driver says: there is no such kernel, or the device has less memory.
    pub fn function(self, name: &str, shared: u32) -> Result<Function, Failure> {
        let (mut function, name) = (std::ptr::null_mut(), [name.as_bytes(), &[0]].concat());
        // SAFETY: the module stays loaded; the name ends in a zero.
        unsafe { library::cuModuleGetFunction(&raw mut function, self.0, name.as_ptr().cast()) }?;
        if shared > SHARED_WITHOUT_ASKING {
            // SAFETY: a kernel of the module.
            unsafe { library::cuFuncSetAttribute(function, MAX_DYNAMIC_SHARED, shared as c_int) }?;
        }
        Ok(Function(function))
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
        stream: &Stream,
        blocks: [u32; 2],
        threads: u32,
        shared: u32,
        arguments: &[u64; N],
    ) -> Result<(), Failure> {
        // A value's low bytes are its first ones on all hosts of CUDA.
        let mut parameters = arguments.each_ref().map(|argument| (&raw const *argument).cast_mut().cast());
        let parameters = parameters.as_mut_ptr();
        let null = std::ptr::null_mut();
        // SAFETY: by contract.
        unsafe { library::cuLaunchKernel(self.0, blocks[0], blocks[1], 1, threads, 1, 1, shared, stream.handle(), parameters, null) }
    }
}
