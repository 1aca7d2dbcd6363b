//! `cargo xtask make-lexicon`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argh::FromArgs;
use primal_speech::make::homographs::Data;
use primal_speech::make::{PRUNE, cmudict, documents, letters, lexicon};
use primal_speech::{Error, Lexicon, Result};

/// make a lexicon file of all words of CMUdict
#[derive(FromArgs)]
struct Arguments {
    /// file to write
    #[argh(option)]
    out: PathBuf,
    /// a checkout of WikipediaHomographData, to train what tells words apart that are written alike (default: as --like has it)
    #[argh(option)]
    homographs: Option<PathBuf>,
    /// an earlier lexicon file
    #[argh(option)]
    like: PathBuf,
    /// write to --out, in place of a lexicon, the text that `primal-host train` learns letters and phones from
    #[argh(switch)]
    letters: bool,
    /// write to the folder --out, in place of a lexicon, train.jsonl and heldout.jsonl: letters and phones of words as documents
    #[argh(switch)]
    documents: bool,
}

fn main() -> ExitCode {
    match make(&argh::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("make-lexicon: {error}");
            ExitCode::from(2)
        }
    }
}

fn make(arguments: &Arguments) -> Result<()> {
    if let (true, Some(folder)) = (arguments.letters || arguments.documents, &arguments.homographs) {
        let (flag, found) = (if arguments.letters { "--letters" } else { "--documents" }, format!("--homographs {}", folder.display()));
        return Err(Error::invalid(flag, "no --homographs beside it, since no lexicon is written", found, "leave one out"));
    }
    let say = |line: &str| println!("{line}");
    let bytes = fs::read(&arguments.like).map_err(|error| refused(&arguments.like, "--like: a lexicon file", &error))?;
    let earlier = Lexicon::from_bytes(&bytes, arguments.like.display())?;
    let words = cmudict::words()?;
    if arguments.letters {
        return write(&arguments.out, letters(&words).as_bytes());
    }
    if arguments.documents {
        let folder = &arguments.out;
        fs::create_dir_all(folder).map_err(|error| refused(folder, "--out: a folder that can be written", &error))?;
        let mut files = ["train.jsonl", "heldout.jsonl"].into_iter().zip(documents(&words));
        return files.try_for_each(|(name, text)| write(&folder.join(name), text.as_bytes()));
    }
    let trained = match &arguments.homographs {
        Some(folder) => Some(Data::read(folder, &words, &earlier, &say)?.train()),
        None => None,
    };
    let first: Vec<_> = words.iter().map(|(word, phones)| (&word[..], &phones[0][..])).collect();
    let file = lexicon(&first, trained.as_ref().unwrap_or(earlier.homographs()), PRUNE, &say);
    write(&arguments.out, &file)
}

fn write(out: &Path, file: &[u8]) -> Result<()> {
    // Beside it first, so that a file that was there is replaced by a whole one or not at all.
    let mut part = out.to_path_buf().into_os_string();
    part.push(".part");
    let written = fs::write(&part, file).and_then(|()| fs::rename(&part, out));
    written.map_err(|error| refused(out, "--out: a file that can be written", &error))?;
    println!("{}: {} bytes", out.display(), file.len());
    Ok(())
}

fn refused(path: &Path, expected: &str, found: &std::io::Error) -> Error {
    Error::invalid(path.display(), expected, found, "check the path and its permissions")
}
