//! Words that are written alike and sound differently: the words before and after decide.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::phone::{Phone, parse};

struct Homograph {
    kind: &'static str,
    sounds: [Vec<Phone>; 2],
}

static HOMOGRAPHS: LazyLock<HashMap<&str, Homograph>> = LazyLock::new(|| {
    let entry = |line: &'static str| {
        let (word, rest) = line.split_once(' ')?;
        let (kind, rest) = rest.split_once(' ')?;
        let (first, second) = rest.split_once('|')?;
        Some((word, Homograph { kind, sounds: [parse(first)?, parse(second)?] }))
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
/// Words that a participle follows.
const BEFORE_PARTICIPLES: &str = " have has had having was were been be is are being get got i've you've we've they've he's she's it's ";
/// Words after a verb, rather than after a noun.
const AFTER_VERBS: &str = " the a an me you him us them it my your his her our their this that these those ";

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
    let noun = among(before, BEFORE_NOUNS) && !base;
    let second = match homograph.kind {
        "noun" => base && !among(after, " of is was are were "),
        "verb" => !noun,
        "past" => {
            let participle = among(before, BEFORE_PARTICIPLES) || (adverb && among(second_before, BEFORE_PARTICIPLES));
            // "she read" lacks the s of the present.
            participle
                || among(before, " he she it ")
                || (before.is_some() && !base && !noun && !among(before, " and or then if when ") && after.is_some())
        }
        "live" => {
            among(before, " a the this our your their on in went go goes going is was are were ") && !among(after, " in with on at by ")
        }
        "close" => base || (!noun && !adverb && (at == 0 || among(before, " and then ")) && among(after, AFTER_VERBS)),
        "metal" => {
            among(after, " pipe pipes paint poisoning pencil weight weights acid bullet bullets shot ") || among(before, " of molten like ")
        }
        _ => false,
    };
    Some(homograph.sounds[usize::from(second)].clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::phone::names;

    #[test]
    fn every_line_is_understood() {
        let lines = include_str!("homographs.txt").lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(HOMOGRAPHS.len(), lines);
        for (word, homograph) in HOMOGRAPHS.iter() {
            assert!(["noun", "verb", "past", "live", "close", "metal"].contains(&homograph.kind), "{word}");
        }
    }

    #[test]
    fn context_decides() {
        for (text, word, expected) in [
            ("i want to record the record", 3, "R IH0 K AO1 R D"),
            ("i want to record the record", 5, "R EH1 K ER0 D"),
            ("they will present it", 2, "P R IY0 Z EH1 N T"),
            ("the present is here", 1, "P R EH1 Z AH0 N T"),
            ("he would not object to it", 3, "AH0 B JH EH1 K T"),
            ("the object of it", 1, "AA1 B JH EH0 K T"),
            ("we use it", 1, "Y UW1 Z"),
            ("it is of no use", 4, "Y UW1 S"),
            ("close the door", 0, "K L OW1 Z"),
            ("a close friend", 1, "K L OW1 S"),
            ("they are close to us", 2, "K L OW1 S"),
            ("please close it", 1, "K L OW1 Z"),
            ("i have read the book", 2, "R EH1 D"),
            ("i want to read the book", 3, "R IY1 D"),
            ("she read it", 1, "R EH1 D"),
            ("read this", 0, "R IY1 D"),
            ("we live here", 1, "L IH1 V"),
            ("a live show", 1, "L AY1 V"),
            ("their lives", 1, "L AY1 V Z"),
            ("the wind blows", 1, "W IH1 N D"),
            ("to wind the clock", 1, "W AY1 N D"),
            ("do not tear it", 2, "T EH1 R"),
            ("a tear fell", 1, "T IH1 R"),
            ("they lead us", 1, "L IY1 D"),
            ("a lead pipe", 1, "L EH1 D"),
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            let found = phones(&words, word).map(|phones| names(&phones));
            assert_eq!(found.as_deref(), Some(expected), "{} in {text:?}", words[word]);
        }
        assert_eq!(phones(&["ghost"], 0), None);
        assert_eq!(phones(&[], 0), None);
    }
}
