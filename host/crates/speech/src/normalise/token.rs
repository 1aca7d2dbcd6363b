//! Text in tokens.

use std::ops::Range;
use std::sync::LazyLock;

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

use super::tables;

/// A kind of token; where several fit at a place, the first of this list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An address of a page or of mail, or a path.
    Address,
    /// A name of a file or page, or two sentences without a space between them.
    File,
    /// Year, month and day in digits.
    YearDate,
    /// Day, month and year in digits, in the order of either side of the Atlantic.
    Date,
    /// Day, month by name, perhaps a year.
    DayMonth,
    /// Month by name and day, perhaps a year.
    MonthDay,
    /// Short for a month, and a year.
    MonthYear,
    /// A year of an era, as `44 BC`.
    Era,
    /// A quarter of a year, as `2Q22`.
    Quarter,
    /// Two times of day, the first without its half, as `2-5pm`.
    Times,
    /// A time of day.
    Time,
    /// A telephone number, or another one that is read by its digits.
    Telephone,
    /// A telephone number with letters.
    Vanity,
    /// An address of a machine.
    Machine,
    /// A house number; the name of the street follows.
    House,
    /// An amount of money, its sign in front.
    Money,
    /// An amount of money, its sign behind.
    MoneyBehind,
    /// Ten or a hundred years, as `1990s`.
    Decade,
    /// `1st`, right or wrong.
    Ordinal,
    /// Feet and inches.
    Feet,
    /// Inches.
    Inches,
    /// A power, or a number in scientific notation.
    Power,
    /// Sizes in two or three directions.
    Size,
    /// A number, fraction or range, and its unit or what it is counted by.
    Measure,
    /// Letters and digits with hyphens and slashes between them.
    Serial,
    /// Two numbers with a dash between them.
    Range,
    /// Two numbers with a colon between them.
    Ratio,
    /// A fraction, perhaps after a whole number.
    Fraction,
    /// A number and a letter for thousands, millions or billions.
    Magnitude,
    /// A number of a law, as `401(k)`.
    Law,
    /// A version, as `v2.0`.
    Version,
    /// A number and an `x`.
    Multiple,
    /// Letters and digits mixed.
    Mixed,
    /// A number with a point.
    Decimal,
    /// Digits, perhaps with commas.
    Number,
    /// Single letters with full stops.
    Initials,
    /// An abbreviation with a slash.
    Slashed,
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

/// The kinds and what they look like, in folded text; names in braces stand for the parts of [`expand`].
///
/// A pattern may go through many tokens in vain only for a bounded number of signs, so that the time is proportional to the text.
const PATTERNS: [(Kind, &str); 60] = [
    (Kind::Address, r#"(?:https?|ftps?|sftp|file|ssh|git|wss?)://[^\s<>"]*[A-Za-z0-9/]"#),
    (Kind::Address, r#"www\.[^\s<>"]*[A-Za-z0-9/]"#),
    (
        Kind::Address,
        r"[A-Za-z0-9._%+&-](?:[A-Za-z0-9]*[._%+&-]){0,16}[A-Za-z0-9]*@(?:{LABEL}\.){1,8}[A-Za-z]{2,}\b(?:/[A-Za-z0-9/_.-]*[A-Za-z0-9/])?",
    ),
    (
        Kind::Address,
        r"(?:{LABEL}\.){1,8}(?:com|org|net|edu|gov|mil|info|biz|io|dev|app|ai|tv|co|uk)\b(?::[0-9]+)?(?:/[A-Za-z0-9/_.?=&%-]*[A-Za-z0-9/])?",
    ),
    (Kind::Address, r"(?:~|\.\.?)?(?:/[A-Za-z0-9_.-]*[A-Za-z0-9_-]){2,}/?"),
    (Kind::Address, r#"[A-Za-z]:\\[^\s<>"|]*[A-Za-z0-9]"#),
    (Kind::File, r"[A-Za-z][A-Za-z0-9_-]{STEM}(?:\.[A-Za-z0-9_-]{2}{STEM}){0,8}\.[a-z][a-z0-9]{1,4}\b"),
    (Kind::YearDate, r"[0-9]{4}(?:-[0-9]{1,2}-|/[0-9]{1,2}/|\.[0-9]{1,2}\.)[0-9]{1,2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?Z?)?\b"),
    (
        Kind::Date,
        r"[0-9]{1,2}(?:-[0-9]{1,2}-|/[0-9]{1,2}/|\.[0-9]{1,2}\.)[0-9]{4}\b|[0-9]{2}\.[0-9]{2}\.[0-9]{2}\b|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}\b|[0-9]{2}-[0-9]{2}-[0-9]{2}\b",
    ),
    (
        Kind::DayMonth,
        r"[0-9]{1,2}(?:\s?{DASH}\s?[0-9]{1,2})?(?:(?:st|nd|rd|th)?\s(?:of\s)?(?:{MONTH}(?:\.?,?\s{YEAR}\b|\.)?|{DOUBTFUL}\.?,?\s{YEAR}\b)|-{MONTH}-(?:{YEAR}|[0-9]{2})\b)",
    ),
    (
        Kind::MonthDay,
        r"(?:{MONTH}\.?[ -][0-9]{1,2}(?:st|nd|rd|th)?(?:\s?{DASH}\s?[0-9]{1,2}(?:st|nd|rd|th)?)?\b(?:(?:,?\s|-){YEAR}\b)?|{DOUBTFUL}\.?\s[0-9]{1,2}(?:st|nd|rd|th)?,?\s{YEAR}\b)",
    ),
    (Kind::MonthYear, r"(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|jan|feb|apr|jul|aug|sept?|oct|nov)\.?\s{YEAR}\b"),
    (Kind::Era, r"[0-9]{1,4}\s?(?:(?:AD|BCE|BC|CE)\b|A\.D\.?|B\.C\.E\.?|B\.C\.?|C\.E\.?)"),
    (Kind::Quarter, r"[1-4]Q'?[0-9]{2,4}\b"),
    (Kind::Times, r"[0-9]{1,2}(?::[0-9]{2})?\s?{DASH}\s?{TIME}"),
    (Kind::Time, r"{TIME}"),
    (
        Kind::Telephone,
        r"(?:\+[0-9]{1,3}[-. ]?|1[-. ])?(?:\([0-9]{3}\)[-. ]?|[0-9]{3}[-. ])[0-9]{3}[-. ][0-9]{4}(?:-[0-9]{1,4})?\b(?:,?\s?(?:ext\.?|x|extension)\s?[0-9]{1,5}\b)?",
    ),
    (Kind::Telephone, r"\(?0[0-9]{2,4}\)?[- ][0-9]{3,4}[- ]?[0-9]{3,4}\b"),
    (Kind::Telephone, r"\+[0-9]{1,3}(?:[-. ]?\(?[0-9]{1,5}\)?){2,5}\b"),
    (Kind::Telephone, r"[0-9]{3}-[0-9]{2}-[0-9]{4}\b|[0-9]{4}(?:[- ][0-9]{4}){3}\b|[0-9]+(?:-[0-9]+){3,}\b"),
    (Kind::Telephone, r"[0-9]{3}-[0-9]{4}\b(?:,?\s?(?:ext\.?|x|extension)\s?[0-9]{1,5}\b)?"),
    (Kind::Vanity, r"(?:1-)?(?:800|888|877|866|855|844|833|900)(?:-[A-Z0-9]+)+\b"),
    (Kind::Machine, r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b(?::[0-9]+\b)?(?:/[0-9]{1,2}\b)?"),
    (Kind::House, r"[0-9]{1,5}(?:\s[NSEW]{1,2}\.?)?(?:\s(?:[A-Z][A-Za-z]+|[0-9]{1,3}(?:st|nd|rd|th))){1,4}\s(?i-u:{STREET})\b"),
    (
        Kind::Money,
        r"(?:{CUR}|{CODE})\s?{SUM}(?:{MONEYMAG})?(?:\s?{DASH}\s?(?:{CUR}\s?{SUM}{MONEYMAG}|{SUM}(?:{MONEYMAG})?))?(?:\s?/\s?{PER})?",
    ),
    (Kind::MoneyBehind, r"{SUM}(?:{MONEYMAG})?\s?(?:{CUR}|{CODE})(?:\s?/\s?{PER})?"),
    (Kind::Decade, r"'?(?:[0-9]{2})?[0-9]0'?s\b|[12][0-9]{2}0 s\b"),
    (Kind::Size, r#"{AMT}["']\s?[xX×]\s?{AMT}["'](?:\s?[xX×]\s?{AMT}["'])?"#),
    (Kind::Feet, r"[0-9]+\s?(?:ft|lbs?)\.?\s[0-9]+\s?(?:in|oz)\b"),
    (Kind::Feet, r#"[0-9]+'\s?[0-9]+(?:\.[0-9]+)?(?:''|"|\b)"#),
    (Kind::Inches, r#"(?:[0-9]+\s[0-9]+/[0-9]+|[0-9]+/[0-9]+|{NUM})(?:"|'')"#),
    (
        Kind::Power,
        r"{NUM}\s?[xX×*]\s?10\^-?[0-9]+\b|{NUM}[eE][+-]?[0-9]+\b|[0-9]+\^-?[0-9]+\b|[A-Z][A-Za-z0-9]{0,9}\^[0-9]?[+-]|[A-Za-z]+\^-?[0-9]+\b|(?:[0-9]+|[A-Za-z])\^[a-z]\b",
    ),
    (Kind::Size, r"{NUM}(?:\s?{ATT})?\s?[xX×]\s?{NUM}(?:(?:\s?{ATT})?\s?[xX×]\s?{NUM})?(?:\s{UNIT}|{ATT}|\b)"),
    (Kind::Measure, r"{AMT}(?:(?:{ATT})?\s?{DASH}\s?{AMT})?(?:\s{MAG})?(?:-?{ATT}|\s{UNIT})(?:\s?/\s?{PER})?"),
    (Kind::Measure, r"{NUM}(?:\s?{MAG})?/{PER}"),
    (Kind::Fraction, r"(?:[0-9]+[ -])?[0-9]+/[0-9]+-[a-z]{3,}\b|[0-9]+-[0-9]+/[0-9]+\b"),
    (Kind::Ordinal, r"{COMMAS}(?:st|nd|rd|th|ST|ND|RD|TH)\b"),
    (Kind::Serial, r"[A-Za-z]*[0-9][A-Za-z0-9]*(?:[-/][A-Za-z0-9]+){2,}\b"),
    (Kind::Serial, r"[A-Za-z0-9]+[-/][A-Za-z]*[0-9][A-Za-z0-9]*(?:[-/][A-Za-z0-9]+)+\b"),
    (Kind::Serial, r"(?:[A-Za-z0-9]+[-/]){2,16}[A-Za-z]*[0-9][A-Za-z0-9]*(?:[-/][A-Za-z0-9]+)*\b"),
    (Kind::Range, r"{NUM}\s?{DASH}\s?{NUM}\b"),
    (Kind::Ratio, r"[0-9]+:[0-9]+\b"),
    (Kind::Fraction, r"(?:[0-9]+[ -])?[0-9]+(?:/[0-9]+(?:rds|ths|nds|st|nd|rd|th|ST|ND|RD|TH|s)?|\s/\s[0-9]+)\b"),
    (Kind::Magnitude, r"{NUM}(?:[kKMBbT]|bn|mn)\b"),
    (Kind::Law, r"[0-9]{3}(?:\([A-Za-z0-9]{1,3}\))+"),
    (Kind::Version, r"v[0-9]+(?:\.[0-9]+)*\b|V[0-9]+(?:\.[0-9]+)+\b"),
    (Kind::Multiple, r"{NUM}[xX]\b"),
    (Kind::Mixed, r"[A-Za-z]+[0-9][A-Za-z0-9]*|[0-9]+[A-Za-z][A-Za-z0-9]*"),
    // Thousands apart by spaces or points, as on the continent.
    (Kind::Number, r"{GROUPED}"),
    (Kind::Decimal, r"(?:{COMMAS})?(?:\.[0-9]+)+\b"),
    (Kind::Number, r"[0-9]{1,3}(?:,[0-9]{3})+\b|[0-9]+"),
    (Kind::Initials, r"(?:Ph|Ed|Psy|Sc|Pharm)\.\s?(?:[A-Z]\b\.?)+|(?:[A-Z]\.\s?){1,8}(?:Sc|Ed|Eng|Phil)\b\.?"),
    (Kind::Initials, r"(?:[A-Za-z]\.){2,}(?:[A-Za-z]\b)?|[A-Za-z]\.[A-Za-z]\b"),
    (Kind::Initials, r"et al\b\.?"),
    (Kind::Slashed, r"(?i-u:w/o|c/o|b/w|b/c|n/a)\b|[wW]/"),
    (Kind::Word, r"'(?:[Tt]is|[Tt]was|[Ee]m|[Tt]il|[Cc]ause|[Bb]out)\b|[A-Za-z]+(?:'[A-Za-z]+)*"),
    (Kind::Pause, r"[.,;:!?()\[\]{}]+|--+"),
    (Kind::Paragraph, r"\s*\n\s*\n\s*"),
    (Kind::Space, r"\s+"),
    (Kind::Other, r"(?s:.)"),
];

/// A pattern with its parts in the place of their names.
pub fn expand(pattern: &str) -> String {
    let [cur, code] = tables::currency_patterns();
    let [unit, attached, per] = tables::unit_patterns();
    let parts = [
        // Of the name of a machine: RFC 1035, section 2.3.1, and two hyphens as in `xn--`.
        ("{LABEL}", r"[A-Za-z0-9]+(?:-{1,2}[A-Za-z0-9]+){0,16}".into()),
        ("{STEM}", r"(?:[A-Za-z0-9]*[_-]){0,16}[A-Za-z0-9]*".into()),
        ("{COMMAS}", r"[0-9]+(?:,[0-9]+){0,12}".into()),
        ("{MONEYMAG}", r"\s?(?:{MAG}|mil\b|mn\b|bn\b|tn\b|[kKmMbB]\b)|T\b".into()),
        ("{TIME}", r"(?:{CLOCK}(?:\s?{HALF}|\b)|[0-9]{1,2}(?:\.[0-9]{2})?\s?{HALF})(?:\s?\(?{ZONE}\)?)?".into()),
        ("{CLOCK}", r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?".into()),
        ("{HALF}", r"(?:[AaPp]\.?[Mm](?:\.|\b)|[AaPp]\. [Mm]\.)".into()),
        ("{ZONE}", format!("(?:{})", tables::zone_pattern())),
        (
            "{MONTH}",
            r"(?:(?i-u:january|february|april|june|july|august|september|october|november|december|jan|feb|apr|jul|aug|sept|sep|oct|nov)|(?:March|May|Mar|Jun|Dec|MARCH|MAY|MAR|JUN|DEC))\b".into(),
        ),
        ("{DOUBTFUL}", r"(?:march|may|mar|jun|dec)\b".into()),
        ("{YEAR}", "(?:1[0-9]|2[01])[0-9]{2}".into()),
        ("{STREET}", tables::street_pattern()),
        ("{AMT}", r"(?:[0-9]+\s[0-9]+/[0-9]+|[0-9]+/[0-9]+|{SUM})".into()),
        // With a comma as the decimal point, as on the continent.
        ("{SUM}", r"(?:{GROUPED}|[0-9]{1,9},[0-9]{1,2}\b|{NUM})".into()),
        ("{GROUPED}", r"(?:[1-9][0-9]{0,2}(?:(?: [0-9]{3}){1,6} 000|(?: [0-9]{3}){2,6}| 000|(?:\.[0-9]{3}){2,6})\b)".into()),
        ("{NUM}", r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)".into()),
        ("{MAG}", r"(?:hundred|thousand|million|billion|trillion|quadrillion)\b".into()),
        ("{DASH}", r"(?:-|\x{2013})".into()),
        ("{CUR}", format!("(?:{cur})")),
        ("{CODE}", format!("(?:{code})")),
        ("{UNIT}", format!("(?:{unit})")),
        ("{ATT}", format!("(?:{attached})")),
        ("{PER}", format!("(?:{per})")),
    ];
    // The text is nearly ASCII, and only ASCII's borders of words are fast.
    parts.iter().fold(pattern.to_string(), |pattern, (name, part)| pattern.replace(name, part)).replace(r"\b", r"(?-u:\b)")
}

static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    let patterns: Vec<String> = PATTERNS.iter().map(|(_, pattern)| expand(pattern)).collect();
    Regex::new_many(&patterns).expect("valid expressions")
});

/// The token at a place, and its bytes; none at the end.
pub fn next(text: &str, at: usize) -> Option<(Kind, Range<usize>)> {
    let found = TOKEN.search(&Input::new(text).range(at..).anchored(Anchored::Yes))?;
    Some((PATTERNS[found.pattern().as_usize()].0, found.range()))
}

/// An expression whose groups take a token apart.
pub fn expression(pattern: &str) -> regex::Regex {
    regex::Regex::new(&format!("^(?:{})$", expand(pattern))).expect("a valid expression")
}

/// Runs of letters, runs of digits, and other characters one by one.
pub fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let same = |c: char| (first.is_ascii_digit() && c.is_ascii_digit()) || (first.is_ascii_alphabetic() && c.is_ascii_alphabetic());
        let end = rest.char_indices().skip(1).find(|&(_, c)| !same(c)).map_or(rest.len(), |(at, _)| at);
        let (run, tail) = rest.split_at(end);
        rest = tail;
        Some(run)
    })
}
