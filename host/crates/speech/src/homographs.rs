//! Words that are written alike and sound differently, and that there are no sentences to learn from: the words before and after decide.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::phone::{Phone, parse};

struct RuledHomograph {
    kind: &'static str,
    sounds: [Vec<Phone>; 2],
}

static HOMOGRAPHS: LazyLock<HashMap<&str, RuledHomograph>> = LazyLock::new(|| {
    let entry = |line: &'static str| {
        let (word, rest) = line.split_once(' ')?;
        let (kind, rest) = rest.split_once(' ')?;
        let (first, second) = rest.split_once('|')?;
        Some((word, RuledHomograph { kind, sounds: [parse(first)?, parse(second)?] }))
    };
    include_str!("homographs.txt").lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect()
});

/// Words that a verb's base form follows.
const BEFORE_VERBS: &str = " to will would can could shall should may might must do does did don't doesn't didn't won't can't cannot couldn't wouldn't \
    shouldn't i you we they who let let's please never always often also not it'll i'll you'll we'll they'll he'll she'll i'd you'd we'd they'd he'd \
    she'd help make ";
/// Words that a noun or adjective follows.
const BEFORE_NOUNS: &str = " a an the this that these those my your his her its our their no any some each every another what which whose of in on at \
    for with by from into without under over about as than one two three four five new old good great own same such very more most is are was were be \
    been being and's ";
fn among(word: Option<&str>, words: &str) -> bool {
    word.is_some_and(|word| words.split_whitespace().any(|known| known == word))
}

/// The phones of the word at `at` of a text, if it is a homograph.
pub fn phones(words: &[&str], at: usize) -> Option<Vec<Phone>> {
    let homograph = HOMOGRAPHS.get(words.get(at)?)?;
    let before = at.checked_sub(1).map(|at| words[at]);
    let second_before = at.checked_sub(2).map(|at| words[at]);
    let after = words.get(at + 1).copied();
    // "to" before a verb; "I also read", "they never live" have the subject one word further away.
    let adverb = before.is_some_and(|word| word.ends_with("ly")) || among(before, " also never always often not ");
    let base = among(before, BEFORE_VERBS) || (adverb && among(second_before, BEFORE_VERBS));
    // The first word of an order.
    let base = base || (at == 0 && among(after, " the your my his her our their these this it "));
    let noun = among(before, BEFORE_NOUNS) && !base;
    let second = match homograph.kind {
        "noun" => base && !among(after, " of is was are were "),
        "verb" => !noun,
        _ => false,
    };
    Some(homograph.sounds[usize::from(second)].clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::names;

    #[test]
    fn every_line_is_understood() {
        let lines = include_str!("homographs.txt").lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(HOMOGRAPHS.len(), lines);
        for (word, homograph) in HOMOGRAPHS.iter() {
            assert!(["noun", "verb"].contains(&homograph.kind), "{word}");
        }
    }

    #[test]
    fn context_decides() {
        for (text, word, expected) in [
            ("they kept records", 2, "R EH1 K ER0 D Z"),
            ("the objects of it", 1, "AA1 B JH EH0 K T S"),
            ("we survey it", 1, "S ER0 V EY1"),
            ("the survey is here", 1, "S ER1 V EY1"),
            ("he would not transfer it", 3, "T R AE0 N S F ER1"),
            ("they never address it", 2, "AH0 D R EH1 S"),
            ("i also address it", 2, "AH0 D R EH1 S"),
            ("my address", 1, "AE1 D R EH1 S"),
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            let found = phones(&words, word).map(|phones| names(&phones));
            assert_eq!(found.as_deref(), Some(expected), "{} in {text:?}", words[word]);
        }
        assert_eq!(phones(&["ghost"], 0), None);
        assert_eq!(phones(&[], 0), None);
    }
}
