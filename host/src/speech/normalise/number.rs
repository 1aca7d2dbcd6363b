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
/// Longer numbers, and numbers that begin with a zero, are read digit by digit.
const LONGEST: usize = 18;

/// A whole number, given as digits.
pub fn cardinal(digits: &str) -> Vec<String> {
    match digits.parse() {
        Ok(value) if digits.len() <= LONGEST && (digits.len() == 1 || !digits.starts_with('0')) => cardinal_of(value),
        _ => self::digits(digits),
    }
}

/// Each digit.
pub fn digits(digits: &str) -> Vec<String> {
    digits.bytes().filter(u8::is_ascii_digit).map(|digit| ONES[usize::from(digit - b'0')].into()).collect()
}

/// A whole number.
pub fn cardinal_of(value: u64) -> Vec<String> {
    if value == 0 {
        return vec!["zero".into()];
    }
    let mut words = Vec::new();
    for (power, name) in THOUSANDS.iter().enumerate().rev() {
        let part = (value / 1000u64.pow(power as u32) % 1000) as usize;
        if part > 0 {
            below_thousand(part, &mut words);
            if power > 0 {
                words.push((*name).into());
            }
        }
    }
    words
}

fn below_thousand(value: usize, words: &mut Vec<String>) {
    if value >= 100 {
        words.push(ONES[value / 100].into());
        words.push("hundred".into());
    }
    below_hundred(value % 100, words);
}

fn below_hundred(value: usize, words: &mut Vec<String>) {
    if value >= 20 {
        words.push(TENS[value / 10].into());
    }
    match if value >= 20 { value % 10 } else { value } {
        0 => {}
        ones => words.push(ONES[ones].into()),
    }
}
