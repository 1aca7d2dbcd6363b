//! Amounts: numbers and what they count.

use std::sync::LazyLock;

use regex::Regex;

use super::reader::Reader;
use super::token::{expression, runs};
use super::{number, tables};

/// A whole number: a year, a postal code, or just a number.
pub fn number(reader: &mut Reader, text: &str) {
    if text.contains([' ', '.']) {
        return reader.words(number::cardinal(&point(text)));
    }
    let before = reader.before().trim_end();
    let after_state = before.get(before.len().saturating_sub(2)..).is_some_and(|state| tables::place(state).is_some());
    let after_state = after_state
        || before.strip_suffix(',').and_then(|b| b.get(b.len().saturating_sub(2)..)).is_some_and(|state| tables::place(state).is_some());
    let last = reader.last_word().unwrap_or_default();
    let thing = reader.next_word().starts_with(|c: char| c.is_ascii_lowercase()) && !tables::listed("function", reader.next_word());
    // "Call 911" and "in 1066", but "call 911 people" and "in 1066 cases".
    let called = text.len() == 3 && !text.ends_with("00") && !thing && tables::listed("dialled", last);
    let dated = text.len() == 4 && text.starts_with("10") && !thing && tables::listed("yeared", last);
    if called {
        reader.words(number::digits(text));
    } else if dated {
        reader.words(number::year(text));
    } else if (text.len() == 5 && after_state) || (text.len() == 4 && tables::before_last_digits(before)) {
        reader.words(number::digits(text));
    } else if number::is_year(text) || (text.len() == 2 && text.starts_with('0') && before.ends_with('\'')) {
        reader.words(number::year(text));
    } else {
        reader.words(number::cardinal(text));
    }
}

/// A number without what keeps its thousands apart, and with a point for a decimal comma.
pub(super) fn point(text: &str) -> std::borrow::Cow<'_, str> {
    match text.rsplit_once(',') {
        _ if text.contains(' ') || text.matches('.').count() > 1 => text.replace([' ', '.'], "").into(),
        Some((whole, part)) if part.len() < 3 => format!("{whole}.{part}").into(),
        _ => text.into(),
    }
}

/// A number, perhaps with commas, a point, or a fraction behind it.
fn amount(text: &str) -> number::Words {
    match text.trim().split_once([' ', '-']).filter(|(_, part)| part.contains('/')) {
        Some((whole, part)) => mixed_number(whole, part),
        None => match text.trim().split_once('/') {
            Some((numerator, denominator)) => number::fraction(numerator, denominator),
            None => number::decimal(&point(text.trim())),
        },
    }
}

/// `2 1/2`.
fn mixed_number(whole: &str, part: &str) -> number::Words {
    let mut words = number::cardinal(whole);
    words.push("and".into());
    let (numerator, denominator) = part.split_once('/').unwrap_or((part, "1"));
    let mut part = number::fraction(numerator, denominator);
    if numerator == "1" && denominator != "1" {
        part[0] = "a".into();
    }
    words.extend(part);
    words
}

/// The words of a unit, which may have a power.
fn unit(text: &str, one: bool) -> String {
    let text = text.trim().trim_start_matches('-').trim();
    if let Some(words) = tables::unit(text, one) {
        return words.into();
    }
    let stem = text.trim_end_matches(['2', '3']).trim_end_matches('^');
    let power = if text.ends_with('2') { "square" } else { "cubic" };
    format!("{power} {}", tables::unit(stem, one).unwrap_or_default()).trim().into()
}

/// What an amount is counted by, with its slash in front.
pub(super) fn per(text: &str) -> String {
    let text = text.trim().trim_start_matches('/').trim();
    // What is a time is squared behind its name, and what is a length before it.
    match (tables::per(text), text.split_once('^')) {
        (Some(words), _) => words.into(),
        (None, Some(("s", "2"))) => "second squared".into(),
        _ => unit(text, true),
    }
}

static MEASURE: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"(?<a>{AMT})(?:(?<first>{ATT})?\s?{DASH}\s?(?<b>{AMT}))?(?<magnitude>\s{MAG})?(?<unit>-?{ATT}|\s{UNIT})?(?<per>\s?/\s?{PER})?",
    )
});

/// `5 km`, `98.6°F`, `5-10 kg`, `4 1/2 lbs`, `12 km/h`, `41 km²`.
pub fn measure(reader: &mut Reader, text: &str) {
    let Some(found) = MEASURE.captures(text) else { return reader.mixed(text) };
    let part = |name: &str| found.name(name).map(|part| part.as_str());
    let (a, b) = (&found["a"], part("b"));
    let written = part("unit").unwrap_or_default();
    let bare = written.trim_start_matches('-');
    // "4s" is a name more often than a time, and "5-m" no length.
    // "1700 hrs".
    let clock =
        a.len() == 4 && b.is_none() && matches!(bare.trim(), "hrs" | "h" | "hr") && number::is_clock(a) && reader.next_word() != "of";
    if clock {
        reader.words(number::clock(a));
        return reader.words(["hours"]);
    }
    // "1080p" is a picture's height.
    let picture = bare == "p" && a.len() > 2;
    if picture || (bare == "s" && b.is_none() && !a.contains('.')) || (written.starts_with('-') && bare.len() == 1 && bare != "%") {
        return reader.mixed(text);
    }
    // "A 5 km run" and "a 5-km run".
    let noun = bare != "p" && reader.counts_noun();
    reader.words(amount(a));
    if let Some(first) = part("first").filter(|first| *first != bare) {
        reader.phrase(&unit(first, a == "1"));
    }
    if let Some(b) = b {
        reader.words(["to"]);
        reader.words(amount(b));
    }
    if let Some(magnitude) = part("magnitude") {
        reader.words([magnitude.trim()]);
    }
    let one = (b.is_none() && part("magnitude").is_none() && is_one(a)) || written.starts_with('-') || noun;
    if !written.is_empty() {
        reader.phrase(&unit(written, one));
    }
    if let Some(text) = part("per") {
        reader.words(["per"]);
        reader.phrase(&per(text));
    }
}

static SIZE: LazyLock<Regex> = LazyLock::new(|| {
    expression(r"(?<a>{NUM})(?<au>\s?{ATT})?\s?[xX×]\s?(?<b>{NUM})(?:(?<bu>\s?{ATT})?\s?[xX×]\s?(?<c>{NUM}))?(?<unit>\s{UNIT}|{ATT})?")
});

/// `2x8`, `25 x 7 m`, `3 m × 4 m`.
pub fn size(reader: &mut Reader, text: &str) {
    let Some(found) = SIZE.captures(text) else { return lengths(reader, text) };
    let times = text.contains('×') && ["c", "au", "unit"].iter().all(|name| found.name(name).is_none());
    for (name, unit_name) in [("a", "au"), ("b", "bu"), ("c", "unit")] {
        let Some(amount) = found.name(name) else { continue };
        if name != "a" {
            reader.words([if times { "times" } else { "by" }]);
        }
        reader.words(number::decimal(amount.as_str()));
        if let Some(text) = found.name(unit_name).filter(|_| name != "c") {
            reader.phrase(&unit(text.as_str(), amount.as_str() == "1"));
        }
    }
    if let Some(text) = found.name("unit") {
        reader.phrase(&unit(text.as_str(), false));
    }
}

/// `9" x 13"`, `3' x 5'`.
fn lengths(reader: &mut Reader, text: &str) {
    for (at, side) in text.split(['x', 'X', '×']).map(str::trim).enumerate() {
        let (number, sign) = side.split_at(side.len().saturating_sub(1));
        if at > 0 {
            reader.words(["by"]);
        }
        reader.words(amount(number));
        reader.words(tables::unit(if sign == "'" { "ft" } else { "in" }, is_one(number)));
    }
}

/// Is what is counted in the singular: one, or a part of one?
fn is_one(number: &str) -> bool {
    number == "1" || (number.contains('/') && !number.contains(' '))
}

/// `6'2"`, `6 ft 2 in`, `7 lb 4 oz`.
pub fn feet(reader: &mut Reader, text: &str) {
    if text.contains(|c: char| c.is_ascii_alphabetic()) {
        let parts: Vec<&str> = runs(text).filter(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric())).collect();
        for part in parts.chunks_exact(2) {
            reader.words(number::cardinal(part[0]));
            reader.words(tables::unit(part[1], part[0] == "1"));
        }
        return;
    }
    let (feet, inches) = text.split_once('\'').unwrap_or((text, ""));
    let inches = inches.trim().trim_end_matches(['"', '\'']);
    reader.words(number::cardinal(feet));
    reader.words([if feet == "1" { "foot" } else { "feet" }]);
    reader.words(number::decimal(inches));
    reader.words([if inches == "1" { "inch" } else { "inches" }]);
}

/// `12"`: inches, unless the sign ends what another one has begun.
pub fn inches(reader: &mut Reader, text: &str) {
    let number = text.trim_end_matches(['"', '\'']);
    if reader.quotes % 2 == 1 {
        let number = reader.keep(number.len());
        return if number.contains('/') { fraction(reader, number) } else { self::number(reader, number) };
    }
    reader.words(amount(number));
    // "A 12-inch ruler", but "it is 12 inches long".
    let noun = reader.after().strip_prefix(' ').is_some_and(|rest| {
        let word = rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        word.len() > 2 && !tables::listed("extent", word)
    });
    reader.words([if noun || is_one(number) { "inch" } else { "inches" }]);
}

/// `10^6`, `6.02×10^23`, `1.5e10`, `x^2`.
pub fn power(reader: &mut Reader, text: &str) {
    let (base, exponent) = match text.split_once('^') {
        Some((base, exponent)) => (base, exponent),
        None => {
            let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
            reader.words(number::decimal(mantissa));
            reader.words(["times"]);
            ("10", exponent.trim_start_matches('+'))
        }
    };
    match base.split_once(['x', 'X', '×', '*']) {
        Some((factor, base)) if base.trim() == "10" => {
            reader.words(number::decimal(factor.trim()));
            reader.words(["times", "ten"]);
        }
        _ if base.starts_with(|c: char| c.is_ascii_digit() || c == '.') => reader.words(number::decimal(base)),
        // An ion.
        _ if exponent.ends_with(['+', '-']) => {
            let (number, sign) = exponent.split_at(exponent.len() - 1);
            for part in runs(base) {
                match part.starts_with(|c: char| c.is_ascii_digit()) {
                    true => reader.words(number::cardinal(part)),
                    false => reader.letters(part),
                }
            }
            if !number.is_empty() {
                reader.words(number::cardinal(number));
            }
            return reader.words([if sign == "+" { "plus" } else { "minus" }]);
        }
        // A number at a longer word leads to a note.
        _ if base.len() > 3 => {
            let exponent = exponent.to_string();
            reader.plain_word(base);
            return reader.words(number::cardinal(&exponent));
        }
        _ => reader.letters(base),
    }
    match exponent {
        "2" => reader.words(["squared"]),
        "3" => reader.words(["cubed"]),
        _ if exponent.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            reader.words(["to", "the"]);
            reader.letters(exponent);
        }
        _ => {
            reader.words(["to", "the"]);
            match exponent.strip_prefix('-') {
                Some(exponent) => {
                    reader.words(["minus"]);
                    reader.words(number::cardinal(exponent));
                }
                None => reader.words(number::ordinal(exponent)),
            }
        }
    }
}

/// `1914-18`, `5–10`.
pub fn range(reader: &mut Reader, text: &str) {
    let Some((from, to)) = text.split_once(['-', '\u{2013}']) else { return reader.words(number::decimal(text)) };
    let (from, to) = (from.trim(), to.trim());
    let said = |number: &str| if number::is_year(number) { number::year(number) } else { number::decimal(number) };
    reader.words(said(from));
    let value = |text: &str| text.replace(',', "").parse::<f64>().unwrap_or_default();
    /// Scores are lower than this.
    const SCORE: f64 = 200.0;
    if reader.after().trim_start().starts_with('=') {
        reader.words(["minus"]);
    } else if value(to) > value(from) || (number::is_year(from) && to.len() == 2) || value(from) < SCORE {
        reader.words(["to"]);
    }
    reader.words(if number::is_year(from) && to.len() == 2 { number::year(to) } else { said(to) });
}

/// `16:9`.
pub fn ratio(reader: &mut Reader, text: &str) {
    let (a, b) = text.split_once(':').unwrap_or((text, ""));
    reader.words(number::cardinal(a));
    reader.words(["to"]);
    reader.words(number::cardinal(b));
}

/// `3/4`, `2 1/2`, `1/4th`, `24/7`.
pub fn fraction(reader: &mut Reader, text: &str) {
    if let Some((number, _)) =
        text.split_once("-").filter(|(number, rest)| number.contains('/') && rest.starts_with(|c: char| c.is_ascii_lowercase()))
    {
        let number = reader.keep(number.len());
        return fraction(reader, number);
    }
    let text = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).replace(" / ", "/");
    let (numerator, denominator) = text.split_once('/').unwrap_or((&text, "1"));
    let sum = [numerator, denominator].iter().filter_map(|part| part.parse::<u32>().ok()).map(u64::from).sum::<u64>();
    let date = reader.last_word().is_some_and(|word| tables::listed("dated", word));
    match (numerator, denominator) {
        ("24", "7") | ("9", "11") => {
            reader.words(number::cardinal(numerator));
            reader.words(number::cardinal(denominator));
        }
        // "2019/20" is a season.
        _ if number::is_year(numerator) && is_next_year(numerator, denominator) => {
            reader.words(number::year(numerator));
            reader.words(number::year(denominator));
        }
        ("20", "20") | ("50", "50") => {
            reader.words(number::cardinal(numerator));
            reader.words(number::cardinal(denominator));
        }
        // A full score.
        _ if numerator == denominator && matches!(numerator, "5" | "10" | "100") => {
            reader.words(number::cardinal(numerator));
            reader.words(["out", "of"]);
            reader.words(number::cardinal(denominator));
        }
        _ if sum == 100 => {
            reader.words(number::cardinal(numerator));
            reader.words(number::cardinal(denominator));
        }
        _ if date && tables::month(numerator).is_some() && denominator.parse().is_ok_and(|day: u32| (1..=31).contains(&day)) => {
            reader.words(tables::month(numerator));
            reader.words(number::ordinal(denominator.trim_start_matches('0')));
        }
        _ => reader.words(amount(&text)),
    }
}

/// Does a year, of which the last digits may be given, follow another one?
fn is_next_year(year: &str, next: &str) -> bool {
    let after = year.parse().unwrap_or(0_u32) + 1;
    matches!(next.len(), 2 | 4) && after.to_string().ends_with(next)
}

/// Behind these a number with a K is a size of pictures or a distance.
const PICTURES: [&str; 5] = ["2", "4", "5", "6", "8"];

/// `1.5M`, `50K`.
pub fn magnitude(reader: &mut Reader, text: &str) {
    let end = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len();
    let (amount, letter) = text.split_at(end);
    let next = reader.after().trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_lowercase();
    let name = match letter {
        "k" | "K" if !PICTURES.contains(&amount) && !tables::listed("run", &next) => "thousand",
        "M" | "mn" => "million",
        "bn" => "billion",
        "B" | "b" if amount.contains('.') => "billion",
        "T" if amount.contains('.') => "trillion",
        _ => return reader.mixed(text),
    };
    reader.words(number::decimal(amount));
    reader.words([name]);
}
