//! Goes through a text, token by token.

use std::ops::Range;

use super::fold::Folded;
use super::token::{self, Kind};
use super::{Item, Normalised, Spoken, Warning, amounts, number, tables};

/// The text, how far it was read, and what was read.
pub struct Reader<'a> {
    original: &'a str,
    folded: &'a Folded,
    pub(super) knows: &'a dyn Fn(&str) -> bool,
    /// Is the text written in capitals?
    pub(super) shouting: bool,
    /// The token.
    pub(super) at: Range<usize>,
    out: Normalised,
}

impl<'a> Reader<'a> {
    pub fn new(original: &'a str, folded: &'a Folded, knows: &'a dyn Fn(&str) -> bool) -> Self {
        let words = || folded.text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 1);
        let capitals = words().filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase())).count();
        let shouting = capitals > 2 && 2 * capitals > words().count();
        Self { original, folded, knows, shouting, at: 0..0, out: Normalised::default() }
    }

    /// Reads all of it.
    pub fn read(mut self) -> Normalised {
        while let Some((kind, range)) = token::next(&self.folded.text, self.at.end) {
            self.at = range;
            self.token(kind);
        }
        self.out
    }

    fn token(&mut self, kind: Kind) {
        let text: &'a str = &self.folded.text[self.at.clone()];
        match kind {
            Kind::Address => self.address(text),
            Kind::IsoDate | Kind::SlashDate => amounts::date(self, text),
            Kind::Time => amounts::time(self, text),
            Kind::Telephone => amounts::telephone(self, text),
            Kind::Money | Kind::MoneyBehind => amounts::money(self, text),
            Kind::Decade => self.words(number::plural(number::year(&text.chars().filter(char::is_ascii_digit).collect::<String>()))),
            Kind::Ordinal => self.words(number::ordinal(text)),
            Kind::Range => amounts::range(self, text),
            Kind::Fraction => amounts::fraction(self, text),
            Kind::Measure => amounts::measure(self, text),
            Kind::Mixed => self.mixed(text),
            Kind::Decimal => self.words(number::decimal(text)),
            Kind::Number => amounts::number(self, text),
            Kind::Initials => self.initials(text),
            Kind::Word => self.word(text),
            Kind::Pause | Kind::Paragraph => self.say(Spoken::Pause),
            Kind::Space => {}
            Kind::Other => self.other(text),
        }
    }

    fn other(&mut self, text: &str) {
        let spaced_before = self.before().ends_with(|c: char| c.is_whitespace() || c == '(') || self.before().is_empty();
        match text {
            "-" if spaced_before && self.after().starts_with(|c: char| c.is_ascii_digit() || "$£€".contains(c)) => self.words(["minus"]),
            "-" if spaced_before && self.after().starts_with(' ') => self.say(Spoken::Pause),
            "#" if self.after().starts_with(|c: char| c.is_ascii_digit()) => self.words(["number"]),
            "\"" | "'" | "-" => self.say(Spoken::Silence),
            _ => match text.chars().next().and_then(tables::sign) {
                Some(words) => self.words(words.split(' ')),
                None => self.report(),
            },
        }
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

    /// Says the token letter by letter; other characters are not said.
    pub(super) fn letters(&mut self, letters: &str) {
        letters.chars().filter(char::is_ascii_alphabetic).for_each(|letter| self.say(Spoken::Letter(letter.to_ascii_lowercase())));
    }

    fn source(&self) -> Range<usize> {
        self.folded.origin(self.at.clone())
    }

    fn report(&mut self) {
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
