//! A pronouncing dictionary in little memory.

use super::phone::Phone;

/// Words in alphabetical order, each with one pronunciation.
///
/// As bytes, a word is: how many letters it shares with the word before (below 32), its other letters (`a` to `z` and the apostrophe), 192 + how
/// many phones it shares with the word before, 128 + each of its other phones.
#[derive(Default)]
pub struct Dictionary {
    letters: Vec<u8>,
    /// Where each word's letters end.
    letters_end: Vec<u32>,
    phones: Vec<Phone>,
    /// Where each word's phones end.
    phones_end: Vec<u32>,
}

/// Letters and phones of all words, at most: ten times those of CMUdict.
const MOST: usize = 1 << 25;
/// The bytes that a word may share with the one before.
const SHARED_LETTERS: u8 = 32;
const PHONE: u8 = 128;
const SHARED_PHONES: u8 = 192;

impl Dictionary {
    /// The pronunciation of a word in small letters.
    pub fn get(&self, word: &str) -> Option<&[Phone]> {
        self.find(word.as_bytes()).map(|at| self.phones(at))
    }

    /// Is this word in it?
    pub fn contains(&self, word: &str) -> bool {
        self.find(word.as_bytes()).is_some()
    }

    /// How many words it has.
    pub fn len(&self) -> usize {
        self.letters_end.len()
    }

    /// Has it no words?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All words and their phones, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Phone])> {
        (0..self.len()).map(|at| (std::str::from_utf8(self.word(at)).unwrap_or_default(), self.phones(at)))
    }

    /// Packs words, which are in alphabetical order, without repetitions.
    ///
    /// # Panics
    /// On other orders, on letters that a word cannot have, on words or pronunciations that are empty or too long.
    pub fn pack<'a>(entries: impl Iterator<Item = (&'a str, &'a [Phone])>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (mut last_word, mut last_phones) = ("", &[][..]);
        for (word, phones) in entries {
            assert!(word > last_word, "{word} does not follow {last_word}");
            assert!(word.bytes().all(is_letter), "{word} has letters that a dictionary cannot hold");
            assert!(!phones.is_empty() && phones.len() < usize::from(u8::MAX - SHARED_PHONES), "{word} has {} phones", phones.len());
            let shared = shared(last_word.as_bytes(), word.as_bytes()).min(usize::from(SHARED_LETTERS) - 1);
            bytes.push(shared as u8);
            bytes.extend_from_slice(&word.as_bytes()[shared..]);
            let shared = self::shared(last_phones, phones);
            bytes.push(SHARED_PHONES + shared as u8);
            bytes.extend(phones[shared..].iter().map(|phone| PHONE + phone.index() as u8));
            (last_word, last_phones) = (word, phones);
        }
        bytes
    }

    /// Reads what [`Self::pack`] gave; none for other bytes, or words of more letters and phones in all than a large dictionary could have.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut all = Self::default();
        let (mut word, mut phones) = (Vec::new(), Vec::new());
        let mut rest = bytes;
        while let Some((&shared, tail)) = rest.split_first() {
            let letters = tail.iter().take_while(|&&byte| is_letter(byte)).count();
            if shared >= SHARED_LETTERS || usize::from(shared) > word.len() {
                return None;
            }
            let before = word.clone();
            word.truncate(shared.into());
            word.extend_from_slice(&tail[..letters]);
            let (&shared, tail) = tail[letters..].split_first()?;
            let new = tail.iter().take_while(|&&byte| (PHONE..SHARED_PHONES).contains(&byte)).count();
            let shared = usize::from(shared).checked_sub(SHARED_PHONES.into()).filter(|&shared| shared <= phones.len())?;
            phones.truncate(shared);
            for &byte in &tail[..new] {
                phones.push(Phone::new(byte - PHONE).filter(|&phone| phone != Phone::SIL)?);
            }
            rest = &tail[new..];
            // What words share makes of few bytes many.
            if word <= before || phones.is_empty() || all.letters.len() + all.phones.len() > MOST {
                return None;
            }
            all.letters.extend_from_slice(&word);
            all.letters_end.push(all.letters.len() as u32);
            all.phones.extend_from_slice(&phones);
            all.phones_end.push(all.phones.len() as u32);
        }
        Some(all)
    }

    fn word(&self, at: usize) -> &[u8] {
        &self.letters[part(&self.letters_end, at)]
    }

    fn phones(&self, at: usize) -> &[Phone] {
        &self.phones[part(&self.phones_end, at)]
    }

    fn find(&self, word: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.word(middle).cmp(word) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }
}

fn part(ends: &[u32], at: usize) -> std::ops::Range<usize> {
    let start = if at == 0 { 0 } else { ends[at - 1] };
    start as usize..ends[at] as usize
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte == b'\''
}

fn shared<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::parse;
    use proptest::prelude::*;

    #[test]
    fn packed_words_come_back() {
        let entries: Vec<(&str, Vec<Phone>)> =
            [("'em", "AH0 M"), ("cat", "K AE1 T"), ("cat's", "K AE1 T S"), ("cats", "K AE1 T S"), ("dog", "D AO1 G")]
                .into_iter()
                .map(|(word, phones)| (word, parse(phones).unwrap()))
                .collect();
        let bytes = Dictionary::pack(entries.iter().map(|(word, phones)| (*word, &phones[..])));
        let dictionary = Dictionary::unpack(&bytes).unwrap();
        assert_eq!(dictionary.len(), entries.len());
        for (word, phones) in &entries {
            assert_eq!(dictionary.get(word), Some(&phones[..]), "{word}");
        }
        for word in ["", "ca", "catss", "zebra", "'"] {
            assert_eq!(dictionary.get(word), None, "{word}");
        }
        assert!(dictionary.iter().map(|(word, _)| word).eq(entries.iter().map(|(word, _)| *word)));
        for end in 1..bytes.len() {
            if let Some(part) = Dictionary::unpack(&bytes[..end]) {
                assert!(part.len() <= entries.len());
            }
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Dictionary::unpack(&bytes);
        }
    }
}
