//! The files of all runs, and how a checkpoint is measured.

use std::fs;
use std::path::{Path, PathBuf};

use super::arms::SEQ_LEN;
use super::outcome::Outcome;
use super::phones::{self, Words};
use super::program::{primal, text};
use super::{Arguments, Result};

/// Bytes of the other text that are measured where phones are learnt.
const OTHER: usize = 40_000;

/// What is learnt.
pub enum Learnt<'a> {
    /// A text.
    Text(&'a Path),
    /// The folder of train.jsonl and heldout.jsonl.
    Phones(&'a Path),
}

/// The files of all runs.
pub struct Bench<'a> {
    pub arguments: &'a Arguments,
    /// Of the runs.
    pub folder: PathBuf,
    /// The imported model.
    pub model: PathBuf,
    /// What is learnt, and what is held back.
    pub texts: [PathBuf; 2],
    /// Words that the model is asked for, if it learns phones.
    pub words: Option<PathBuf>,
    pub other: PathBuf,
    pub fingerprint: String,
    pub threads: usize,
}

impl<'a> Bench<'a> {
    /// The files for what is learnt: a text, or words and their phones.
    pub fn prepare(arguments: &'a Arguments, model: &Path, learnt: Learnt, other: &Path) -> Result<Self> {
        let all = read(other)?;
        let parts = match learnt {
            Learnt::Text(data) => vec![read(data)?],
            Learnt::Phones(folder) => {
                ["train.jsonl", "heldout.jsonl"].map(|name| read(&folder.join(name))).into_iter().collect::<Result<_>>()?
            }
        };
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        hash.update(&fs::read(first_file(model)?).map_err(|e| format!("{}: {e}", model.display()))?);
        parts.iter().chain([&all]).for_each(|part| hash.update(part.as_bytes()));
        let fingerprint = format!("{:016x}", hash.digest());
        // Of other inputs there are other runs.
        let folder = arguments.runs.join(&fingerprint);
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let imported = folder.join("model.safetensors");
        if !imported.exists() {
            primal(&["import", "model", text(model)?, "--as-is", "--no-loss", "--out", text(&imported)?])?;
        }
        let file = |name: &str, content: &str| {
            let path = folder.join(name);
            write(&path, content).map(|()| path)
        };
        // The last hundredth of a text is held back; `train` validates on the last twentieth of what is before it.
        let measured = parts[0].len() / 100;
        let (texts, words) = match &parts[..] {
            [words, held_out] => {
                let texts = [file("learnt.jsonl", words)?, file("held-back.jsonl", &phones::first(held_out, phones::MEASURED))?];
                (texts, Some(file("words.jsonl", &phones::first(held_out, phones::ASKED))?))
            }
            _ => {
                let (learnt, held_back) = parts[0].split_at(line_start(&parts[0], parts[0].len() - measured));
                ([file("learnt.txt", learnt)?, file("held-back.txt", held_back)?], None)
            }
        };
        // Of the other text as much as of the novels.
        let measured = if words.is_some() { OTHER } else { measured };
        let other = file("other.txt", &all[line_start(&all, all.len().saturating_sub(measured))..])?;
        let threads = arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        Ok(Self { arguments, folder, model: imported, texts, words, other, fingerprint, threads })
    }

    /// Measures a checkpoint: its losses, and what it answers.
    pub fn measured(&self, checkpoint: &Path, outcome: Outcome) -> Result<Outcome> {
        let [test, other] = self.losses(checkpoint)?;
        Ok(Outcome { test, other, words: self.answers(checkpoint)?, ..outcome })
    }

    /// What a checkpoint answers where it is asked for words.
    fn answers(&self, checkpoint: &Path) -> Result<Option<Words>> {
        let Some(words) = &self.words else { return Ok(None) };
        let threads = self.threads.to_string();
        let flags = ["generate", "--temperature", "0", "--max-tokens", phones::TOKENS, "--threads", &threads];
        let said = primal(&[&flags[..], &["--checkpoint", text(checkpoint)?, "--prompts", text(words)?]].concat())?;
        phones::score(&read(words)?, &said).map(Some)
    }

    /// The losses on what was held back and on the other text.
    fn losses(&self, checkpoint: &Path) -> Result<[f64; 2]> {
        let [seq_len, threads] = [SEQ_LEN, self.threads].map(|n| n.to_string());
        let loss = |data: &Path| {
            let file = ["--checkpoint", text(checkpoint)?, "--data", text(data)?];
            let json = primal(&[&["eval", "--split", "all", "--json", "--threads", &threads, "--seq-len", &seq_len][..], &file].concat())?;
            let object: serde_json::Value = serde_json::from_str(&json).map_err(|e| format!("{}: {e}", checkpoint.display()))?;
            object["nats_per_token"].as_f64().ok_or_else(|| format!("{}: no nats_per_token in {object}", checkpoint.display()))
        };
        Ok([loss(&self.texts[1])?, loss(&self.other)?])
    }

    /// A checkpoint of floats as a folder of transformers.
    pub fn floats(&self, checkpoint: &Path, folder: &Path) -> Result<()> {
        primal(&["export", "hf", text(checkpoint)?, "--out", text(folder)?]).map(drop)
    }

    /// Measures such a folder's floats rounded to the grid that the model came on, as people do after training.
    pub fn rounded(&self, floats: &Path, rounded: &Path, outcome: Outcome) -> Result<Outcome> {
        let grid = ["--grid", "uint4", "--scales", "group32-offset", "--keep-embeddings"];
        primal(&[&["import", "model", text(floats)?, "--no-loss", "--out", text(rounded)?], &grid[..]].concat())?;
        Ok(Outcome { rounded: Some(self.losses(rounded)?), rounded_words: self.answers(rounded)?, ..outcome })
    }
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Writes a file; one that is there already stays as it is, since a run may be reading it.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content.as_ref()) {
        return Ok(());
    }
    fs::write(path, content).map_err(|e| format!("{}: {e}", path.display()))
}

/// The file that says which model it is: itself, or of a folder its weights or their index.
fn first_file(model: &Path) -> Result<PathBuf> {
    if model.is_file() {
        return Ok(model.into());
    }
    let names = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"];
    names.iter().map(|name| model.join(name)).find(|path| path.is_file()).ok_or_else(|| format!("{}: no model", model.display()))
}

/// Where the line begins that the byte `at` is in.
fn line_start(text: &str, at: usize) -> usize {
    let at = (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}
