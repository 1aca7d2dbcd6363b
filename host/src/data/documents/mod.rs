//! Documents: files of JSON objects, in lines or a list, of which whole ones are learnt, none seeing another.
//!
//! | file | idea |
//! |---|---|
//! | `objects.rs` | the objects of a file, and which of them are wrong |
//! | `line.rs` | a line: a text, a prompt and its completion, or a conversation |
//! | `learnt.rs` | its tokens, and which of them are learnt |
//! | `order.rs` | which documents a micro-batch holds: each once an epoch |

mod learnt;
mod line;
mod objects;
mod order;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use primal_engine::train::task::Draw;
use primal_engine::train::text::TextSource;
use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use self::learnt::LEARNT;
use self::line::{Line, Wrong};
use self::objects::{Bad, Objects};
use self::order::Epoch;
pub use self::order::Room;
use super::corpus::grouped;
use super::paths::{DataPaths, Part};
use super::source::{Source, Split};
use super::tokenizer::TextCodec;
use crate::chat::ChatTemplate;
use crate::{Error, Result};

/// The ends of the names of files that hold documents.
const ENDINGS: [&str; 2] = ["jsonl", "ndjson"];
/// Lines that are read between two looks at what was wrong with them.
const LINES: usize = 4096;
/// One document in so many is held back, of each file the last.
const HELD_OUT: usize = 20;
/// Tokens of a text that a sample goes on with.
const BEGINNING: usize = 16;
const HINT: &str = "pass more documents to --data, or longer rows by --seq-len";

/// How to read documents.
pub struct DocumentOptions<'a> {
    /// Of the model.
    pub codec: &'a TextCodec,
    /// Of the model, for conversations.
    pub template: Option<&'a ChatTemplate>,
    /// What a batch has room for.
    pub room: Room,
    /// The split that is measured, and whether the second half of what is held back is the test split instead of more validation.
    pub held_out: (Split, bool),
}

/// What became of a line.
struct ReadLine {
    names_control: bool,
    is_conversation: bool,
    is_endless: bool,
    documents: Vec<Vec<u32>>,
}

/// All documents of a run as tokens, in memory.
pub struct Documents {
    /// For messages.
    subject: String,
    codec: TextCodec,
    room: Room,
    /// All tokens, one document after another; those that are learnt have the bit [`LEARNT`].
    tokens: Vec<u32>,
    /// Where each document begins, and the end of the last.
    starts: Vec<usize>,
    /// Those of training, validation and test.
    splits: [Vec<u32>; 3],
    /// Those that are measured, and their batches.
    measured: Vec<u32>,
    batches: Vec<Range<usize>>,
    /// Documents that were longer than there is room for, and those of them that were left out, as nothing to be learnt was left.
    cut: [usize; 2],
    /// Lines whose text has the name of a control token in it: texts, and conversations whose answers have.
    naming: [usize; 2],
    /// Conversations of which nothing is learnt that ends an answer.
    endless: usize,
    /// Lines that are conversations.
    conversations: usize,
    fingerprint: u64,
    /// Where the run is.
    epoch: Mutex<Option<Epoch>>,
}

/// Whether the data of a run are files of documents.
///
/// # Errors
/// Files of documents and texts at once; paths that are missing.
pub fn are_documents(paths: &DataPaths) -> Result<bool> {
    let mut found = [None, None];
    for name in paths.files()?.concat() {
        let ends_in = |ending: &&str| name.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
        let holds_documents = ENDINGS.iter().any(ends_in) || ends_in(&"json") && objects::begin(&name);
        found[usize::from(!holds_documents)].get_or_insert(name);
    }
    match found {
        [Some(documents), Some(text)] => Err(Error::bad_input(
            "--data",
            format!("texts, or documents in files that end in .{}, or as lists in .json", ENDINGS.join(" or .")),
            format!("both: {} and {}", text.display(), documents.display()),
            "name the files that are meant, of one of the two",
        )),
        [documents, _] => Ok(documents.is_some()),
    }
}

impl Documents {
    /// Reads the files that the sources name.
    ///
    /// # Errors
    /// Bad input for paths that are missing, and for lines that are no documents, with file and line; fewer than two documents.
    pub fn open(paths: &DataPaths, options: &DocumentOptions) -> Result<Self> {
        Self::from_sources(paths.open(String::new)?, options)
    }

    /// Documents of files that are open already.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_sources(sources: Vec<Source>, options: &DocumentOptions) -> Result<Self> {
        let &DocumentOptions { codec, room, held_out: (measured, has_test), .. } = options;
        let subject = match sources.as_slice() {
            [source] => source.name.clone(),
            sources => format!("{} files", sources.len()),
        };
        let mut all = Self {
            subject,
            codec: codec.clone(),
            room,
            tokens: Vec::new(),
            starts: vec![0],
            splits: Default::default(),
            measured: Vec::new(),
            batches: Vec::new(),
            cut: [0; 2],
            naming: [0; 2],
            endless: 0,
            conversations: 0,
            fingerprint: 0,
            epoch: Mutex::new(None),
        };
        let (mut lines, is_all) = (Vec::new(), sources.iter().all(|source| source.part == Part::All));
        for source in sources {
            let first = lines.len();
            all.read(&source, options, &mut lines)?;
            all.split(&lines, first, has_test, source.part);
        }
        // Of few lines, one.
        if is_all
            && all.splits[1].is_empty()
            && all.splits[2].is_empty()
            && let Some(last) = lines.iter().rfind(|line| !line.is_empty())
        {
            all.splits[0].retain(|document| !last.contains(document));
            all.splits[1].extend(last.clone());
        }
        all.measured = all.documents(measured);
        if all.measured.is_empty() || measured == Split::Validation && all.splits[0].is_empty() {
            let subject = format!("--data {}", all.subject);
            return Err(match measured {
                Split::Validation if !is_all => {
                    let expected =
                        format!("lines in --data and in --validation of which something is learnt within {} tokens", room.seq_len);
                    let [train, held_out] = [0, 1].map(|split| all.splits[split].len());
                    Error::bad_input(subject, expected, format!("{train} and {held_out}"), HINT)
                }
                Split::Validation => {
                    let expected = format!("2 lines or more of which something is learnt within {} tokens", room.seq_len);
                    Error::bad_input(subject, expected, lines.iter().filter(|line| !line.is_empty()).count(), HINT)
                }
                split => {
                    let expected = format!("documents in the {} split", split.name());
                    let hint = format!("{HINT}; or measure all by --split all");
                    Error::bad_input(subject, expected, format!("none of {}", all.count()), hint)
                }
            });
        }
        all.batches = all.room.batches(all.measured.iter().map(|&document| all.len(document)));
        all.fingerprint = all.hash();
        Ok(all)
    }

    /// Adds the documents of a file, and to `lines` the numbers of those that became of each.
    fn read(&mut self, source: &Source, options: &DocumentOptions, lines: &mut Vec<Range<u32>>) -> Result<()> {
        let most = self.room.seq_len + 1;
        let text = std::str::from_utf8(&source.bytes).map_err(|_| crate::input::not_utf8(&source.name, source.bytes.with_mark()))?;
        let stops = options.codec.stop_tokens();
        let ends = |document: &Vec<u32>| document.len() > most || stops.iter().any(|stop| document.contains(&(stop | LEARNT)));
        let documents = |text: &str| {
            let line = line::read(text)?;
            let names_control = line.texts().into_iter().any(|text| options.codec.names_control(text));
            let is_conversation = matches!(line, Line::Conversation { .. });
            let documents = learnt::documents(line, options.codec, options.template, most)?;
            if documents.iter().map(Vec::len).min().is_none_or(|shortest| shortest < 2) {
                return line::wrong("a document of 2 tokens or more", documents.concat().len(), "remove the line");
            }
            let is_endless = is_conversation && !documents.iter().any(ends);
            Ok(ReadLine { names_control, is_conversation, is_endless, documents })
        };
        let (mut bad, all) = (Bad::default(), Objects::of(source, text)?);
        for texts in all.texts.chunks(LINES) {
            // Nothing is learnt of a file with a bad line: of the others only the form is looked at.
            if bad.is_any() {
                let wrong: Vec<_> = texts.par_iter().filter_map(|(place, text)| Some((*place, line::read(text).err()?))).collect();
                wrong.into_iter().for_each(|(place, wrong)| bad.add(place, wrong));
                continue;
            }
            let read: Vec<Result<ReadLine, Wrong>> = texts.par_iter().map(|(_, text)| documents(text)).collect();
            for ((place, _), line) in texts.iter().zip(read) {
                let ReadLine { names_control, is_conversation, is_endless, documents } = match line {
                    Ok(line) => line,
                    Err(wrong) => {
                        bad.add(*place, wrong);
                        continue;
                    }
                };
                let first = self.count() as u32;
                documents.into_iter().for_each(|tokens| self.add(tokens));
                self.naming[usize::from(is_conversation)] += usize::from(names_control);
                self.conversations += usize::from(is_conversation);
                self.endless += usize::from(is_endless);
                lines.push(first..self.count() as u32);
            }
        }
        all.require_good(bad)
    }

    /// Adds a document, as far as there is room for it (its last token is only a target), if anything is learnt of it.
    fn add(&mut self, mut tokens: Vec<u32>) {
        let most = self.room.seq_len + 1;
        self.cut[0] += usize::from(tokens.len() > most);
        tokens.truncate(most);
        if tokens[1..].iter().any(|token| token & LEARNT != 0) {
            self.tokens.extend(tokens);
            self.starts.push(self.tokens.len());
        } else {
            self.cut[1] += 1;
        }
    }

    /// Splits the documents of a file, which begins at the line `first`, so that of the lines of all files together one in [`HELD_OUT`] is held back:
    /// however long documents may be, each stays on its side. Where other files are held back, nothing is of this one.
    fn split(&mut self, lines: &[Range<u32>], first: usize, has_test: bool, part: Part) {
        let end = lines.len();
        let held_out = match part {
            Part::All => end / HELD_OUT - first / HELD_OUT,
            Part::Train => 0,
            Part::HeldOut => end - first,
        };
        let cut = end - held_out;
        let test = if has_test { end - held_out / 2 } else { end };
        for (split, range) in self.splits.iter_mut().zip([first..cut, cut..test, test..end]) {
            split.extend(lines[range].iter().cloned().flatten());
        }
    }

    /// Of the tokens, their documents and their splits.
    fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(b"documents");
        hash.update(self.codec.name().as_bytes());
        self.tokens.iter().for_each(|token| hash.update(&token.to_le_bytes()));
        self.starts.iter().for_each(|&start| hash.update(&(start as u64).to_le_bytes()));
        self.splits.iter().for_each(|split| hash.update(&(split.len() as u64).to_le_bytes()));
        hash.digest()
    }

    /// Documents.
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The tokens of a document, with the bits of those that are learnt.
    fn document(&self, document: u32) -> &[u32] {
        &self.tokens[self.starts[document as usize]..self.starts[document as usize + 1]]
    }

    /// Inputs of a document.
    fn len(&self, document: u32) -> usize {
        self.document(document).len() - 1
    }

    /// The documents of a split, in order.
    fn documents(&self, split: Split) -> Vec<u32> {
        match split {
            Split::Train => self.splits[0].clone(),
            Split::Validation => self.splits[1].clone(),
            Split::Test => self.splits[2].clone(),
            Split::All => (0..self.count() as u32).collect(),
        }
    }

    /// Fills a batch with documents one after another; how many tokens they have.
    fn fill(&self, documents: &[u32], inputs: &mut [u32], targets: &mut [u32], lengths: &mut Vec<u32>) -> usize {
        let mut rows = 0;
        for &document in documents {
            let (tokens, len) = (self.document(document), self.len(document));
            for (at, pair) in tokens.windows(2).enumerate() {
                inputs[rows + at] = pair[0] & !LEARNT;
                targets[rows + at] = if pair[1] & LEARNT == 0 { u32::MAX } else { pair[1] & !LEARNT };
            }
            lengths.push(len as u32);
            rows += len;
        }
        rows
    }

    /// One line for the user.
    pub fn describe(&self) -> String {
        // The first token of a document is no target.
        let learnt = |document| self.document(document)[1..].iter().filter(|&token| token & LEARNT != 0).count();
        let learnt: usize = (0..self.count() as u32).map(learnt).sum();
        let [train, validation, test] = self.splits.each_ref().map(|split| grouped(split.len() as u64));
        let test = if self.splits[2].is_empty() { String::new() } else { format!(", {test} for test") };
        format!(
            "{}: {} documents, {} tokens ({}), of which {} are learnt: {train} documents for training, about {} micro-batches an epoch; {validation} for validation{test}",
            self.subject,
            grouped(self.count() as u64),
            grouped(self.tokens.len() as u64),
            self.codec.name(),
            grouped(learnt as u64),
            grouped(self.room.batches(self.splits[0].iter().map(|&document| self.len(document))).len() as u64),
        )
    }

    /// What the user should know.
    pub fn warnings(&self) -> Vec<String> {
        let [cut, left_out] = self.cut;
        let of = self.count() + left_out;
        let names = "names of control tokens, such as where an answer ends,";
        let [texts, answers] = self.naming;
        let named = (texts > 0).then(|| {
            let hint = "as \"messages\" they are written by the model's own template";
            format!("warning: {texts} documents have {names} in their texts, where they are learnt as letters; {hint}")
        });
        let answered = (answers > 0).then(|| {
            let hint = "the model's template alone writes such tokens";
            format!("warning: {answers} conversations have {names} in their answers, where they are learnt as letters; {hint}")
        });
        let endless = (self.endless > 0).then(|| {
            let of = "the model's template writes no token that ends an answer, so that none is learnt";
            format!("warning: in {} of {} conversations {of}: the model may not know when to stop", self.endless, self.conversations)
        });
        let cut = (cut > 0).then(|| {
            let rest = match left_out {
                0 => String::new(),
                left_out => format!("; {left_out} of them are left out, as nothing that is learnt is before that"),
            };
            format!("warning: {cut} of {of} documents are longer than --seq-len {} and end there{rest}", self.room.seq_len)
        });
        [cut, named, answered, endless].into_iter().flatten().collect()
    }

    /// Whether there are conversations among them.
    pub fn has_conversations(&self) -> bool {
        self.conversations > 0
    }

    /// What a sample goes on with: the first document of validation up to what is learnt of it, or the beginning of a text.
    pub fn prompt(&self) -> Vec<u32> {
        let tokens = self.document(self.splits[1].first().or(self.splits[0].first()).copied().unwrap_or_default());
        let given = tokens.iter().position(|token| token & LEARNT != 0).unwrap_or(0);
        let given = if given > 1 { given } else { BEGINNING.min(tokens.len().div_ceil(2)) };
        tokens[..given].iter().map(|token| token & !LEARNT).collect()
    }
}

impl TextSource for Documents {
    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// # Panics
    /// If the batch has less room than was said.
    fn sample(&self, seed: u64, draw: Draw, _seq_len: usize, inputs: &mut [u32], targets: &mut [u32], lengths: &mut Vec<u32>) {
        let (number, train) = (draw.number(), &self.splits[0]);
        let len = |document| self.len(document);
        let mut epoch = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = match &mut *epoch {
            Some(epoch) if epoch.leads_to(seed, number) => epoch,
            other => other.insert(Epoch::new(seed, train, self.room, len)),
        };
        self.fill(epoch.batch(number, train, self.room, len), inputs, targets, lengths);
    }

    fn held_out(&self, index: u64, _seq_len: usize, inputs: &mut [u32], targets: &mut [u32], lengths: &mut Vec<u32>) -> usize {
        let batch = self.batches.get(index as usize);
        batch.map_or(0, |batch| self.fill(&self.measured[batch.clone()], inputs, targets, lengths))
    }

    fn bytes_of(&self, token: u32) -> usize {
        self.codec.bytes_of(token)
    }
}
