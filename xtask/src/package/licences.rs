//! The licences of all crates that are part of `primal-host`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::{cargo_command, root};

/// How names of files with licences begin, in upper case.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

const HEAD: &str = "\
Licences of what is inside primal-host and the kernels besides PRIMAL's own code
=================================================================================
Rust's standard library and core, in the program and in the kernels: MIT OR Apache-2.0, (c) The Rust Project Contributors; the texts are
those of LICENSE-MIT and LICENSE-APACHE beside this file.
The lexicon: models.md. The voices: voice-heart.md and voice-slt.md.
";

/// All texts, each once, after the names of the crates that are under it.
pub fn collect() -> Result<String, String> {
    let target = ["--target", "x86_64-unknown-linux-gnu"];
    let mut tree = cargo_command();
    tree.args(["tree", "--package", "primal-host", "--features", "cuda", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let tree = output(tree.args(target))?;
    // A line is `name v1.2.3`, with a path or a mark behind it.
    let used: BTreeSet<(&str, &str)> =
        tree.lines().filter_map(|line| line.split_once(" v")).filter_map(|(n, v)| Some((n, v.split(' ').next()?))).collect();
    let metadata: Value = serde_json::from_str(&output(cargo_command().args(["metadata", "--format-version", "1", "--all-features"]))?)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let (mut list, mut texts) = (String::new(), BTreeMap::<String, Vec<String>>::new());
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let field = |name: &str| package[name].as_str().unwrap_or_default();
        let (name, version) = (field("name"), field("version"));
        if package["source"].is_null() || !used.contains(&(name, version)) {
            continue;
        }
        let licence = if field("license").is_empty() { "see its text" } else { field("license") };
        writeln!(list, "{name} {version}: {licence}").expect("strings take all");
        for text in texts_in(Path::new(field("manifest_path")).parent().ok_or("a manifest without a folder")?) {
            texts.entry(text).or_default().push(format!("{name} {version}"));
        }
    }
    if list.is_empty() {
        return Err("cargo metadata: expected the crates that primal-host is made of, found none".into());
    }
    let texts = texts.iter().map(|(text, crates)| format!("\n{}\nof {}\n{}\n{text}\n", "=".repeat(80), crates.join(", "), "-".repeat(80)));
    Ok(format!("{HEAD}\n{list}{}", texts.collect::<String>()))
}

/// The licences in a crate's folder.
fn texts_in(folder: &Path) -> Vec<String> {
    let is_licence = |name: &str| NAMES.iter().any(|start| name.to_uppercase().starts_with(start));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_licence));
    entries.filter_map(|entry| fs::read_to_string(entry.path()).ok()).map(|text| text.trim().replace('\r', "")).collect()
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.current_dir(root()).output().map_err(|error| format!("running cargo: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?} failed ({})\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
