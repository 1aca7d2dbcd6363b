//! Runs small kernels on an emulated device.
#![allow(dead_code)]

use cuda::device::{Device, Executed, LaunchSize, Options, SHARED_BYTES};
use cuda::exec::LaunchFault;

/// A module with one kernel `k`, whose parameter `out` points to the results.
pub fn module(body: &str) -> String {
    module_with("", body)
}

/// A module with variables and functions before its kernel.
pub fn module_with(before: &str, body: &str) -> String {
    format!(
        ".version 8.0\n.target sm_90\n.address_size 64\n{before}\n.visible .entry k(.param .u64 out)\n{{\n\
         .reg .b64 %out;\nld.param.u64 %out, [out];\n{body}\nret;\n}}\n"
    )
}

/// How a kernel is launched.
#[derive(Clone, Copy)]
pub struct Size {
    pub blocks: u32,
    pub threads: u32,
    pub dynamic_shared: usize,
}

impl Size {
    pub fn threads(threads: u32) -> Self {
        Self { blocks: 1, threads, dynamic_shared: 0 }
    }
}

/// A device with all checks and counters.
pub fn device() -> Device {
    Device::new(Options { profile: true, memory: 1 << 30, ..Options::default() })
}

/// Lets NVIDIA's assembler judge a text, if `PTX_TEST_PTXAS` names it.
fn assemble(source: &str) {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let Some(ptxas) = std::env::var_os("PTX_TEST_PTXAS") else { return };
    let mut child = Command::new(ptxas)
        .args(["-arch=sm_90", "-o", "/dev/null", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("PTX_TEST_PTXAS is a program");
    child.stdin.take().expect("it is piped").write_all(source.as_bytes()).expect("it reads all");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}\n{source}", String::from_utf8_lossy(&said));
}

/// Executes kernel `k` of a module with the parameter block `params`.
pub fn execute_on(device: &mut Device, source: &str, size: Size, params: &[u8]) -> Executed {
    assemble(source);
    let module = device.load(source, 0).unwrap_or_else(|error| panic!("{error}\n{source}"));
    let size = LaunchSize {
        grid: [size.blocks, 1, 1],
        block: [size.threads, 1, 1],
        dynamic_shared: size.dynamic_shared,
        shared_limit: SHARED_BYTES,
    };
    device.launch(&module.kernels["k"], size, params).unwrap_or_else(|error| panic!("{error}\n{source}"))
}

/// Executes kernel `k`, and gives the `words` words at `out`, which were zero before.
pub fn execute(source: &str, size: Size, words: usize) -> Result<Vec<u32>, Box<LaunchFault>> {
    let mut device = device();
    let out = device.heap.allocate(4 * words as u64, "out", 0).expect("enough memory");
    device.heap.fill(out, &[0], 4 * words as u64).unwrap();
    execute_on(&mut device, source, size, &out.to_le_bytes()).result?;
    let mut bytes = vec![0; 4 * words];
    device.heap.read(out, &mut bytes).unwrap();
    Ok(bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect())
}

/// Executes a kernel body of one warp that leaves each lane's result in `%d` (32 bits).
pub fn lanes(declarations: &str, body: &str) -> Vec<u32> {
    lanes_of(Size::threads(32), "", declarations, body)
}

/// The results of any number of threads, with variables and functions before the kernel.
pub fn lanes_of(size: Size, before: &str, declarations: &str, body: &str) -> Vec<u32> {
    let source = module_with(
        before,
        &format!(
            ".reg .b32 %t, %d, %ntid_, %ctaid_;\n.reg .b64 %at;\n{declarations}\n\
             mov.u32 %t, %tid.x;\nmov.u32 %ntid_, %ntid.x;\nmov.u32 %ctaid_, %ctaid.x;\nmov.u32 %d, 0;\n{body}\n\
             mad.lo.u32 %t, %ctaid_, %ntid_, %t;\nmul.wide.u32 %at, %t, 4;\nadd.u64 %at, %out, %at;\nst.global.u32 [%at], %d;"
        ),
    );
    execute(&source, size, (size.blocks * size.threads) as usize).unwrap_or_else(|fault| panic!("{fault}\n{source}"))
}
