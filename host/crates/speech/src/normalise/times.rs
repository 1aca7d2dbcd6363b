//! Dates and times.

use std::sync::LazyLock;

use regex::Regex;

use super::reader::Reader;
use super::spoken::Spoken;
use super::token::expression;
use super::{amounts, number, tables};

fn is_day(text: &str) -> bool {
    text.parse().is_ok_and(|day: u32| (1..=31).contains(&day))
}

fn plain(text: &str) -> &str {
    text.trim_start_matches('0')
}

/// `2024-03-05`, `2016/07/03`, `3/5/2024`, `15.01.2020`, `11/17/05`, `2024-03-05T10:30`: month, day, year, unless the first number can be no month.
/// Between points the day is first.
pub fn date(reader: &mut Reader, text: &str) {
    if let Some((day, time)) = text.split_once('T') {
        date(reader, day);
        reader.say(Spoken::Pause);
        clock(reader, time.trim_end_matches('Z').trim_end_matches(":00"), false);
        return reader.letters(&time[time.trim_end_matches('Z').len()..]);
    }
    let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
    let [a, b, c] = parts[..] else { return reader.words(number::digits(text)) };
    let (year, first, second) = if a.len() == 4 { (a, b, c) } else { (c, a, b) };
    let valid = |day: &str, month: &str| tables::month(month).filter(|_| is_day(day));
    let day_first = a.len() < 4 && text.contains('.') && valid(first, second).is_some();
    if let Some(month) = valid(second, first).filter(|_| !day_first) {
        reader.words([month]);
        reader.words(number::ordinal(plain(second)));
    } else if let Some(month) = valid(first, second) {
        reader.words(["the"]);
        reader.words(number::ordinal(plain(first)));
        reader.words(["of", month]);
    } else {
        return if text.contains('.') { reader.words(number::decimal(text)) } else { reader.serial(text) };
    }
    // "'00" has no year of two digits.
    reader.words(if year == "00" { number::cardinal("2000") } else { number::year(year) });
}

static DAY_MONTH: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"(?<from>[0-9]{1,2})(?:\s?{DASH}\s?(?<to>[0-9]{1,2}))?(?:st|nd|rd|th)?[\s-](?:of\s)?(?<month>[A-Za-z]+)[.,]*(?<stop>)[\s-]?(?<year>[0-9]+)?",
    )
});

/// `25 July 2012`, `5-7 March`, `15-Jan-2020`.
pub fn day_month(reader: &mut Reader, text: &str) {
    let found = DAY_MONTH.captures(text);
    let part = |name: &str| found.as_ref().and_then(|found| found.name(name)).map(|part| part.as_str());
    let month = part("month").and_then(|month| tables::month_named(&month.to_ascii_lowercase()));
    let (Some(month), Some(from)) = (month, part("from").filter(|day| is_day(day))) else {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number = reader.keep(digits);
        return amounts::number(reader, number);
    };
    if !reader.last_word().is_some_and(|word| matches!(word, "the" | "this" | "every" | "next" | "last")) {
        reader.words(["the"]);
    }
    reader.words(number::ordinal(plain(from)));
    if let Some(to) = part("to") {
        reader.words(["to", "the"]);
        reader.words(number::ordinal(plain(to)));
    }
    reader.words(["of", month]);
    reader.words(part("year").map(number::year).unwrap_or_default());
    let rest = reader.after().trim_start();
    if text.ends_with('.') && (rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_uppercase())) {
        reader.say(Spoken::Pause);
    }
}

static MONTH_DAY: LazyLock<Regex> = LazyLock::new(|| {
    expression(
        r"(?<month>[A-Za-z]+)\.?[\s-](?<from>[0-9]{1,2})(?:st|nd|rd|th)?(?:\s?{DASH}\s?(?<to>[0-9]{1,2})(?:st|nd|rd|th)?)?(?<comma>,)?[\s-]?(?<year>[0-9]{4})?",
    )
});

/// `July 25, 2012`, `JAN. 15`, `March 5-7`, `Jan-15-2020`.
pub fn month_day(reader: &mut Reader, text: &str) {
    let found = MONTH_DAY.captures(text);
    let part = |name: &str| found.as_ref().and_then(|found| found.name(name)).map(|part| part.as_str());
    let (month, from) = (part("month").unwrap_or_default(), part("from").filter(|day| is_day(day)));
    // "May 10,000 people", "June 3.5 million" and "at March 5:30" have no day.
    let more = reader.after().strip_prefix([',', '.', ':']).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let named = tables::month_named(&month.to_ascii_lowercase());
    let (Some(name), Some(from), false) = (named, from, more && part("year").is_none()) else {
        let word = reader.keep(month.len());
        return reader.word(word);
    };
    reader.words([name]);
    reader.words(number::ordinal(plain(from)));
    if let Some(to) = part("to") {
        reader.words(["to"]);
        reader.words(number::ordinal(plain(to)));
    }
    if let Some(year) = part("year") {
        if part("comma").is_some() {
            reader.say(Spoken::Pause);
        }
        reader.words(number::year(year));
    }
}

/// `Jan. 2020`.
pub fn month_year(reader: &mut Reader, text: &str) {
    let (name, year) = text.split_at(text.len() - 4);
    reader.words(tables::month_named(&name.trim_end_matches(|c: char| !c.is_ascii_alphabetic()).to_ascii_lowercase()));
    reader.words(number::year(year));
}

/// `44 BC`, `340 A.D.`
pub fn era(reader: &mut Reader, text: &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (year, era) = text.split_at(digits);
    reader.words(if year.len() == 3 { number::pairs(year) } else { number::year(year) });
    reader.letters(era);
    let rest = reader.after().trim_start();
    if text.ends_with('.') && (rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_uppercase())) {
        reader.say(Spoken::Pause);
    }
}

/// `2Q22`.
pub fn quarter(reader: &mut Reader, text: &str) {
    if reader.last_word() != Some("the") {
        reader.words(["the"]);
    }
    reader.words(number::ordinal(&text[..1]));
    reader.words(["quarter", "of"]);
    reader.words(number::year(text[2..].trim_start_matches('\'')));
}

/// `1990s`, `'80s`.
pub fn decade(reader: &mut Reader, text: &str) {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    reader.words(number::plural(number::year(&digits)));
}

static TIMES: LazyLock<Regex> = LazyLock::new(|| expression(r"(?<from>[0-9]{1,2}(?::[0-9]{2})?)\s?{DASH}\s?(?<to>{TIME})"));

/// `2-5pm`, `9:00-17:00`.
pub fn times(reader: &mut Reader, text: &str) {
    let Some(found) = TIMES.captures(text) else { return time(reader, text) };
    let half = found["to"].chars().any(|c| c.is_ascii_alphabetic());
    // "Nine to five" needs no "o'clock", "nine to seventeen hundred" only its hundred.
    clock(reader, &found["from"], half || on_the_hour(&found["from"]));
    reader.words(["to"]);
    if on_the_hour(&found["to"]) { clock(reader, &found["to"], true) } else { time(reader, &found["to"]) }
}

/// A full hour before one in the afternoon.
fn on_the_hour(text: &str) -> bool {
    text.strip_suffix(":00").is_some_and(|hour| hour.parse().is_ok_and(|hour: u32| (1..=12).contains(&hour)))
}

static TIME: LazyLock<Regex> =
    LazyLock::new(|| expression(r"(?<clock>{CLOCK}|[0-9]{1,2}(?:\.[0-9]{2})?)(?<half>\s?{HALF})?(?<zone>\s?\(?{ZONE}\)?)?"));

/// `3:45`, `15:00`, `7 p.m. EST`, `1:01:01`.
pub fn time(reader: &mut Reader, text: &str) {
    let Some(found) = TIME.captures(text) else { return reader.mixed(text) };
    let part = |name: &str| found.name(name).map(|part| part.as_str());
    clock(reader, &found["clock"], part("half").is_some());
    [part("half"), part("zone")].into_iter().flatten().for_each(|letters| reader.letters(letters));
    let rest = reader.after().trim_start();
    if text.ends_with('.') && (rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_uppercase())) {
        reader.say(Spoken::Pause);
    }
}

/// A time in digits; with a half of the day, a full hour needs no word of its own.
fn clock(reader: &mut Reader, text: &str, half: bool) {
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let value = |part: &str| part.parse::<u32>().unwrap_or_default();
    let said = |part: &str| number::cardinal(if part.len() > 1 { part.strip_prefix('0').unwrap_or(part) } else { part });
    match parts[..] {
        // A duration: hours, minutes and seconds.
        [hours, minutes, seconds, ..] if !half => {
            let units = [(hours, "hour"), (minutes, "minute"), (seconds, "second")];
            for (at, (part, unit)) in units.into_iter().enumerate() {
                if at == 2 {
                    reader.words(["and"]);
                }
                reader.words(said(part));
                reader.words([if value(part) == 1 { unit.into() } else { format!("{unit}s") }]);
            }
            if let Some(more) = parts.get(3) {
                reader.words(["point"]);
                reader.words(number::digits(more));
            }
        }
        [hour, minutes, ..] => {
            reader.words(said(hour));
            match minutes {
                "00" if half => {}
                "00" => reader.words([if (1..=12).contains(&value(hour)) { "o'clock" } else { "hundred" }]),
                _ if minutes.starts_with('0') => {
                    reader.words(["oh"]);
                    reader.words(said(minutes));
                }
                _ => reader.words(number::cardinal(minutes)),
            }
            if let Some(seconds) = parts.get(2).filter(|seconds| value(seconds) > 0) {
                reader.words(["and"]);
                reader.words(said(seconds));
                reader.words([if value(seconds) == 1 { "second" } else { "seconds" }]);
            }
        }
        [hour] => reader.words(said(hour)),
        [] => {}
    }
}
