//! The kernels of `primal-device`, found by name in the PTX that `cargo xtask build-kernels` wrote, and launched with checked parameters.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::path::{Path, PathBuf};

use cust::device::{Device, DeviceAttribute};
use cust::function::Function;
use cust::module::Module;
use cust::stream::Stream;
use serde::Deserialize;

use crate::{Error, Result};

/// `manifest.json`.
#[derive(Deserialize)]
struct Manifest {
    architectures: BTreeMap<String, Architecture>,
}

#[derive(Deserialize)]
struct Architecture {
    /// The PTX file, beside the manifest.
    ptx: String,
    kernels: BTreeMap<String, Launch>,
}

/// How a kernel is launched.
#[derive(Deserialize)]
struct Launch {
    threads: u32,
    shared: u32,
    /// Items of a block in x and y.
    covers: [u32; 2],
    /// Names and Rust types.
    parameters: Vec<(String, String)>,
}

/// A kernel that can be launched.
struct Kernel {
    function: Function<'static>,
    launch: Launch,
}

const BUILD: &str = "run `cargo xtask build-kernels`";

/// The folder of the kernels: `$PRIMAL_KERNELS`, or `kernels` in a folder above the program, as in `target/`.
fn folder() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("PRIMAL_KERNELS") {
        return Ok(given.into());
    }
    let program = std::env::current_exe().unwrap_or_default();
    let found = program.ancestors().skip(1).map(|above| above.join("kernels")).find(|folder| folder.join("manifest.json").is_file());
    found.ok_or_else(|| {
        let hint = format!("{BUILD}, or name the folder of the kernels by PRIMAL_KERNELS");
        Error::bad_input("--device cuda", "kernels/manifest.json in a folder above the program", "none", hint)
    })
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::io("reading", path, error, BUILD))
}

/// The number of an architecture's name: 61 for `sm_61`.
fn number(architecture: &str) -> Option<u32> {
    architecture.strip_prefix("sm_")?.parse().ok()
}

/// The kernels' PTX and launches for a device: those of the newest architecture that it can run.
fn choose(device: Device) -> Result<(String, PathBuf, BTreeMap<String, Launch>)> {
    let file = folder()?.join("manifest.json");
    let manifest: Manifest = serde_json::from_str(&read(&file)?)
        .map_err(|error| Error::bad_input(file.display(), "a manifest of kernels", error, BUILD))?;
    let attribute = |a| device.get_attribute(a).map_err(|error| super::driver_error("asking for the device's architecture", error));
    let own = (attribute(DeviceAttribute::ComputeCapabilityMajor)? * 10 + attribute(DeviceAttribute::ComputeCapabilityMinor)?) as u32;
    let names = manifest.architectures.keys().cloned().collect::<Vec<_>>().join(", ");
    let usable = manifest.architectures.into_iter().filter_map(|(name, a)| Some((number(&name)?, a))).filter(|(n, _)| *n <= own);
    let Some((_, architecture)) = usable.max_by_key(|(number, _)| *number) else {
        let hint = format!("run `cargo xtask build-kernels --arch sm_{own}`");
        return Err(Error::bad_input(file.display(), format!("kernels for sm_{own} or older"), names, hint));
    };
    let ptx = file.with_file_name(&architecture.ptx);
    Ok((read(&ptx)?, ptx, architecture.kernels))
}

/// A kernel's function, once its signature is known to be the one that this program launches.
fn resolve(module: &'static Module, file: &Path, launches: &mut BTreeMap<String, Launch>, name: &str, types: &[&str]) -> Result<Kernel> {
    let mismatch = |found: String| {
        let expected = format!("kernel {name}({})", types.join(", "));
        Error::bad_input(file.display(), expected, found, format!("{BUILD} of the same version as this program"))
    };
    let launch = launches.remove(name).ok_or_else(|| mismatch("no such kernel".into()))?;
    if !launch.parameters.iter().map(|(_, r#type)| r#type).eq(types) {
        let found: Vec<_> = launch.parameters.iter().map(|(name, r#type)| format!("{name}: {type}")).collect();
        return Err(mismatch(format!("{name}({})", found.join(", "))));
    }
    let function = module.get_function(name).map_err(|error| mismatch(error.to_string()))?;
    Ok(Kernel { function, launch })
}

/// Queues one launch with as many blocks as cover `items`.
fn launch(kernel: &Kernel, name: &str, stream: &Stream, items: [usize; 2], arguments: &[*mut c_void]) {
    let blocks = [0, 1].map(|axis| items[axis].div_ceil(kernel.launch.covers[axis] as usize) as u32);
    if blocks.contains(&0) {
        return;
    }
    // SAFETY: the parameters' types are those of the kernel, by `resolve`; the pointers are spans of the arena, by the op.
    let queued = unsafe { stream.launch(&kernel.function, (blocks[0], blocks[1]), kernel.launch.threads, kernel.launch.shared, arguments) };
    if let Err(error) = queued {
        panic!("launching {name} with {} × {} blocks: {error}", blocks[0], blocks[1]);
    }
}

/// A table of all kernels by name, and a method that launches each: `items` first, then its parameters.
macro_rules! kernels {
    ($(fn $name:ident($($parameter:ident: $type:ty),* $(,)?);)*) => {
        /// All kernels of one device.
        pub(super) struct Kernels {
            stream: Stream,
            $($name: Kernel,)*
        }

        impl Kernels {
            /// Loads those of the current context's device.
            pub(super) fn load(device: Device, stream: Stream) -> Result<Self> {
                let (ptx, file, mut launches) = choose(device)?;
                let module = Module::from_ptx(&ptx, &[])
                    .map_err(|error| Error::bad_input(file.display(), "PTX that the driver takes", error, BUILD))?;
                // The primary context keeps it until the process ends.
                let module: &'static Module = Box::leak(Box::new(module));
                Ok(Self {
                    stream,
                    $($name: resolve(module, &file, &mut launches, stringify!($name), &[$(stringify!($type)),*])?,)*
                })
            }

            /// Where launches are queued.
            pub(super) fn stream(&self) -> &Stream {
                &self.stream
            }

            $(
                #[allow(clippy::too_many_arguments, reason = "a kernel names all its operands")]
                pub(super) fn $name(&self, items: [usize; 2], $(mut $parameter: $type),*) {
                    let arguments = [$((&raw mut $parameter).cast::<c_void>()),*];
                    launch(&self.$name, stringify!($name), &self.stream, items, &arguments);
                }
            )*
        }
    };
}

kernels! {
    fn add(y: *mut f32, a: *const f32, b: *const f32, n: u32);
}
