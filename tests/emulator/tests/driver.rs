//! The driver API: called directly, through the shared library, and from another language.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cuda::driver::Handle;
use cuda::driver::context::{cuCtxCreate_v2, cuCtxDestroy_v2, cuCtxSynchronize, cuInit};
use cuda::driver::device::cuDeviceGetAttribute;
use cuda::driver::entry::cuGetProcAddress;
use cuda::driver::errors::{cuGetErrorName, cuGetErrorString};
use cuda::driver::launch::cuLaunchKernel;
use cuda::driver::memory::{
    cuMemAlloc_v2, cuMemAllocManaged, cuMemFree_v2, cuMemGetInfo_v2, cuMemcpyDtoD_v2, cuMemcpyDtoH_v2, cuMemcpyHtoD_v2, cuMemsetD32_v2,
};
use cuda::driver::module::{cuModuleGetFunction, cuModuleGetGlobal_v2, cuModuleLoadData, cuModuleLoadDataEx, cuModuleUnload};
use cuda::driver::stream::{cuEventCreate, cuEventElapsedTime, cuEventRecord, cuLaunchHostFunc, cuStreamCreate, cuStreamSynchronize};

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

/// A kernel that stores its thread's index far away.
const WILD: &str = ".version 7.0 .target sm_61 .address_size 64
.visible .entry wild(.param .u64 p) { .reg .b64 %p; ld.param.u64 %p, [p]; st.global.u32 [%p+4096], 1; ret; }
.visible .entry odd(.param .u64 p) { .reg .b64 %p; ld.param.u64 %p, [p]; st.global.u32 [%p+1], 1; ret; }
.visible .entry stop() { trap; }";

/// A fault is given by the calls that follow the launch, until the context ends; another context is not touched by it.
#[test]
fn faults_stay_with_their_context() {
    for (name, code) in [(c"wild", 700), (c"odd", 716), (c"stop", 719)] {
        let context = Context::new();
        let function = context.function(context.module(WILD), name);
        let buffer = context.buffer(&[0u32; 4]);
        assert_eq!(launch(function, 1, 1, vec![buffer]), 0);
        // SAFETY: no pointers.
        assert_eq!(unsafe { cuCtxSynchronize() }, code);
        assert_eq!(context.read::<u32>(buffer, 1), Err(code));
        assert_eq!(launch(function, 1, 1, vec![buffer]), code);
    }
    let context = Context::new();
    assert_eq!(context.read::<u32>(context.buffer(&[7u32]), 1), Ok(vec![7]));
}

#[test]
fn refused_modules_say_why() {
    let _context = Context::new();
    let source = CString::new(".version 7.0\n.target sm_61\n.address_size 64\n.entry k() {\nfoo.b32;\n}").unwrap();
    let mut log = [1u8; 200];
    let names = [5u32, 6];
    let mut values: [*mut c_void; 2] = [log.as_mut_ptr().cast(), log.len() as *mut c_void];
    let mut module = 0;
    // SAFETY: valid pointers; the log has the size that is given.
    let code = unsafe { cuModuleLoadDataEx(&mut module, source.as_ptr().cast(), 2, names.as_ptr(), values.as_mut_ptr()) };
    let message = CStr::from_bytes_until_nul(&log).unwrap().to_str().unwrap();
    assert_eq!((code, message), (218, "line 5: instruction `foo.b32` is not supported"));
    assert_eq!(values[1] as usize, message.len() + 1);
    for (text, code) in [
        (".version 9.9 .target sm_61 .address_size 64", 222),
        (".version 7.0 .target sm_150 .address_size 64", 209),
        ("\x7fELF", 200),
        (".version 7.0 .target sm_61 .address_size 32", 218),
    ] {
        let text = CString::new(text).unwrap();
        // SAFETY: valid pointers.
        assert_eq!(unsafe { cuModuleLoadData(&mut module, text.as_ptr().cast()) }, code, "{text:?}");
    }
}

#[test]
fn parameters_in_a_buffer() {
    let context = Context::new();
    let function = context.function(context.module(ADD), c"add");
    let x = context.buffer(&[1.5f32; 32]);
    let mut block = Vec::new();
    [x, x, x].iter().for_each(|address| block.extend(address.to_le_bytes()));
    block.extend(32u32.to_le_bytes());
    let mut launch = |mut bytes: usize| {
        let mut extra: [*mut c_void; 5] = [
            std::ptr::without_provenance_mut(1),
            block.as_mut_ptr().cast(),
            std::ptr::without_provenance_mut(2),
            (&raw mut bytes).cast(),
            null_mut(),
        ];
        // SAFETY: valid pointers.
        unsafe { cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, 0, null_mut(), extra.as_mut_ptr()) }
    };
    assert_eq!((launch(28), launch(24), launch(64)), (0, 1, 1));
    assert_eq!(context.read::<f32>(x, 32), Ok(vec![3.0; 32]));
    // No parameters at all, and a null pointer among them.
    let mut nulls: [*mut c_void; 4] = [null_mut(); 4];
    // SAFETY: what is null must be found out.
    unsafe {
        assert_eq!(cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, 0, null_mut(), null_mut()), 1);
        assert_eq!(cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, 0, nulls.as_mut_ptr(), null_mut()), 1);
    }
    assert_eq!(context.read::<f32>(x, 32), Ok(vec![3.0; 32]));
}

#[test]
fn memory_is_copied_filled_and_counted() {
    let context = Context::new();
    let (mut before, mut after, mut total, mut managed) = (0, 0, 0, 0);
    // SAFETY: valid pointers and device addresses.
    unsafe {
        assert_eq!(cuMemGetInfo_v2(&mut before, &mut total), 0);
        let a = context.buffer(&[0u32; 256]);
        let b = context.buffer(&[0u32; 256]);
        assert_eq!(cuMemGetInfo_v2(&mut after, &mut total), 0);
        assert_eq!(before - after, 2048);
        assert_eq!(cuMemsetD32_v2(a + 4, 0xabcd_0123, 2), 0);
        assert_eq!(cuMemcpyDtoD_v2(b, a, 16), 0);
        assert_eq!(context.read::<u32>(b, 4), Ok(vec![0, 0xabcd_0123, 0xabcd_0123, 0]));
        assert_eq!(cuMemcpyDtoD_v2(b, a + 1020, 8), 1);
        assert_eq!(cuMemFree_v2(a), 0);
        assert_eq!(cuMemFree_v2(a), 1);
        assert_eq!(context.read::<u32>(a, 1), Err(1));
        assert_eq!(cuMemAlloc_v2(&mut managed, usize::MAX), 2);
        // Managed memory has one address on both sides.
        assert_eq!(cuMemAllocManaged(&mut managed, 64, 1), 0);
        *(managed as *mut u32) = 77;
        assert_eq!(context.read::<u32>(managed, 1), Ok(vec![77]));
    }
}

#[test]
fn module_variables_have_addresses() {
    let context = Context::new();
    let module = context.module(".version 7.0 .target sm_61 .address_size 64 .visible .global .align 4 .u32 table[3] = {1, 2, 3};");
    let (mut address, mut bytes) = (0, 0);
    // SAFETY: valid pointers.
    unsafe {
        assert_eq!(cuModuleGetGlobal_v2(&mut address, &mut bytes, module, c"table".as_ptr()), 0);
        assert_eq!((bytes, context.read::<u32>(address, 3)), (12, Ok(vec![1, 2, 3])));
        assert_eq!(cuModuleGetGlobal_v2(&mut address, &mut bytes, module, c"none".as_ptr()), 500);
        assert_eq!(cuModuleGetFunction(&mut address, module, c"none".as_ptr()), 500);
        assert_eq!(cuModuleUnload(module), 0);
        assert_eq!(cuModuleUnload(module), 400);
    }
}

#[test]
fn streams_events_and_host_functions() {
    unsafe extern "C" fn raise(flag: *mut c_void) {
        // SAFETY: the address of a word.
        unsafe { *flag.cast::<u32>() += 1 };
    }
    let _context = Context::new();
    let (mut stream, mut start, mut end, mut milliseconds, mut flag) = (0, 0, 0, -1f32, 0u32);
    // SAFETY: valid pointers.
    unsafe {
        assert_eq!(cuStreamCreate(&mut stream, 0), 0);
        assert_eq!((cuEventCreate(&mut start, 0), cuEventCreate(&mut end, 0)), (0, 0));
        assert_eq!(cuEventElapsedTime(&mut milliseconds, start, end), 400);
        assert_eq!(cuEventRecord(start, stream), 0);
        assert_eq!(cuLaunchHostFunc(stream, Some(raise), (&raw mut flag).cast()), 0);
        assert_eq!(cuEventRecord(end, stream), 0);
        assert_eq!(cuEventElapsedTime(&mut milliseconds, start, end), 0);
        assert_eq!(cuStreamSynchronize(stream), 0);
        assert_eq!(cuStreamSynchronize(stream + 1), 400);
    }
    assert!(milliseconds >= 0.0 && flag == 1);
}

#[test]
fn errors_functions_and_attributes_have_names() {
    let (mut name, mut text): (*const c_char, *const c_char) = (null(), null());
    let (mut address, mut value) = (null_mut(), 0);
    // SAFETY: valid pointers.
    unsafe {
        assert_eq!((cuGetErrorName(700, &mut name), cuGetErrorString(700, &mut text)), (0, 0));
        assert_eq!(CStr::from_ptr(name), c"CUDA_ERROR_ILLEGAL_ADDRESS");
        assert_eq!(CStr::from_ptr(text), c"an illegal memory access was encountered");
        assert_eq!(cuGetErrorName(12345, &mut name), 1);
        assert_eq!(cuGetProcAddress(c"cuMemAlloc".as_ptr(), &mut address, 12000, 0), 0);
        assert_eq!(address as usize, cuMemAlloc_v2 as *const () as usize);
        assert_eq!(cuGetProcAddress(c"cuFly".as_ptr(), &mut address, 12000, 0), 500);
        assert_eq!(cuInit(0), 0);
        // Warp size.
        assert_eq!((cuDeviceGetAttribute(&mut value, 10, 0), value), (0, 32));
        assert_eq!(cuDeviceGetAttribute(&mut value, 10, 1), 101);
    }
}

/// The shared library, which cargo puts beside the tests.
fn library() -> PathBuf {
    let path = std::env::current_exe().unwrap().with_file_name("libcuda.so");
    assert!(path.exists(), "{} is not there", path.display());
    path
}

#[test]
fn the_library_can_be_loaded() {
    // SAFETY: our own library, and functions of these types.
    unsafe {
        let library = libloading::Library::new(library()).unwrap();
        let version: libloading::Symbol<unsafe extern "C" fn(*mut i32) -> i32> = library.get("cuDriverGetVersion").unwrap();
        let count: libloading::Symbol<unsafe extern "C" fn(*mut i32) -> i32> = library.get("cuDeviceGetCount").unwrap();
        let mut value = 0;
        assert_eq!((version(&mut value), value), (0, 12080));
        // Before cuInit.
        assert_eq!(count(&mut value), 3);
    }
}

/// The output of a program, or `None` if there is no such program.
fn output(program: &str, arguments: &[&Path]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        output => Some(output.unwrap_or_else(|error| panic!("{program}: {error}"))),
    }
}

/// Programs in C and Python open the library and add vectors; at least one of the languages must be there.
#[test]
fn other_languages_can_use_it() {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let (library, module) = (library(), clients.with_file_name("add.ptx"));
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("add");
    let compiled = output("cc", &[&clients.join("add.c"), Path::new("-o"), &binary, Path::new("-ldl")]);
    if let Some(compiled) = &compiled {
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    }
    let c = compiled.and_then(|_| output(binary.to_str().unwrap(), &[&library, &module]));
    let python = output("python3", &[&clients.join("add.py"), &library, &module]);
    let ran: Vec<Output> = c.into_iter().chain(python).collect();
    assert!(!ran.is_empty(), "neither cc nor python3 is here: install one of them");
    for output in ran {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said == "added 1000 numbers\n", "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}
