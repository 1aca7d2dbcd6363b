//! Rust to PTX. rustc writes one module, without optimisation; each kernel is taken out of it with all that it calls, and is optimised, compiled
//! and assembled by itself.
//!
//! What became of a kernel is kept, and used again as long as it comes out of the module with the same bytes: so a build after a change
//! takes the time of the kernels that changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ptx::{self, Kernel};
use crate::ptxas::{self, Usage};
use crate::toolchain::Toolchain;
use crate::{cargo_command, root, tuning};

/// The oldest architecture, for which rustc compiles: what depends on the architecture comes after it.
const OLDEST: [&str; 2] = ["-Ctarget-cpu=sm_61", "-Ctarget-feature=+ptx70"];
const RUSTC: [&str; 5] = [
    // This pass knows nothing of GPUs: it copies shuffles into both sides of a branch, and then lanes wait for each other in vain.
    "-Zmir-enable-passes=-JumpThreading",
    // A panic is a trap, without the code that formats messages and places.
    "-Zunstable-options",
    "-Cpanic=immediate-abort",
    "-Zlocation-detail=none",
    // LLVM's passes wait until a kernel stands alone.
    "-Cno-prepopulate-passes",
];
const OPT: &str = "--passes=internalize,default<O3>,globaldce";

/// Constants without a name of their own, such as texts: llvm-nm does not list them, and left behind they would be unresolved symbols.
const UNNAMED: &str = "--rglob=^(anon\\.|alloc_)";

/// A kernel for one architecture.
pub struct Compiled {
    /// Metadata of the kernel.
    pub kernel: Kernel,
    /// A PTX file of its own.
    pub ptx: String,
    /// What the assembler says of it.
    pub usage: Usage,
    /// What the assembler made.
    pub cubin: PathBuf,
}

/// Everything that rustc wrote.
pub struct Module {
    file: PathBuf,
    /// The kernels' names.
    pub kernels: Vec<String>,
    /// Constants that any kernel may use.
    constants: Vec<String>,
}

/// Builds in one folder.
pub struct Compiler<'a> {
    tools: &'a Toolchain,
    folder: &'a Path,
}

impl<'a> Compiler<'a> {
    /// In a folder, whose contents go if other tools or flags made them.
    pub fn new(tools: &'a Toolchain, folder: &'a Path) -> Result<Self, String> {
        let version = |tool: &Path, flag: &str| Command::new(tool).arg(flag).output().map(|output| output.stdout).unwrap_or_default();
        let versions = [version(&tools.rustc, "-vV"), version(&tools.llvm.join("opt"), "--version"), version(&tools.ptxas, "--version")];
        let flags = [OLDEST.as_slice(), &RUSTC, &[OPT, UNNAMED]].concat().join(" ").into_bytes();
        let (wanted, stamp) = ([flags, versions.concat(), include_bytes!("tuning.rs").to_vec()].concat(), folder.join("made-by"));
        if fs::read(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(Self { tools, folder });
        }
        let emptied = if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) };
        emptied.and_then(|()| fs::create_dir_all(folder)).map_err(|error| format!("{}: {error}", folder.display()))?;
        fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
        Ok(Self { tools, folder })
    }

    /// Runs rustc.
    pub fn module(&self) -> Result<Module, String> {
        let (rust, file) = (self.folder.join("rust.bc"), self.folder.join("module.bc"));
        let output = cargo_command()
            .args(["rustc", "--quiet", "--package", "primal-device", "--lib", "--crate-type", "rlib", "--profile", "kernels"])
            .args(["-Zbuild-std=core", "--target", "nvptx64-nvidia-cuda", "--target-dir"])
            .arg(self.folder.join("cargo"))
            .args(["--", &format!("--emit=llvm-bc={}", rust.display())])
            .current_dir(root())
            .env("RUSTC", &self.tools.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", [OLDEST.as_slice(), &RUSTC].concat().join("\x1f"))
            .output()
            .map_err(|error| format!("running cargo: {error}"))?;
        let messages = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("the compiler failed\n{messages}"));
        }
        self.llvm("llvm-link", &[path(&rust), path(&root().join("device/shared_memory.ll")), "-o", path(&file)])?;

        let symbols = self.llvm("llvm-nm", &["--defined-only", "--format=posix", path(&file)])?;
        let symbols = symbols.lines().filter_map(|line| line.split_once(' '));
        // Data, and what is no data of a launch: constants.
        let data = symbols.filter(|(_, rest)| rest.starts_with(['D', 'd', 'R', 'r', 'B', 'b'])).map(|(name, _)| name);
        let (launches, constants): (Vec<&str>, Vec<&str>) =
            data.partition(|name| name.ends_with("__launch") || name.ends_with("__parameters"));
        let mut kernels: Vec<_> = launches.iter().filter_map(|name| name.strip_suffix("__launch")).map(str::to_owned).collect();
        kernels.sort();
        Ok(Module { file, kernels, constants: constants.into_iter().map(str::to_owned).collect() })
    }

    /// A kernel for some architectures, each with the PTX version of its instructions.
    pub fn kernel(&self, module: &Module, name: &str, archs: &[(&str, &str)]) -> Result<Vec<Compiled>, String> {
        let file = |suffix: &str| self.folder.join(format!("{name}.{suffix}"));
        let (known, new, optimised) = (file("bc"), file("new.bc"), file("optimised.bc"));
        let launch = [format!("{name}__launch"), format!("{name}__parameters")];
        let globals = launch.iter().chain(&module.constants).map(|global| format!("--glob={global}")).collect::<Vec<_>>();
        let mut extract: Vec<&str> = vec!["--recursive", UNNAMED, path(&module.file), "-o", path(&new)];
        let function = format!("--func={name}");
        extract.push(&function);
        extract.extend(globals.iter().map(String::as_str));
        self.llvm("llvm-extract", &extract)?;
        let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        let made = |what: &Path, done: std::io::Result<()>| done.map_err(|error| format!("{}: {error}", what.display()));
        if !read(&known).is_ok_and(|known| read(&new).is_ok_and(|new| known == new)) {
            // Whatever happens from here on, nothing is taken for this kernel's that another one became.
            for entry in fs::read_dir(self.folder).into_iter().flatten().flatten() {
                let stale = entry.path().join(name);
                if stale.is_dir() {
                    made(&stale, fs::remove_dir_all(&stale))?;
                }
            }
            let public = format!("--internalize-public-api-list={name},{}", launch.join(","));
            let unroll = format!("--unroll-threshold={}", tuning::of(name).unroll);
            self.llvm("opt", &[OPT, &unroll, &public, path(&new), "-o", path(&optimised)])?;
            made(&known, fs::rename(&new, &known))?;
        }
        archs.iter().map(|(arch, version)| self.compile(name, &optimised, arch, version)).collect()
    }

    /// A kernel for one architecture.
    fn compile(&self, name: &str, optimised: &Path, arch: &str, version: &str) -> Result<Compiled, String> {
        let folder = self.folder.join(arch).join(name);
        let (raw, file, cubin) = (folder.join("llc.ptx"), folder.join("kernel.ptx"), folder.join("kernel.cubin"));
        let of = |path: &Path, error| format!("{}: {error}", path.display());
        if !raw.exists() {
            fs::create_dir_all(&folder).map_err(|error| of(&folder, error))?;
            let part = folder.join("llc.part");
            self.llvm("llc", &[&format!("--mcpu={arch}"), &format!("--mattr=+{version}"), path(optimised), "-o", path(&part)])?;
            fs::rename(&part, &raw).map_err(|error| of(&raw, error))?;
        }
        let (ptx, mut kernels) =
            ptx::extract(&fs::read_to_string(&raw).map_err(|error| of(&raw, error))?, tuning::of(name).blocks_on(arch, name))?;
        let kernel = kernels.pop().expect("a kernel");
        fs::write(&file, &ptx).map_err(|error| of(&file, error))?;
        let usage = ptxas::assemble(self.tools, arch, &file, &cubin)?;
        Ok(Compiled { kernel, ptx, usage, cubin })
    }

    /// Runs a tool of LLVM; returns what it prints.
    fn llvm(&self, tool: &str, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(self.tools.llvm.join(tool)).args(arguments).output();
        let output = output.map_err(|error| format!("running {tool}: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!("{tool} failed ({}) on {}\n{}", output.status, arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
    }
}

/// A path of the checkout as an argument.
fn path(path: &Path) -> &str {
    path.to_str().expect("the checkout's path is UTF-8")
}
