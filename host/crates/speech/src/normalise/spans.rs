//! Ranges of what is no number: days of the week, months, quarters, letters, times of day.

use super::tables;

/// What can be at either end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Weekday,
    Month,
    Quarter,
    Time,
    Year,
    Multiple,
    Letter,
}

/// What a word, with the apostrophe in front of it, is at an end of a range.
fn end(word: &str) -> Option<End> {
    let small = word.to_ascii_lowercase();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let half = small.strip_suffix("am").or(small.strip_suffix("pm"));
    let capital = word.starts_with(|c: char| c.is_ascii_uppercase());
    Some(match &small[..] {
        "noon" | "midnight" => End::Time,
        "q1" | "q2" | "q3" | "q4" => End::Quarter,
        _ if half.is_some_and(|hour| hour.len() < 3 && digits(hour)) => End::Time,
        _ if capital && tables::listed("weekday", &small) => End::Weekday,
        _ if capital && tables::month_named(&small).is_some() => End::Month,
        _ if small.strip_prefix('\'').is_some_and(|year| year.len() == 2 && digits(year)) => End::Year,
        _ if small.strip_suffix('x').is_some_and(digits) => End::Multiple,
        _ if word.len() == 1 && word.bytes().all(|byte| byte.is_ascii_alphabetic()) => End::Letter,
        _ => return None,
    })
}

/// Do a text before a dash and one after it make a range? Letters do with a long dash only, but for all of them; `dated` says that the first one ends
/// with a month and a number.
pub fn join(before: &str, after: &str, long: bool, dated: bool) -> bool {
    let part = |c: char| !(c.is_ascii_alphanumeric() || c == '\'');
    let first = before.trim_end().trim_end_matches('.').rsplit(part).next().unwrap_or_default();
    let second = after.split(part).next().unwrap_or_default();
    let (Some(from), Some(to)) = (if dated { Some(End::Month) } else { end(first) }, end(second)) else { return false };
    from == to && (from != End::Letter || long || (first.eq_ignore_ascii_case("a") && second.eq_ignore_ascii_case("z")))
}
