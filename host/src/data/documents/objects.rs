//! The objects of a file of documents: its lines, or the elements of a list in JSON.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::value::RawValue;

use super::line::{self, Wrong};
use crate::data::Source;
use crate::{Error, Result};

/// Bad objects whose places are told, at most.
const TOLD: usize = 8;
/// Bytes of a file that tell what it is.
const HEAD: u64 = 1 << 20;

/// Whether documents begin a file of JSON, which may as well be a text to learn: the first object of its list, or the one in its first line, is one.
pub(super) fn begin(path: &Path) -> bool {
    let mut head = Vec::new();
    // What cannot be read is told of where it is.
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    let text = head.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let object = text.strip_prefix('[').or(text.lines().next());
    read.is_ok() && object.is_some_and(line::begins)
}

/// The objects of a file, each with its number: of lines from 1, of elements of a list from 0.
pub(super) struct Objects<'a> {
    name: &'a str,
    is_list: bool,
    pub texts: Vec<(usize, &'a str)>,
}

impl<'a> Objects<'a> {
    /// Those of a file of this text. Blank lines are passed over.
    ///
    /// # Errors
    /// What begins as a list and is none.
    pub fn of(source: &'a Source, text: &'a str) -> Result<Self> {
        // In a file of lines a list is a line that is wrong.
        let is_list = source.name.to_ascii_lowercase().ends_with(".json") && text.trim_start().starts_with('[');
        let texts = if is_list {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| {
                let hint = "write a list of objects, or an object in each line";
                Error::bad_input(&source.name, "a list of JSON objects", format!("no JSON: {error}"), hint)
            })?;
            elements.into_iter().map(RawValue::get).enumerate().collect()
        } else {
            (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).collect()
        };
        Ok(Self { name: &source.name, is_list, texts })
    }

    /// Refuses the file if some of its objects are wrong: says what is wrong with the first, and where others are.
    pub fn require_good(&self, bad: Bad) -> Result<()> {
        let Some((at, Wrong { expected, found, hint })) = bad.first else { return Ok(()) };
        let subject = if self.is_list { format!("{}[{at}]", self.name) } else { format!("{}:{at}", self.name) };
        let hint = if bad.count == 1 {
            hint
        } else {
            let (what, more) = (if self.is_list { "elements" } else { "lines" }, if bad.count > TOLD + 1 { ", …" } else { "" });
            let others: Vec<String> = bad.others.iter().map(usize::to_string).collect();
            format!("{hint}; {} other {what} of the file are wrong as well: {}{more}", bad.count - 1, others.join(", "))
        };
        Err(Error::bad_input(subject, expected, found, hint))
    }
}

/// Objects that are wrong.
#[derive(Default)]
pub(super) struct Bad {
    first: Option<(usize, Wrong)>,
    others: Vec<usize>,
    count: usize,
}

impl Bad {
    /// Notes the one of that number.
    pub fn add(&mut self, at: usize, wrong: Wrong) {
        self.count += 1;
        if self.first.is_none() {
            self.first = Some((at, wrong));
        } else if self.others.len() < TOLD {
            self.others.push(at);
        }
    }

    /// Whether there are some.
    pub fn is_any(&self) -> bool {
        self.count > 0
    }
}
