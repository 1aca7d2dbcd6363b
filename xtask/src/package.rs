//! `cargo xtask package`: a folder that runs, trains, speaks and proves itself on a machine without Rust, and the same as archives.

mod archive;
mod check;
mod licences;
mod links;
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use argh::FromArgs;

use crate::build_kernels::BuildKernels;
use crate::{folder, root};

/// What travels has a cubin for each of these, which the driver need not compile; cards that come later compile the newest PTX that they know.
const ARCHITECTURES: &str = "sm_61,sm_75,sm_80,sm_86,sm_89,sm_90";

/// The whole folder, in bytes.
const MOST_BYTES: u64 = 90_000_000;

/// Files of the checkout: where they are, and where they go.
const FILES: [(&str, &str); 11] = [
    ("device/package/run.sh", "run.sh"),
    ("device/package/peer.py", "peer.py"),
    ("device/package/predictions.tsv", "predictions.tsv"),
    ("device/package/step-before.tsv", "step-before.tsv"),
    ("device/package/step-now.tsv", "step-now.tsv"),
    ("device/package/summary.awk", "summary.awk"),
    ("device/package/README.md", "README.md"),
    ("models/gpt-0.1b.toml", "configs/gpt-0.1b.toml"),
    ("models/gpt-nano.toml", "configs/gpt-nano.toml"),
    ("LICENSE-MIT", "licences/LICENSE-MIT"),
    ("LICENSE-APACHE", "licences/LICENSE-APACHE"),
];
/// READMEs with the licences of the lexicon and the voices: the end of their paths in a link, under `models` in the checkout, and their names in the package.
const READMES: [(&str, &str, &str); 3] = [
    ("heart/README.md", "voices/heart/README.md", "voice-heart.md"),
    ("slt/README.md", "voices/slt/README.md", "voice-slt.md"),
    ("../README.md", "README.md", "models.md"),
];

/// make a folder that runs on a machine with a GPU and nothing else, and FOLDER.tar.zst and FOLDER.tar.gz beside it
#[derive(FromArgs)]
#[argh(subcommand, name = "package")]
pub struct Package {
    /// the folder (default: target/primal); an older package there is replaced
    #[argh(option)]
    out: Option<PathBuf>,
    /// architectures of the kernels, separated by commas (default: sm_61,sm_75,sm_80,sm_86,sm_89,sm_90)
    #[argh(option, default = "ARCHITECTURES.to_owned()")]
    arch: String,
    /// then run its run.sh --small on an emulated GPU, without a GPU, and with a broken kernel
    #[argh(switch)]
    check: bool,
}

impl Package {
    /// Runs it.
    pub fn run(&self) -> ExitCode {
        let kernels = BuildKernels { arch: self.arch.clone(), report: false, cubin: true }.run();
        if kernels != ExitCode::SUCCESS {
            return kernels;
        }
        let folder = self.out.clone().unwrap_or_else(|| root().join("target/primal"));
        match self.make(&folder).and_then(|()| if self.check { check::run(&folder) } else { Ok(()) }) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("xtask: package: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn make(&self, folder: &Path) -> Result<(), String> {
        if folder.exists() && !folder.join("run.sh").is_file() && fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(format!(
                "--out: expected a new folder, an empty one or an older package, found {}\n  hint: name another folder",
                folder.display()
            ));
        }
        let part = suffixed(folder, ".part");
        folder::empty(&part)?;
        let version = version();
        fill(&part, &version)?;
        let bytes = total(&part)?;
        if bytes >= MOST_BYTES {
            return Err(format!(
                "{}: expected less than {MOST_BYTES} bytes, found {bytes}\n  hint: name fewer architectures with --arch",
                part.display()
            ));
        }
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        fs::rename(&part, folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        println!("{}: {bytes} bytes, {version}", folder.display());
        for (ending, compressor) in archive::KINDS {
            let file = suffixed(folder, ending);
            println!("{}: {} bytes", file.display(), archive::write(folder, &file, compressor)?);
        }
        Ok(())
    }
}

/// A path with something after its name.
fn suffixed(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The version of the program, and the commit.
fn version() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(root()).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["describe", "--always", "--dirty", "--abbrev=12"]).unwrap_or_else(|| "no commit".to_owned());
    format!("primal {} ({commit})", env!("CARGO_PKG_VERSION"))
}

fn fill(folder: &Path, version: &str) -> Result<(), String> {
    program::build(&folder.join("primal-host"))?;
    let from = root().join("target/kernels");
    let names = fs::read_dir(&from).map_err(|error| format!("{}: {error}", from.display()))?.flatten().map(|entry| entry.file_name());
    let manifest = fs::read_to_string(from.join("manifest.json")).map_err(|error| format!("manifest.json: {error}"))?;
    // What the manifest does not name is of an earlier build.
    let named = |name: &str| name == "manifest.json" || manifest.contains(&format!("\"{name}\""));
    for name in names.filter_map(|name| name.into_string().ok()).filter(|name| named(name)) {
        let (from, to) = (from.join(&name), folder.join("kernels").join(&name));
        folder::copy(&from, &to)?;
        if name.ends_with(".ptx") {
            let text = fs::read_to_string(&from).map_err(|error| format!("{name}: {error}"))?;
            fs::write(&to, pared(&text)).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    for (from, to) in FILES {
        folder::copy(&root().join(from), &folder.join(to))?;
    }
    let places = READMES.map(|(ending, _, name)| (ending, name));
    for (_, from, name) in READMES {
        let from = root().join("models").join(from);
        let text = fs::read_to_string(&from).map_err(|error| format!("{}: {error}", from.display()))?;
        let to = folder.join("licences").join(name);
        fs::write(&to, links::relinked(&text, &places)).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"));
    write("licences/third-party.txt", &licences::collect()?)?;
    write("VERSION", &format!("{version}\n"))
}

/// PTX without comments and indentation, which are two fifths of it.
fn pared(ptx: &str) -> String {
    let code = ptx.lines().map(|line| line.split("//").next().unwrap_or_default().trim()).filter(|code| !code.is_empty());
    code.flat_map(|code| [code, "\n"]).collect()
}

/// Bytes of all files of a folder.
fn total(folder: &Path) -> Result<u64, String> {
    let of = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(of)? {
        let path = entry.map_err(of)?.path();
        bytes += if path.is_dir() { total(&path)? } else { path.metadata().map_err(of)?.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::pared;

    #[test]
    fn ptx_keeps_its_code() {
        assert_eq!(
            pared("//\n.version 7.0 // text\n\n$L_1:\t// %bb\n\tadd.f32 \t%f1, %f2, %f3;\n"),
            ".version 7.0\n$L_1:\nadd.f32 \t%f1, %f2, %f3;\n"
        );
    }
}
