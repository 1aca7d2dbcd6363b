//! `primal-host phonemes`.

use std::path::{Path, PathBuf};

use argh::FromArgs;
use serde_json::json;

use super::text::{bytes_of, decode};
use crate::output::{print, print_json, warn};
use crate::voice::english;
use crate::{Error, Result};
use primal_speech::phone;

/// show what a text sounds like: its words, their phones, and how they were found
#[derive(FromArgs)]
#[argh(subcommand, name = "phonemes")]
pub struct PhonemesCommand {
    /// what to say, in English; after -- where it begins with a dash. Without it and --file, what comes through a pipe
    #[argh(positional)]
    text: Option<String>,
    /// a text file; - is standard input
    #[argh(option)]
    file: Option<PathBuf>,
    /// the text is Markdown or HTML, whose marks are not read
    #[argh(switch)]
    markup: bool,
    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

impl PhonemesCommand {
    /// Prints them. What is not read is reported on stderr, or within the object.
    ///
    /// # Errors
    /// A text that cannot be read, or without anything to say.
    pub fn run(self) -> Result<()> {
        let bytes = bytes_of("TEXT", self.text.as_deref(), self.file.as_deref())?;
        let text = decode(&bytes, self.file.as_deref().unwrap_or(Path::new("the text")).display(), self.markup)?;
        let all = english().pieces(&text);
        let warnings: Vec<String> = all.warnings.iter().map(ToString::to_string).collect();
        if all.is_empty() {
            let found = if warnings.is_empty() { format!("{text:?}") } else { warnings.join("; ") };
            return Err(Error::bad_input("TEXT", "words to say", found, "give English text, such as \"Hello, world.\""));
        }
        if self.json {
            let words: Vec<_> = all
                .words
                .iter()
                .map(|word| {
                    let range = |range: &std::ops::Range<usize>| [range.start, range.end];
                    json!({ "text": word.text, "phones": range(&word.phones), "source": range(&word.source), "found": word.found.name() })
                })
                .collect();
            let phones: Vec<_> = all.phones.iter().map(|phone| phone.name()).collect();
            return print_json(&json!({ "phones": phones, "words": words, "warnings": warnings }));
        }
        for word in &all.words {
            print(format!("{:20} {:11} {}", word.text, word.found.name(), phone::names(&all.phones[word.phones.clone()])))?;
        }
        print(format!("\n{}", phone::names(&all.phones)))?;
        warnings.iter().for_each(|warning| warn(format!("warning: {warning}")));
        Ok(())
    }
}
