//! Text as it is said: figures, signs and abbreviations become words, punctuation becomes pauses, and what cannot be said is reported.

mod fold;
mod number;

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use fold::Folded;

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

/// A piece of text and its sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The sound.
    pub spoken: Spoken,
    /// Its bytes in the text.
    pub source: Range<usize>,
}

/// A piece of text that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The piece, or its beginning.
    pub text: String,
    /// Its bytes in the text.
    pub source: Range<usize>,
    /// What it is.
    pub kind: &'static str,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}..{}: {} not read: {:?}", self.source.start, self.source.end, self.kind, self.text)
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
        let words = self.items.iter().filter_map(|item| match &item.spoken {
            Spoken::Word(word) => Some(word.clone()),
            Spoken::Letter(letter) => Some(letter.to_ascii_uppercase().to_string()),
            Spoken::Pause => Some(",".into()),
            Spoken::Silence => None,
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// The kinds of tokens; where several begin at a place, the first counts.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)
        (?<number> [0-9]+ )
        | (?<word> [A-Za-z]+ (?: ' [A-Za-z]+ )* '? )
        | (?<pause> [.,;:!?()\[\]{}]+ | --+ | \u{2013} )
        | (?<space> \s+ )
        | (?<silence> [\x22'-] )
        | (?<other> (?s:.) )
        ",
    )
    .expect("a valid expression")
});

/// Says what a text sounds like. Every character ends up in an item or in a warning, except white space.
pub fn normalise(text: &str) -> Normalised {
    let folded = Folded::new(text);
    let mut out = Normalised::default();
    for captures in TOKEN.captures_iter(&folded.text) {
        let whole = captures.get(0).expect("the match");
        let source = folded.origin(whole.range());
        let mut say = |spoken| out.items.push(Item { spoken, source: source.clone() });
        if captures.name("number").is_some() {
            number::cardinal(whole.as_str()).into_iter().for_each(|word| say(Spoken::Word(word)));
        } else if captures.name("word").is_some() {
            say(Spoken::Word(whole.as_str().to_ascii_lowercase()));
        } else if captures.name("pause").is_some() {
            say(Spoken::Pause);
        } else if captures.name("silence").is_some() {
            say(Spoken::Silence);
        } else if captures.name("other").is_some() {
            report(&mut out.warnings, text, source);
        }
    }
    out
}

fn report(warnings: &mut Vec<Warning>, text: &str, source: Range<usize>) {
    let found = &text[source.clone()];
    let kind = if found.chars().all(char::is_control) { "control character" } else { "character" };
    match warnings.last_mut() {
        Some(last) if last.source.end == source.start && last.kind == kind => {
            last.source.end = source.end;
            last.text.push_str(found);
        }
        _ => warnings.push(Warning { text: found.into(), source, kind }),
    }
}
