//! Goes through a text, token by token.

use std::ops::Range;

use super::fold::Folded;
use super::token::{self, Kind};
use super::{Item, Normalised, Spoken, Warning, amounts, codes, money, number, spans, tables, times};

/// The text, how far it was read, and what was read.
pub struct Reader<'a> {
    original: &'a str,
    folded: &'a Folded,
    pub(super) knows: &'a dyn Fn(&str) -> bool,
    /// Is the text written in capitals?
    pub(super) shouting: bool,
    /// The token.
    pub(super) at: Range<usize>,
    /// Double quotation marks before the token.
    pub(super) quotes: usize,
    /// The kind of the last token that is no white space.
    last: Kind,
    /// Where the name of a street ends.
    pub(super) street_end: usize,
    out: Normalised,
}

impl<'a> Reader<'a> {
    pub fn new(original: &'a str, folded: &'a Folded, knows: &'a dyn Fn(&str) -> bool) -> Self {
        let words = || folded.text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 1);
        let capitals = words().filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase())).count();
        let shouting = capitals > 2 && 2 * capitals > words().count();
        Self { original, folded, knows, shouting, at: 0..0, quotes: 0, last: Kind::Pause, street_end: 0, out: Normalised::default() }
    }

    /// Reads all of it.
    pub fn read(mut self) -> Normalised {
        while let Some((kind, range)) = token::next(&self.folded.text, self.at.end) {
            self.quotes += self.folded.text[self.at.start..range.start].matches('"').count();
            self.at = range;
            self.token(kind);
        }
        self.out
    }

    fn token(&mut self, kind: Kind) {
        let text: &'a str = &self.folded.text[self.at.clone()];
        match kind {
            Kind::Address => self.address(text),
            Kind::File => self.file(text),
            Kind::YearDate | Kind::Date => times::date(self, text),
            Kind::DayMonth => times::day_month(self, text),
            Kind::MonthDay => times::month_day(self, text),
            Kind::MonthYear => times::month_year(self, text),
            Kind::Era => times::era(self, text),
            Kind::Quarter => times::quarter(self, text),
            Kind::Times => times::times(self, text),
            Kind::Time => times::time(self, text),
            Kind::Telephone => codes::telephone(self, text),
            Kind::Vanity => codes::vanity(self, text),
            Kind::Machine => codes::machine(self, text),
            Kind::House => self.house(text),
            Kind::Money | Kind::MoneyBehind => money::money(self, text),
            Kind::Decade => times::decade(self, text),
            Kind::Ordinal => self.ordinal(text),
            Kind::Feet => amounts::feet(self, text),
            Kind::Inches => amounts::inches(self, text),
            Kind::Power => amounts::power(self, text),
            Kind::Size => amounts::size(self, text),
            Kind::Measure => amounts::measure(self, text),
            Kind::Serial => self.serial(text),
            Kind::Range => amounts::range(self, text),
            Kind::Ratio => amounts::ratio(self, text),
            Kind::Fraction => amounts::fraction(self, text),
            Kind::Magnitude => amounts::magnitude(self, text),
            Kind::Law => codes::law(self, text),
            Kind::Version => codes::version(self, text),
            Kind::Multiple => {
                self.words(number::decimal(&text[..text.len() - 1]));
                self.letters("x");
            }
            Kind::Mixed => self.mixed(text),
            Kind::Decimal => self.words(number::decimal(text)),
            Kind::Number => amounts::number(self, text),
            Kind::Initials => self.initials(text),
            Kind::Slashed => self.slashed(text),
            Kind::Word => self.word(text),
            Kind::Pause | Kind::Paragraph => self.say(Spoken::Pause),
            Kind::Space => return,
            Kind::Other => self.other(text),
        }
        self.last = kind;
    }

    /// Does a range go on after a dash: are the last token and the next one of a kind?
    fn goes_on(&self) -> bool {
        let amount = matches!(
            self.last,
            Kind::Decade
                | Kind::Money
                | Kind::MoneyBehind
                | Kind::Time
                | Kind::Ordinal
                | Kind::Measure
                | Kind::YearDate
                | Kind::Date
                | Kind::MonthDay
                | Kind::MonthYear
                | Kind::DayMonth
        );
        let next = self.after().trim_start();
        let sign = next.chars().next().is_some_and(|c| tables::currency(c.encode_utf8(&mut [0; 4])).is_some());
        let number = sign || next.trim_start_matches('\'').starts_with(|c: char| c.is_ascii_digit());
        (amount && number) || spans::join(self.before(), next, self.at.len() > 1, matches!(self.last, Kind::MonthDay | Kind::MonthYear))
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

    /// Is this dash a minus sign: between two numbers or names, and the result follows?
    fn subtracts(&self) -> bool {
        let next = self.after().trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.'));
        next.starts_with('=') && self.before().trim_end().ends_with(|c: char| c.is_ascii_alphanumeric() || c == ')')
    }

    /// The letters right behind the token.
    fn next_part(&self) -> &'a str {
        self.after().split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default()
    }

    fn other(&mut self, text: &str) {
        let spaced_before = self.before().ends_with(|c: char| c.is_whitespace() || c == '(') || self.before().is_empty();
        let next = self.after().chars().next();
        let currency = next.is_some_and(|c| tables::currency(c.encode_utf8(&mut [0; 4])).is_some());
        match text {
            "-" | "\u{2013}" if self.goes_on() => self.words(["to"]),
            "-" if self.subtracts() => self.words(["minus"]),
            "-" if spaced_before
                && (currency
                    || next.is_some_and(|c| {
                        c.is_ascii_digit() || (c == '.' && self.after()[1..].starts_with(|c: char| c.is_ascii_digit()))
                    })) =>
            {
                self.words(["minus"])
            }
            "-" if spaced_before && next == Some(' ') => self.say(Spoken::Pause),
            "\u{2013}" => self.say(Spoken::Pause),
            "#" if next.is_some_and(|c| c.is_ascii_digit()) => self.words(["number"]),
            "*" if self.before().ends_with(|c: char| c.is_ascii_digit()) && next.is_some_and(|c| c.is_ascii_digit()) => {
                self.words(["times"])
            }
            "~" if self.after().trim_start().starts_with(|c: char| c.is_ascii_digit())
                || self.after().chars().next().is_some_and(|c| tables::currency(c.encode_utf8(&mut [0; 4])).is_some()) =>
            {
                self.words(["about"])
            }
            "/" if self.last_word() == Some("and") && self.next_part() == "or" => self.say(Spoken::Silence),
            "/" if self.last_word().is_some_and(|word| tables::listed("either", word)) && tables::listed("either", self.next_part()) => {
                self.words(["or"])
            }
            "\"" | "'" | "-" | "\u{2022}" => self.say(Spoken::Silence),
            _ => match text.chars().next().and_then(tables::sign) {
                Some(words) => self.phrase(words),
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
