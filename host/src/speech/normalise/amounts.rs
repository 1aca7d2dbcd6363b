//! Amounts, dates and times.

use super::reader::Reader;
use super::{Spoken, number, tables};

/// A whole number: a day after the name of a month, a year, or just a number.
pub fn number(reader: &mut Reader, text: &str) {
    let day = text.len() <= 2 && text.parse().is_ok_and(|day: u32| (1..=31).contains(&day));
    let next = reader.after().trim_start_matches(' ');
    let next_word = next.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_lowercase();
    let month_before = reader.last_word().is_some_and(tables::is_month);
    // "may" is rarely a month without a capital.
    let month_after = next.starts_with(|c: char| c.is_ascii_uppercase()) && tables::is_month(&next_word);
    if day && month_after {
        reader.words(number::ordinal(text));
        reader.words(["of"]);
    } else if day && month_before {
        reader.words(number::ordinal(text));
    } else if number::is_year(text) {
        reader.words(number::year(text));
    } else {
        reader.words(number::cardinal(text));
    }
}

/// `2024-03-05` or `3/5/2024`: month, day, year.
pub fn date(reader: &mut Reader, text: &str) {
    let parts: Vec<&str> = text.split(['-', '/']).collect();
    let [a, b, c] = parts[..] else { return reader.words(number::digits(text)) };
    let (year, month, day) = if text.contains('-') { (a, b, c) } else { (c, a, b) };
    let day_number = day.trim_start_matches('0');
    match tables::month(month).filter(|_| day_number.parse().is_ok_and(|day: u32| (1..=31).contains(&day))) {
        Some(month) => {
            reader.words([month]);
            reader.words(number::ordinal(day_number));
            reader.words(number::year(year));
        }
        None => parts.iter().for_each(|part| reader.words(number::cardinal(part))),
    }
}

/// `3:45`, `15:00`, `7 p.m.`
pub fn time(reader: &mut Reader, text: &str) {
    let half: String = text.chars().filter(char::is_ascii_alphabetic).collect();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let mut parts = digits.split(':');
    let hour = parts.next().unwrap_or_default();
    reader.words(number::cardinal(hour.strip_prefix('0').filter(|hour| !hour.is_empty()).unwrap_or(hour)));
    match parts.next() {
        Some("00") if half.is_empty() && parts.clone().next().is_none() => match hour.parse() {
            Ok(1..=12u32) => reader.words(["o'clock"]),
            _ => reader.words(["hundred"]),
        },
        Some("00") => {}
        Some(minutes) => {
            if minutes.starts_with('0') {
                reader.words(["oh"]);
            }
            reader.words(number::cardinal(minutes.trim_start_matches('0')));
        }
        None => {}
    }
    if let Some(seconds) = parts.next() {
        reader.words(["and"]);
        reader.words(number::cardinal(seconds.strip_prefix('0').unwrap_or(seconds)));
        reader.words(["seconds"]);
    }
    reader.letters(&half);
    let rest = reader.after().trim_start();
    if text.ends_with('.') && (rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_uppercase())) {
        reader.say(Spoken::Pause);
    }
}

/// Digit by digit, with pauses between groups.
pub fn telephone(reader: &mut Reader, text: &str) {
    for (at, group) in text.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()).enumerate() {
        if at > 0 {
            reader.say(Spoken::Pause);
        }
        reader.words(number::digits(group));
    }
}

/// `$5.20`, `£3 million`, `20 €`.
pub fn money(reader: &mut Reader, text: &str) {
    let Some(&(_, [one, many], [cent, cents])) = text.chars().find_map(tables::currency) else {
        return reader.words(number::cardinal(text));
    };
    let amount: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    let magnitude = text.trim_start_matches("US").trim_matches(|c: char| !c.is_ascii_alphabetic());
    let magnitude = match magnitude {
        "k" | "K" => "thousand",
        "m" | "M" => "million",
        "b" | "B" | "bn" => "billion",
        other => other,
    };
    let (whole, part) = amount.split_once('.').unwrap_or((&amount, ""));
    if !magnitude.is_empty() {
        reader.words(number::decimal(&amount));
        reader.words([magnitude, many]);
    } else if part.len() == 2 {
        if whole != "0" || part == "00" {
            reader.words(number::cardinal(whole));
            reader.words([if whole == "1" { one } else { many }]);
        }
        if part != "00" {
            if whole != "0" {
                reader.words(["and"]);
            }
            reader.words(number::cardinal(part.trim_start_matches('0')));
            reader.words([if part == "01" { cent } else { cents }]);
        }
    } else {
        reader.words(number::decimal(&amount));
        reader.words([if amount == "1" { one } else { many }]);
    }
}

/// `1914-18`, `5–10`.
pub fn range(reader: &mut Reader, text: &str) {
    let Some((from, to)) = text.split_once(['-', '\u{2013}']) else { return reader.words(number::decimal(text)) };
    let (from, to) = (from.trim(), to.trim());
    let said = |number: &str| if number::is_year(number) { number::year(number) } else { number::decimal(number) };
    reader.words(said(from));
    reader.words(["to"]);
    reader.words(if number::is_year(from) && to.len() == 2 { number::year(to) } else { said(to) });
}

/// `3/4`, `2 1/2`.
pub fn fraction(reader: &mut Reader, text: &str) {
    let (whole, part) = text.split_once(' ').map_or((None, text), |(whole, part)| (Some(whole), part));
    let Some((numerator, denominator)) = part.split_once('/') else { return reader.words(number::cardinal(text)) };
    if let Some(whole) = whole {
        reader.words(number::cardinal(whole));
        reader.words(["and"]);
        if numerator == "1" {
            let mut words = number::fraction(numerator, denominator);
            words[0] = "a".into();
            return reader.words(words);
        }
    }
    reader.words(number::fraction(numerator, denominator));
}

/// `5 km`, `98.6°F`, `40%`.
pub fn measure(reader: &mut Reader, text: &str) {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',')).unwrap_or(text.len());
    let (amount, unit) = text.split_at(end);
    reader.words(number::decimal(amount));
    match tables::unit(unit.trim(), amount == "1") {
        Some(words) => reader.words(words.split(' ')),
        None => reader.letters(unit),
    }
}
