//! What signs and abbreviations stand for: the files of `data/`.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::number;

/// The lines of a file without comments, in fields.
fn lines(file: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    file.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).map(|line| line.split('\t').collect())
}

/// A table of two columns.
fn pairs(file: &'static str) -> HashMap<&'static str, &'static str> {
    lines(file).map(|fields| (fields[0], fields[1])).collect()
}

/// An abbreviation.
pub struct Abbreviation {
    /// What it stands for; capitals are letters.
    pub words: &'static str,
    flags: &'static str,
}

impl Abbreviation {
    /// Has it this flag of the file?
    pub fn is(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|known| known == flag)
    }
}

static ABBREVIATIONS: LazyLock<HashMap<&str, Abbreviation>> = LazyLock::new(|| {
    let entry =
        |fields: Vec<&'static str>| (fields[0], Abbreviation { words: fields[1], flags: fields.get(2).copied().unwrap_or_default() });
    lines(include_str!("data/abbreviations.tsv")).map(entry).collect()
});

/// An abbreviation in the letters that it is written in.
pub fn abbreviation(text: &str) -> Option<&'static Abbreviation> {
    abbreviation_before(text, false, "")
}

/// What an abbreviation stands for, where a number or a numeral may follow; `rest` is what does.
pub fn abbreviation_before(text: &str, number: bool, rest: &str) -> Option<&'static Abbreviation> {
    let small = text.to_ascii_lowercase();
    let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit()).count();
    let counted = [(number::is_year(&rest[..digits]), "####"), (digits > 0, "#")]
        .into_iter()
        .find_map(|(follows, sign)| follows.then(|| ABBREVIATIONS.get(&format!("{small} {sign}")[..])).flatten());
    // In capitals it is an acronym, or the word itself.
    if let Some(known) = counted.filter(|_| !text[1..].contains(|c: char| c.is_ascii_uppercase())) {
        return Some(known);
    }
    let known = ABBREVIATIONS.get(&small[..])?;
    let plain = !known.is("word") || (number && known.is("count"));
    (plain || text.starts_with(|c: char| c.is_ascii_uppercase())).then_some(known)
}

/// Does a full stop after this abbreviation never end a sentence?
pub fn is_title(text: &str) -> bool {
    ABBREVIATIONS.get(&text.to_ascii_lowercase()[..]).is_some_and(|known| known.is("title"))
}

/// Is this an abbreviation before a number?
pub fn is_counted(text: &str) -> bool {
    ABBREVIATIONS.contains_key(&format!("{} #", text.to_ascii_lowercase())[..])
}

/// Are these single capitals with full stops a person's, given what follows: neither an acronym, nor does a sentence begin?
pub fn are_initials(text: &str, rest: &str) -> bool {
    let single = text.split('.').all(|letter| letter.len() <= 1 && letter.bytes().all(|byte| byte.is_ascii_uppercase()));
    let letters: String = text.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase()).collect();
    let next = rest.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    single && acronym(&letters).is_none() && !listed("opener", &next.to_ascii_lowercase())
}

struct Unit {
    text: &'static str,
    one: &'static str,
    many: &'static str,
    flags: &'static str,
}

impl Unit {
    fn is(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|known| known == flag)
    }

    fn loose(&self) -> bool {
        self.is("loose") || (self.text.len() > 2 && self.text.bytes().all(|byte| byte.is_ascii_alphabetic()))
    }
}

static UNITS: LazyLock<Vec<Unit>> = LazyLock::new(|| {
    let unit = |fields: Vec<&'static str>| Unit {
        text: fields[0],
        one: fields[1],
        many: fields[2],
        flags: fields.get(3).copied().unwrap_or_default(),
    };
    lines(include_str!("data/units.tsv")).map(unit).collect()
});

static PER: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| pairs(include_str!("data/per.tsv")));

/// The words of a unit behind one, or several.
pub fn unit(text: &str, one: bool) -> Option<&'static str> {
    let loose = |unit: &&Unit| unit.text.eq_ignore_ascii_case(text);
    let unit = UNITS.iter().find(|unit| unit.text == text).or_else(|| UNITS.iter().find(loose))?;
    Some(if one { unit.one } else { unit.many })
}

/// What an amount is counted by.
pub fn per(text: &str) -> Option<&'static str> {
    PER.get(text).copied().or_else(|| unit(text, true))
}

/// Expressions for the units behind a space, those right behind a number, and those behind a slash.
pub fn unit_patterns() -> [String; 3] {
    let word = |text: &str| text.ends_with(|c: char| c.is_ascii_alphanumeric());
    let any = |units: Vec<&'static str>, case: &str| {
        let mut units: Vec<String> =
            units.into_iter().map(|unit| format!("{}{}", regex::escape(unit), if word(unit) { "(?:\\^?[23])?\\b" } else { "" })).collect();
        units.sort_by_key(|unit| std::cmp::Reverse(unit.len()));
        format!("(?{case}:{})", units.join("|"))
    };
    let chosen = |keep: &dyn Fn(&Unit) -> bool| UNITS.iter().filter(|unit| keep(unit)).map(|unit| unit.text).collect::<Vec<_>>();
    let spaced =
        format!("{}|{}", any(chosen(&|unit| !unit.is("attached")), ""), any(chosen(&|unit| unit.loose() && !unit.is("attached")), "i-u"));
    let attached = format!("{}|{}", any(chosen(&|_| true), ""), any(chosen(&|unit| unit.loose()), "i-u"));
    let per = any(PER.keys().copied().chain(chosen(&|unit| unit.is("per"))).collect(), "");
    [spaced, attached, per]
}

/// A currency: one and several of it, one and several of its hundredth part.
pub struct Currency {
    /// One and several.
    pub names: [&'static str; 2],
    /// One and several of the hundredth part, if it has one.
    pub cents: Option<[&'static str; 2]>,
}

impl Currency {
    /// The currency before what has this price: "a five dollar bill".
    pub fn single(&self) -> Self {
        Self { names: [self.names[0]; 2], cents: self.cents.map(|[one, several]| [if one == "penny" { several } else { one }; 2]) }
    }
}

static CURRENCIES: LazyLock<HashMap<&str, Currency>> = LazyLock::new(|| {
    let entry = |fields: Vec<&'static str>| {
        let cents = (fields[3] != "-").then_some([fields[3], fields[4]]);
        (fields[0], Currency { names: [fields[1], fields[2]], cents })
    };
    lines(include_str!("data/currencies.tsv")).map(entry).collect()
});

/// The currency of a sign or code.
pub fn currency(sign: &str) -> Option<&'static Currency> {
    CURRENCIES.get(sign)
}

/// Expressions for the signs and the codes of currencies.
pub fn currency_patterns() -> [String; 2] {
    let any = |code: bool| {
        let is_code = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphabetic());
        let mut known: Vec<_> = CURRENCIES.keys().filter(|text| is_code(text) == code).collect();
        known.sort_by_key(|text| std::cmp::Reverse(text.len()));
        known.iter().map(|text| if code { format!("\\b{text}\\b") } else { regex::escape(text) }).collect::<Vec<_>>().join("|")
    };
    [any(false), any(true)]
}

static SIGNS: LazyLock<HashMap<char, &str>> =
    LazyLock::new(|| lines(include_str!("data/signs.tsv")).filter_map(|fields| Some((fields[0].chars().next()?, fields[1]))).collect());

/// The words of a sign.
pub fn sign(sign: char) -> Option<&'static str> {
    SIGNS.get(&sign).copied()
}

/// The months' names.
pub const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];

/// The name of a month, given its number in digits.
pub fn month(digits: &str) -> Option<&'static str> {
    digits.parse::<usize>().ok().and_then(|number| MONTHS.get(number.checked_sub(1)?).copied())
}

/// The month that a name, or what is short for it, begins. Small letters.
pub fn month_named(name: &str) -> Option<&'static str> {
    MONTHS.iter().find(|month| name.len() >= 3 && month.starts_with(&name[..3]) && (month.starts_with(name) || name == "sept")).copied()
}

static STREETS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| pairs(include_str!("data/streets.tsv")));
static PLACES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| pairs(include_str!("data/places.tsv")));

/// A kind of street that is short for this, in small letters.
pub fn street(small: &str) -> Option<&'static str> {
    STREETS.get(small).copied()
}

/// An expression for what [`street`] knows.
pub fn street_pattern() -> String {
    STREETS.keys().copied().collect::<Vec<_>>().join("|")
}

/// A state by its two capitals.
pub fn place(capitals: &str) -> Option<&'static str> {
    PLACES.get(capitals).copied()
}

static NUMBERED: LazyLock<[HashSet<&str>; 2]> = LazyLock::new(|| {
    let (rulers, numbered): (Vec<_>, Vec<_>) =
        include_str!("data/numbered.txt").lines().filter(|line| !line.starts_with('#')).partition(|line| line.starts_with('='));
    [rulers, numbered].map(|lines| lines.into_iter().flat_map(|line| line.trim_start_matches('=').split_whitespace()).collect())
});

/// Is this the name of rulers, whose Roman numerals are ordinals?
pub fn is_ruler(word: &str) -> bool {
    NUMBERED[0].contains(word)
}

/// Does a Roman numeral behind this word say which one it is?
pub fn is_numbered(word: &str) -> bool {
    NUMBERED[1].contains(word)
}

/// How a word in capitals is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acronym {
    /// By its letters, in small letters as well.
    Spelled,
    /// By its letters, if it is in capitals among words in small letters.
    Capitals,
    /// As a word.
    Said,
}

static ACRONYMS: LazyLock<HashMap<&str, Acronym>> = LazyLock::new(|| {
    let mut all = HashMap::new();
    for fields in lines(include_str!("data/acronyms.tsv")) {
        let how = match fields[0] {
            "spelled" => Acronym::Spelled,
            "capitals" => Acronym::Capitals,
            _ => Acronym::Said,
        };
        // The first that is said of a word counts.
        fields[1].split(' ').for_each(|word| _ = all.entry(word).or_insert(how));
    }
    all
});

/// What the list says of a word in small letters.
pub fn acronym(small: &str) -> Option<Acronym> {
    ACRONYMS.get(small).copied()
}

static LISTS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| pairs(include_str!("data/lists.tsv")));

/// Is this word in a list?
pub fn listed(list: &str, word: &str) -> bool {
    !word.is_empty() && LISTS.get(list).is_some_and(|words| words.split(' ').any(|known| known == word))
}

/// Does a text end with what the last digits of a number follow?
pub fn before_last_digits(text: &str) -> bool {
    LISTS.get("card").is_some_and(|phrases| phrases.split('|').any(|phrase| text.ends_with(phrase)))
}

/// An expression for time zones.
pub fn zone_pattern() -> String {
    let zones: Vec<&str> =
        include_str!("data/zones.txt").lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
    let long: Vec<&str> = zones.iter().copied().filter(|zone| zone.len() > 2).collect();
    format!(r"(?:{}|{})\b|(?i-u:[ecmp]\.[sd]\.t\b\.?)", zones.join("|").to_ascii_uppercase(), long.join("|"))
}

/// All words that the tables stand for; capitals are letters.
#[cfg(test)]
pub fn words() -> Vec<&'static str> {
    let mut all: Vec<&str> = ABBREVIATIONS.values().map(|known| known.words).collect();
    all.extend(UNITS.iter().flat_map(|unit| [unit.one, unit.many]));
    all.extend(CURRENCIES.values().flat_map(|currency| currency.names.into_iter().chain(currency.cents.into_iter().flatten())));
    all.extend(PER.values().chain(SIGNS.values()).chain(STREETS.values()).chain(PLACES.values()).copied());
    all.extend(MONTHS);
    all.iter()
        .flat_map(|words| words.split(' '))
        .filter(|word| !word.starts_with(|c: char| c.is_ascii_uppercase()) && *word != "-")
        .collect()
}
