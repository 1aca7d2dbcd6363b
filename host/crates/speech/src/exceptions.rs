//! Words that CMUdict does not have as the voice says them: frequent ones that it learnt otherwise, and words that a text is read with which are missing.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::phone::{Phone, parse};

static EXCEPTIONS: LazyLock<HashMap<&str, Vec<Phone>>> = LazyLock::new(|| {
    let files = [include_str!("exceptions.txt"), include_str!("words.txt")];
    let lines = files.iter().flat_map(|file| file.lines()).filter(|line| !line.starts_with('#'));
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
