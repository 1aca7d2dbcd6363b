//! Words, abbreviations, acronyms, addresses.

use super::reader::Reader;
use super::{Spoken, number, tables};

/// Longest acronym that is spelled out.
const ACRONYM: usize = 6;

impl Reader<'_> {
    /// Letters, perhaps with apostrophes.
    pub(super) fn word(&mut self, text: &str) {
        let small = text.to_ascii_lowercase();
        let stop = self.after().starts_with('.');
        if stop && self.abbreviated(text, &small) {
            return;
        }
        if self.roman(text) {
            return;
        }
        if let [letter] = text.as_bytes() {
            return self.single(char::from(*letter), stop);
        }
        let capitals = text.bytes().filter(u8::is_ascii_uppercase).count();
        if text[1..].contains(|c: char| c.is_ascii_uppercase()) && !self.shouting {
            return self.capitals(text, &small, capitals);
        }
        if tables::SPELLED.contains(&&small[..]) && matches!(&small[..], "tv" | "uk" | "dna" | "phd" | "ceo" | "pc") {
            return self.letters(&small);
        }
        self.words([small]);
    }

    /// A word that its full stop belongs to.
    fn abbreviated(&mut self, text: &str, small: &str) -> bool {
        let capital_follows = self.after()[1..].trim_start().starts_with(|c: char| c.is_ascii_uppercase());
        let number_follows = self.after()[1..].trim_start().starts_with(|c: char| c.is_ascii_digit());
        let words = match small {
            "dr" => Some(if capital_follows || self.last_word().is_none() { "doctor" } else { "drive" }),
            "st" => Some(if capital_follows { "saint" } else { "street" }),
            "no" | "nos" if number_follows => Some(if small == "no" { "number" } else { "numbers" }),
            "p" if number_follows => Some("page"),
            "sat" | "sun" if text.starts_with('S') && number_follows => Some(if small == "sat" { "saturday" } else { "sunday" }),
            "may" => None,
            _ => tables::abbreviation(text),
        };
        let Some(words) = words else { return false };
        self.words(words.split(' '));
        self.full_stop(tables::is_title(small));
        true
    }

    /// The full stop after an abbreviation: a pause only where a sentence ends as well.
    fn full_stop(&mut self, inside: bool) {
        let rest = &self.after()[1..];
        let ends = rest.trim().is_empty() || (!inside && rest.trim_start().starts_with(|c: char| c.is_ascii_uppercase()));
        // Otherwise the stop is part of the token; where a sentence ends, it is left for the pause.
        if !ends {
            self.take(1);
        }
    }

    /// Single letters with full stops.
    pub(super) fn initials(&mut self, text: &str) {
        match &text.to_ascii_lowercase()[..] {
            "e.g." => self.words(["for", "example"]),
            "i.e." => self.words(["that", "is"]),
            _ => self.letters(text),
        }
        let rest = self.after();
        let several = text.len() > 4 || !text.starts_with(|c: char| c.is_ascii_uppercase());
        if rest.trim().is_empty() || (several && rest.trim_start().starts_with(|c: char| c.is_ascii_uppercase())) {
            self.say(Spoken::Pause);
        }
    }

    fn roman(&mut self, text: &str) -> bool {
        let Some(value) =
            number::roman(text).filter(|_| text != "I" || self.last_word().is_some_and(|word| tables::NUMBERED.contains(&word)))
        else {
            return false;
        };
        let Some(last) = self.last_word() else { return false };
        let name = self
            .before()
            .trim_end()
            .rsplit(|c: char| !c.is_ascii_alphabetic())
            .next()
            .is_some_and(|word| word.starts_with(|c: char| c.is_ascii_uppercase()));
        if tables::RULERS.contains(&last) && name {
            self.words(["the"]);
            self.words(number::ordinal(&value.to_string()));
        } else if tables::NUMBERED.contains(&last) {
            self.words(number::cardinal_of(value.into()));
        } else {
            return false;
        }
        true
    }

    /// One letter: the words "a" and "I", or its name.
    fn single(&mut self, letter: char, stop: bool) {
        let initial = stop && letter.is_ascii_uppercase() && self.after()[1..].trim_start().starts_with(|c: char| c.is_ascii_uppercase());
        let sentence_start = self.last_word().is_none();
        let word = match letter {
            'a' | 'I' | 'i' => !initial || letter == 'i',
            'A' => !initial && (sentence_start || self.shouting) && self.after().starts_with(char::is_whitespace),
            'O' | 'o' => !stop && self.after().starts_with(|c: char| c.is_whitespace() || c == ','),
            _ => false,
        };
        if word {
            self.words([letter.to_ascii_lowercase()]);
        } else {
            self.letters(&letter.to_string());
        }
        if initial && !word {
            self.take(1);
        }
    }

    /// A word with several capitals: an acronym, several words written together, or just a word.
    fn capitals(&mut self, text: &str, small: &str, capitals: usize) {
        let known = (self.knows)(small);
        let plural = text.len() == capitals + 1 && text.ends_with('s');
        let possessive = text.strip_suffix("'s").filter(|stem| stem.len() == capitals);
        if text.len() == capitals {
            let spelled =
                tables::SPELLED.contains(&small) || (!known && text.len() < ACRONYM) || !small.contains(['a', 'e', 'i', 'o', 'u', 'y']);
            if spelled || (known && text.len() <= 3 && !pronounceable(small)) { self.letters(small) } else { self.words([small]) }
        } else if let Some(stem) = if plural { text.strip_suffix('s') } else { possessive } {
            let whole = stem.to_ascii_lowercase();
            if stem.len() > 3 && (self.knows)(&whole) {
                return self.words([format!("{whole}'s")]);
            }
            // The last letter takes the s: "c d's".
            let (first, last) = whole.split_at(whole.len() - 1);
            self.letters(first);
            self.words([format!("{last}'s")]);
        } else if known || text.contains('\'') {
            self.words([small]);
        } else if small == "phd" {
            self.letters(small);
        } else {
            self.humps(text);
        }
    }

    /// Words written together, each with a capital.
    fn humps(&mut self, text: &str) {
        let mut start = 0;
        let bytes = text.as_bytes();
        for at in 1..=bytes.len() {
            let hump = at == bytes.len() || (bytes[at].is_ascii_uppercase() && !bytes[at - 1].is_ascii_uppercase());
            if hump {
                let part = &text[start..at];
                start = at;
                let all_capitals = part.len() > 1 && part.bytes().all(|byte| byte.is_ascii_uppercase());
                if part.len() == 1 || (all_capitals && !(self.knows)(&part.to_ascii_lowercase())) {
                    self.letters(part);
                } else {
                    self.words([part.to_ascii_lowercase()]);
                }
            }
        }
    }

    /// Letters and digits mixed: "B2B", "mp3", "4x".
    pub(super) fn mixed(&mut self, text: &str) {
        for part in runs(text) {
            if part.starts_with(|c: char| c.is_ascii_digit()) {
                let words = if part.len() <= 2 || part.ends_with("00") { number::cardinal(part) } else { number::digits(part) };
                self.words(words);
            } else {
                self.part(part);
            }
        }
    }

    /// A part of a token: a word, if it is one.
    fn part(&mut self, part: &str) {
        let small = part.to_ascii_lowercase();
        if small.len() > 2 && (self.knows)(&small) { self.words([small]) } else { self.letters(&small) }
    }

    /// An address, sign by sign.
    pub(super) fn address(&mut self, text: &str) {
        for part in runs(text) {
            match part {
                "." => self.words(["dot"]),
                "-" => self.words(["dash"]),
                ":" => self.words(["colon"]),
                "com" | "org" | "net" => self.words([part]),
                _ if part.starts_with(|c: char| c.is_ascii_digit()) => self.words(number::cardinal(part)),
                _ if part.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                    let small = part.to_ascii_lowercase();
                    let spelled = small.len() < 3 || !small.contains(['a', 'e', 'i', 'o', 'u', 'y']);
                    if spelled && !(small.len() > 1 && (self.knows)(&small)) { self.letters(&small) } else { self.words([small]) }
                }
                _ => match part.chars().next().and_then(tables::sign) {
                    Some(words) => self.words(words.split(' ')),
                    None => self.say(Spoken::Pause),
                },
            }
        }
    }
}

/// Could three letters in capitals be a word?
fn pronounceable(small: &str) -> bool {
    let vowel = |byte: u8| b"aeiouy".contains(&byte);
    matches!(small.as_bytes(), [a, b, c] if !vowel(*a) && vowel(*b) && !vowel(*c))
}

/// Runs of letters, runs of digits, and other characters one by one.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let same = |c: char| (first.is_ascii_digit() && c.is_ascii_digit()) || (first.is_ascii_alphabetic() && c.is_ascii_alphabetic());
        let end = rest.char_indices().skip(1).find(|&(_, c)| !same(c)).map_or(rest.len(), |(at, _)| at);
        let (run, tail) = rest.split_at(end);
        rest = tail;
        Some(run)
    })
}
