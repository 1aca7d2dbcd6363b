//! What builds kernels: a rustc with the sources of `core`, the LLVM tools of its version, ptxas; for reports, nvdisasm.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::root;

/// The compiler must be of this version: newer ones cannot build for Pascal, and the kernels use unstable features.
const RUSTC: &str = "1.96";
/// The newest ptxas that knows Pascal.
const PTXAS_MAJOR: u32 = 12;
/// What takes a kernel out of a module, optimises it and writes PTX.
const LLVM_TOOLS: [&str; 5] = ["llvm-link", "llvm-nm", "llvm-extract", "opt", "llc"];

/// A part of the toolchain as [`Survey`] found it.
pub struct Part {
    /// What it is called.
    pub name: &'static str,
    /// Kernels can be built without it.
    pub optional: bool,
    /// Where it is and its version, or what is wrong.
    pub found: Result<(PathBuf, String), String>,
    /// The command that installs it on Debian.
    pub install: String,
}

impl Part {
    /// Whether it is there or not needed.
    pub fn suffices(&self) -> bool {
        self.optional || self.found.is_ok()
    }

    fn path(&self) -> Option<PathBuf> {
        self.found.as_ref().ok().map(|(path, _)| path.clone())
    }
}

/// Where all parts are.
pub struct Toolchain {
    /// The compiler.
    pub rustc: PathBuf,
    /// The folder of [`LLVM_TOOLS`].
    pub llvm: PathBuf,
    /// NVIDIA's assembler.
    pub ptxas: PathBuf,
    /// NVIDIA's disassembler.
    pub nvdisasm: Option<PathBuf>,
}

/// The folder that `doctor --install` fills with what is no system package.
pub fn folder() -> PathBuf {
    root().join("target/device-toolchain")
}

/// Looks for all parts, in the order in which they must be installed.
pub fn survey() -> Vec<Part> {
    let compiler = compiler();
    let rustc = compiler.as_ref().ok().map(|(rustc, _)| rustc.clone());
    let llvm_major = rustc.as_deref().and_then(|rustc| field(rustc, "LLVM version: ")).and_then(|v| Some(v.split('.').next()?.to_owned()));
    let llvm_major = llvm_major.unwrap_or_else(|| "22".to_owned());
    vec![
        Part {
            name: "rustc + core",
            optional: false,
            found: compiler,
            install: "apt-get update && apt-get install -y --no-install-recommends rustc-web rust-web-src".to_owned(),
        },
        Part {
            name: "LLVM tools",
            optional: false,
            found: llvm_tools(&llvm_major),
            install: format!("apt-get update && apt-get install -y --no-install-recommends llvm-{llvm_major}"),
        },
        Part { name: "ptxas", optional: false, found: ptxas(), install: pip("ptxas", "nvidia-cuda-nvcc-cu12==12.9.86") },
        Part {
            name: "nvdisasm",
            optional: true,
            found: tool("nvdisasm", "nvdisasm/nvidia/cu13/bin").map(|path| (path, "sm_75 and later".to_owned())),
            install: pip("nvdisasm", "nvidia-cuda-nvdisasm==13.5.37"),
        },
        Part {
            name: "zstd",
            optional: true,
            found: tool("zstd", "zstd").map(|path| (path, "packages".to_owned())),
            install: "apt-get update && apt-get install -y --no-install-recommends zstd".to_owned(),
        },
    ]
}

impl Toolchain {
    /// All parts, or the names of those that are missing.
    pub fn find() -> Result<Self, String> {
        let parts = survey();
        let missing: Vec<_> = parts.iter().filter(|part| !part.suffices()).map(|part| part.name).collect();
        let mut paths = parts.iter().map(Part::path);
        let mut next = || paths.next().flatten();
        let (Some(rustc), Some(llvm), Some(ptxas)) = (next(), next(), next()) else {
            return Err(format!(
                "the device toolchain lacks {}\n  hint: `cargo xtask doctor` says what to run, `cargo xtask doctor --install` runs it",
                missing.join(", ")
            ));
        };
        Ok(Self { rustc, llvm, ptxas, nvdisasm: next() })
    }
}

/// The first compiler of the right version with the sources of `core`: named by `PRIMAL_DEVICE_RUSTC`, the system's, rustup's.
fn compiler() -> Result<(PathBuf, String), String> {
    let named = env::var_os("PRIMAL_DEVICE_RUSTC").map(PathBuf::from);
    let which = |name: &str| output(Command::new("rustup").args(["which", "rustc", "--toolchain", name])).map(PathBuf::from);
    let rustup = std::iter::once_with(|| output(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default())
        .flat_map(|list| list.lines().filter_map(|line| which(line.split_whitespace().next()?)).collect::<Vec<_>>());
    let mut seen = Vec::new();
    for rustc in named.into_iter().chain([PathBuf::from("/usr/bin/rustc")]).chain(rustup) {
        let Some(release) = field(&rustc, "release: ") else { continue };
        let right = release.strip_prefix(RUSTC).is_some_and(|rest| rest.starts_with('.'));
        let core = output(Command::new(&rustc).args(["--print", "sysroot"]))
            .is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/core/src/lib.rs").exists());
        if right && core {
            return Ok((rustc, release));
        }
        seen.push(format!("{release}{}", if core { "" } else { " without core's sources" }));
    }
    Err(format!("expected rustc {RUSTC} with core's sources, found {}", if seen.is_empty() { "none".to_owned() } else { seen.join(", ") }))
}

fn llvm_tools(major: &str) -> Result<(PathBuf, String), String> {
    let folder = output(Command::new(format!("llvm-config-{major}")).arg("--bindir")).map(PathBuf::from);
    let has_all = |folder: &PathBuf| LLVM_TOOLS.iter().all(|tool| folder.join(tool).exists());
    folder.filter(has_all).map(|folder| (folder, major.to_owned())).ok_or(format!("no {} of LLVM {major}", LLVM_TOOLS.join(", ")))
}

fn ptxas() -> Result<(PathBuf, String), String> {
    let path = tool("ptxas", "ptxas/nvidia/cuda_nvcc/bin")?;
    let text = output(Command::new(&path).arg("--version")).unwrap_or_default();
    let version = text.split("release ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or("?").to_owned();
    match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major <= PTXAS_MAJOR => Ok((path, version)),
        _ => Err(format!("expected ptxas of CUDA {PTXAS_MAJOR}, which knows Pascal; found {version}")),
    }
}

/// Unpacks a package of PyPI to a folder of its own: two of NVIDIA's share folders, and the second would not be unpacked there.
fn pip(name: &str, package: &str) -> String {
    let (pip, folder) = ("python3 -m pip", folder().join(name));
    format!(
        "{{ {pip} --version >/dev/null 2>&1 || apt-get install -y --no-install-recommends python3-pip; }} && \
         {pip} install --quiet --no-deps --target {} {package}",
        folder.display()
    )
}

/// A program in our folder or on the path.
fn tool(name: &str, inside: &str) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [folder().join(inside)].into_iter().chain(env::split_paths(&path)).chain(["/usr/local/cuda/bin".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.exists()).ok_or(format!("no {name}"))
}

/// A line of `rustc -vV`.
fn field(rustc: &Path, name: &str) -> Option<String> {
    let text = output(Command::new(rustc).arg("-vV"))?;
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
}

/// What a command prints, if it succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
