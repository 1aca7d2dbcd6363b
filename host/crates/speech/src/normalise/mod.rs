//! Text as it is said: figures, signs and abbreviations become words, punctuation becomes pauses, and what cannot be said is reported.

mod amounts;
mod capitals;
mod codes;
mod dispatch;
mod electronic;
mod fold;
mod money;
mod number;
mod reader;
mod spans;
mod spoken;
mod tables;
#[cfg(test)]
mod tests;
mod times;
mod token;
mod words;

pub use spoken::{Item, Normalised, Spoken, Warning};
pub(super) use tables::{abbreviation, are_initials, is_counted, is_title};
#[cfg(test)]
pub(super) use {number::words as number_words, tables::words as table_words};

use fold::Folded;
use reader::Reader;

/// Says what a text sounds like. Every character ends up in an item or in a warning, except white space. `knows` tells whether a word in small
/// letters is in a dictionary: words in capitals that are not may be acronyms.
pub fn normalise(text: &str, knows: &dyn Fn(&str) -> bool) -> Normalised {
    let folded = Folded::new(text);
    Reader::new(text, &folded, knows).read()
}
