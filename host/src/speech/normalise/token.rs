//! Text in tokens.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// A kind of token; where several fit at a place, the first of this list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An address of a page or of mail.
    Address,
    /// A date as `2024-03-05`.
    IsoDate,
    /// A date as `3/5/2024`.
    SlashDate,
    /// A time of day.
    Time,
    /// A telephone number.
    Telephone,
    /// An amount of money, its sign in front.
    Money,
    /// An amount of money, its sign behind.
    MoneyBehind,
    /// Ten or a hundred years, as `1990s`.
    Decade,
    /// `1st`.
    Ordinal,
    /// Two numbers with a dash between them.
    Range,
    /// A fraction, perhaps after a whole number.
    Fraction,
    /// A number and its unit.
    Measure,
    /// Letters and digits mixed.
    Mixed,
    /// A number with a point.
    Decimal,
    /// Digits, perhaps with commas.
    Number,
    /// Single letters with full stops.
    Initials,
    /// Letters, perhaps with apostrophes.
    Word,
    /// Punctuation that a speaker pauses at.
    Pause,
    /// An empty line.
    Paragraph,
    /// White space.
    Space,
    /// One more character.
    Other,
}

/// The kinds and what they look like, in folded text.
const PATTERNS: [(Kind, &str); 21] = [
    (
        Kind::Address,
        r"(?:https?://|www\.)[^\s<>\x22]*[A-Za-z0-9/]|[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.(?:com|org|net|edu|gov|io)\b(?:/[A-Za-z0-9/_-]*)?",
    ),
    (Kind::IsoDate, r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b"),
    (Kind::SlashDate, r"\b[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}\b"),
    (
        Kind::Time,
        r"\b[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?\b(?:\s?(?:[AaPp]\.[Mm]\.|[AaPp][Mm]\b))?|\b[0-9]{1,2}\s?(?:[AaPp]\.[Mm]\.|[AaPp][Mm]\b)",
    ),
    (Kind::Telephone, r"(?:\+?\b1[-. ])?(?:\([0-9]{3}\) ?|\b[0-9]{3}[-.])[0-9]{3}[-.][0-9]{4}\b"),
    (Kind::Money, r"(?:\bUS)?[$£€¥₹]\s?[0-9][0-9,]*(?:\.[0-9]+)?(?:\s?(?:hundred|thousand|million|billion|trillion|bn|[kKmMbB])\b)?"),
    (Kind::MoneyBehind, r"\b[0-9][0-9,]*(?:\.[0-9]+)?\s?[$£€¥₹]"),
    (Kind::Decade, r"'?\b(?:[0-9]{2})?[0-9]0'?s\b"),
    (Kind::Ordinal, r"\b[0-9][0-9,]*(?:st|nd|rd|th|ST|ND|RD|TH)\b"),
    (Kind::Range, r"\b[0-9]+(?:\.[0-9]+)?\s?(?:-|\x{2013})\s?[0-9]+(?:\.[0-9]+)?\b"),
    (Kind::Fraction, r"\b(?:[0-9]+ )?[0-9]+/[0-9]+\b"),
    (
        Kind::Measure,
        r"(?:[0-9][0-9,]*)?(?:\.?[0-9]+)\s?(?:%|°C|°F|°|(?:km/h|kph|mph|m/s|km|cm|mm|nm|mi|ft|yd|kg|mg|lbs|lb|oz|ml|mL|ha|kHz|MHz|GHz|Hz|KB|kB|MB|GB|TB|kWh|kW|MW|GW|dB|ms|min|hrs|hr|m|g|L|l|W|V)\b)",
    ),
    (Kind::Mixed, r"\b[A-Za-z]+[0-9][A-Za-z0-9]*|\b[0-9]+[A-Za-z][A-Za-z0-9]*"),
    (Kind::Decimal, r"(?:\b[0-9][0-9,]*)?(?:\.[0-9]+)+\b"),
    (Kind::Number, r"[0-9]{1,3}(?:,[0-9]{3})+\b|[0-9]+"),
    (Kind::Initials, r"\b(?:[A-Za-z]\.){2,}"),
    (Kind::Word, r"'(?:[Tt]is|[Tt]was|[Ee]m|[Tt]il|[Cc]ause|[Bb]out)\b|[A-Za-z]+(?:'[A-Za-z]+)*"),
    (Kind::Pause, r"[.,;:!?()\[\]{}]+|--+|\x{2013}"),
    (Kind::Paragraph, r"\s*\n\s*\n\s*"),
    (Kind::Space, r"\s+"),
    (Kind::Other, r"(?s:.)"),
];

static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    let patterns: Vec<String> = PATTERNS.iter().map(|(_, pattern)| format!("({pattern})")).collect();
    Regex::new(&patterns.join("|")).expect("valid expressions")
});

/// The token at a place, and its bytes; none at the end.
pub fn next(text: &str, at: usize) -> Option<(Kind, Range<usize>)> {
    let captures = TOKEN.captures_at(text, at)?;
    let kind = (0..PATTERNS.len()).find_map(|kind| captures.get(kind + 1).map(|found| (PATTERNS[kind].0, found.range())));
    kind.filter(|(_, range)| range.start == at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_kinds() {
        assert_eq!(TOKEN.captures_len(), PATTERNS.len() + 1, "patterns have no groups of their own");
        for (kind, (listed, _)) in PATTERNS.iter().enumerate() {
            assert_eq!(*listed as usize, kind);
        }
    }
}
