//! A file of results: an object of JSON a line, added run by run; and whether a run can go on.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The outcomes of a file that may not be there.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<Vec<T>, String> {
    let text = if file.exists() { fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))? } else { String::new() };
    let lines = text.lines().enumerate().map(|(i, line)| {
        serde_json::from_str(line).map_err(|e| format!("{}, line {}: {e}; remove the line, and its run is repeated", file.display(), i + 1))
    });
    lines.collect()
}

/// Adds one to a file, in a folder that may not be there.
pub fn append(outcome: &impl Serialize, path: &Path) -> Result<(), String> {
    let line = serde_json::to_string(outcome).expect("plain data") + "\n";
    let add = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(line.as_bytes()).and_then(|()| file.sync_all())
    };
    add().map_err(|e| format!("{}: {e}", path.display()))
}

/// Whether a run was begun in a folder: its configuration is the last that is written before the first step.
pub fn has_begun(folder: &Path) -> bool {
    folder.join("config.toml").is_file()
}
