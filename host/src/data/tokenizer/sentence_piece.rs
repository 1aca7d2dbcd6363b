//! Pieces merged by score, as SentencePiece merges them (Kudo and Richardson 2018) and llama.cpp where a file says `llama`: of all neighbours that together
//! are a token, those with the highest score are merged first, and of equal ones the leftmost. What is no token in the end is written in bytes.

use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

/// Stands for a space in tokens.
pub const SPACE: char = '▁';

/// A vocabulary of pieces with scores.
#[derive(Debug)]
pub struct SentencePiece {
    /// Tokens that text is made of.
    pub ids: FxHashMap<String, u32>,
    /// By token.
    pub scores: Vec<f32>,
    /// The tokens of single bytes; none for a byte without one.
    pub bytes: [Option<u32>; 256],
    /// Stands for what is no token and has no bytes that are.
    pub unknown: Option<u32>,
    /// Whether text begins with a space of its own, so that its first word is a word like any other.
    pub adds_space: bool,
}

/// A part of the text that is or may become a token; parts without bytes were merged into the one before.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    len: usize,
    before: Option<usize>,
    after: Option<usize>,
}

/// Neighbours that can be merged, the best one the largest.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Bytes of both: if they have others meanwhile, this is out of date.
    len: usize,
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pair {}

impl SentencePiece {
    /// The tokens of a text without control tokens; `is_first` where it does not go on with another one.
    pub fn encode(&self, text: &str, is_first: bool, tokens: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        let mut escaped = String::with_capacity(text.len() + text.len() / 4);
        escaped.extend((is_first && self.adds_space).then_some(SPACE));
        escaped.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
        let mut parts: Vec<Part> = escaped
            .char_indices()
            .enumerate()
            .map(|(i, (start, c))| Part { start, len: c.len_utf8(), before: i.checked_sub(1), after: Some(i + 1) })
            .collect();
        if let Some(last) = parts.last_mut() {
            last.after = None;
        }
        let mut pairs = BinaryHeap::new();
        for right in 1..parts.len() {
            pairs.extend(self.pair(&escaped, &parts, Some(right - 1), Some(right)));
        }
        while let Some(Pair { left, right, len, .. }) = pairs.pop() {
            let (a, b) = (parts[left], parts[right]);
            if a.len == 0 || b.len == 0 || a.len + b.len != len {
                continue;
            }
            parts[left] = Part { len, after: b.after, ..a };
            parts[right].len = 0;
            if let Some(after) = b.after {
                parts[after].before = Some(left);
            }
            pairs.extend(self.pair(&escaped, &parts, a.before, Some(left)));
            pairs.extend(self.pair(&escaped, &parts, Some(left), b.after));
        }
        for part in parts.iter().filter(|part| part.len > 0) {
            let text = &escaped[part.start..part.start + part.len];
            match self.ids.get(text) {
                Some(&id) => tokens.push(id),
                None => tokens.extend(text.bytes().filter_map(|byte| self.bytes[usize::from(byte)].or(self.unknown))),
            }
        }
    }

    fn pair(&self, text: &str, parts: &[Part], left: Option<usize>, right: Option<usize>) -> Option<Pair> {
        let (left, right) = (left?, right?);
        let (start, len) = (parts[left].start, parts[left].len + parts[right].len);
        let id = *self.ids.get(&text[start..start + len])?;
        Some(Pair { score: self.scores[id as usize], left, right, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces() -> SentencePiece {
        let names = ["<unk>", "▁", "a", "b", "ab", "▁a", "▁ab", "aa"];
        let ids = names.iter().zip(0..).map(|(name, id)| (name.to_string(), id)).collect();
        let scores = vec![0.0, -1.0, -2.0, -3.0, -0.5, -0.7, -9.0, -0.5];
        let mut bytes = [None; 256];
        for (id, byte) in "☃".bytes().enumerate().skip(1) {
            bytes[usize::from(byte)] = Some(100 + id as u32);
        }
        SentencePiece { ids, scores, bytes, unknown: Some(0), adds_space: true }
    }

    fn encode(text: &str, is_first: bool) -> Vec<u32> {
        let mut tokens = Vec::new();
        pieces().encode(text, is_first, &mut tokens);
        tokens
    }

    #[test]
    fn the_best_neighbours_are_merged_first() {
        // `ab` before `▁a`, and then with the space.
        assert_eq!(encode("ab", true), [6]);
        assert_eq!(encode("ab", false), [4]);
        // Equal scores: from the left.
        assert_eq!(encode("aaa", false), [7, 2]);
        assert_eq!(encode("aab", false), [7, 3]);
        assert_eq!(encode("a a", true), [5, 5]);
        assert!(encode("", true).is_empty());
    }

    #[test]
    fn what_is_no_token_is_written_in_bytes() {
        assert_eq!(encode("a☃c", false), [2, 0, 101, 102, 0]);
    }
}
