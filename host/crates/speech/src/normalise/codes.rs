//! Numbers that are no amounts: of telephones, machines, laws, versions; letters and digits mixed.

use super::reader::Reader;
use super::spoken::Spoken;
use super::token::runs;
use super::{amounts, number};

/// Digit by digit, with pauses between groups.
pub fn telephone(reader: &mut Reader, text: &str) {
    // "100-2000" has no number of a telephone.
    if text.len() == 8 && text.ends_with("00") && !text.starts_with("555") {
        return amounts::range(reader, text);
    }
    let extension = text.find(['e', 'x']).unwrap_or(text.len());
    let (number, extension) = text.split_at(extension);
    if number.starts_with('+') {
        reader.words(["plus"]);
    }
    let groups: Vec<&str> = number.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()).collect();
    for (at, group) in groups.iter().enumerate() {
        if at > 0 {
            reader.say(Spoken::Pause);
        }
        // Free numbers begin with hundreds.
        let hundreds = groups.len() > 2 && at < 2 && group.len() == 3 && group.ends_with("00");
        reader.words(if hundreds { number::cardinal(group) } else { number::digits(group) });
    }
    if !extension.is_empty() {
        reader.say(Spoken::Pause);
        reader.words(["extension"]);
        reader.words(number::digits(extension));
    }
}

/// `1-800-GO-FAST`.
pub fn vanity(reader: &mut Reader, text: &str) {
    for (at, group) in text.split('-').enumerate() {
        if at > 0 {
            reader.say(Spoken::Pause);
        }
        if group.bytes().all(|byte| byte.is_ascii_digit()) {
            reader.words(if group.ends_with("00") { number::cardinal(group) } else { number::digits(group) });
        } else if group.len() > 1 && group.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            reader.words([group.to_ascii_lowercase()]);
        } else {
            reader.mixed(group);
        }
    }
}

/// `192.168.0.1:80`.
pub fn machine(reader: &mut Reader, text: &str) {
    for part in runs(text) {
        match part {
            "." => reader.words(["dot"]),
            ":" => reader.words(["port"]),
            "/" => reader.words(["slash"]),
            _ => reader.words(number::digits(part)),
        }
    }
}

/// `401(k)`, `501(c)(3)`.
pub fn law(reader: &mut Reader, text: &str) {
    let (section, parts) = text.split_at(3);
    match section.as_bytes() {
        [_, b'0', b'1'..=b'9'] => {
            reader.words(number::cardinal(&section[..1]));
            reader.words(["oh"]);
            reader.words(number::cardinal(&section[2..]));
        }
        _ => reader.words(number::cardinal(section)),
    }
    for part in runs(parts) {
        if part.starts_with(|c: char| c.is_ascii_digit()) { reader.words(number::cardinal(part)) } else { reader.letters(part) }
    }
}

/// `v2.0`.
pub fn version(reader: &mut Reader, text: &str) {
    reader.words(["version"]);
    reader.words(number::decimal(&text[1..]));
}

impl Reader<'_> {
    /// Letters and digits with hyphens and slashes between them.
    pub(super) fn serial(&mut self, text: &str) {
        for group in text.split_inclusive(['-', '/', '.']) {
            let name = group.trim_end_matches(['-', '/', '.']);
            if name.bytes().all(|byte| byte.is_ascii_digit()) {
                // Long numbers of a code are no amounts.
                let words = if name.len() > 4 { number::digits(name) } else { number::cardinal(name) };
                self.words(words);
            } else if name.len() > 1 && name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                self.plain_word(name);
            } else {
                self.mixed(name);
            }
            if group.ends_with('/') {
                self.words(["slash"]);
            }
        }
    }

    /// A house number; the name of the street is read next.
    pub(super) fn house(&mut self, text: &str) {
        self.street_end = self.at.end;
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number = self.keep(digits);
        self.words(number::pairs(number));
    }

    /// `1st`; a wrong ending is spelled.
    pub(super) fn ordinal(&mut self, text: &str) {
        let (digits, ending) = text.split_at(text.len() - 2);
        let expected = match digits.as_bytes() {
            [.., b'1', _] => "th",
            [.., b'1'] => "st",
            [.., b'2'] => "nd",
            [.., b'3'] => "rd",
            _ => "th",
        };
        if ending.eq_ignore_ascii_case(expected) { self.words(number::ordinal(digits)) } else { self.mixed(text) }
    }
}
