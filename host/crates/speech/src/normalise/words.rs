//! Words, abbreviations, Roman numerals, and letters mixed with digits.

use super::reader::Reader;
use super::spoken::Spoken;
use super::tables::Acronym;
use super::token::runs;
use super::{number, tables};

impl Reader<'_> {
    /// Letters, perhaps with apostrophes.
    pub(super) fn word(&mut self, text: &str) {
        let small = text.to_ascii_lowercase();
        let stop = self.after().starts_with('.');
        if (self.at.start < self.street_end && self.street(text, &small, stop)) || self.named_street(text, &small, stop) {
            return;
        }
        if self.place(text) || self.abbreviated(text, &small, stop) || self.roman(text) {
            return;
        }
        // "$3 per kg".
        if let Some(unit) = tables::per(text).filter(|_| text.len() > 1 && self.last_word() == Some("per") && !(self.knows)(text)) {
            return self.phrase(unit);
        }
        if let [letter] = text.as_bytes() {
            return self.single(char::from(*letter), stop);
        }
        self.plain_word(text);
    }

    /// A word that is short for nothing.
    pub(super) fn plain_word(&mut self, text: &str) {
        let small = text.to_ascii_lowercase();
        let capitals = text.bytes().filter(u8::is_ascii_uppercase).count();
        if text[1..].contains(|c: char| c.is_ascii_uppercase()) {
            self.capitals(text, &small, capitals);
        } else if tables::acronym(&small) == Some(tables::Acronym::Spelled) {
            self.letters(&small);
        } else {
            self.words([small]);
        }
    }

    /// What is short in the name of a street behind a house number.
    fn street(&mut self, text: &str, small: &str, stop: bool) -> bool {
        let last = self.at.end == self.street_end;
        let words = match text {
            _ if last && tables::street(small).is_some() => tables::street(small),
            "N" => Some("north"),
            "S" => Some("south"),
            "E" => Some("east"),
            "W" => Some("west"),
            "NE" => Some("north east"),
            "NW" => Some("north west"),
            "SE" => Some("south east"),
            "SW" => Some("south west"),
            _ => None,
        };
        let Some(words) = words else { return false };
        self.words(words.split(' '));
        if stop {
            self.full_stop(!last);
        }
        true
    }

    /// A kind of street behind a name without a house number, as `Fifth Ave`; no other name follows, as in `Ave Maria`.
    fn named_street(&mut self, text: &str, small: &str, stop: bool) -> bool {
        let Some(words) = tables::street(small).filter(|_| !matches!(small, "st" | "dr")) else { return false };
        let rest = &self.after()[usize::from(stop)..];
        let written = text.starts_with(|c: char| c.is_ascii_uppercase()) && text[1..] == small[1..];
        let name =
            self.before().ends_with(' ') && self.last_word().is_some_and(|word| !tables::listed("opener", word)) && self.name_before();
        let capital_follows = rest.trim_start().starts_with(|c: char| c.is_ascii_uppercase());
        let number_follows = rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
        if !written || !name || number_follows || (capital_follows && !stop) {
            return false;
        }
        self.phrase(words);
        if stop {
            self.full_stop(false);
        }
        true
    }

    /// A state: behind a town and a comma, or before a postal code.
    fn place(&mut self, text: &str) -> bool {
        let Some(words) = tables::place(text) else { return false };
        let town = self.before().trim_end().strip_suffix(',').is_some_and(|town| {
            let word = town.rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
            word.len() > 1 && word.starts_with(|c: char| c.is_ascii_uppercase()) && !word.bytes().all(|byte| byte.is_ascii_uppercase())
        });
        let rest = self.after().trim_start_matches([' ', ',']);
        let code = rest.len() >= 5 && rest.bytes().take(5).all(|byte| byte.is_ascii_digit());
        let word = tables::acronym(&text.to_ascii_lowercase()).is_some();
        let ends = self.after().is_empty() || self.after().starts_with(if word { &[','][..] } else { &[',', '.', ';', ')'] });
        let is_state = code || (town && ends);
        if is_state {
            self.phrase(words);
        }
        is_state
    }

    /// A word that is short for something.
    fn abbreviated(&mut self, text: &str, small: &str, stop: bool) -> bool {
        let rest = self.after()[usize::from(stop)..].trim_start();
        let capital_follows = rest.starts_with(|c: char| c.is_ascii_uppercase());
        let next = rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        let number_follows = rest.starts_with(|c: char| c.is_ascii_digit()) || (next.len() > 1 && number::roman(next).is_some());
        let Some(known) = tables::abbreviation_before(text, number_follows, rest) else { return false };
        let capital = text.starts_with(|c: char| c.is_ascii_uppercase());
        let written = text != text.to_ascii_uppercase() || (text.len() < 3 && !known.is("word")) || self.shouting;
        // A street behind its name, or a person before it.
        let named = self.last_word().is_some() && self.before().ends_with(' ') && self.name_before();
        // "Mon-Fri", "Tue 5 March"; what is also a word needs a dash.
        let day = tables::listed("weekday", small) && capital && number_follows && !known.is("word");
        let words = match small {
            _ if self.at_end_of_range() || day => known.words,
            "st" if stop || !text.starts_with('s') => {
                if capital_follows && !(stop && named && self.sentence_after(rest)) {
                    "saint"
                } else if named {
                    "street"
                } else {
                    return false;
                }
            }
            "dr" if stop || !text.starts_with('d') => {
                if capital_follows && !(stop && named && self.sentence_after(rest)) || !named {
                    "doctor"
                } else {
                    "drive"
                }
            }
            "st" | "dr" => return false,
            _ if known.is("number") && !number_follows => return false,
            // "No." ends a sentence more often than it begins one with a number.
            _ if stop || known.is("any") || (known.is("bare") && capital_follows && written && capital) => known.words,
            _ if known.is("number") && number_follows && small.len() > 2 && capital && !known.is("word") => known.words,
            _ => return false,
        };
        self.phrase(words);
        if stop {
            self.full_stop(known.is("title") && !matches!(words, "street" | "drive"));
        }
        true
    }

    /// Is the word before the token written with a capital, within a sentence?
    fn name_before(&self) -> bool {
        let word = self.before().trim_end().rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '\'')).next().unwrap_or_default();
        word.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit())
    }

    /// Does a sentence begin here, rather than a name: with a word that the dictionary has among the small words of sentences?
    fn sentence_after(&self, rest: &str) -> bool {
        let word = rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_lowercase();
        tables::listed("opener", &word)
    }

    /// The full stop after an abbreviation: a pause only where a sentence ends as well.
    fn full_stop(&mut self, inside: bool) {
        let rest = &self.after()[1..];
        let ends = rest.trim_start().is_empty() || (!inside && rest.trim_start().starts_with(|c: char| c.is_ascii_uppercase()));
        // Otherwise the stop is part of the token; where a sentence ends, it is left for the pause.
        if !ends {
            self.take(1);
        }
    }

    /// Single letters with full stops, and what is written like them.
    pub(super) fn initials(&mut self, text: &str) {
        let small = text.to_ascii_lowercase();
        match tables::abbreviation(&small).or_else(|| tables::abbreviation(small.strip_suffix('.').unwrap_or(&small))) {
            Some(known) if known.is("any") => self.phrase(known.words),
            _ => self.letters(text),
        }
        let rest = self.after();
        let next = rest.trim_start();
        // "J.R.R. Tolkien" is a name, "U.S.A. Many" the end of a sentence and the beginning of another one.
        let several = text.len() > 4 && !tables::are_initials(text, next) || !text.starts_with(|c: char| c.is_ascii_uppercase());
        let ends = next.is_empty() || (several && next.starts_with(|c: char| c.is_ascii_uppercase()));
        if text.ends_with('.') && ends && !text.starts_with(['P', 'E']) {
            self.say(Spoken::Pause);
        }
    }

    /// `w/o`.
    pub(super) fn slashed(&mut self, text: &str) {
        match tables::abbreviation(text) {
            Some(known) => self.phrase(known.words),
            None => self.letters(text),
        }
    }

    fn roman(&mut self, text: &str) -> bool {
        let last = self.last_word().unwrap_or_default();
        let counted = tables::is_numbered(last);
        // In small letters only behind a word that is numbered.
        let capitals = if counted && text.len() > 1 && text.bytes().all(|byte| b"ivx".contains(&byte)) {
            text.to_ascii_uppercase()
        } else {
            text.into()
        };
        let (capitals, possessive) = match capitals.strip_suffix("'s") {
            Some(stem) => (stem, "'s"),
            None => (&capitals[..], ""),
        };
        let Some(value) = number::roman(capitals) else { return false };
        let counted = counted && (text.len() > 1 || matches!(text, "I" | "V" | "X"));
        let name = self.name_before() && self.before().ends_with(' ');
        // "Tom Jones III" is the third of his name, "Malcolm X" no tenth.
        let heir = text.len() > 1 && name && self.behind_given_name();
        let ruler = (tables::is_ruler(last) || heir) && name && !(text == "X" && last == "malcolm");
        let centuries =
            ["century", "centuries", "dynasty"].contains(&self.next_word()) && capitals.bytes().all(|byte| b"IVX".contains(&byte));
        let small = text.to_ascii_lowercase();
        // A numeral by itself has to look like one: "CD", "DC", "MIX" and "VI" do not.
        let alone = text.len() > 2 && text.contains(['I', 'V', 'X']) && !(self.knows)(&small) || text == "II";
        let named = name && text.len() > 1 && text.bytes().all(|byte| b"IVX".contains(&byte)) && tables::acronym(last).is_none();
        if centuries {
            self.words(number::ordinal(&value.to_string()));
        } else if ruler && capitals != "I" && capitals.len() < 6 && capitals.bytes().all(|byte| b"IVXL".contains(&byte)) {
            self.words(["the"]);
            let mut words = number::ordinal(&value.to_string());
            words.last_mut().into_iter().for_each(|word| word.push_str(possessive));
            self.words(words);
        } else if !possessive.is_empty() {
            return false;
        } else if ruler && text == "I" && self.reign() {
            self.words(["the", "first"]);
        } else if alone && number::is_year(&value.to_string()) {
            self.words(number::year(&value.to_string()));
        } else if counted || alone || named {
            self.words(number::cardinal_of(value.into()));
        } else {
            return false;
        }
        true
    }

    /// Is the word but one before the token a given name?
    fn behind_given_name(&self) -> bool {
        let mut words = self.before().trim_end().rsplit(' ');
        let given = words.nth(1).unwrap_or_default();
        let small = given.to_ascii_lowercase();
        given != small && (tables::listed("given", &small) || tables::is_ruler(&small))
    }

    /// Does "I" after a ruler's name count the ruler: no verb of the first person follows?
    fn reign(&self) -> bool {
        let rest = self.after();
        rest.is_empty()
            || rest.starts_with([',', '.', ';', ')', '\''])
            || [" of ", " was ", " is ", " had ", " and ", " in "].iter().any(|next| rest.starts_with(next))
    }

    /// One letter: the words "a" and "I", or its name.
    fn single(&mut self, letter: char, stop: bool) {
        let initial = stop && letter.is_ascii_uppercase() && self.after()[1..].trim_start().starts_with(|c: char| c.is_ascii_uppercase());
        let sentence_start = self.last_word().is_none();
        let numbered = self.after().strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let word = match letter {
            _ if numbered => false,
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

    /// Letters and digits mixed: "B2B", "mp3", "4x".
    pub(super) fn mixed(&mut self, text: &str) {
        if let Some(known) = tables::abbreviation(text).filter(|known| known.is("any")) {
            return self.phrase(known.words);
        }
        for part in runs(text) {
            match part.as_bytes()[0] {
                b'0'..=b'9' => {
                    let words = if part.len() <= 2 || part.ends_with("00") { number::cardinal(part) } else { number::digits(part) };
                    self.words(words);
                }
                b'.' => self.words(["point"]),
                byte if byte.is_ascii_alphabetic() => self.part(part),
                _ => {}
            }
        }
    }

    /// A part of a token: a word, if it is one.
    fn part(&mut self, part: &str) {
        let small = part.to_ascii_lowercase();
        let word = match tables::acronym(&small) {
            Some(Acronym::Said) => small.len() > 2,
            Some(_) => false,
            None => small.len() > 2 && (self.knows)(&small),
        };
        if word { self.words([small]) } else { self.letters(&small) }
    }
}
