//! The kernels of `primal-device`, found by name in the PTX or cubin that `cargo xtask build-kernels` wrote, and launched with checked parameters.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use cust::context::Context;
use cust::device::{Device, DeviceAttribute};
use cust::stream::Stream;
use serde::Deserialize;

use super::driver::{Function, Module};
use super::profile;
use crate::backend::cuda_plan::SUBJECT;
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
    /// What `ptxas` made of it, if it did.
    cubin: Option<String>,
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
    function: Function,
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
struct Loaded {
    module: Module,
    /// The file that they came from.
    file: PathBuf,
    launches: BTreeMap<String, Launch>,
}

/// Loads the kernels for a device: those of the newest architecture that it can run, as cubin if it is of the device's own generation and the
/// driver takes it, else as PTX, which the driver compiles.
fn load(device: Device) -> Result<Loaded> {
    let file = folder()?.join("manifest.json");
    let manifest: Manifest =
        serde_json::from_slice(&read(&file)?).map_err(|error| Error::invalid(file.display(), "a manifest of kernels", error, BUILD))?;
    let attribute = |a| device.get_attribute(a).map_err(|_| super::driver_error("asking for the device's architecture"));
    let own = (attribute(DeviceAttribute::ComputeCapabilityMajor)? * 10 + attribute(DeviceAttribute::ComputeCapabilityMinor)?) as u32;
    let names = manifest.architectures.keys().cloned().collect::<Vec<_>>().join(", ");
    let usable = manifest.architectures.into_iter().filter_map(|(name, a)| Some((number(&name)?, a))).filter(|(n, _)| *n <= own);
    let Some((of, Architecture { ptx, cubin, kernels })) = usable.max_by_key(|(number, _)| *number) else {
        let hint = format!("run `cargo xtask build-kernels --arch sm_{own}`");
        return Err(Error::invalid(file.display(), format!("kernels for sm_{own} or older"), names, hint));
    };
    let mut refused = String::new();
    for name in cubin.filter(|_| of / 10 == own / 10).into_iter().chain([ptx]) {
        let file = file.with_file_name(name);
        match std::fs::read(&file).map_err(|error| error.to_string()).and_then(|image| Module::load(&image)) {
            Ok(module) => return Ok(Loaded { module, file, launches: kernels }),
            Err(error) => refused.push_str(&format!("{}: {error}; ", file.display())),
        }
    }
    Err(Error::invalid(file.display(), format!("kernels that the driver takes for sm_{own}"), refused.trim_end_matches("; "), BUILD))
}

/// A kernel's function, once its signature is known to be the one that this program launches.
fn resolve(loaded: &mut Loaded, name: &str, types: &[&str]) -> Result<Kernel> {
    let mismatch = |found: String| {
        let expected = format!("kernel {name}({})", types.join(", "));
        Error::invalid(loaded.file.display(), expected, found, format!("{BUILD} of the same version as this program"))
    };
    let launch = loaded.launches.remove(name).ok_or_else(|| mismatch("no such kernel".into()))?;
    if !launch.parameters.iter().map(|(_, r#type)| r#type).eq(types) {
        let found: Vec<_> = launch.parameters.iter().map(|(name, r#type)| format!("{name}: {type}")).collect();
        return Err(mismatch(format!("{name}({})", found.join(", "))));
    }
    let function = loaded.module.function(name, launch.shared).map_err(mismatch)?;
    Ok(Kernel { function, launch })
}

/// The same of a kernel that not every architecture has.
fn resolve_optional(loaded: &mut Loaded, name: &str, types: &[&str]) -> Result<Option<Kernel>> {
    loaded.launches.contains_key(name).then(|| resolve(loaded, name, types)).transpose()
}

/// Queues one launch with as many blocks as cover `items`.
fn launch(kernel: &Kernel, name: &'static str, stream: &Stream, items: [usize; 2], arguments: &[*mut c_void]) {
    let blocks = [0, 1].map(|axis| items[axis].div_ceil(kernel.launch.covers[axis] as usize) as u32);
    if blocks.contains(&0) {
        return;
    }
    let Launch { threads, shared, .. } = kernel.launch;
    let queued = profile::timed(name, stream, || {
        // SAFETY: the parameters' types are those of the kernel, by `resolve`; the pointers are spans of the arena, by the op.
        unsafe { kernel.function.launch(stream.as_inner().cast(), blocks, threads, shared, arguments) }
    });
    if let Err(error) = queued {
        panic!("launching {name} with {} × {} blocks: {error}", blocks[0], blocks[1]);
    }
}

/// A table of all kernels by name, and a method that launches each: `items` first, then its parameters.
macro_rules! kernels {
    (
        $(fn $name:ident($($parameter:ident: $type:ty),* $(,)?);)*
        optional { $(fn $optional:ident($($its_parameter:ident: $its_type:ty),* $(,)?);)* }
    ) => {
        /// All kernels of the device.
        struct Table {
            /// The file that they came from.
            file: PathBuf,
            $($name: Kernel,)*
            $($optional: Option<Kernel>,)*
        }

        impl Table {
            fn load(device: Device) -> Result<Self> {
                let loaded = &mut load(device)?;
                // The primary context lives as long as someone holds it, and the module as long as the context.
                std::mem::forget(Context::new(device).map_err(|_| super::driver_error("keeping the context"))?);
                Ok(Self {
                    $($name: resolve(loaded, stringify!($name), &[$(stringify!($type)),*])?,)*
                    $($optional: resolve_optional(loaded, stringify!($optional), &[$(stringify!($its_type)),*])?,)*
                    file: loaded.file.clone(),
                })
            }

            /// That of the process: a module is loaded once, since the driver may have to compile it, and keeps its memory.
            fn get(device: Device) -> Result<&'static Self> {
                static TABLE: OnceLock<Table> = OnceLock::new();
                static LOADING: Mutex<()> = Mutex::new(());
                let _one = LOADING.lock();
                match TABLE.get() {
                    Some(table) => Ok(table),
                    None => Self::load(device).map(|table| TABLE.get_or_init(|| table)),
                }
            }
        }

        /// The kernels, and a stream of their own.
        pub(super) struct Kernels {
            stream: Stream,
            table: &'static Table,
        }

        impl Kernels {
            /// Those of the current context's device.
            pub(super) fn load(device: Device, stream: Stream) -> Result<Self> {
                Ok(Self { stream, table: Table::get(device)? })
            }

            /// The file that they came from.
            pub(super) fn file(&self) -> &'static Path {
                &self.table.file
            }

            /// Where launches are queued.
            pub(super) fn stream(&self) -> &Stream {
                &self.stream
            }

            $(
                #[allow(clippy::too_many_arguments, reason = "a kernel names all its operands")]
                pub(super) fn $name(&self, items: [usize; 2], $(mut $parameter: $type),*) {
                    let arguments = [$((&raw mut $parameter).cast::<c_void>()),*];
                    launch(&self.table.$name, stringify!($name), &self.stream, items, &arguments);
                }
            )*

            $(
                /// Only for architectures that have it.
                #[allow(clippy::too_many_arguments, reason = "a kernel names all its operands")]
                pub(super) fn $optional(&self, items: [usize; 2], $(mut $its_parameter: $its_type),*) {
                    let arguments = [$((&raw mut $its_parameter).cast::<c_void>()),*];
                    let kernel = self.table.$optional.as_ref().expect("a kernel of this architecture");
                    launch(kernel, stringify!($optional), &self.stream, items, &arguments);
                }
            )*
        }
    };
}

kernels! {
    fn absolute_error(losses: *mut f32, dx: *mut f32, x: *const f32, target: *const f32, rows: u32, dim: u32, gradient_scale: f32);
    fn adamw(value: *mut f32, gradient: *const f32, m: *mut f32, v: *mut f32, norm_squared: *const f32, n: u32, max_norm: f32, rate: f32, keep: f32, second: f32, beta1: f32, beta2: f32, eps: f32, floor: f32);
    fn add(y: *mut f32, a: *const f32, b: *const f32, n: u32);
    fn attention_32(out: *mut f32, lse: *mut f32, q: *const f32, k: *const f32, v: *const f32, offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32);
    fn attention_64(out: *mut f32, lse: *mut f32, q: *const f32, k: *const f32, v: *const f32, offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32);
    fn attention_128(out: *mut f32, lse: *mut f32, q: *const f32, k: *const f32, v: *const f32, offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32);
    fn attention_backward_delta(delta: *mut f32, d_out: *const f32, out: *const f32, offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32);
    fn attention_backward_query_32(dq: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const f32, k: *const f32, v: *const f32, offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32);
    fn attention_backward_query_64(dq: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const f32, k: *const f32, v: *const f32, offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32);
    fn attention_backward_query_128(dq: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const f32, k: *const f32, v: *const f32, offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32);
    fn attention_backward_key_value_32(dk: *mut f32, dv: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const f32, k: *const f32, v: *const f32, offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32);
    fn attention_backward_key_value_64(dk: *mut f32, dv: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const f32, k: *const f32, v: *const f32, offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32);
    fn attention_backward_key_value_128(dk: *mut f32, dv: *mut f32, d_out: *const f32, lse: *const f32, delta: *const f32, q: *const f32, k: *const f32, v: *const f32, offsets: *const u32, seq: u32, heads: u32, head_dim: u32, causal: u32);
    fn bias_backward_finish(d_bias: *mut f32, partial: *const f32, groups: u32, dim: u32);
    fn bias_backward_groups(partial: *mut f32, dy: *const f32, rows: u32, dim: u32);
    fn cached_attention(out: *mut f32, q: *const f32, k: *const f32, v: *const f32, tokens: u32, heads: u32, head_dim: u32);
    fn conv1d_backward_input_float(dx: *mut f32, dy: *const f32, weight: *const f32, offsets: *const u32, sequences: u32, len: u32, rows: u32, outputs: u32, inputs: u32, taps: u32, dilation: u32, accumulate: u32);
    fn conv1d_backward_input_grid(dx: *mut f32, dy: *const f32, codes: *const u8, scale: *const f32, grid: u32, offsets: *const u32, sequences: u32, len: u32, rows: u32, outputs: u32, inputs: u32, taps: u32, dilation: u32, accumulate: u32);
    fn conv1d_backward_weight(dw: *mut f32, dy: *const f32, x: *const f32, offsets: *const u32, sequences: u32, len: u32, rows: u32, outputs: u32, inputs: u32, taps: u32, dilation: u32, accumulate: u32);
    fn conv1d_float(y: *mut f32, x: *const f32, weight: *const f32, bias: *const f32, offsets: *const u32, sequences: u32, len: u32, rows: u32, outputs: u32, inputs: u32, taps: u32, dilation: u32, accumulate: u32);
    fn conv1d_grid(y: *mut f32, x: *const f32, codes: *const u8, scale: *const f32, grid: u32, bias: *const f32, offsets: *const u32, sequences: u32, len: u32, rows: u32, outputs: u32, inputs: u32, taps: u32, dilation: u32, accumulate: u32);
    fn conv_transpose1d_float(y: *mut f32, x: *const f32, weight: *const f32, bias: *const f32, rows: u32, outputs: u32, inputs: u32, kernel: u32, stride: u32);
    fn conv_transpose1d_grid(y: *mut f32, x: *const f32, codes: *const u8, scale: *const f32, grid: u32, bias: *const f32, rows: u32, outputs: u32, inputs: u32, kernel: u32, stride: u32);
    fn cross_entropy(logits: *mut f32, losses: *mut f32, targets: *const u32, vocab: u32, stride: u32, gradient_scale: f32);
    fn embedding(y: *mut f32, table: *const f32, positions: *const f32, ids: *const u32, seq: u32, dim: u32);
    fn embedding_backward_table(d_table: *mut f32, dy: *const f32, ids: *const u32, order: *const u32, tokens: u32, dim: u32);
    fn embedding_backward_positions(d_positions: *mut f32, dy: *const f32, tokens: u32, seq: u32, dim: u32);
    fn flip(codes: *mut u8, votes: *mut u8, bits: u32, counts: *mut u32, grid: u32, outputs: u32, inputs: u32, threshold: i32, consumed: f32);
    fn gather(y: *mut f32, table: *const f32, ids: *const u32, dim: u32, accumulate: u32);
    fn gather_backward(d_table: *mut f32, dy: *const f32, ids: *const u32, extent: *const u32, rows: u32, dim: u32);
    fn gather_backward_extent(extent: *mut u32, ids: *const u32, rows: u32);
    fn gelu(y: *mut f32, x: *const f32, n: u32);
    fn gelu_backward(dx: *mut f32, dy: *const f32, x: *const f32, n: u32);
    fn largest(bits: *mut u32, x: *const f32, columns: u32, stride: u32, n: u32);
    fn layer_norm(y: *mut f32, mean: *mut f32, rstd: *mut f32, x: *const f32, gamma: *const f32, beta: *const f32, rows: u32, dim: u32);
    fn layer_norm_backward_input(dx: *mut f32, dy: *const f32, x: *const f32, mean: *const f32, rstd: *const f32, gamma: *const f32, rows: u32, dim: u32);
    fn layer_norm_backward_parameters(partial: *mut f32, dy: *const f32, x: *const f32, mean: *const f32, rstd: *const f32, rows: u32, dim: u32);
    fn layer_norm_backward_finish(d_gamma: *mut f32, d_beta: *mut f32, partial: *const f32, groups: u32, dim: u32);
    fn leaky_relu(y: *mut f32, x: *const f32, n: u32, slope: f32);
    fn leaky_relu_backward(dx: *mut f32, dy: *const f32, x: *const f32, n: u32, slope: f32);
    fn level_histogram(counts: *mut u32, codes: *const u8, outputs: u32, inputs: u32);
    fn linear_grid(y: *mut f32, x: *const f32, codes: *const u8, scale: *const f32, grid: u32, rows: u32, outputs: u32, inputs: u32, stride: u32);
    fn linear_float(y: *mut f32, x: *const f32, weight: *const f32, rows: u32, outputs: u32, inputs: u32, stride: u32);
    fn linear_backward_input_grid(dx: *mut f32, dy: *const f32, codes: *const u8, scale: *const f32, grid: u32, rows: u32, outputs: u32, inputs: u32, stride: u32, accumulate: u32);
    fn linear_backward_input_float(dx: *mut f32, dy: *const f32, weight: *const f32, rows: u32, outputs: u32, inputs: u32, stride: u32, accumulate: u32);
    fn linear_backward_weight(dw: *mut f32, dy: *const f32, x: *const f32, rows: u32, outputs: u32, inputs: u32, stride: u32, accumulate: u32);
    fn lut_gemv_quantize(q: *mut u32, step: *mut f32, x: *const f32, inputs: u32);
    fn lut_gemv(y: *mut f32, q: *const u32, step: *const f32, codes: *const u8, scale: *const f32, grid: u32, outputs: u32, inputs: u32);
    fn poltergeist_rows(sums: *mut f32, dw: *const f32, outputs: u32, inputs: u32);
    fn poltergeist_cutoff(cutoff: *mut f32, sums: *const f32, outputs: u32, inputs: u32, z: f32);
    fn poltergeist_vote(votes: *mut u8, dw: *const f32, scale: *const f32, cutoff: *const f32, outputs: u32, inputs: u32);
    fn poltergeist_flip(codes: *mut u8, votes: *mut u8, scale: *const f32, counts: *mut u32, grid: u32, outputs: u32, inputs: u32, consensus: i32, seed: u64, tensor: u32, step: u64);
    fn quantize(codes: *mut u8, scale: *const f32, shadow: *const f32, counts: *mut u32, grid: u32, outputs: u32, inputs: u32);
    fn squared_error(losses: *mut f32, dx: *mut f32, x: *const f32, target: *const f32, rows: u32, dim: u32, gradient_scale: f32);
    fn straight_through(d_shadow: *mut f32, d_scale: *mut f32, dw: *const f32, shadow: *const f32, codes: *const u8, scale: *const f32, grid: u32, outputs: u32, inputs: u32);
    fn sum_chunks(partial: *mut f32, x: *const f32, n: u32);
    fn sum_squares_chunks(partial: *mut f32, x: *const f32, n: u32);
    fn sum_finish(sum: *mut f32, partial: *const f32, chunks: u32, accumulate: u32);
    fn rescale_rows(codes: *mut u8, scale: *mut f32, votes: *mut u8, bits: u32, grid: u32, inputs: u32, max: i32, quantum: f32, share: f32, factor: f32);
    fn scale_gradient(d_scale: *mut f32, dw: *const f32, codes: *const u8, grid: u32, outputs: u32, inputs: u32);
    fn tanh_backward(dx: *mut f32, dy: *const f32, y: *const f32, n: u32);
    fn tanh_forward(y: *mut f32, x: *const f32, n: u32);
    fn vote_rows(row: *mut f32, dw: *const f32, outputs: u32, inputs: u32, beta2: f32);
    fn vote_mean(mean: *mut f32, row: *const f32, outputs: u32);
    fn vote_columns(partial: *mut f32, dw: *const f32, outputs: u32, inputs: u32);
    fn vote_factors(factor: *mut f32, column: *mut f32, partial: *const f32, outputs: u32, inputs: u32, beta2: f32, bias_correction: f32);
    fn vote(votes: *mut u8, bits: u32, row: *const f32, mean: *const f32, factor: *const f32, dw: *const f32, codes: *const u8, scale: *const f32, grid: u32, outputs: u32, inputs: u32, lr: f32, max: i32, quantum: f32, seed: u64, tensor: u32, step: u64);

    optional {
        fn linear_grid_half(y: *mut f32, x: *const f32, x_largest: *const u32, codes: *const u8, scale: *const f32, grid: u32, rows: u32, outputs: u32, inputs: u32, stride: u32);
        fn linear_backward_input_grid_half(dx: *mut f32, dy: *const f32, dy_largest: *const u32, codes: *const u8, scale: *const f32, scale_largest: *const u32, grid: u32, rows: u32, outputs: u32, inputs: u32, stride: u32, accumulate: u32);
        fn linear_backward_weight_half(dw: *mut f32, dy: *const f32, dy_largest: *const u32, x: *const f32, x_largest: *const u32, rows: u32, outputs: u32, inputs: u32, stride: u32, accumulate: u32);
    }
}

impl Kernels {
    /// Whether products of floats and codes go through tensor cores.
    pub(super) fn have_tensor_cores(&self) -> bool {
        self.table.linear_grid_half.is_some()
    }

    /// Whether those of two float operands do.
    pub(super) fn have_float_tensor_cores(&self) -> bool {
        self.table.linear_backward_weight_half.is_some()
    }
}
