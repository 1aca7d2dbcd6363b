//! Amounts of money.

use std::sync::LazyLock;

use regex::Regex;

use super::amounts::{per, point};
use super::reader::Reader;
use super::tables::Currency;
use super::token::expression;
use super::{number, tables};

static MONEY: LazyLock<Regex> = LazyLock::new(|| {
    expression(concat!(
        r"(?<front>{CUR}|{CODE})?\s?(?<a>{SUM})(?<am>{MONEYMAG})?(?:\s?{DASH}\s?{CUR}?\s?(?<b>{SUM})(?<bm>{MONEYMAG})?)?",
        r"\s?(?<behind>{CUR}|{CODE})?(?<per>\s?/\s?{PER})?"
    ))
});

/// `$5.20`, `£3 million`, `20 €`, `$5-10`, `$20/mo`.
pub fn money(reader: &mut Reader, text: &str) {
    let found = MONEY.captures(text);
    let part = |name: &str| found.as_ref().and_then(|found| found.name(name)).map(|part| part.as_str());
    let sign = part("front").or(part("behind"));
    let (Some(currency), Some(a)) = (sign.and_then(tables::currency), part("a")) else { return reader.mixed(text) };
    // "A $5 bill", "the £20 note".
    let thing = part("per").is_none() && is_thing(reader);
    let currency = if thing { &currency.single() } else { currency };
    match part("b") {
        Some(b) => {
            let magnitude = part("bm");
            reader.words(number::decimal(&shortened(&point(a))));
            reader.words(part("am").map(magnitude_of));
            reader.words(["to"]);
            one(reader, currency, b, magnitude);
        }
        None => one(reader, currency, a, part("am")),
    }
    if let Some(text) = part("per") {
        reader.words(["per"]);
        reader.phrase(&per(text));
    }
}

/// Is the amount what a thing costs or is worth?
fn is_thing(reader: &Reader) -> bool {
    reader.counts_noun() || tables::listed("priced", reader.next_word())
}

/// An amount and its currency.
fn one(reader: &mut Reader, currency: &Currency, amount: &str, magnitude: Option<&str>) {
    let [name, names] = currency.names;
    if let Some(magnitude) = magnitude {
        reader.words(number::decimal(&point(amount)));
        reader.words([magnitude_of(magnitude)]);
        return reader.phrase(names);
    }
    let amount = shortened(&point(amount));
    let (whole, part) = amount.split_once('.').unwrap_or((&amount, ""));
    let Some([cent, cents]) = currency.cents.filter(|_| part.len() == 2) else {
        reader.words(number::decimal(&amount));
        return reader.phrase(if amount == "1" { name } else { names });
    };
    let nothing = whole.is_empty() || whole == "0";
    if !nothing {
        reader.words(number::cardinal(whole));
        reader.phrase(if whole == "1" { name } else { names });
        reader.words(["and"]);
    }
    reader.words(number::cardinal(part.trim_start_matches('0')));
    reader.phrase(if part == "01" { cent } else { cents });
}

/// Without zeros that say nothing: no part, or two or more digits of it.
fn shortened(amount: &str) -> String {
    let Some((whole, part)) = amount.split_once('.') else { return amount.into() };
    match part.trim_end_matches('0') {
        "" => whole.into(),
        part if part.len() < 2 => format!("{whole}.{part}0"),
        part => format!("{whole}.{part}"),
    }
}

fn magnitude_of(text: &str) -> &str {
    match text.trim() {
        "k" | "K" => "thousand",
        "m" | "M" | "mn" | "mil" => "million",
        "b" | "B" | "bn" => "billion",
        "T" | "tn" => "trillion",
        other => other,
    }
}
