//! The driver API: called directly, through the shared library, and from another language.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cuda::driver::Handle;
use cuda::driver::context::{cuCtxCreate_v2, cuCtxDestroy_v2, cuCtxSynchronize, cuInit};
use cuda::driver::entry::cuGetProcAddress;
use cuda::driver::errors::{cuGetErrorName, cuGetErrorString};
use cuda::driver::launch::cuLaunchKernel;
use cuda::driver::memory::{
    cuMemAlloc_v2, cuMemAllocManaged, cuMemFree_v2, cuMemGetInfo_v2, cuMemcpyDtoD_v2, cuMemcpyDtoH_v2, cuMemcpyHtoD_v2, cuMemsetD32_v2,
};
use cuda::driver::module::{cuModuleGetFunction, cuModuleGetGlobal_v2, cuModuleLoadData, cuModuleLoadDataEx, cuModuleUnload};
use cuda::driver::stream::{cuEventCreate, cuEventElapsedTime, cuEventRecord, cuStreamCreate, cuStreamDestroy_v2, cuStreamSynchronize};

const ADD: &str = include_str!("add.ptx");

/// There is one device and one driver in a process: tests take turns, each in a context of its own.
struct Context {
    handle: Handle,
    _turn: MutexGuard<'static, ()>,
}

impl Context {
    fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut handle = 0;
        // SAFETY: valid pointers.
        unsafe {
            assert_eq!(cuInit(0), 0);
            assert_eq!(cuCtxCreate_v2(&mut handle, 0, 0), 0);
        }
        Self { handle, _turn: turn }
    }

    fn module(&self, source: &str) -> Handle {
        let (mut module, source) = (0, CString::new(source).unwrap());
        // SAFETY: valid pointers.
        assert_eq!(unsafe { cuModuleLoadData(&mut module, source.as_ptr().cast()) }, 0);
        module
    }

    fn function(&self, module: Handle, name: &CStr) -> Handle {
        let mut function = 0;
        // SAFETY: valid pointers.
        assert_eq!(unsafe { cuModuleGetFunction(&mut function, module, name.as_ptr()) }, 0);
        function
    }

    fn buffer<T: Copy>(&self, values: &[T]) -> u64 {
        let mut address = 0;
        // SAFETY: valid pointers.
        unsafe {
            assert_eq!(cuMemAlloc_v2(&mut address, size_of_val(values)), 0);
            assert_eq!(cuMemcpyHtoD_v2(address, values.as_ptr().cast(), size_of_val(values)), 0);
        }
        address
    }

    fn read<T: Copy + Default>(&self, address: u64, count: usize) -> Result<Vec<T>, i32> {
        let mut values = vec![T::default(); count];
        // SAFETY: valid pointers.
        let code = unsafe { cuMemcpyDtoH_v2(values.as_mut_ptr().cast(), address, count * size_of::<T>()) };
        if code == 0 { Ok(values) } else { Err(code) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the handle is ours.
        assert_eq!(unsafe { cuCtxDestroy_v2(self.handle) }, 0);
    }
}

/// Launches with pointers to the given values as parameters.
fn launch(function: Handle, blocks: u32, threads: u32, mut values: Vec<u64>) -> i32 {
    let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| (value as *mut u64).cast()).collect();
    // SAFETY: valid pointers to at least as many bytes as each parameter has.
    unsafe { cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, 0, pointers.as_mut_ptr(), null_mut()) }
}

#[test]
fn adds_vectors() {
    let context = Context::new();
    let function = context.function(context.module(ADD), c"add");
    let (a, b): (Vec<f32>, Vec<f32>) = (0..1000).map(|i| (i as f32, 0.5 * i as f32)).unzip();
    let (x, y, z) = (context.buffer(&a), context.buffer(&b), context.buffer(&vec![0f32; 1000]));
    assert_eq!(launch(function, 4, 256, vec![x, y, z, 1000]), 0);
    // SAFETY: no pointers.
    assert_eq!(unsafe { cuCtxSynchronize() }, 0);
    let sums = context.read::<f32>(z, 1000).unwrap();
    assert!(sums.iter().enumerate().all(|(i, sum)| *sum == 1.5 * i as f32), "{sums:?}");
}
