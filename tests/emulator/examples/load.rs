//! Says of each PTX file whether the emulator can execute it: `cargo run -p ptx-emulator --example load FILE…`.

use std::process::ExitCode;

use cuda::device::{Device, Options};

fn main() -> ExitCode {
    let mut refused = 0;
    for path in std::env::args().skip(1) {
        let source = match std::fs::read_to_string(&path) {
            Ok(source) => source,
            Err(error) => {
                eprintln!("{path}: {error}");
                refused += 1;
                continue;
            }
        };
        match Device::new(Options::default()).load(&source, 0) {
            Err(error) => {
                eprintln!("{path}: {error}");
                refused += 1;
            }
            Ok(module) => {
                let mut kernels: Vec<_> = module.kernels.values().collect();
                kernels.sort_by_key(|kernel| &kernel.name);
                for kernel in kernels {
                    println!(
                        "{path}: {} ({} bytes of parameters, {} of shared memory)",
                        kernel.name,
                        kernel.param_bytes(),
                        kernel.shared_bytes
                    );
                }
            }
        }
    }
    ExitCode::from(u8::from(refused > 0))
}
