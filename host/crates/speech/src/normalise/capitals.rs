//! Words in capitals: acronyms, words written together, or just words.

use super::reader::Reader;
use super::tables::{self, Acronym};

/// Longest acronym that is spelled out.
const ACRONYM: usize = 6;
/// Dictionaries have no longer words.
const WORD: usize = 64;

impl Reader<'_> {
    /// A word with several capitals: an acronym, several words written together, or just a word.
    pub(super) fn capitals(&mut self, text: &str, small: &str, capitals: usize) {
        let plural = text.len() == capitals + 1 && text.ends_with('s');
        let possessive = text.strip_suffix("'s").filter(|stem| stem.len() == capitals);
        if text.len() == capitals {
            if self.spelled(small) { self.letters(small) } else { self.words([small]) }
        } else if let Some(stem) = if plural { text.strip_suffix('s') } else { possessive } {
            let whole = stem.to_ascii_lowercase();
            if !self.spelled(&whole) {
                return self.words([format!("{whole}'s")]);
            }
            // The last letter takes the s: "c d's".
            let (first, last) = whole.split_at(whole.len() - 1);
            self.letters(first);
            self.words([format!("{last}'s")]);
        } else if tables::acronym(small) == Some(Acronym::Spelled) {
            self.letters(small);
        } else if (self.knows)(small) || text.contains('\'') {
            self.words([small]);
        } else {
            self.humps(text);
        }
    }

    /// Is a word in capitals, given in small letters, read by its letters?
    fn spelled(&self, small: &str) -> bool {
        match tables::acronym(small) {
            Some(Acronym::Spelled) => true,
            Some(Acronym::Said) => false,
            Some(Acronym::Capitals) => !(self.shouting || self.loud()) || !(self.knows)(small),
            None if !small.contains(['a', 'e', 'i', 'o', 'u', 'y']) => true,
            None if (self.knows)(small) => small.len() < 3,
            None => small.len() < 3 || (small.len() <= ACRONYM && !is_pronounceable(small) && !self.shouting && !self.loud()),
        }
    }

    /// Is a word beside the token in capitals that are no acronym's?
    fn loud(&self) -> bool {
        // "I", "A" and "of" say nothing about it: the word behind them does.
        let words = |word: &&str| !matches!(*word, "" | "I" | "A" | "of" | "OF");
        let cut = |c: char| !(c.is_ascii_alphanumeric() || c == '\'');
        let before = self.before().trim_end().rsplit(cut).take(2).find(words);
        let after = self.after().trim_start().split(cut).take(2).find(words);
        let ordinary = |word: &str| {
            let small = word.get(..word.len().min(WORD)).unwrap_or_default().to_ascii_lowercase();
            let said = tables::acronym(&small).is_none_or(|how| how == Acronym::Said && small.len() < 3);
            (2..=WORD).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_uppercase()) && said && (self.knows)(&small)
        };
        [before, after].into_iter().flatten().any(ordinary)
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
}

/// Can a new acronym be said as a word: `LIDAR`, but not `ASPCA`? Consonants and vowels take turns.
fn is_pronounceable(small: &str) -> bool {
    const ONSETS: [&str; 26] = [
        "bl", "br", "ch", "cl", "cr", "dr", "fl", "fr", "gl", "gr", "pl", "pr", "sc", "sh", "sk", "sl", "sm", "sn", "sp", "st", "sw", "th",
        "tr", "tw", "wh", "ph",
    ];
    let bytes = small.as_bytes();
    let vowel = |byte: &u8| b"aeiouy".contains(byte);
    let runs: Vec<&[u8]> = bytes.chunk_by(|a, b| vowel(a) == vowel(b)).collect();
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return false };
    let starts = vowel(&first[0]) || first.len() == 1 || ONSETS.iter().any(|onset| onset.as_bytes() == *first);
    let ends = vowel(&last[0]) || last.len() == 1 || matches!(*last, [a, b] if a == b);
    let even = runs.iter().all(|run| run.len() < 3 && !(vowel(&run[0]) && matches!(run, [a, b] if a == b)));
    let alternates = bytes.len() == 4 && runs.len() == 4 && !vowel(&bytes[0]);
    (bytes.len() > 4 || alternates) && starts && ends && even && runs.len() > 2
}
