//! The token that is read: what stands around it, and what was said before it.

use std::ops::Range;

use super::fold::Folded;
use super::spoken::{Item, Normalised, Spoken, Warning};
use super::token::Kind;
use super::{spans, tables};

/// The text, how far it was read, and what was read.
pub struct Reader<'a> {
    original: &'a str,
    pub(super) folded: &'a Folded,
    pub(super) knows: &'a dyn Fn(&str) -> bool,
    /// Is the text written in capitals?
    pub(super) shouting: bool,
    /// The token.
    pub(super) at: Range<usize>,
    /// Double quotation marks before the token.
    pub(super) quotes: usize,
    /// The kind of the last token that is no white space.
    pub(super) last: Kind,
    /// Where the name of a street ends.
    pub(super) street_end: usize,
    pub(super) out: Normalised,
}

impl<'a> Reader<'a> {
    pub fn new(original: &'a str, folded: &'a Folded, knows: &'a dyn Fn(&str) -> bool) -> Self {
        let words = || folded.text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 1);
        let capitals = words().filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase())).count();
        let shouting = capitals > 2 && 2 * capitals > words().count();
        Self { original, folded, knows, shouting, at: 0..0, quotes: 0, last: Kind::Pause, street_end: 0, out: Normalised::default() }
    }

    /// Is the token at one end of a range: does a dash stand between it and a word of its kind?
    pub(super) fn at_end_of_range(&self) -> bool {
        let token = &self.folded.text[self.at.clone()];
        let dash = |c: char| matches!(c, '-' | '\u{2013}');
        let after = self.after().trim_start_matches('.').trim_start();
        let before = self.before().trim_end();
        after.strip_prefix(dash).is_some_and(|next| spans::join(token, next.trim_start(), false, false))
            || before.strip_suffix(dash).is_some_and(|last| spans::join(last.trim_end().trim_end_matches('.'), token, false, false))
    }

    /// The text before the token.
    pub(super) fn before(&self) -> &'a str {
        &self.folded.text[..self.at.start]
    }

    /// The text after the token.
    pub(super) fn after(&self) -> &'a str {
        &self.folded.text[self.at.end..]
    }

    /// The word right before the token, in small letters.
    pub(super) fn last_word(&self) -> Option<&str> {
        self.out.items.iter().rev().find(|item| item.spoken != Spoken::Silence).and_then(|item| item.spoken.word())
    }

    /// The word behind the token and a space.
    pub(super) fn next_word(&self) -> &str {
        let word = self.after().strip_prefix([' ', '-']).unwrap_or_default();
        word.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default()
    }

    /// Does an amount here say how large the thing is that follows, as in "a 5 km run"?
    pub(super) fn counts_noun(&self) -> bool {
        let next = self.next_word();
        let article = match self.last_word() {
            Some("a" | "an") => true,
            Some("the" | "this" | "that") => next.len() > 2,
            _ => false,
        };
        article && next.starts_with(|c: char| c.is_ascii_lowercase()) && !tables::listed("function", next)
    }

    /// Takes the next bytes as part of the token.
    pub(super) fn take(&mut self, bytes: usize) {
        self.at.end += bytes;
        let source = self.source();
        // The word was said before its full stop was seen.
        if let Some(last) = self.out.items.last_mut().filter(|last| last.source.start == source.start) {
            last.source.end = source.end;
        }
    }

    /// Says the token as this.
    pub(super) fn say(&mut self, spoken: Spoken) {
        let source = self.source();
        self.out.items.push(Item { spoken, source });
    }

    /// Says the token as words.
    pub(super) fn words<W: Into<String>>(&mut self, words: impl IntoIterator<Item = W>) {
        words.into_iter().for_each(|word| self.say(Spoken::Word(word.into())));
    }

    /// Says the token as words of a table, where a capital is a letter.
    pub(super) fn phrase(&mut self, words: &str) {
        for word in words.split(' ') {
            if word.starts_with(|c: char| c.is_ascii_uppercase()) { self.letters(word) } else { self.words([word]) }
        }
    }

    /// Gives back all but the first bytes of the token: they were something else.
    pub(super) fn keep(&mut self, bytes: usize) -> &'a str {
        self.at.end = self.at.start + bytes;
        &self.folded.text[self.at.clone()]
    }

    /// Says the token letter by letter; other characters are not said.
    pub(super) fn letters(&mut self, letters: &str) {
        letters.chars().filter(char::is_ascii_alphabetic).for_each(|letter| self.say(Spoken::Letter(letter.to_ascii_lowercase())));
    }

    fn source(&self) -> Range<usize> {
        self.folded.origin(self.at.clone())
    }

    /// Says nothing of the token but that it is not read.
    pub(super) fn report(&mut self) {
        let source = self.source();
        let found = &self.original[source.clone()];
        let kind = match found.chars().next() {
            Some(c) if c.is_control() => "control character",
            Some(c) if c.is_alphabetic() => "other script",
            _ => "unknown sign",
        };
        match self.out.warnings.last_mut() {
            Some(last) if last.source.end == source.start && last.kind == kind => {
                last.source.end = source.end;
                last.text.push_str(found);
            }
            _ => self.out.warnings.push(Warning { text: found.into(), source, kind }),
        }
    }
}
