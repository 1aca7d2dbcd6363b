//! `primal-host export`.

use std::path::{Path, PathBuf};

use argh::FromArgs;

use super::overrides::one_of;
use super::paths::{require_distinct, require_extension, require_writable};
use crate::data::{Exchanged, ModelFiles, TextCodec};
use crate::output::{print, warn};
use crate::runs::folder::unwritable_out;
use crate::{Error, Result};
use primal_engine::config::Tokenizer;
use primal_engine::convert::{Model, to_folder, to_gguf};
use primal_engine::files::gguf::{Gguf, Value};
use primal_engine::files::{Dtype, durable};

/// make a file of another program's of a language model of this one: an imported model, or a checkpoint of a run
#[derive(FromArgs)]
#[argh(subcommand, name = "export")]
pub struct Export {
    #[argh(subcommand)]
    what: What,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum What {
    Gguf(ExportGguf),
    Folder(ExportFolder),
}

/// make a GGUF file, for llama.cpp and what is built on it. A model that was imported from one as it is comes out as it went in. Weights on int4 and uniform15 become
/// Q4_0, on uint4 with offsets Q4_1, on fine15, uniform16 and e2m1 Q8_0, on others F16; what is not exact is printed
#[derive(FromArgs)]
#[argh(subcommand, name = "gguf")]
struct ExportGguf {
    /// model or checkpoint
    #[argh(positional)]
    file: PathBuf,
    /// GGUF file to write
    #[argh(option)]
    out: PathBuf,
}

/// make a folder as Hugging Face's transformers reads it: configuration, weights in floats, tokenizer
#[derive(FromArgs)]
#[argh(subcommand, name = "hf")]
struct ExportFolder {
    /// model or checkpoint
    #[argh(positional)]
    file: PathBuf,
    /// folder to write
    #[argh(option)]
    out: PathBuf,
    /// type of weights that are in none of these: F32, F16 (default) or BF16
    #[argh(option, default = "String::from(\"F16\")")]
    floats: String,
}

impl Export {
    /// Reads, checks and writes.
    ///
    /// # Errors
    /// A file that is no model, or one that the other program does not have; output that cannot be written.
    pub fn run(self) -> Result<()> {
        match self.what {
            What::Gguf(command) => command.run(),
            What::Folder(command) => command.run(),
        }
    }
}

impl ExportGguf {
    fn run(self) -> Result<()> {
        let out = ("--out", self.out.as_path());
        require_extension(out, "gguf")?;
        require_distinct(out, &[("FILE", self.file.as_path())])?;
        require_writable(out)?;
        let model = Model::open(&self.file)?;
        let tokenizer = match own_gguf(&model)? {
            Some(_) => Vec::new(),
            None => exchanged(&model)?.padded(model.table.vocab()).to_gguf(),
        };
        let keys: Vec<(String, Value)> = tokenizer;
        let lost = to_gguf::export(&model, &keys, &self.out)?;
        tell(&self.out, to_gguf::architecture(&model)?, &lost)
    }
}

impl ExportFolder {
    fn run(self) -> Result<()> {
        const FLOATS: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::BF16];
        let floats = FLOATS.into_iter().find(|dtype| dtype.name().eq_ignore_ascii_case(&self.floats));
        let floats = one_of("--floats", "F32, F16 or BF16", &self.floats, floats)?;
        if self.out.exists() && !self.out.is_dir() {
            let found = format!("{}, which is none", self.out.display());
            return Err(Error::bad_input("--out", "a folder, or a name for one", found, "give another name"));
        }
        durable::sweep_all(&self.out);
        // What lies there, perhaps the model itself, stays.
        if std::fs::read_dir(&self.out).is_ok_and(|mut files| files.next().is_some()) {
            let found = format!("{}, which has files", self.out.display());
            return Err(Error::bad_input("--out", "a new folder, or an empty one", found, "give another name"));
        }
        let model = Model::open(&self.file)?;
        let files = match model.attached("tokenizer.json")? {
            Some(_) => Vec::new(),
            None => exchanged(&model)?.to_files(),
        };
        let lost = to_folder::export(&model, floats, &files, &self.out).map_err(|error| unwritable_out(error.into()))?;
        tell(&self.out, to_gguf::architecture(&model)?, &lost)
    }
}

/// The metadata of the GGUF file that a model came from.
fn own_gguf(model: &Model) -> Result<Option<Gguf>> {
    let subject = format!("{}: files/gguf", model.path.display());
    let bytes = model.attached("gguf")?;
    Ok(bytes.map(|bytes| Gguf::from_bytes(&subject, &bytes)).transpose()?)
}

/// The tokenizer of a model for another format than the one that it came in.
fn exchanged(model: &Model) -> Result<Exchanged> {
    let tokenizer = model.table.tokenizer();
    match (tokenizer, own_gguf(model)?) {
        (Tokenizer::Stored(vocab), gguf) => {
            let files = ModelFiles::attached_to(&*model.file)?;
            let exchanged = match gguf {
                Some(gguf) => Exchanged::of_gguf(&gguf, &model.path.display().to_string()),
                None => Exchanged::of_files(&files, vocab),
            };
            Ok(exchanged?.with_stops(files.tokenizer(vocab)?.stop_tokens()))
        }
        (named, _) => Ok(Exchanged::of_named(&TextCodec::named(named)?)),
    }
}

/// Prints what is not exact, and what was written.
fn tell(out: &Path, architecture: &str, lost: &[to_gguf::Lost]) -> Result<()> {
    for (name, dtype, error) in lost {
        print(format!("{:>10.6} %  {name}, {dtype}", 100.0 * error))?;
    }
    if !lost.is_empty() {
        warn(format!("{} tensors are not exact: the root mean square of what each lost is above", lost.len()));
    }
    let exactness = if lost.is_empty() { ", exact" } else { "" };
    print(format!("{}: {architecture}{exactness}", out.display()))
}
