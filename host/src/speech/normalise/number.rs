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
const THOUSANDS: [&str; 7] = ["", "thousand", "million", "billion", "trillion", "quadrillion", "quintillion"];
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
/// Longer numbers, and numbers that begin with a zero, are read digit by digit.
const LONGEST: usize = 18;

/// A number's words.
pub type Words = Vec<String>;

/// A whole number, given as digits, perhaps with commas.
pub fn cardinal(digits: &str) -> Words {
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    match digits.parse() {
        Ok(value) if digits.len() <= LONGEST && (digits.len() == 1 || !digits.starts_with('0')) => cardinal_of(value),
        _ => self::digits(&digits),
    }
}

/// Each digit.
pub fn digits(digits: &str) -> Words {
    digits.bytes().filter(u8::is_ascii_digit).map(|digit| ONES[usize::from(digit - b'0')].into()).collect()
}

/// A whole number.
pub fn cardinal_of(value: u64) -> Words {
    if value == 0 {
        return vec!["zero".into()];
    }
    let mut words = Words::new();
    for (power, name) in THOUSANDS.iter().enumerate().rev() {
        let part = (value / 1000u64.pow(power as u32) % 1000) as usize;
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

/// The same number more than once: `nineties`, `hundreds`.
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

/// The value of a Roman numeral in capitals, below 40.
pub fn roman(text: &str) -> Option<u32> {
    let tens = text.bytes().take_while(|&byte| byte == b'X').count();
    let ones = ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"].iter().position(|&ones| ones == &text[tens..])?;
    (tens <= 3 && !text.is_empty()).then_some((tens * 10 + ones) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words() {
        type Reading = fn(&str) -> Words;
        let cases: [(Reading, &str, &str); 34] = [
            (cardinal, "0", "zero"),
            (cardinal, "13", "thirteen"),
            (cardinal, "40", "forty"),
            (cardinal, "101", "one hundred one"),
            (cardinal, "1,234,567", "one million two hundred thirty four thousand five hundred sixty seven"),
            (cardinal, "1000000", "one million"),
            (cardinal, "007", "zero zero seven"),
            (
                cardinal,
                "999999999999999999",
                "nine hundred ninety nine quadrillion nine hundred ninety nine trillion nine hundred ninety nine billion nine hundred ninety nine million nine hundred ninety nine thousand nine hundred ninety nine",
            ),
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
            (|digits| plural(year(digits)), "1990", "nineteen nineties"),
            (|digits| plural(year(digits)), "1800", "eighteen hundreds"),
            (|digits| fraction("3", digits), "4", "three quarters"),
            (|digits| fraction("2", digits), "3", "two thirds"),
        ];
        for (reading, text, expected) in cases {
            assert_eq!(reading(text).join(" "), expected, "{text}");
        }
        assert_eq!(fraction("1", "2").join(" "), "one half");
        assert_eq!(fraction("1", "100").join(" "), "one over one hundred");
    }

    #[test]
    fn roman_numerals() {
        for (text, value) in [("I", 1), ("IV", 4), ("VIII", 8), ("XIV", 14), ("XXXIX", 39)] {
            assert_eq!(roman(text), Some(value), "{text}");
        }
        for text in ["", "IIII", "VX", "XXXX", "MIX", "LIV", "A"] {
            assert_eq!(roman(text), None, "{text}");
        }
    }
}
