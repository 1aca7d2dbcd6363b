//! What a text sounds like.

use std::fmt;
use std::ops::Range;

/// What a piece of text sounds like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// A word in small letters, apostrophes included.
    Word(String),
    /// The name of a letter.
    Letter(char),
    /// A pause.
    Pause,
    /// Nothing: a quotation mark, or a hyphen between words.
    Silence,
}

impl Spoken {
    /// The word, if it is one.
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// A piece of text and its sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The sound.
    pub spoken: Spoken,
    /// Bytes of the piece in the text.
    pub source: Range<usize>,
}

/// A piece of text that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The piece.
    pub text: String,
    /// Bytes of the piece in the text.
    pub source: Range<usize>,
    /// What it is.
    pub kind: &'static str,
}

/// Characters of a piece that a warning shows.
const SHOWN: usize = 20;

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.text.chars().take(SHOWN).collect();
        let more = self.text.chars().count().saturating_sub(SHOWN);
        let spelled = if self.kind.ends_with("spelled out") { "spelled out" } else { "not read" };
        write!(f, "{spelled} at byte {}: {} {shown:?}", self.source.start, self.kind)?;
        if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
    }
}

/// A text as it is said.
#[derive(Debug, Default)]
pub struct Normalised {
    /// The sounds, in order.
    pub items: Vec<Item>,
    /// What has none.
    pub warnings: Vec<Warning>,
}

impl Normalised {
    /// The words, letters as capitals, pauses as commas: for people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for item in &self.items {
            let word = match &item.spoken {
                Spoken::Word(word) => word.clone(),
                Spoken::Letter(letter) => letter.to_ascii_uppercase().to_string(),
                Spoken::Pause => {
                    text.push(',');
                    continue;
                }
                Spoken::Silence => continue,
            };
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&word);
        }
        text
    }
}
