//! The lines of text that a language model learns letters and phones from, and reads words in.
//!
//! A line has the word's letters from the last to the first, a tab, and then each letter again with what it sounds like: a byte for none, one or two
//! phones. So the model knows at every letter what follows it, and the answer keeps in step with the word by itself:
//!
//! ```text
//! dael⇥lLeEa_dD
//! ```
//!
//! (Only that the bytes of sounds are others: see [`table`].)

use super::phone::Phone;

/// Between the word and the answer.
pub const MARK: char = '\t';

/// The pairs of phones that a letter can stand for, the most frequent first. Trained models depend on their order.
const PAIRS: [&str; 41] = [
    "AH0 L", "AH0 N", "K S", "Y UW1", "M AH0", "Y UW0", "Y AH0", "AH0 M", "T S", "W AA1", "W IH1", "Y UH1", "G Z", "K W", "W AH0", "W EH1",
    "S IY1", "W IH0", "AE1 K", "EH1 S", "IY0 EY1", "G OW0", "P IY1", "W AY1", "G AH0", "Y ER0", "D IY1", "W AO1", "W EY1", "EH1 R", "G W",
    "EH1 M", "W IY1", "EH1 N", "CH UW0", "B IY1", "T IY1", "IH1 R", "W IY0", "W AA0", "AA1 N",
];

/// Bytes of a line that are no letters, no control characters of a text, and printable first: one for each sound.
fn bytes() -> impl Iterator<Item = u8> {
    (b'!'..b'a').chain(b'{'..0x7f).chain(1..9).chain(0x0b..0x0d).chain(0x0e..0x20)
}

/// Nothing, each phone, and [`PAIRS`].
fn sounds() -> impl Iterator<Item = Vec<Phone>> {
    let single = Phone::all().filter(|&phone| phone != Phone::SIL).map(|phone| vec![phone]);
    let pairs = PAIRS.iter().map(|names| super::phone::parse(names).expect("names of phones"));
    std::iter::once(Vec::new()).chain(single).chain(pairs)
}

/// What letters can sound like: bytes, and the phones that each stands for.
pub fn table() -> Vec<(u8, Vec<Phone>)> {
    bytes().zip(sounds()).collect()
}

/// What stands on a word's line before the answer, the mark included.
pub fn question(word: &str) -> String {
    word.chars().rev().chain([MARK]).collect()
}

/// The line of a word of which letters stand for phones, one or two for none to two of them; none, if a pair is not in the table.
pub fn line<'a>(graphones: impl Iterator<Item = (&'a [u8], &'a [Phone])> + Clone) -> Option<String> {
    let table = table();
    let word: Vec<u8> = graphones.clone().flat_map(|(letters, _)| letters.iter().copied()).collect();
    let mut line = question(std::str::from_utf8(&word).ok()?);
    for (letters, phones) in graphones {
        let sound = |phones: &[Phone]| table.iter().find(|(_, known)| known == phones).map(|&(byte, _)| char::from(byte));
        for (at, &letter) in letters.iter().enumerate() {
            line.push(char::from(letter));
            line.push(sound(if at == 0 { phones } else { &[] })?);
        }
    }
    line.push('\n');
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::parse;

    #[test]
    fn sounds_have_bytes_of_their_own() {
        let table = table();
        assert_eq!(table.len(), 96);
        for (at, (byte, phones)) in table.iter().enumerate() {
            assert!(byte.is_ascii() && !byte.is_ascii_lowercase() && !b"\0\t\n\r".contains(byte), "{byte}");
            assert!(table[..at].iter().all(|(other, known)| other != byte && known != phones), "{byte}: {phones:?}");
        }
    }

    #[test]
    fn a_line_has_the_word_backwards_and_a_sound_for_each_letter() {
        let line_of = |parts: &[(&str, &str)]| {
            let parts: Vec<_> = parts.iter().map(|(letters, names)| (letters.as_bytes(), parse(names).expect("phones"))).collect();
            line(parts.iter().map(|(letters, phones)| (*letters, &phones[..])))
        };
        let sound =
            |names: &str| char::from(table().iter().find(|(_, phones)| *phones == parse(names).expect("phones")).expect("a sound").0);
        let expected = format!("xehc\tc{}h{}e{}x{}\n", sound("CH"), sound(""), sound("EH1"), sound("K S"));
        assert_eq!(line_of(&[("ch", "CH"), ("e", "EH1"), ("x", "K S")]), Some(expected));
        assert_eq!(line_of(&[("x", "SIL ZH")]), None);
    }
}
