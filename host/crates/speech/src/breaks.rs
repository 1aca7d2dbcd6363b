//! Pauses that no punctuation asks for: before a phrase, where a speaker takes a breath.
//!
//! On the training corpus of the voice, whose teacher pauses at 793 of 10,212 such places, this rule finds about half of them, and about half of the
//! places it finds are among them.

use super::normalise::{Item, Spoken};

/// Words that phrases begin with.
const BEFORE: &[&str] = &[
    "and", "as", "at", "before", "between", "but", "by", "for", "from", "how", "if", "in", "into", "is", "on", "or", "than", "that",
    "through", "to", "toward", "upon", "was", "were", "what", "when", "where", "which", "will", "with", "within", "without", "would",
];
/// Words since the last pause, at least.
const SINCE: usize = 4;
/// Words to the next pause, at least.
const LEFT: usize = 3;

/// Adds such pauses.
pub fn add(items: Vec<Item>) -> Vec<Item> {
    // The words from each item to the next pause.
    let mut left = vec![0; items.len() + 1];
    for (at, item) in items.iter().enumerate().rev() {
        left[at] = match item.spoken {
            Spoken::Pause => 0,
            Spoken::Silence => left[at + 1],
            Spoken::Word(_) | Spoken::Letter(_) => left[at + 1] + 1,
        };
    }
    let mut since = 0;
    let mut out = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        if since >= SINCE && left[at] >= LEFT && item.spoken.word().is_some_and(|word| BEFORE.contains(&word)) {
            out.push(Item { spoken: Spoken::Pause, source: item.source.start..item.source.start });
            since = 0;
        }
        match item.spoken {
            Spoken::Pause => since = 0,
            Spoken::Silence => {}
            Spoken::Word(_) | Spoken::Letter(_) => since += 1,
        }
        out.push(item);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalise::normalise;

    #[test]
    fn phrases_are_set_apart() {
        for (text, pauses) in [
            ("the ghost in the machine is singing", 0),
            ("he knows there must have been twenty better men than himself applying for her", 1),
            ("one two three four, and one two three", 1),
            ("we all went there and sang", 0),
            ("", 0),
        ] {
            let items = add(normalise(text, &|_| true).items);
            let found = items.iter().filter(|item| item.spoken == Spoken::Pause).count();
            assert_eq!(found, pauses, "{text:?}");
        }
    }
}
