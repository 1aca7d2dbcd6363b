//! The kernels of `primal-device`, found by name in the PTX or cubin that `cargo xtask build-kernels` wrote, and launched with checked parameters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use primal_device::kernels::{ALL, linear_half};
use primal_device::launch::{Call, Kernel};
use serde::Deserialize;

use super::driver::{Attribute, Context, Device, Function, Module};
use super::profile;
use super::queue::Queue;
use crate::backend::cuda_plan::SUBJECT;
use crate::{Error, Result};

/// `manifest.json`.
#[derive(Deserialize)]
struct Manifest {
    architectures: BTreeMap<String, ManifestArchitecture>,
}

#[derive(Deserialize)]
struct ManifestArchitecture {
    /// The PTX file, beside the manifest.
    ptx: String,
    /// What `ptxas` made of it, if it did.
    cubin: Option<String>,
    kernels: BTreeMap<String, ManifestKernel>,
}

/// How a kernel is launched.
#[derive(Deserialize, PartialEq)]
struct ManifestKernel {
    threads: u32,
    shared: u32,
    /// Items of a block in x and y.
    covers: [u32; 2],
    /// Names and Rust types.
    parameters: Vec<(String, String)>,
}

impl ManifestKernel {
    /// How this program would launch the kernel.
    fn of(kernel: &Kernel) -> Self {
        let parameters = kernel.parameters.iter().map(|&(name, r#type)| (name.to_owned(), r#type.to_owned())).collect();
        Self { threads: kernel.threads, shared: kernel.shared, covers: kernel.covers, parameters }
    }

    /// The launch in words, for messages.
    fn describe(&self, name: &str) -> String {
        let Self { threads, shared, covers: [x, y], .. } = self;
        let parameters: Vec<_> = self.parameters.iter().map(|(name, r#type)| format!("{name}: {type}")).collect();
        format!("kernel {name}({}) of {threads} threads, {shared} shared bytes, {x} × {y} items a block", parameters.join(", "))
    }
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
        Error::invalid(SUBJECT, "kernels/manifest.json in a folder above the program", "none", hint)
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io("reading", path, error, BUILD))
}

/// The number of an architecture's name: 61 for `sm_61`.
fn number(architecture: &str) -> Option<u32> {
    architecture.strip_prefix("sm_")?.parse().ok()
}

/// An architecture's kernels, loaded.
struct LoadedModule {
    module: Module,
    /// The file that the kernels came from.
    file: PathBuf,
    launches: BTreeMap<String, ManifestKernel>,
}

/// Loads the kernels for a device: those of the newest architecture that it can run, as cubin if it is of the device's own generation and the
/// driver takes it, else as PTX, which the driver compiles.
fn load(device: Device) -> Result<LoadedModule> {
    let file = folder()?.join("manifest.json");
    let manifest: Manifest =
        serde_json::from_slice(&read(&file)?).map_err(|error| Error::invalid(file.display(), "a manifest of kernels", error, BUILD))?;
    let attribute = |a| device.attribute(a).map_err(super::failed("asking for the device's architecture"));
    let own = (attribute(Attribute::ComputeCapabilityMajor)? * 10 + attribute(Attribute::ComputeCapabilityMinor)?) as u32;
    let names = manifest.architectures.keys().cloned().collect::<Vec<_>>().join(", ");
    let usable = manifest.architectures.into_iter().filter_map(|(name, a)| Some((number(&name)?, a))).filter(|(n, _)| *n <= own);
    let Some((of, ManifestArchitecture { ptx, cubin, kernels })) = usable.max_by_key(|(number, _)| *number) else {
        let hint = format!("run `cargo xtask build-kernels --arch sm_{own}`");
        return Err(Error::invalid(file.display(), format!("kernels for sm_{own} or older"), names, hint));
    };
    let mut refused = String::new();
    for name in cubin.filter(|_| of / 10 == own / 10).into_iter().chain([ptx]) {
        let file = file.with_file_name(name);
        match std::fs::read(&file).map_err(|error| error.to_string()).and_then(|image| Module::load(&image)) {
            Ok(module) => return Ok(LoadedModule { module, file, launches: kernels }),
            Err(error) => refused.push_str(&format!("{}: {error}; ", file.display())),
        }
    }
    Err(Error::invalid(file.display(), format!("kernels that the driver takes for sm_{own}"), refused.trim_end_matches("; "), BUILD))
}

/// A kernel's function, once what is known of it on both sides is known to be the same.
fn resolve(loaded: &LoadedModule, kernel: &Kernel) -> Result<Function> {
    let mismatch = |found: String| {
        let hint = format!("{BUILD} of the same version as this program");
        Error::invalid(loaded.file.display(), ManifestKernel::of(kernel).describe(kernel.name), found, hint)
    };
    let launch = loaded.launches.get(kernel.name).ok_or_else(|| mismatch("no such kernel".into()))?;
    if *launch != ManifestKernel::of(kernel) {
        return Err(mismatch(launch.describe(kernel.name)));
    }
    loaded.module.function(kernel.name, kernel.shared).map_err(|failure| mismatch(failure.to_string()))
}

/// All kernels of the device, by name.
struct KernelTable {
    /// The file that the kernels came from.
    file: PathBuf,
    functions: BTreeMap<&'static str, Function>,
}

impl KernelTable {
    fn load(device: Device) -> Result<Self> {
        let loaded = load(device)?;
        // The primary context lives as long as someone holds it, and the module as long as the context.
        std::mem::forget(Context::retain(device).map_err(super::failed("keeping the context"))?);
        let wanted = ALL.iter().copied().flatten().filter(|kernel| !kernel.optional || loaded.launches.contains_key(kernel.name));
        let functions = wanted.map(|kernel| Ok((kernel.name, resolve(&loaded, kernel)?))).collect::<Result<BTreeMap<_, _>>>()?;
        if let Some(unknown) = loaded.launches.keys().find(|name| !functions.contains_key(name.as_str())) {
            let hint = format!("{BUILD} of the same version as this program");
            return Err(Error::invalid(loaded.file.display(), "the kernels of this program", format!("another one, {unknown}"), hint));
        }
        Ok(Self { file: loaded.file, functions })
    }

    /// The table of the process: a module is loaded once, since the driver may have to compile it, and keeps its memory.
    fn get(device: Device) -> Result<&'static Self> {
        static TABLE: OnceLock<KernelTable> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());
        let _one = LOADING.lock();
        match TABLE.get() {
            Some(table) => Ok(table),
            None => Self::load(device).map(|table| TABLE.get_or_init(|| table)),
        }
    }
}

/// The kernels, and where they are queued.
pub(super) struct LoadedKernels {
    queue: Queue,
    table: &'static KernelTable,
}

impl LoadedKernels {
    /// The kernels of the current context's device, which go to `queue`.
    pub(super) fn load(device: Device, queue: Queue) -> Result<Self> {
        Ok(Self { queue, table: KernelTable::get(device)? })
    }

    /// The file that the kernels came from.
    pub(super) fn file(&self) -> &'static Path {
        &self.table.file
    }

    /// Where launches are queued.
    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether this device's architecture has a kernel.
    pub(super) fn have(&self, kernel: &Kernel) -> bool {
        self.table.functions.contains_key(kernel.name)
    }

    /// Whether products of floats and codes go through tensor cores.
    pub(super) fn have_tensor_cores(&self) -> bool {
        self.have(&linear_half::descriptions::linear_grid_half)
    }

    /// Whether those of two float operands do, and those with weights whose groups have scales.
    pub(super) fn have_float_tensor_cores(&self) -> bool {
        self.have(&linear_half::descriptions::linear_backward_weight_half)
    }

    /// Queues one launch with as many blocks as cover `items`. Pointers among the arguments are those of spans, valid for the kernel's shapes.
    ///
    /// # Panics
    /// If the architecture lacks the kernel.
    pub(super) fn launch<const N: usize>(&self, items: [usize; 2], call: Call<N>) {
        let Kernel { name, threads, shared, covers, .. } = *call.kernel;
        let function = self.table.functions.get(name).unwrap_or_else(|| panic!("{name} is no kernel of this architecture"));
        let blocks = [0, 1].map(|axis| items[axis].div_ceil(covers[axis] as usize) as u32);
        if blocks.contains(&0) {
            return;
        }
        let doing = || format!("launching {name} with {} × {} blocks", blocks[0], blocks[1]);
        self.queue.call(doing, |stream| {
            // SAFETY: the parameters' types are those of the kernel, by its declaration and `resolve`; the pointers are spans of the arena, by the op.
            profile::timed(name, stream, || unsafe { function.launch(stream, blocks, threads, shared, &call.arguments) })
        });
    }
}
