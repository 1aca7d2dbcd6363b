//! Whether tokenizers from files give the tokens of the programs that those files are for: `cargo xtask bench tokenizers --dir DIR`.
//!
//! `DIR` has, as llama.cpp's `models/` has, vocabularies `NAME.gguf` (or Hugging Face's folders `NAME`) with texts `NAME.inp`, a line `__ggml_vocab_test__` between two
//! of them, and `NAME.out`, for each text a line of numbers: its tokens, without any that are added, and with names of control tokens read as text. Every text
//! with other tokens is printed.

#[path = "../shared/arguments.rs"]
mod arguments;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use argh::FromArgs;
use arguments::arguments;
use primal_engine::config::MOST_TOKENS;
use primal_engine::files::gguf::Gguf;
use primal_host::data::{ModelFiles, StoredTokenizer};

/// Between two texts.
const SEPARATOR: &str = "\n__ggml_vocab_test__\n";
/// Differences that are printed of a vocabulary, unless all are wanted.
const SHOWN: usize = 5;

/// Compares tokens with those that other programs give.
#[derive(FromArgs)]
struct Flags {
    /// folder of vocabularies, texts and tokens
    #[argh(option)]
    dir: PathBuf,
    /// print every text with other tokens
    #[argh(switch)]
    all: bool,
}

fn open(vocabulary: &Path) -> Result<StoredTokenizer, String> {
    let files = match vocabulary.is_dir() {
        true => ModelFiles::beside(vocabulary),
        false => Gguf::open(vocabulary).map(ModelFiles::of_gguf).map_err(Into::into),
    };
    files.and_then(|files| files.tokenizer(MOST_TOKENS)).map_err(|error| error.to_string())
}

/// The texts of a vocabulary and their tokens.
fn cases(vocabulary: &Path) -> Result<Vec<(String, Vec<u32>)>, String> {
    let read = |extension: &str| {
        let stem = vocabulary.display();
        std::fs::read_to_string(format!("{stem}.{extension}")).map_err(|error| format!("{stem}.{extension}: {error}"))
    };
    let (texts, tokens) = (read("inp")?, read("out")?);
    let numbers = |line: &str| line.split_whitespace().map(|number| number.parse().map_err(|e| format!("{line:?}: {e}"))).collect();
    let tokens = tokens.lines().map(numbers).collect::<Result<Vec<Vec<u32>>, String>>()?;
    let texts: Vec<String> = texts.split(SEPARATOR).map(str::to_owned).collect();
    match texts.len() - usize::from(texts.len() == tokens.len() + 1) == tokens.len() {
        true => Ok(texts.into_iter().zip(tokens).collect()),
        false => Err(format!("{} texts and tokens of {}", texts.len(), tokens.len())),
    }
}

fn compare(vocabulary: &Path, all: bool) -> Result<bool, String> {
    let cases = cases(vocabulary)?;
    let began = Instant::now();
    let tokenizer = open(vocabulary)?;
    let opened = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let found: Vec<Vec<u32>> = cases.iter().map(|(text, _)| tokenizer.encode(text, true)).collect();
    let seconds = began.elapsed().as_secs_f64();
    let bytes: usize = cases.iter().map(|(text, _)| text.len()).sum();
    let different: Vec<_> = cases.iter().zip(&found).filter(|((_, expected), found)| expected != *found).collect();
    let name = vocabulary.file_name().unwrap_or_default().display().to_string();
    let same = cases.len() - different.len();
    let rate = bytes as f64 / 1e6 / seconds;
    println!("{name:<36} {same:>7} of {:>7} texts the same; opened in {opened:.2} s, {rate:.2} MB/s", cases.len());
    for ((text, expected), found) in different.iter().take(if all { usize::MAX } else { SHOWN }) {
        println!("    {text:?}\n        expected {expected:?}\n        found    {found:?}");
    }
    Ok(different.is_empty())
}

fn main() -> ExitCode {
    let flags: Flags = arguments();
    let mut vocabularies: Vec<PathBuf> = match std::fs::read_dir(&flags.dir) {
        Ok(entries) => entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir() || path.extension().is_some_and(|e| e == "gguf"))
            .collect(),
        Err(error) => {
            eprintln!("{}: {error}", flags.dir.display());
            return ExitCode::from(2);
        }
    };
    vocabularies.sort();
    for vocabulary in &vocabularies {
        if let Err(error) = compare(vocabulary, flags.all) {
            println!("{}: {error}", vocabulary.display());
        }
    }
    ExitCode::SUCCESS
}
