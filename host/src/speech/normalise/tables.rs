//! What signs and abbreviations stand for.

/// Abbreviations before a full stop, in small letters.
const ABBREVIATIONS: [(&str, &str); 62] = [
    ("mr", "mister"),
    ("mrs", "mrs"),
    ("ms", "ms"),
    ("messrs", "messieurs"),
    ("prof", "professor"),
    ("gen", "general"),
    ("col", "colonel"),
    ("capt", "captain"),
    ("lt", "lieutenant"),
    ("sgt", "sergeant"),
    ("cmdr", "commander"),
    ("adm", "admiral"),
    ("maj", "major"),
    ("rev", "reverend"),
    ("hon", "honorable"),
    ("sen", "senator"),
    ("rep", "representative"),
    ("gov", "governor"),
    ("pres", "president"),
    ("jr", "junior"),
    ("sr", "senior"),
    ("esq", "esquire"),
    ("inc", "incorporated"),
    ("ltd", "limited"),
    ("co", "company"),
    ("corp", "corporation"),
    ("bros", "brothers"),
    ("vs", "versus"),
    ("etc", "et cetera"),
    ("approx", "approximately"),
    ("dept", "department"),
    ("est", "established"),
    ("vol", "volume"),
    ("vols", "volumes"),
    ("ch", "chapter"),
    ("pp", "pages"),
    ("ed", "edition"),
    ("eds", "editions"),
    ("fig", "figure"),
    ("figs", "figures"),
    ("ave", "avenue"),
    ("blvd", "boulevard"),
    ("rd", "road"),
    ("mt", "mount"),
    ("ft", "fort"),
    ("jan", "january"),
    ("feb", "february"),
    ("mar", "march"),
    ("apr", "april"),
    ("jun", "june"),
    ("jul", "july"),
    ("aug", "august"),
    ("sep", "september"),
    ("sept", "september"),
    ("oct", "october"),
    ("nov", "november"),
    ("dec", "december"),
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("fri", "friday"),
];

/// Abbreviations that are also words: they need a capital in front, or a number behind.
const ALSO_WORDS: &[&str] =
    &["gen", "col", "rep", "gov", "co", "ed", "ch", "est", "fig", "mar", "jun", "mon", "wed", "dec", "mt", "ft", "sat", "sun"];

/// Abbreviations that a sentence does not end after.
const TITLES: &[&str] = &[
    "mr", "mrs", "ms", "dr", "st", "messrs", "prof", "gen", "col", "capt", "lt", "sgt", "cmdr", "adm", "maj", "rev", "hon", "sen", "rep",
    "gov", "pres", "vs", "approx", "vol", "vols", "ch", "pp", "fig", "figs", "no", "nos", "mt", "ft",
];

/// The words of an abbreviation before a full stop, which may be written with a capital.
pub fn abbreviation(text: &str) -> Option<&'static str> {
    let small = text.to_ascii_lowercase();
    let capital = text.starts_with(|c: char| c.is_ascii_uppercase());
    let known = ABBREVIATIONS.iter().find(|(abbreviation, _)| *abbreviation == small);
    known.filter(|_| capital || !ALSO_WORDS.contains(&&small[..])).map(|&(_, words)| words)
}

/// Does a full stop after this abbreviation never end a sentence?
pub fn is_title(text: &str) -> bool {
    TITLES.contains(&&text.to_ascii_lowercase()[..])
}

/// Units behind a number: as they are written, one and several of them.
const UNITS: [(&str, &str, &str); 47] = [
    ("%", "percent", "percent"),
    ("°C", "degree celsius", "degrees celsius"),
    ("°F", "degree fahrenheit", "degrees fahrenheit"),
    ("°", "degree", "degrees"),
    ("km/h", "kilometer per hour", "kilometers per hour"),
    ("kph", "kilometer per hour", "kilometers per hour"),
    ("mph", "mile per hour", "miles per hour"),
    ("m/s", "meter per second", "meters per second"),
    ("km", "kilometer", "kilometers"),
    ("cm", "centimeter", "centimeters"),
    ("mm", "millimeter", "millimeters"),
    ("nm", "nanometer", "nanometers"),
    ("m", "meter", "meters"),
    ("mi", "mile", "miles"),
    ("ft", "foot", "feet"),
    ("yd", "yard", "yards"),
    ("kg", "kilogram", "kilograms"),
    ("mg", "milligram", "milligrams"),
    ("g", "gram", "grams"),
    ("lb", "pound", "pounds"),
    ("lbs", "pound", "pounds"),
    ("oz", "ounce", "ounces"),
    ("ml", "milliliter", "milliliters"),
    ("mL", "milliliter", "milliliters"),
    ("L", "liter", "liters"),
    ("l", "liter", "liters"),
    ("ha", "hectare", "hectares"),
    ("kHz", "kilohertz", "kilohertz"),
    ("MHz", "megahertz", "megahertz"),
    ("GHz", "gigahertz", "gigahertz"),
    ("Hz", "hertz", "hertz"),
    ("KB", "kilobyte", "kilobytes"),
    ("kB", "kilobyte", "kilobytes"),
    ("MB", "megabyte", "megabytes"),
    ("GB", "gigabyte", "gigabytes"),
    ("TB", "terabyte", "terabytes"),
    ("kWh", "kilowatt hour", "kilowatt hours"),
    ("kW", "kilowatt", "kilowatts"),
    ("MW", "megawatt", "megawatts"),
    ("GW", "gigawatt", "gigawatts"),
    ("W", "watt", "watts"),
    ("V", "volt", "volts"),
    ("dB", "decibel", "decibels"),
    ("ms", "millisecond", "milliseconds"),
    ("min", "minute", "minutes"),
    ("hr", "hour", "hours"),
    ("hrs", "hour", "hours"),
];

/// The words of a unit behind one, or several.
pub fn unit(text: &str, one: bool) -> Option<&'static str> {
    UNITS.iter().find(|(unit, ..)| *unit == text).map(|&(_, singular, plural)| if one { singular } else { plural })
}

/// A currency: its sign, one and several of it, one and several of its hundredth part.
pub type Currency = (char, [&'static str; 2], [&'static str; 2]);

const CURRENCIES: [Currency; 5] = [
    ('$', ["dollar", "dollars"], ["cent", "cents"]),
    ('£', ["pound", "pounds"], ["penny", "pence"]),
    ('€', ["euro", "euros"], ["cent", "cents"]),
    ('¥', ["yen", "yen"], ["sen", "sen"]),
    ('₹', ["rupee", "rupees"], ["paisa", "paise"]),
];

/// The currency of a sign.
pub fn currency(sign: char) -> Option<&'static Currency> {
    CURRENCIES.iter().find(|(known, ..)| *known == sign)
}

const SIGNS: [(char, &str); 50] = [
    ('&', "and"),
    ('@', "at"),
    ('#', "hash"),
    ('%', "percent"),
    ('+', "plus"),
    ('=', "equals"),
    ('/', "slash"),
    ('\\', "backslash"),
    ('*', "asterisk"),
    ('^', "caret"),
    ('~', "tilde"),
    ('_', "underscore"),
    ('|', "bar"),
    ('<', "less than"),
    ('>', "greater than"),
    ('`', "backtick"),
    ('$', "dollar"),
    ('£', "pound"),
    ('€', "euro"),
    ('¥', "yen"),
    ('₹', "rupee"),
    ('¢', "cents"),
    ('°', "degrees"),
    ('§', "section"),
    ('¶', "paragraph"),
    ('©', "copyright"),
    ('®', "registered"),
    ('±', "plus or minus"),
    ('×', "times"),
    ('÷', "divided by"),
    ('√', "square root of"),
    ('∞', "infinity"),
    ('≈', "approximately"),
    ('≠', "is not equal to"),
    ('≤', "less than or equal to"),
    ('≥', "greater than or equal to"),
    ('→', "to"),
    ('µ', "micro"),
    ('α', "alpha"),
    ('β', "beta"),
    ('γ', "gamma"),
    ('δ', "delta"),
    ('Δ', "delta"),
    ('ε', "epsilon"),
    ('θ', "theta"),
    ('λ', "lambda"),
    ('μ', "mu"),
    ('π', "pi"),
    ('σ', "sigma"),
    ('ω', "omega"),
];

/// The words of a sign.
pub fn sign(sign: char) -> Option<&'static str> {
    SIGNS.iter().find(|(known, _)| *known == sign).map(|&(_, words)| words)
}

const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];

/// The name of a month, given its number in digits.
pub fn month(digits: &str) -> Option<&'static str> {
    digits.parse::<usize>().ok().and_then(|number| MONTHS.get(number.checked_sub(1)?).copied())
}

/// Is this the name of a month, or short for it? Small letters.
pub fn is_month(word: &str) -> bool {
    let word = word.trim_end_matches('.');
    MONTHS.iter().any(|month| *month == word || (word.len() >= 3 && month.starts_with(word)))
}

/// Names of rulers, whose Roman numerals are ordinals.
pub const RULERS: &[&str] = &[
    "henry",
    "louis",
    "george",
    "charles",
    "edward",
    "james",
    "elizabeth",
    "william",
    "richard",
    "philip",
    "francis",
    "frederick",
    "john",
    "paul",
    "pius",
    "benedict",
    "leo",
    "gregory",
    "clement",
    "innocent",
    "alexander",
    "nicholas",
    "catherine",
    "napoleon",
    "wilhelm",
    "robert",
    "david",
];

/// Words before Roman numerals that are cardinals.
pub const NUMBERED: &[&str] = &[
    "chapter", "part", "war", "volume", "act", "scene", "type", "title", "section", "book", "phase", "article", "bowl", "level", "episode",
    "apollo", "class", "grade",
];

/// Words in capitals that are letters, although small letters make them another word.
pub const SPELLED: &[&str] =
    &["us", "it", "ai", "uk", "eu", "un", "id", "ok", "pc", "tv", "dna", "phd", "ceo", "pm", "am", "ad", "hr", "er", "pr"];
