//! `cargo xtask make-lexicon`.

use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;

use crate::{cargo, root};

/// The lexicon of the program.
const ENGLISH: &str = "models/voices/english.lexicon";

/// make the lexicon of the program anew, from the CMUdict in the crate cmudict-fast
#[derive(FromArgs)]
#[argh(subcommand, name = "make-lexicon")]
pub struct MakeLexicon {
    /// file to write (default: models/voices/english.lexicon)
    #[argh(option)]
    out: Option<PathBuf>,
    /// a checkout of WikipediaHomographData, to train what tells words apart that are written alike; without it, that of the lexicon at hand is kept
    #[argh(option)]
    homographs: Option<PathBuf>,
    /// write, in place of a lexicon, the text that `primal-host train --config models/letters.toml` learns to pronounce words from: without the words
    /// that `bench g2p` asks for
    #[argh(option)]
    letters: Option<PathBuf>,
    /// write, in place of a lexicon, train.jsonl and heldout.jsonl to a folder: documents that `bench finetune --phones` learns phones from, and those
    /// of the words that `bench g2p` asks for
    #[argh(option)]
    documents: Option<PathBuf>,
}

impl MakeLexicon {
    /// Runs it.
    pub fn run(self) -> ExitCode {
        let outputs = [("--out", self.out), ("--letters", self.letters), ("--documents", self.documents)];
        let mut given = outputs.into_iter().filter_map(|(flag, path)| Some((flag, path?)));
        let english = root().join(ENGLISH);
        let (flag, out) = given.next().unwrap_or(("--out", english.clone()));
        if let Some((other, _)) = given.next() {
            eprintln!("xtask: make-lexicon: expected one of --out, --letters and --documents, found {flag} and {other}; leave one out");
            return ExitCode::from(2);
        }
        let path = |path: PathBuf| path.into_os_string().into_string().expect("argh takes UTF-8 only");
        let mut arguments = vec!["--like".into(), path(english), "--out".into(), path(out)];
        arguments.extend((flag != "--out").then(|| flag.to_owned()));
        arguments.extend(self.homographs.into_iter().flat_map(|folder| ["--homographs".into(), path(folder)]));
        let package = ["run", "--package", "primal-speech", "--features", "make-lexicon", "--bin", "make-lexicon", "--"];
        cargo(&package, &arguments)
    }
}
