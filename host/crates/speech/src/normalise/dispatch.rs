//! Goes through a text, token by token, and lets each be read as what it is.

use super::reader::Reader;
use super::spoken::{Normalised, Spoken};
use super::token::{self, Kind};
use super::{amounts, codes, money, number, spans, tables, times};

impl<'a> Reader<'a> {
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
}
