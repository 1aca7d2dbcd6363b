//! Numbers in words.

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const THOUSANDS: [&str; 12] = [
    "",
    "thousand",
    "million",
    "billion",
    "trillion",
    "quadrillion",
    "quintillion",
    "sextillion",
    "septillion",
    "octillion",
    "nonillion",
    "decillion",
];
/// Ordinals that are no cardinal with `th`.
const ORDINALS: [(&str, &str); 7] = [
    ("one", "first"),
    ("two", "second"),
    ("three", "third"),
    ("five", "fifth"),
    ("eight", "eighth"),
    ("nine", "ninth"),
    ("twelve", "twelfth"),
];
/// Longer numbers are read digit by digit, and so are numbers that begin with a zero.
const LONGEST: usize = 36;
/// Longer ones without commas as well, unless they are whole thousands: nobody counts their digits.
const LONGEST_PLAIN: usize = 9;

/// A number's words.
pub type Words = Vec<String>;

/// A whole number, given as digits, perhaps with commas.
pub fn cardinal(text: &str) -> Words {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let plain = digits.len() == text.len() && digits.len() > LONGEST_PLAIN && !digits.ends_with("000");
    match digits.parse() {
        Ok(value) if digits.len() <= LONGEST && !plain && (digits.len() == 1 || !digits.starts_with('0')) => cardinal_of(value),
        _ => self::digits(&digits),
    }
}

/// Each digit.
pub fn digits(digits: &str) -> Words {
    digits.bytes().filter(u8::is_ascii_digit).map(|digit| ONES[usize::from(digit - b'0')].into()).collect()
}

/// A whole number.
pub fn cardinal_of(value: u128) -> Words {
    if value == 0 {
        return vec!["zero".into()];
    }
    let mut words = Words::new();
    for (power, name) in THOUSANDS.iter().enumerate().rev() {
        let part = (value / 1000u128.pow(power as u32) % 1000) as usize;
        if part >= 100 {
            words.extend([ONES[part / 100].into(), "hundred".into()]);
        }
        below_hundred(part % 100, &mut words);
        if part > 0 && power > 0 {
            words.push((*name).into());
        }
    }
    words
}

fn below_hundred(value: usize, words: &mut Words) {
    if value >= 20 {
        words.push(TENS[value / 10].into());
    }
    match if value >= 20 { value % 10 } else { value } {
        0 => {}
        ones => words.push(ONES[ones].into()),
    }
}

/// First, second, third …
pub fn ordinal(digits: &str) -> Words {
    let mut words = cardinal(digits);
    if let Some(last) = words.last_mut() {
        *last = match ORDINALS.iter().find(|(cardinal, _)| cardinal == last) {
            Some((_, ordinal)) => (*ordinal).into(),
            None => match last.strip_suffix('y') {
                Some(stem) => format!("{stem}ieth"),
                None => format!("{last}th"),
            },
        };
    }
    words
}

/// A number with a fraction after a point, either of which may be missing; further points are read as well.
pub fn decimal(text: &str) -> Words {
    let mut parts = text.split('.');
    let mut words = match parts.next() {
        Some("") | None => Words::new(),
        Some(whole) => cardinal(whole),
    };
    for part in parts.filter(|part| !part.is_empty()) {
        words.push("point".into());
        words.extend(digits(part));
    }
    words
}

/// A year of two or four digits, as it is said.
pub fn year(digits: &str) -> Words {
    let Ok(value) = digits.parse::<usize>() else { return cardinal(digits) };
    let (century, rest) = (value / 100, value % 100);
    let mut words = Words::new();
    match (digits.len(), century, rest) {
        (4, 20, 0..=9) | (4, 10, 0..=9) => return cardinal(digits),
        (4, 10.., 0) => {
            below_hundred(century, &mut words);
            words.push("hundred".into());
        }
        (4, 10.., 1..=9) => {
            below_hundred(century, &mut words);
            words.extend(["oh".into(), ONES[rest].into()]);
        }
        (4, 10.., _) => {
            below_hundred(century, &mut words);
            below_hundred(rest, &mut words);
        }
        (2, _, 1..=9) => words.extend(["oh".into(), ONES[rest].into()]),
        _ => return cardinal(digits),
    }
    words
}

/// Is this number, without commas, said like a year?
pub fn is_year(digits: &str) -> bool {
    digits.len() == 4 && digits.parse().is_ok_and(|value: u32| (1100..2100).contains(&value))
}

/// Is this a time of day in four digits?
pub fn is_clock(digits: &str) -> bool {
    digits.len() == 4 && digits.parse().is_ok_and(|value: u32| value < 2400 && value % 100 < 60)
}

/// A time of day in four digits: `seventeen hundred`, `oh eight thirty`.
pub fn clock(digits: &str) -> Words {
    let (hours, minutes) = digits.split_at(2);
    let part = |part: &str| match part.strip_prefix('0') {
        Some("0") => vec!["hundred".into()],
        Some(rest) => [vec!["oh".into()], cardinal(rest)].concat(),
        None => cardinal(part),
    };
    let mut words = if hours == "00" { vec!["zero".into()] } else { part(hours) };
    words.extend(part(minutes));
    words
}

/// A number in the plural: `nineties`, `hundreds`.
pub fn plural(mut words: Words) -> Words {
    if let Some(last) = words.last_mut() {
        *last = match last.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None if last.ends_with('x') => format!("{last}es"),
            None => format!("{last}s"),
        };
    }
    words
}

/// A fraction of two whole numbers.
pub fn fraction(numerator: &str, denominator: &str) -> Words {
    let mut words = cardinal(numerator);
    let many = numerator != "1";
    match denominator {
        "2" => words.push(if many { "halves" } else { "half" }.into()),
        "4" => words.push(if many { "quarters" } else { "quarter" }.into()),
        // Larger ones have no name that is easily understood.
        _ if matches!(denominator, "100" | "1000" | "1000000") => {
            let part = cardinal(denominator).pop().map(|name| if many { format!("{name}ths") } else { format!("{name}th") });
            words.extend(part);
        }
        _ if denominator.len() <= 2 && denominator.parse().is_ok_and(|value: u32| value > 2) => {
            let part = ordinal(denominator);
            words.extend(if many { plural(part) } else { part });
        }
        _ => {
            words.push("over".into());
            words.extend(cardinal(denominator));
        }
    }
    words
}

/// A number of a house, a room or a flight: in pairs.
pub fn pairs(digits: &str) -> Words {
    let value = digits.parse::<usize>().unwrap_or_default();
    let (hundreds, rest) = (value / 100, value % 100);
    match digits.len() {
        1 | 2 => cardinal(digits),
        3 if rest == 0 => cardinal(digits),
        3 if rest < 10 => self::digits(digits),
        4 if is_year(digits) => year(digits),
        4 if value.is_multiple_of(1000) => cardinal(digits),
        3 | 4 => {
            let mut words = Words::new();
            below_hundred(hundreds, &mut words);
            match rest {
                0 => words.push("hundred".into()),
                1..=9 => words.extend(["oh".into(), ONES[rest].into()]),
                _ => below_hundred(rest, &mut words),
            }
            words
        }
        _ => self::digits(digits),
    }
}

/// The digits of a Roman numeral, and their values.
const ROMAN: [(&str, u32); 13] = [
    ("M", 1000),
    ("CM", 900),
    ("D", 500),
    ("CD", 400),
    ("C", 100),
    ("XC", 90),
    ("L", 50),
    ("XL", 40),
    ("X", 10),
    ("IX", 9),
    ("V", 5),
    ("IV", 4),
    ("I", 1),
];

/// The value of a Roman numeral in capitals, below 4,000.
pub fn roman(text: &str) -> Option<u32> {
    let mut value = 0;
    let mut rest = text;
    for (digit, worth) in ROMAN {
        while let Some(tail) = rest.strip_prefix(digit) {
            (rest, value) = (tail, value + worth);
        }
    }
    (value > 0 && value < 4000 && written_roman(value) == text).then_some(value)
}

fn written_roman(mut value: u32) -> String {
    let mut text = String::new();
    for (digit, worth) in ROMAN {
        while value >= worth {
            text.push_str(digit);
            value -= worth;
        }
    }
    text
}

/// All words of numbers.
#[cfg(test)]
pub fn words() -> Vec<String> {
    let digits = |value: u32| value.to_string();
    let mut all: Vec<String> = (0..100)
        .flat_map(|value| {
            [ordinal(&digits(value)), plural(ordinal(&digits(value))), cardinal(&digits(value)), plural(cardinal(&digits(value)))]
        })
        .flatten()
        .collect();
    for power in 2..36 {
        let number = format!("1{}", "0".repeat(power));
        all.extend(cardinal(&number).into_iter().chain(ordinal(&number)).chain(plural(ordinal(&number))));
    }
    all.extend(["point", "minus", "and", "over", "half", "halves", "quarter", "quarters", "oh", "o'clock"].map(String::from));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words() {
        type Reading = fn(&str) -> Words;
        let cases: [(Reading, &str, &str); 41] = [
            (cardinal, "0", "zero"),
            (cardinal, "13", "thirteen"),
            (cardinal, "40", "forty"),
            (cardinal, "101", "one hundred one"),
            (cardinal, "1,234,567", "one million two hundred thirty four thousand five hundred sixty seven"),
            (cardinal, "1000000", "one million"),
            (cardinal, "007", "zero zero seven"),
            (
                cardinal,
                "999,999,999,999,999,999",
                "nine hundred ninety nine quadrillion nine hundred ninety nine trillion nine hundred ninety nine billion nine hundred ninety nine million nine hundred ninety nine thousand nine hundred ninety nine",
            ),
            (cardinal, "124,000,000,000,000,000,000", "one hundred twenty four quintillion"),
            (
                cardinal,
                "1234567890123456789",
                "one two three four five six seven eight nine zero one two three four five six seven eight nine",
            ),
            (ordinal, "1", "first"),
            (ordinal, "2", "second"),
            (ordinal, "3", "third"),
            (ordinal, "12", "twelfth"),
            (ordinal, "20", "twentieth"),
            (ordinal, "21", "twenty first"),
            (ordinal, "100", "one hundredth"),
            (ordinal, "1,000", "one thousandth"),
            (decimal, "3.14", "three point one four"),
            (decimal, ".5", "point five"),
            (decimal, "1.2.3", "one point two point three"),
            (decimal, "10.05", "ten point zero five"),
            (year, "1999", "nineteen ninety nine"),
            (year, "1900", "nineteen hundred"),
            (year, "1805", "eighteen oh five"),
            (year, "2000", "two thousand"),
            (year, "2005", "two thousand five"),
            (year, "2024", "twenty twenty four"),
            (year, "1066", "ten sixty six"),
            (year, "07", "oh seven"),
            (year, "85", "eighty five"),
            (pairs, "123", "one twenty three"),
            (pairs, "708", "seven zero eight"),
            (pairs, "500", "five hundred"),
            (pairs, "2788", "twenty seven eighty eight"),
            (pairs, "4503", "forty five oh three"),
            (pairs, "2000", "two thousand"),
            (|digits| plural(year(digits)), "1990", "nineteen nineties"),
            (|digits| plural(year(digits)), "1800", "eighteen hundreds"),
            (|digits| fraction("3", digits), "4", "three quarters"),
            (|digits| fraction("2", digits), "3", "two thirds"),
        ];
        for (reading, text, expected) in cases {
            assert_eq!(reading(text).join(" "), expected, "{text}");
        }
        assert_eq!(fraction("1", "2").join(" "), "one half");
        assert_eq!(fraction("1", "100").join(" "), "one hundredth");
    }

    #[test]
    fn roman_numerals() {
        for (text, value) in [("I", 1), ("IV", 4), ("VIII", 8), ("XIV", 14), ("XXXIX", 39), ("XLII", 42), ("MCMLXXIV", 1974)] {
            assert_eq!(roman(text), Some(value), "{text}");
        }
        for text in ["", "IIII", "VX", "XXXX", "IC", "VIL", "MMMM", "A"] {
            assert_eq!(roman(text), None, "{text}");
        }
    }
}
