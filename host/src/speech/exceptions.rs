//! Frequent words that the voice learnt to say otherwise than CMUdict has them.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::phone::{Phone, parse};

static EXCEPTIONS: LazyLock<HashMap<&str, Vec<Phone>>> = LazyLock::new(|| {
    let lines = include_str!("exceptions.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(word, names)| (word, parse(names).unwrap_or_default())).collect()
});

/// The phones of such a word.
pub fn phones(word: &str) -> Option<&'static [Phone]> {
    EXCEPTIONS.get(word).map(|phones| &phones[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_word_and_its_phones() {
        assert!(EXCEPTIONS.len() > 20);
        for (word, phones) in EXCEPTIONS.iter() {
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'\''), "{word}");
            assert!(!phones.is_empty() && !phones.contains(&Phone::SIL), "{word}");
        }
    }
}
