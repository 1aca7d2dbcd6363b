//! A dry run: what is asked of the device is counted, and nothing is done.

use std::ffi::{CString, c_void};
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

use cuda::driver::context::{cuCtxCreate_v2, cuCtxDestroy_v2, cuCtxSynchronize, cuInit};
use cuda::driver::launch::cuLaunchKernel;
use cuda::driver::memory::{
    cuMemAlloc_v2, cuMemGetInfo_v2, cuMemcpyDtoD_v2, cuMemcpyDtoH_v2, cuMemcpyHtoD_v2, cuMemsetD8_v2, cuMemsetD32_v2,
};
use cuda::driver::module::{cuModuleGetFunction, cuModuleLoadData};

/// A kernel that would fail wherever it ran.
const STOP: &str = ".version 7.0 .target sm_61 .address_size 64
.visible .entry stop(.param .u64 p, .param .u32 n, .param .f32 x, .param .u8 flag) { trap; }";
const GIB: usize = 1 << 30;

/// Sets a variable of the environment.
fn set(name: &str, value: &Path) {
    // SAFETY: the only test of this program, so no other thread reads the environment.
    unsafe { std::env::set_var(name, value) }
}

/// Launches `stop` with that many blocks of 32 threads.
fn launch(function: u64, blocks: u32, values: &mut [u64; 4]) -> i32 {
    let mut pointers = values.each_mut().map(|value| (value as *mut u64).cast::<c_void>());
    // SAFETY: valid pointers to at least as many bytes as each parameter has.
    unsafe { cuLaunchKernel(function, blocks, 2, 1, 32, 1, 1, 0, 0, pointers.as_mut_ptr(), null_mut()) }
}

#[test]
fn requests_are_counted_and_nothing_is_done() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("dry.tsv");
    set("PTX_EMU_MEMORY", Path::new("80G"));
    set("PTX_EMU_DRY", &folder.join("no folder/dry.tsv"));
    // SAFETY: no pointers.
    assert_eq!(unsafe { cuInit(0) }, 304, "a file that cannot be written");

    set("PTX_EMU_DRY", &file);
    let source = CString::new(STOP).unwrap();
    let (mut context, mut module, mut function, mut address, mut other, mut free, mut total) = (0, 0, 0, 0, 0, 0, 0);
    let mut seen = [1u8; 8];
    // SAFETY: valid pointers.
    unsafe {
        assert_eq!((cuInit(0), cuCtxCreate_v2(&mut context, 0, 0)), (0, 0));
        assert_eq!(cuModuleLoadData(&mut module, source.as_ptr().cast()), 0);
        assert_eq!(cuModuleGetFunction(&mut function, module, c"stop".as_ptr()), 0);
        // More than any machine that runs the tests has, and no byte of it is kept.
        assert_eq!(cuMemAlloc_v2(&mut address, 79 * GIB), 0);
        assert_eq!((cuMemGetInfo_v2(&mut free, &mut total), free, total), (0, GIB, 80 * GIB));
        assert_eq!(cuMemAlloc_v2(&mut other, 2 * GIB), 2, "out of memory");

        assert_eq!(cuMemsetD32_v2(address, 7, 19 * GIB), 0);
        assert_eq!(cuMemcpyHtoD_v2(address, seen.as_ptr(), 8), 0);
        assert_eq!(cuMemcpyDtoD_v2(address + GIB as u64, address, GIB), 0);
        let mut values = [address, 5, f32::to_bits(1.0).into(), 1];
        assert_eq!([1, 3, 1].map(|blocks| launch(function, blocks, &mut values)), [0; 3]);
        values[1] = 6;
        assert_eq!(launch(function, 1, &mut values), 0);
        // What a device refuses is still refused, and not counted.
        assert_eq!(launch(function, 0, &mut values), 1);
        assert_eq!(cuMemcpyHtoD_v2(address + 79 * GIB as u64, seen.as_ptr(), 8), 1);
        assert_eq!(cuCtxSynchronize(), 0, "no kernel ran into its trap");
        assert_eq!((cuMemcpyDtoH_v2(seen.as_mut_ptr(), address, 8), seen), (0, [0; 8]));
    }
    let first = format!(
        "kernel\t2\tstop\t1,2,1\t32,1,1\t-\t5\t1065353216\t1\nkernel\t1\tstop\t1,2,1\t32,1,1\t-\t6\t1065353216\t1\n\
         kernel\t1\tstop\t3,2,1\t32,1,1\t-\t5\t1065353216\t1\nmemset\t1\t{}\n\
         copy\t1\tto device\t8\ncopy\t1\tto host\t8\ncopy\t1\ton device\t{GIB}\nmemory\t{}\n\n",
        76 * GIB,
        79 * GIB
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), first);

    // What nobody looked at makes the last section, when the context ends.
    // SAFETY: no pointers to the host's memory.
    unsafe {
        assert_eq!(cuMemsetD8_v2(address, 0, 16), 0);
        assert_eq!(cuCtxDestroy_v2(context), 0);
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{first}memset\t1\t16\nmemory\t{}\n\n", 79 * GIB));
}
