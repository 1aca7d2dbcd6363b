//! A folder as one file.

use std::path::Path;
use std::process::Command;

use crate::root;

/// How archives end, and the command that compresses them.
pub const KINDS: [(&str, &str); 2] = [(".tar.zst", "zstd -19 -q"), (".tar.gz", "gzip -9n")];

/// Writes it with the folder's name inside, the same bytes for the same files; returns their number.
pub fn write(folder: &Path, file: &Path, compressor: &str) -> Result<u64, String> {
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(format!("{}: expected a folder with a name", folder.display()));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let time = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()).output().map(|output| output.stdout);
    let time = String::from_utf8_lossy(&time.unwrap_or_default()).trim().to_owned();
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go+rX,go-w", "-I", compressor]);
    tar.arg(format!("--mtime=@{}", if time.is_empty() { "0" } else { &time })).arg("-cf").arg(file).arg("-C").arg(parent).arg(name);
    let output = tar.output().map_err(|error| format!("running tar: {error}"))?;
    if !output.status.success() {
        let tool = compressor.split(' ').next().expect("a tool");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!(
            "{}: tar failed ({})\n{text}  hint: is {tool} installed? apt-get install {tool}",
            file.display(),
            output.status
        ));
    }
    file.metadata().map(|metadata| metadata.len()).map_err(|error| format!("{}: {error}", file.display()))
}
