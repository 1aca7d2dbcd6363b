//! `cargo xtask build-kernels`: the kernels of `primal-device` as PTX, one file an architecture, and a manifest of their launches.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argh::FromArgs;

use crate::ptx::{self, Kernel};
use crate::report::{self, Usage};
use crate::toolchain::Toolchain;
use crate::{cargo_command, root};

/// PTX version of an architecture: the oldest that has what the kernels use.
const ARCHITECTURES: [(&str, &str); 6] =
    [("sm_61", "ptx70"), ("sm_70", "ptx70"), ("sm_80", "ptx71"), ("sm_86", "ptx71"), ("sm_89", "ptx78"), ("sm_90", "ptx78")];

/// build the kernels to target/kernels: <architecture>.ptx and manifest.json
#[derive(FromArgs)]
#[argh(subcommand, name = "build-kernels")]
pub struct BuildKernels {
    /// architectures, separated by commas (default: sm_61,sm_86,sm_90)
    #[argh(option, default = "String::from(\"sm_61,sm_86,sm_90\")")]
    arch: String,
    /// print registers, shared memory, spills, occupancy and main loops of all kernels
    #[argh(switch)]
    report: bool,
}

/// The kernels of one architecture.
struct Built {
    arch: String,
    kernels: Vec<Kernel>,
    usages: BTreeMap<String, Usage>,
    ptx: String,
    cubin: PathBuf,
}

impl BuildKernels {
    /// For some architectures, without a report.
    pub fn of(arch: &str) -> Self {
        Self { arch: arch.to_owned(), report: false }
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
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let builds = std::thread::scope(|scope| {
            let threads: Vec<_> = archs.iter().map(|arch| scope.spawn(|| build_one(&tools, arch, &folder))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<Vec<_>, _>>()
        })?;
        write(&folder.join("manifest.json"), &manifest(&builds))?;
        for built in &builds {
            println!("{}: {} kernels in {}", built.arch, built.kernels.len(), folder.join(format!("{}.ptx", built.arch)).display());
        }
        if self.report {
            builds.iter().for_each(|b| report::print(&tools, &b.arch, &b.kernels, &b.usages, &b.ptx, &b.cubin));
        }
        Ok(())
    }
}

fn build_one(tools: &Toolchain, arch: &str, folder: &Path) -> Result<Built, String> {
    let raw = compile(tools, arch, &folder.join("build").join(arch))?;
    let text = fs::read_to_string(&raw).map_err(|error| format!("{}: {error}", raw.display()))?;
    let (ptx, kernels) = ptx::extract(&text)?;
    let file = folder.join(format!("{arch}.ptx"));
    let cubin = folder.join("build").join(format!("{arch}.cubin"));
    let same = fs::read_to_string(&file).is_ok_and(|before| before == ptx);
    write(&file, &ptx)?;
    let mut faults = ptx::lint(&ptx);
    let usages = report::assemble(tools, arch, &file, &cubin, same)?;
    faults.extend(report::faults(&usages));
    if faults.is_empty() {
        Ok(Built { arch: arch.to_owned(), kernels, usages, ptx, cubin })
    } else {
        Err(format!("{arch}: {} faults\n  {}", faults.len(), faults.join("\n  ")))
    }
}

/// Runs the compiler; returns the file that it wrote.
fn compile(tools: &Toolchain, arch: &str, target: &Path) -> Result<PathBuf, String> {
    let (_, version) = ARCHITECTURES.iter().find(|(known, _)| *known == arch).expect("checked");
    let flags = [
        format!("-Ctarget-cpu={arch}"),
        format!("-Ctarget-feature=+{version}"),
        // Loops over tiles in registers must unroll whole, or the tiles would be in memory.
        "-Cllvm-args=-unroll-threshold=1200".to_owned(),
        // This pass knows nothing of GPUs: it copies shuffles into both sides of a branch, and then lanes wait for each other in vain.
        "-Zmir-enable-passes=-JumpThreading".to_owned(),
        // A panic is a trap, without the code that formats messages.
        "-Zunstable-options".to_owned(),
        "-Cpanic=immediate-abort".to_owned(),
        format!("-Clinker={}", tools.linker.display()),
        format!("-Clink-arg={}", root().join("device/shared_memory.ll").display()),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([tools.llvm.clone()].into_iter().chain(std::env::split_paths(&path)));
    let output = cargo_command()
        .args(["rustc", "--quiet", "--package", "primal-device", "--lib", "--crate-type", "cdylib", "--profile", "kernels"])
        .args(["-Zbuild-std=core", "--target", "nvptx64-nvidia-cuda", "--target-dir"])
        .arg(target)
        .current_dir(root())
        .env("RUSTC", &tools.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("PATH", path.map_err(|error| format!("PATH: {error}"))?)
        .output()
        .map_err(|error| format!("running cargo: {error}"))?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("{arch}: the compiler failed\n{}", String::from_utf8_lossy(&output.stdout)));
    }
    Ok(target.join("nvptx64-nvidia-cuda/kernels/primal_device.ptx"))
}

/// `{"architectures": {"sm_61": {"ptx": "sm_61.ptx", "kernels": {"add": {"threads": …, "shared": …, "covers": …, "parameters": …}}}}}`.
fn manifest(builds: &[Built]) -> String {
    let mut text = String::from("{\n  \"architectures\": {");
    for (i, Built { arch, kernels, .. }) in builds.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        write!(text, "{comma}\n    \"{arch}\": {{\n      \"ptx\": \"{arch}.ptx\",\n      \"kernels\": {{").expect("strings take all");
        for (i, kernel) in kernels.iter().enumerate() {
            let Kernel { name, parameters, threads, shared, covers } = kernel;
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

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
