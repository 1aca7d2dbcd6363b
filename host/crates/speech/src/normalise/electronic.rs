//! Addresses of pages, mail and files.

use super::reader::Reader;
use super::spoken::Spoken;
use super::tables::Acronym;
use super::token::runs;
use super::{number, tables};

impl Reader<'_> {
    /// An address, sign by sign.
    pub(super) fn address(&mut self, text: &str) {
        let last = text.rsplit(['.', '/', '@']).next().unwrap_or_default();
        // The country at the end of a machine's name, or the ending of a file's.
        let machine = text.split("://").last().unwrap_or(text).split(['/', ':']).next().unwrap_or_default();
        let country = machine.rsplit_once('.').map_or("", |(_, country)| country);
        for part in runs(text) {
            match part {
                "." => self.words(["dot"]),
                "-" => self.words(["dash"]),
                ":" => self.words(["colon"]),
                "&" => self.words(["ampersand"]),
                "?" => self.words(["question", "mark"]),
                _ if part.starts_with(|c: char| c.is_ascii_digit()) => {
                    self.words(if part.ends_with("00") { number::cardinal(part) } else { number::digits(part) });
                }
                _ if part.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                    let ending = part == last || part == country;
                    self.address_part(part, ending && part.len() == 2);
                }
                _ => match part.chars().next().and_then(tables::sign) {
                    Some(words) => self.phrase(words),
                    None => self.say(Spoken::Pause),
                },
            }
        }
    }

    fn address_part(&mut self, part: &str, spelled: bool) {
        let small = part.to_ascii_lowercase();
        let word = match tables::acronym(&small) {
            Some(Acronym::Said) => true,
            Some(Acronym::Spelled) => false,
            _ => (small.len() > 2 || small == "go") && small.contains(['a', 'e', 'i', 'o', 'u', 'y']),
        };
        if word && !spelled { self.words([small]) } else { self.letters(&small) }
    }

    /// The name of a file or page; or two sentences without a space between them.
    pub(super) fn file(&mut self, text: &str) {
        let mut parts = text.split('.');
        let stem = parts.next().unwrap_or_default();
        // Of two letters only the commonest words are words; other ones are countries.
        let is_word = |part: &str| match tables::acronym(&part.to_ascii_lowercase()) {
            Some(how) => how == Acronym::Said,
            None => part.len() > 2 && (self.knows)(&part.to_ascii_lowercase()),
        };
        if parts.all(|part| is_word(part) && !tables::listed("ending", part)) && is_word(stem) {
            let stem = self.keep(stem.len());
            self.word(stem);
        } else {
            self.address(text);
        }
    }
}
