//! The corpus: all texts of a run as one sequence of tokens per split, read through windows.
//!
//! The texts of a split are joined in order, so that small files are learnt from as well and every token is equally likely to be seen.
//! Nothing here has state: what a step trains on is a function of (seed, step, micro-batch, row), so a run resumes without a cursor.

use std::ops::Range;
use std::path::PathBuf;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::epochs;
use super::paths::{DataPaths, Part};
use super::source::{self, DATA, Source, Split, TextBytes};
use super::stories::stories;
use super::token_cache::TokenFile;
use super::tokenizer::TextCodec;
use crate::{Error, Result};
use primal_engine::config::Windows;
use primal_engine::train::task::Draw;
use primal_engine::train::text::{TextSource, windows};

/// How to open a corpus.
#[derive(Debug, Clone)]
pub struct CorpusOptions {
    /// Size in bytes of the embedded stories, where they are a source.
    pub stories_bytes: usize,
    /// Seed of the embedded stories; independent of the run's seed, so that all runs validate on the same text.
    pub stories_seed: u64,
    /// Whether the second half of the last 5 % is the test split instead of more validation.
    pub hold_out_test: bool,
    /// Which windows are learnt.
    pub windows: Windows,
    /// Where byte-pair tokens of files are cached; without it they are computed each time and kept in memory.
    pub cache: Option<PathBuf>,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self { stories_bytes: 8_000_000, stories_seed: 1, hold_out_test: false, windows: Windows::Random, cache: None }
    }
}

/// Tokens of one text.
enum Tokens {
    Bytes(TextBytes),
    Pairs(TokenFile),
}

struct CorpusText {
    name: String,
    byte_len: u64,
    tokens: Tokens,
    cuts: [u64; 2],
    count: u64,
}

impl CorpusText {
    /// Tokens `from..from + out.len()`, which must exist.
    fn read(&self, from: u64, out: &mut [u32]) {
        match &self.tokens {
            Tokens::Bytes(bytes) => {
                let bytes = &bytes[from as usize..][..out.len()];
                for (token, &byte) in out.iter_mut().zip(bytes) {
                    *token = u32::from(byte);
                }
            }
            Tokens::Pairs(file) => {
                for (token, index) in out.iter_mut().zip(from..) {
                    *token = file.get(index);
                }
            }
        }
    }
}

/// The part of one text that belongs to a split, and where that part starts among the split's tokens.
struct TokenRange {
    text: usize,
    first: u64,
    start: u64,
}

/// The tokens of one split of all texts, joined in order.
#[derive(Default)]
struct SplitTokens {
    ranges: Vec<TokenRange>,
    len: u64,
}

/// All texts of a run, tokenised and split.
pub struct Corpus {
    texts: Vec<CorpusText>,
    codec: TextCodec,
    splits: [SplitTokens; 4],
    windows: Windows,
    fingerprint: u64,
    warnings: Vec<String>,
}

/// Tokens of a text that a sample goes on with.
const PROMPT: usize = 16;
/// Bytes at the beginning of a text that tell whether it is meant as one.
const BEGINNING: usize = 1 << 20;

/// What the user should know of a text: that it looks like something else, or has marks of another program in it.
fn warning(source: &Source, codec: &TextCodec) -> Option<String> {
    let (name, text) = (&source.name, source.head(BEGINNING));
    let first = text.trim_start().strip_prefix('[').unwrap_or(text).trim_start();
    let keys = ["\"messages\"", "\"conversations\"", "\"prompt\"", "\"completion\"", "\"text\"", "\"instruction\"", "\"question\""];
    if first.starts_with('{') && keys.iter().any(|key| first.contains(key)) {
        return Some(format!(
            "warning: {name} looks like documents, and is learnt as text: documents are lines of JSON in files that end in .jsonl"
        ));
    }
    let is_table = [".csv", ".tsv", ".CSV", ".TSV"].iter().any(|ending| name.ends_with(ending));
    if is_table {
        return Some(format!(
            "warning: {name} looks like a table, and is learnt as text, separators and all: write a line of JSON for each row, in a file that ends in .jsonl"
        ));
    }
    codec.names_control(text).then(|| {
        format!("warning: {name} has names of control tokens in it, such as where a text ends, which are learnt as letters: write each text as a document of .jsonl")
    })
}

/// A stretch of a split for evaluation: `len` inputs from `start`, and the token after each as its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenWindow {
    /// The split that is read.
    pub split: Split,
    /// Position of the first input among the split's tokens.
    pub start: u64,
    /// Number of inputs, and of targets.
    pub len: usize,
}

impl TextSource for Corpus {
    fn bytes_of(&self, token: u32) -> usize {
        self.codec.bytes_of(token)
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Fills a micro-batch with windows of the training split; they depend on seed, draw, row and the data alone. Nothing is
    /// allocated. [`Corpus::require`] says beforehand whether there is enough data.
    ///
    /// # Panics
    /// When the slices differ in length or the training split has no window of that length.
    fn sample(&self, seed: u64, draw: Draw, seq_len: usize, inputs: &mut [u32], targets: &mut [u32], _lengths: &mut Vec<u32>) {
        assert_eq!(inputs.len(), targets.len());
        let rows = inputs.chunks_exact_mut(seq_len).zip(targets.chunks_exact_mut(seq_len));
        let (count, tokens) = (rows.len() as u64, self.tokens(Split::Train));
        for (row, (inputs, targets)) in rows.enumerate() {
            let start = match self.windows {
                Windows::Random => self.sample_start(seed, draw.step, draw.micro_batch, row as u32, seq_len),
                Windows::Epochs => epochs::start(seed, draw.number() * count + row as u64, seq_len as u64, tokens),
            };
            self.fill(Split::Train, start, inputs, targets);
        }
    }

    fn held_out(&self, index: u64, seq_len: usize, inputs: &mut [u32], targets: &mut [u32], _lengths: &mut Vec<u32>) -> usize {
        windows(index, seq_len, inputs, targets, |index, inputs, targets| {
            let window = self.window(Split::Validation, seq_len, index);
            self.read_window(window, inputs, targets);
            window.len
        })
    }
}

impl Corpus {
    /// Opens files, folders and `stories`, checks them, and tokenises them where the tokenizer is not bytes.
    ///
    /// # Errors
    /// Bad input for paths that are missing or hold no UTF-8 text, and errors of the token cache.
    pub fn open(sources: &[String], codec: TextCodec, options: &CorpusOptions) -> Result<Self> {
        let texts = source::open(sources, DATA, || stories(options.stories_seed, options.stories_bytes))?;
        Self::from_sources(texts, codec, options)
    }

    /// The same, where other texts may be held back.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_apart(paths: &DataPaths, codec: TextCodec, options: &CorpusOptions) -> Result<Self> {
        Self::from_sources(paths.open(|| stories(options.stories_seed, options.stories_bytes))?, codec, options)
    }

    /// A corpus of texts that are open already.
    ///
    /// # Errors
    /// Errors of the token cache.
    pub fn from_sources(sources: Vec<Source>, codec: TextCodec, options: &CorpusOptions) -> Result<Self> {
        let mut fingerprint = Xxh3::new();
        fingerprint.update(codec.name().as_bytes());
        let mut texts = Vec::with_capacity(sources.len());
        let mut warnings = Vec::new();
        for source in sources {
            warnings.extend(warning(&source, &codec));
            let byte_len = source.byte_len();
            if source.part != Part::All {
                fingerprint.update(&[source.part as u8]);
            }
            fingerprint.update(&byte_len.to_le_bytes());
            fingerprint.update(&source.hash.to_le_bytes());
            let text = match &codec {
                TextCodec::Bytes => {
                    CorpusText { cuts: source.cuts, count: byte_len, tokens: Tokens::Bytes(source.bytes), byte_len, name: source.name }
                }
                codec => {
                    let file = TokenFile::open(&source, codec, options.cache.as_deref())?;
                    CorpusText { cuts: file.cuts, count: file.count, tokens: Tokens::Pairs(file), byte_len, name: source.name }
                }
            };
            texts.push(text);
        }
        let splits = [Split::Train, Split::Validation, Split::Test, Split::All].map(|split| {
            let mut tokens = SplitTokens::default();
            for (index, text) in texts.iter().enumerate() {
                let range = split.range(text.cuts, text.count, options.hold_out_test);
                if !range.is_empty() {
                    tokens.ranges.push(TokenRange { text: index, first: range.start, start: tokens.len });
                    tokens.len += range.end - range.start;
                }
            }
            tokens
        });
        Ok(Self { texts, codec, splits, windows: options.windows, fingerprint: fingerprint.digest(), warnings })
    }

    /// What the user should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The tokenizer.
    pub fn codec(&self) -> &TextCodec {
        &self.codec
    }

    /// Number of tokens in a split.
    pub fn tokens(&self, split: Split) -> u64 {
        self.split_tokens(split).len
    }

    /// What a sample goes on with: the first words of validation.
    pub fn prompt(&self) -> Vec<u32> {
        let mut tokens = vec![0; PROMPT.min(self.tokens(Split::Validation) as usize)];
        self.read(Split::Validation, 0, &mut tokens);
        match self.codec.decode(&tokens).trim().trim_end_matches(char::REPLACEMENT_CHARACTER) {
            "" => self.codec.prompt("\n"),
            text => self.codec.prompt(text),
        }
    }

    /// A hash of tokenizer and contents, in order: the same for the same data wherever it lies. Kept in checkpoints, so that resuming on
    /// other data is noticed.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// One line for the user.
    pub fn describe(&self) -> String {
        let bytes: u64 = self.texts.iter().map(|text| text.byte_len).sum();
        let what = match self.texts.as_slice() {
            [text] => text.name.clone(),
            texts => format!("{} files", texts.len()),
        };
        let mut line = format!(
            "{what}: {} bytes, {} tokens ({}): {} for training, {} for validation",
            grouped(bytes),
            grouped(self.tokens(Split::All)),
            self.codec.name(),
            grouped(self.tokens(Split::Train)),
            grouped(self.tokens(Split::Validation)),
        );
        if self.tokens(Split::Test) > 0 {
            line += &format!(", {} for test", grouped(self.tokens(Split::Test)));
        }
        line
    }

    /// Checks that there is enough text to train on: `batch` rows of `seq_len` tokens, and something to validate on.
    ///
    /// # Errors
    /// Bad input, with the number of tokens that were found.
    pub fn require(&self, batch: usize, seq_len: usize) -> Result<()> {
        let needed = (batch as u64).saturating_mul(seq_len as u64).saturating_add(1);
        let found = self.tokens(Split::Train);
        if found < needed {
            return Err(Error::bad_input(
                self.subject(),
                format!("at least {needed} training tokens: one batch of {batch} x {seq_len} and the token after it"),
                found,
                "pass more text to --data, or lower --batch or --seq-len",
            ));
        }
        self.require_split(Split::Validation)
    }

    /// Checks that a split can be evaluated: at least one input and its target.
    ///
    /// # Errors
    /// Bad input, with the number of tokens that were found.
    pub fn require_split(&self, split: Split) -> Result<()> {
        let found = self.tokens(split);
        if found < 2 {
            return Err(Error::bad_input(
                self.subject(),
                format!("at least 2 tokens in the {} split", split.name()),
                found,
                "pass more text to --data, or evaluate with --split all",
            ));
        }
        Ok(())
    }

    /// Where a row's window starts among the training tokens.
    fn sample_start(&self, seed: u64, step: u64, micro_batch: u32, row: u32, seq_len: usize) -> u64 {
        let starts = self.tokens(Split::Train).saturating_sub(seq_len as u64);
        assert!(starts > 0, "fewer training tokens than one window");
        let mut key = [0; 24];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&step.to_le_bytes());
        key[16..20].copy_from_slice(&micro_batch.to_le_bytes());
        key[20..].copy_from_slice(&row.to_le_bytes());
        // The high half of a product maps 64 random bits to 0..starts with a bias below starts / 2^64.
        ((u128::from(xxh3_64(&key)) * u128::from(starts)) >> 64) as u64
    }

    /// The `index`-th window of `seq_len` tokens of a split. Together they have every token but the first as a target once; the last may be shorter, and what
    /// is beyond it is empty.
    pub fn window(&self, split: Split, seq_len: usize, index: u64) -> TokenWindow {
        let (start, targets) = (index * seq_len as u64, self.tokens(split).saturating_sub(1));
        TokenWindow { split, start, len: (seq_len as u64).min(targets.saturating_sub(start)) as usize }
    }

    /// Reads a window: the first `window.len` of `inputs` and `targets`; what follows is left alone.
    ///
    /// # Panics
    /// When a slice is shorter than the window.
    pub fn read_window(&self, window: TokenWindow, inputs: &mut [u32], targets: &mut [u32]) {
        let len = window.len;
        self.fill(window.split, window.start, &mut inputs[..len], &mut targets[..len]);
    }

    /// Bytes of text that the targets of a window stand for.
    pub fn window_bytes(&self, window: TokenWindow) -> u64 {
        self.target_bytes(window.split, window.start + 1..window.start + 1 + window.len as u64)
    }

    /// Bytes of text that all targets of a split stand for: what nats are divided by for bits per byte.
    pub fn bytes_in(&self, split: Split) -> u64 {
        self.target_bytes(split, 1..self.tokens(split).max(1))
    }

    fn target_bytes(&self, split: Split, range: Range<u64>) -> u64 {
        if let TextCodec::Bytes = self.codec {
            return range.end - range.start;
        }
        let mut tokens = [0; 256];
        let mut sum = 0;
        let mut at = range.start;
        while at < range.end {
            let len = (range.end - at).min(tokens.len() as u64) as usize;
            self.read(split, at, &mut tokens[..len]);
            let lengths = tokens[..len].iter().map(|&token| self.codec.bytes_of(token) as u64);
            sum += lengths.sum::<u64>();
            at += len as u64;
        }
        sum
    }

    fn split_tokens(&self, split: Split) -> &SplitTokens {
        &self.splits[match split {
            Split::Train => 0,
            Split::Validation => 1,
            Split::Test => 2,
            Split::All => 3,
        }]
    }

    fn fill(&self, split: Split, start: u64, inputs: &mut [u32], targets: &mut [u32]) {
        let Some(last) = targets.len().checked_sub(1) else {
            return;
        };
        self.read(split, start, inputs);
        targets[..last].copy_from_slice(&inputs[1..]);
        self.read(split, start + inputs.len() as u64, &mut targets[last..]);
    }

    /// Tokens of a split from `start`, across texts.
    fn read(&self, split: Split, start: u64, mut out: &mut [u32]) {
        let tokens = self.split_tokens(split);
        let mut at = start;
        let mut index = tokens.ranges.partition_point(|range| range.start <= start) - 1;
        while !out.is_empty() {
            let range = &tokens.ranges[index];
            let end = tokens.ranges.get(index + 1).map_or(tokens.len, |next| next.start);
            let len = (end - at).min(out.len() as u64) as usize;
            let (now, rest) = out.split_at_mut(len);
            self.texts[range.text].read(range.first + (at - range.start), now);
            out = rest;
            at += len as u64;
            index += 1;
        }
    }

    fn subject(&self) -> String {
        match self.texts.as_slice() {
            [text] => format!("--data {}", text.name),
            texts => format!("--data ({} files)", texts.len()),
        }
    }
}

/// A number with commas between groups of three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
#[path = "corpus_tests.rs"]
mod tests;
