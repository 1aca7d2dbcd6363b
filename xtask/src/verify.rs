//! `cargo xtask verify`: the kernels against the CPU back end.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use argh::FromArgs;

use crate::build_kernels::BuildKernels;
use crate::{cargo_command, root};

/// check the CUDA back end against the CPU's: every op, training steps, generated text
#[derive(FromArgs)]
#[argh(subcommand, name = "verify")]
pub struct Verify {
    /// emulated (default): a GPU that the CPU plays; cuda: the first GPU of the driver
    #[argh(option, default = "String::from(\"emulated\")")]
    device: String,
    /// architectures of the emulated GPU, separated by commas, one after another (default: sm_61); a GPU has its own
    #[argh(option, default = "String::from(\"sm_61\")")]
    arch: String,
}

impl Verify {
    /// Runs it.
    pub fn run(&self) -> ExitCode {
        if !["emulated", "cuda"].contains(&self.device.as_str()) {
            eprintln!("xtask: --device: expected emulated or cuda, found {:?}", self.device);
            return ExitCode::from(2);
        }
        match self.verify() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("xtask: verify: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn verify(&self) -> Result<(), String> {
        let archs: Vec<&str> = if self.device == "cuda" { Vec::new() } else { self.arch.split(',').collect() };
        if BuildKernels::with(&archs).run() != ExitCode::SUCCESS {
            return Err("the kernels were not built".into());
        }
        run(cargo_command().args(["build", "--release", "--package", "primal-host", "--features", "cuda"]))?;
        let mut program = Command::new(root().join("target/release/primal-host"));
        program.args(["verify", "--device", "cuda"]).env("PRIMAL_KERNELS", root().join("target/kernels"));
        if self.device == "cuda" {
            return run(without_emulator(&mut program));
        }
        let driver = emulator()?;
        program.env("LD_LIBRARY_PATH", &driver);
        for arch in archs {
            println!("emulated {arch}");
            run(program.env("PTX_EMU_ARCH", arch))?;
            a_fault_ends_the_program(&driver, arch)?;
        }
        Ok(())
    }
}

/// A kernel that traps must end training with exit code 1, a hint, and no panic.
fn a_fault_ends_the_program(driver: &Path, arch: &str) -> Result<(), String> {
    const ENTRY: &str = ".visible .entry gelu(";
    let (kernels, place) = (root().join("target/kernels"), root().join("target/fault"));
    let emptied = if place.exists() { fs::remove_dir_all(&place) } else { Ok(()) };
    emptied.and_then(|()| fs::create_dir_all(&place)).map_err(|error| format!("{}: {error}", place.display()))?;
    let write = |name: &str, text: String| fs::write(place.join(name), text).map_err(|error| format!("{name}: {error}"));
    let read = |name: &str| fs::read_to_string(kernels.join(name)).map_err(|error| format!("{name}: {error}"));
    write("manifest.json", read("manifest.json")?)?;
    let (file, ptx) = (format!("{arch}.ptx"), read(&format!("{arch}.ptx"))?);
    let body = ptx.find(ENTRY).and_then(|at| Some(at + ptx[at..].find("\n{\n")? + 3)).ok_or(format!("{file}: no kernel gelu"))?;
    write(&file, format!("{}\ttrap;\n{}", &ptx[..body], &ptx[body..]))?;
    let mut program = Command::new(root().join("target/release/primal-host"));
    program.args(["train", "--device", "cuda", "--config", "models/gpt-nano.toml", "--steps", "1", "--out"]).arg(place.join("run"));
    program.env("PRIMAL_KERNELS", &place).env("LD_LIBRARY_PATH", driver).env("PTX_EMU_ARCH", arch).current_dir(root());
    let output = program.output().map_err(|error| format!("running {program:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let expected =
        output.status.code() == Some(1) && said.contains("  hint: see that the GPU and its driver work") && !said.contains("panicked");
    if expected {
        println!("passed fault: a kernel that traps ends training with exit code 1 and a hint");
        return Ok(());
    }
    Err(format!("a kernel that traps: expected exit code 1 and a hint, found {} and\n{said}", output.status))
}

/// Hides the emulated driver from a program: cargo puts the folder where it builds into the loader's path.
pub fn without_emulator(program: &mut Command) -> &mut Command {
    let path = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let others = env::split_paths(&path).filter(|folder| !folder.starts_with(root().join("target")));
    program.env("LD_LIBRARY_PATH", env::join_paths(others).expect("parts of a path"))
}

/// Builds the emulated driver; returns the folder that has it under the name of a real one.
pub fn emulator() -> Result<PathBuf, String> {
    run(cargo_command().args(["build", "--release", "--package", "ptx-emulator"]))?;
    let folder = root().join("target/emulator");
    let (from, to) = (root().join("target/release/libcuda.so"), folder.join("libcuda.so.1"));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    fs::copy(&from, &to).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))?;
    Ok(folder)
}

/// Runs a command in the checkout; fails if it does.
pub fn run(command: &mut Command) -> Result<(), String> {
    let status = command.current_dir(root()).status().map_err(|error| format!("running {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed ({status})")) }
}
