//! CMUdict, from the crate `cmudict-fast`, in the phones of the voices.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use super::read;
use crate::{Error, Phone, Result};

/// Words and their pronunciations.
pub type Words = BTreeMap<String, Vec<Vec<Phone>>>;

/// Reads the dictionary. Words with other signs than letters and apostrophes are left out.
///
/// # Errors
/// Where cargo does not say where the crate's sources are, or the dictionary is not among them.
pub fn words() -> Result<Words> {
    let mut words = Words::new();
    for line in read(&file()?)?.lines() {
        let mut fields = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(word) = fields.next() else { continue };
        // Further pronunciations follow the first one as `word(2)`.
        let word = word.split('(').next().unwrap_or_default();
        if word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'\'') {
            words.entry(word.into()).or_default().push(phones(&fields.collect::<Vec<_>>()));
        }
    }
    Ok(words)
}

/// One word of so many is held out.
const HELD_OUT: u32 = 20;

/// Whether a word is one of more than a letter without apostrophes: what a model of letters learns from.
pub fn is_spelled(word: &str) -> bool {
    word.len() > 1 && !word.contains('\'')
}

/// Whether models are measured on a word, and so must not learn from it: one in twenty by checksum.
pub fn is_held_out(word: &str) -> bool {
    is_spelled(word) && crc32c::crc32c(word.as_bytes()).is_multiple_of(HELD_OUT)
}

/// The dictionary's file in the sources of its crate.
fn file() -> Result<PathBuf> {
    let unknown =
        |found: &dyn std::fmt::Display| Error::invalid("cargo metadata", "the sources of cmudict-fast", found, "run it through cargo");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "host-tuple"])
        // Packages of a feature that is off are not listed.
        .args(["--features", "make-lexicon", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .map_err(|error| unknown(&error))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|_| unknown(&String::from_utf8_lossy(&output.stderr)))?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages.find(|package| package["name"] == "cmudict-fast").and_then(|package| package["manifest_path"].as_str());
    let manifest = package.ok_or_else(|| unknown(&"none"))?;
    Ok(PathBuf::from(manifest).with_file_name("resources").join("cmudict.dict"))
}

/// The voices know no secondary stress. The lexicon of the voice that they learnt from has primary stress in its place, except in an unstressed
/// prefix (`IH2 N D IY1 D`, indeed) and at the end of a word (`IY2`).
pub fn phones(names: &[&str]) -> Vec<Phone> {
    let vowels: Vec<usize> = (0..names.len()).filter(|&at| names[at].ends_with(['0', '1', '2'])).collect();
    let phone = |(at, name): (usize, &&str)| {
        let prefix = vowels[0..1] == [at] && at == 0 && vowels.get(1).is_some_and(|&next| names[next].ends_with('1'));
        let weak = (prefix && matches!(*name, "IH2" | "EH2")) || (at + 1 == names.len() && *name == "IY2");
        let name = name.replace('2', if weak { "0" } else { "1" });
        Phone::from_name(&name).unwrap_or_else(|| panic!("{name} is no phone"))
    };
    if vowels.is_empty() {
        names.iter().map(|name| Phone::from_name(name).expect("a consonant")).collect()
    } else {
        names.iter().enumerate().map(phone).collect()
    }
}
