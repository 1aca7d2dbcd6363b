//! `cargo xtask build-kernels`: the kernels of `primal-device` as PTX, one file an architecture, and a manifest of their launches.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use argh::FromArgs;

use crate::compile::{Compiled, Compiler};
use crate::ptx::{self, Kernel};
use crate::toolchain::Toolchain;
use crate::{divergence, ptxas, report, root};

/// PTX version of an architecture: the oldest that has what the kernels use.
const ARCHITECTURES: [(&str, &str); 7] = [
    ("sm_61", "ptx70"),
    ("sm_70", "ptx70"),
    ("sm_75", "ptx70"),
    ("sm_80", "ptx71"),
    ("sm_86", "ptx71"),
    ("sm_89", "ptx78"),
    ("sm_90", "ptx78"),
];

/// Kernels for tensor cores, by how their names end, and the architectures that gain by them. Those of GeForce (sm_86, sm_89) multiply halves with
/// sums in `f32` at twice the rate of their multiply-adds (NVIDIA, "Ampere GA102 GPU Architecture", 2021, and "Ada GPU Architecture", 2022): a
/// product of two float operands, or of floats and weights whose groups have scales, takes three of halves and would lose. Those of sm_80 and sm_90
/// have some fifteen times the rate.
const ON_TENSOR_CORES: [(&str, &[&str]); 3] =
    [("weight_half", &["sm_80", "sm_90"]), ("groups_half", &["sm_80", "sm_90"]), ("_half", &["sm_80", "sm_86", "sm_89", "sm_90"])];

/// Whether an architecture has a kernel.
fn has(arch: &str, kernel: &str) -> bool {
    ON_TENSOR_CORES.iter().find(|(ending, _)| kernel.ends_with(ending)).is_none_or(|(_, archs)| archs.contains(&arch))
}

/// What is built unless something else is asked for: any GPU from Pascal on runs one of them.
const DEFAULT: &str = "sm_61,sm_86,sm_90";

/// build the kernels to target/kernels: <architecture>.ptx and manifest.json
#[derive(FromArgs)]
#[argh(subcommand, name = "build-kernels")]
pub struct BuildKernels {
    /// architectures, separated by commas (default: sm_61,sm_86,sm_90)
    #[argh(option, default = "DEFAULT.to_owned()")]
    pub arch: String,
    /// print registers, shared memory, spills, occupancy and main loops of all kernels
    #[argh(switch)]
    pub report: bool,
    /// assemble each architecture's kernels as well: <architecture>.cubin, which the driver loads without compiling
    #[argh(switch)]
    pub cubin: bool,
}

/// The kernels of one architecture.
struct Built {
    arch: String,
    kernels: Vec<Compiled>,
}

impl BuildKernels {
    /// For the usual architectures and some more, without a report.
    pub fn with(archs: &[&str]) -> Self {
        let more = archs.iter().filter(|arch| DEFAULT.split(',').all(|known| known != **arch));
        Self { arch: DEFAULT.split(',').chain(more.copied()).collect::<Vec<_>>().join(","), report: false, cubin: false }
    }

    /// Runs it.
    pub fn run(&self) -> ExitCode {
        let archs: Vec<&str> = self.arch.split(',').collect();
        if let Some(unknown) = archs.iter().find(|arch| ARCHITECTURES.iter().all(|(known, _)| known != *arch)) {
            let known = ARCHITECTURES.map(|(arch, _)| arch).join(", ");
            eprintln!("xtask: --arch: expected some of {known}, found {unknown:?}");
            return ExitCode::from(2);
        }
        match self.build(&archs) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("xtask: build-kernels: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn build(&self, archs: &[&str]) -> Result<(), String> {
        let tools = Toolchain::find()?;
        let folder = root().join("target/kernels");
        let made_in = folder.join("build");
        let compiler = Compiler::new(&tools, &made_in)?;
        let module = compiler.module()?;
        let versions: Vec<_> = archs.iter().map(|arch| *ARCHITECTURES.iter().find(|(known, _)| known == arch).expect("checked")).collect();
        let kernels = in_parallel(&module.kernels, |name| {
            let versions: Vec<_> = versions.iter().copied().filter(|(arch, _)| has(arch, name)).collect();
            compiler.kernel(&module, name, &versions)
        })?;

        let mut builds: Vec<_> = archs.iter().map(|arch| Built { arch: (*arch).to_owned(), kernels: Vec::new() }).collect();
        for (name, of_archs) in module.kernels.iter().zip(kernels) {
            builds
                .iter_mut()
                .filter(|built| has(&built.arch, name))
                .zip(of_archs)
                .for_each(|(built, compiled)| built.kernels.push(compiled));
        }
        let mut faults = Vec::new();
        for Built { arch, kernels } in &builds {
            let text = ptx::join(kernels.iter().map(|compiled| compiled.ptx.as_str()))?;
            let file = folder.join(format!("{arch}.ptx"));
            write(&file, &text)?;
            let of_kernels = kernels.iter().flat_map(|of| {
                let apart = report::ptx_body(&of.ptx, &of.kernel.name).map(divergence::find).unwrap_or_default();
                let apart = apart.into_iter().map(|instruction| format!("{}: not all lanes may reach {instruction}", of.kernel.name));
                ptxas::fault(&of.kernel.name, &of.usage).into_iter().chain(apart)
            });
            faults.extend(ptx::lint(&text).into_iter().chain(of_kernels).map(|fault| format!("{arch}: {fault}")));
            println!("{arch}: {} kernels in {}", kernels.len(), file.display());
            if self.cubin {
                ptxas::assemble_all(&tools, arch, &file, &file.with_extension("cubin"))?;
            }
        }
        write(&folder.join("manifest.json"), &manifest(&builds, self.cubin))?;
        if self.report {
            builds.iter().for_each(|built| report::print(&tools, &built.arch, &built.kernels));
        }
        if faults.is_empty() { Ok(()) } else { Err(format!("{} faults\n  {}", faults.len(), faults.join("\n  "))) }
    }
}

/// What becomes of all items, by as many threads as there are cores; or the first error.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R, String> + Sync) -> Result<Vec<R>, String> {
    let (next, threads) = (AtomicUsize::new(0), std::thread::available_parallelism().map_or(1, usize::from));
    let worker =
        || std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed))).map_while(|i| Some((i, work(items.get(i)?)))).collect();
    let mut done: Vec<(usize, Result<R, String>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().flat_map(|thread| -> Vec<_> { thread.join().expect("no panic") }).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// `{"architectures": {"sm_61": {"ptx": "sm_61.ptx", "cubin": "sm_61.cubin", "kernels": {"add": {"threads": …, "shared": …, "covers": …, "parameters": …}}}}}`.
fn manifest(builds: &[Built], cubin: bool) -> String {
    let mut text = String::from("{\n  \"architectures\": {");
    for (i, Built { arch, kernels }) in builds.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let cubin = if cubin { format!("\"cubin\": \"{arch}.cubin\",\n      ") } else { String::new() };
        write!(text, "{comma}\n    \"{arch}\": {{\n      \"ptx\": \"{arch}.ptx\",\n      {cubin}\"kernels\": {{")
            .expect("strings take all");
        for (i, compiled) in kernels.iter().enumerate() {
            let Kernel { name, parameters, threads, shared, covers } = &compiled.kernel;
            let parameters: Vec<_> = parameters.iter().map(|(name, r#type)| format!("[\"{name}\", \"{type}\"]")).collect();
            let comma = if i > 0 { "," } else { "" };
            write!(
                text,
                "{comma}\n        \"{name}\": {{\"threads\": {threads}, \"shared\": {shared}, \"covers\": {covers:?}, \"parameters\": [{}]}}",
                parameters.join(", ")
            )
            .expect("strings take all");
        }
        text.push_str("\n      }\n    }");
    }
    text.push_str("\n  }\n}\n");
    text
}

/// Replaces a file as a whole if it changes: a program that runs at the time reads the old one or the new one.
fn write(path: &Path, text: &str) -> Result<(), String> {
    if fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    let part = path.with_extension("part");
    fs::write(&part, text).and_then(|()| fs::rename(&part, path)).map_err(|error| format!("{}: {error}", path.display()))
}
