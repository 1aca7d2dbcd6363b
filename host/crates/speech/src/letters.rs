//! The names of the letters.

use super::phone::{Phone, parse};

const NAMES: [&str; 26] = [
    "EY1",
    "B IY1",
    "S IY1",
    "D IY1",
    "IY1",
    "EH1 F",
    "JH IY1",
    "EY1 CH",
    "AY1",
    "JH EY1",
    "K EY1",
    "EH1 L",
    "EH1 M",
    "EH1 N",
    "OW1",
    "P IY1",
    "K Y UW1",
    "AA1 R",
    "EH1 S",
    "T IY1",
    "Y UW1",
    "V IY1",
    "D AH1 B AH0 L Y UW0",
    "EH1 K S",
    "W AY1",
    "Z IY1",
];

/// How a letter is spelled out; nothing for what is no letter of English.
pub fn name(letter: char) -> Vec<Phone> {
    let number = (letter.to_ascii_lowercase() as usize).wrapping_sub('a' as usize);
    NAMES.get(number).and_then(|names| parse(names)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_letter_has_a_name() {
        assert!(('a'..='z').chain('A'..='Z').all(|letter| !super::name(letter).is_empty()));
        assert!(["'", "ß", "1"].iter().all(|text| super::name(text.chars().next().unwrap()).is_empty()));
    }
}
