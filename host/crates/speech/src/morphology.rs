//! Words made of other words: inflections, derivations, compounds.

use super::phone::{Phone, parse};

/// Shortest stem of a rule, in letters.
const STEM: usize = 3;
/// Shortest part of a compound.
const PART: usize = 5;
/// Longest word that is looked at.
const LONGEST: usize = 40;

/// Endings whose sound does not depend on the stem, and that few names have by chance (the model is better at `er` and `ist`), longer ones first, with the stem's own endings that they may replace: `-` is none, `=` a doubled consonant.
const ENDINGS: [(&str, &str, &[&str]); 26] = [
    ("izations", "AH0 Z EY1 SH AH0 N Z", &["-", "e", "y"]),
    ("ization", "AH0 Z EY1 SH AH0 N", &["-", "e", "y"]),
    ("ically", "IH0 K L IY0", &["ic"]),
    ("fulness", "F AH0 L N AH0 S", &["-"]),
    ("lessly", "L AH0 S L IY0", &["-"]),
    ("ingly", "IH0 NG L IY0", &["-", "e", "="]),
    ("fully", "F AH0 L IY0", &["-"]),
    ("iness", "N AH0 S", &["y"]),
    ("ments", "M AH0 N T S", &["-"]),
    ("wards", "W ER0 D Z", &["-"]),
    ("ness", "N AH0 S", &["-"]),
    ("ment", "M AH0 N T", &["-"]),
    ("less", "L AH0 S", &["-"]),
    ("like", "L AY1 K", &["-"]),
    ("ship", "SH IH1 P", &["-"]),
    ("hood", "HH UH1 D", &["-"]),
    ("wise", "W AY1 Z", &["-"]),
    ("ward", "W ER0 D", &["-"]),
    ("able", "AH0 B AH0 L", &["-", "e", "="]),
    ("ably", "AH0 B L IY0", &["-", "e", "="]),
    ("ings", "IH0 NG Z", &["-", "e", "="]),
    ("iest", "AH0 S T", &["y"]),
    ("ful", "F AH0 L", &["-"]),
    ("ing", "IH0 NG", &["-", "e", "="]),
    ("ily", "AH0 L IY0", &["y"]),
    ("ly", "L IY0", &["-"]),
];

/// Beginnings that leave the rest as it is.
const BEGINNINGS: [(&str, &str); 13] = [
    ("counter", "K AW1 N T ER0"),
    ("under", "AH1 N D ER0"),
    ("inter", "IH1 N T ER0"),
    ("super", "S UW1 P ER0"),
    ("hyper", "HH AY1 P ER0"),
    ("micro", "M AY1 K R OW0"),
    ("multi", "M AH1 L T IY0"),
    ("over", "OW1 V ER0"),
    ("anti", "AE1 N T IY0"),
    ("semi", "S EH1 M IY0"),
    ("self", "S EH1 L F"),
    ("non", "N AA1 N"),
    ("un", "AH0 N"),
];

/// British spellings and American ones.
const SPELLINGS: [(&str, &str); 6] = [("our", "or"), ("ise", "ize"), ("isa", "iza"), ("isi", "izi"), ("tre", "ter"), ("ogue", "og")];

/// What finds the phones of simpler words.
pub type Find<'a> = dyn Fn(&str) -> Option<Vec<Phone>> + 'a;

/// The phones of a word by those of simpler words, and the rule: `find` knows the simpler words.
pub fn derive(word: &str, find: &Find) -> Option<(Vec<Phone>, &'static str)> {
    if word.len() > LONGEST || !word.is_ascii() {
        return None;
    }
    // A derived word may be derived from a derived word, once.
    let deep = |stem: &str| find(stem).or_else(|| inflection(stem, find)).or_else(|| ending(stem, find)).or_else(|| beginning(stem, find));
    contraction(word, &|stem| deep(stem).or_else(|| compound(stem, find)))
        .map(|phones| (phones, "contraction"))
        .or_else(|| inflection(word, &deep).map(|phones| (phones, "inflection")))
        .or_else(|| ending(word, &deep).map(|phones| (phones, "suffix")))
        .or_else(|| beginning(word, &deep).map(|phones| (phones, "prefix")))
        .or_else(|| spelling(word, &deep).map(|phones| (phones, "spelling")))
        .or_else(|| compound(word, &|part| find(part).or_else(|| inflection(part, find))).map(|phones| (phones, "compound")))
}

/// Names of phones that are known to be right.
fn phones(names: &str) -> Vec<Phone> {
    parse(names).unwrap_or_default()
}

fn joined(mut stem: Vec<Phone>, names: &str) -> Vec<Phone> {
    stem.extend(phones(names));
    stem
}

/// The sound of `s` after a stem.
fn plural(stem: Vec<Phone>) -> Vec<Phone> {
    let sound = match stem.last().map(|phone| phone.name()) {
        Some("S" | "Z" | "SH" | "ZH" | "CH" | "JH") => "AH0 Z",
        Some("P" | "T" | "K" | "F" | "TH") => "S",
        _ => "Z",
    };
    joined(stem, sound)
}

/// The sound of `ed` after a stem.
fn past(stem: Vec<Phone>) -> Vec<Phone> {
    let sound = match stem.last().map(|phone| phone.name()) {
        Some("T" | "D") => "AH0 D",
        Some("P" | "K" | "F" | "TH" | "S" | "SH" | "CH") => "T",
        _ => "D",
    };
    joined(stem, sound)
}

fn contraction(word: &str, find: &Find) -> Option<Vec<Phone>> {
    let (stem, tail) = word.rsplit_once('\'')?;
    let stem_phones = || find(stem).filter(|_| !stem.is_empty());
    match tail {
        "s" => stem_phones().map(plural),
        // A plural's possessive sounds like the plural; 'in' is short for 'ing'.
        "" => stem_phones().or_else(|| find(&format!("{stem}g")).filter(|_| stem.ends_with("in"))),
        "ll" => stem_phones().map(|stem| joined(stem, "AH0 L")),
        "ve" => stem_phones().map(|stem| joined(stem, "AH0 V")),
        "re" => stem_phones().map(|stem| joined(stem, "ER0")),
        "m" => stem_phones().map(|stem| joined(stem, "AH0 M")),
        "d" => stem_phones().map(past),
        "t" => stem.strip_suffix('n').and_then(find).map(|stem| joined(stem, "AH0 N T")),
        _ => find(&format!("{stem}{tail}")),
    }
}

fn inflection(word: &str, find: &Find) -> Option<Vec<Phone>> {
    let stem = |suffix: &str| word.strip_suffix(suffix).filter(|stem| stem.len() >= STEM);
    let plural_stem = || {
        let with_y = stem("ies").and_then(|stem| find(&format!("{stem}y")));
        let with_es = || stem("es").filter(|stem| stem.ends_with(['s', 'x', 'z', 'h', 'o'])).and_then(find);
        let with_s = || stem("s").filter(|stem| !stem.ends_with(['s', 'u', 'i'])).and_then(find);
        with_y.or_else(with_s).or_else(with_es)
    };
    let past_stem = || {
        let with_y = stem("ied").and_then(|stem| find(&format!("{stem}y")));
        with_y.or_else(|| stem("ed").and_then(|stem| ["e", "-", "="].iter().find_map(|end| find(&restored(stem, end)?))))
    };
    plural_stem().map(plural).or_else(|| past_stem().map(past))
}

/// The stem before an ending was added: `e` had been dropped, a consonant doubled, or nothing happened.
fn restored(stem: &str, end: &str) -> Option<String> {
    let bytes = stem.as_bytes();
    match end {
        "-" => Some(stem.into()),
        "=" => {
            let doubled = bytes.len() > STEM && bytes[bytes.len() - 1] == bytes[bytes.len() - 2];
            doubled.then(|| stem[..stem.len() - 1].into())
        }
        _ => Some(format!("{stem}{end}")),
    }
}

fn ending(word: &str, find: &Find) -> Option<Vec<Phone>> {
    // "gently" is gentle + ly, "nimbly" nimble + ly.
    if let Some(stem) = word.strip_suffix("ly").filter(|stem| stem.len() >= STEM)
        && let Some(mut phones) = find(&format!("{stem}le"))
        && phones.ends_with(&self::phones("AH0 L"))
    {
        phones.truncate(phones.len() - 2);
        return Some(joined(phones, "L IY0"));
    }
    ENDINGS.iter().find_map(|(suffix, names, stems)| {
        let stem = word.strip_suffix(suffix).filter(|stem| stem.len() >= STEM)?;
        let (end, mut stem) = stems.iter().find_map(|end| Some((*end, find(&restored(stem, end)?)?)))?;
        // "basic" + "ically", "harmony" + "ize", "happy" + "ly": the end of the stem is not said twice.
        let replaced = match (*suffix, end) {
            ("ically", _) => 2,
            (suffix, "y") if suffix == "ily" || suffix.starts_with("is") || suffix.starts_with("iz") => 1,
            _ => 0,
        };
        stem.truncate(stem.len().saturating_sub(replaced));
        Some(joined(stem, names))
    })
}

fn beginning(word: &str, find: &Find) -> Option<Vec<Phone>> {
    BEGINNINGS.iter().find_map(|(prefix, names)| {
        let rest = word.strip_prefix(prefix).filter(|rest| rest.len() > STEM + 1)?;
        let mut all = phones(names);
        all.extend(find(rest)?);
        Some(all)
    })
}

fn spelling(word: &str, find: &Find) -> Option<Vec<Phone>> {
    SPELLINGS.iter().find_map(|(british, american)| {
        let at = word.rfind(british).filter(|&at| at >= 2)?;
        find(&format!("{}{american}{}", &word[..at], &word[at + british.len()..]))
    })
}

/// Two words in one: the longest first part that leaves a word.
fn compound(word: &str, find: &Find) -> Option<Vec<Phone>> {
    let shortest_first = PART..=word.len().checked_sub(PART)?;
    shortest_first.rev().find_map(|at| {
        let (first, second) = word.split_at(at);
        let mut all = find(first)?;
        all.extend(find(second)?);
        Some(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::names;

    const KNOWN: [(&str, &str); 16] = [
        ("cat", "K AE1 T"),
        ("dog", "D AO1 G"),
        ("judge", "JH AH1 JH"),
        ("ghost", "G OW1 S T"),
        ("marry", "M EH1 R IY0"),
        ("stop", "S T AA1 P"),
        ("bake", "B EY1 K"),
        ("want", "W AA1 N T"),
        ("gentle", "JH EH1 N T AH0 L"),
        ("color", "K AH1 L ER0"),
        ("basic", "B EY1 S IH0 K"),
        ("happy", "HH AE1 P IY0"),
        ("house", "HH AW1 S"),
        ("would", "W UH1 D"),
        ("thing", "TH IH1 NG"),
        ("sing", "S IH1 NG"),
    ];

    #[test]
    fn derived_words() {
        let find = |word: &str| KNOWN.iter().find(|(known, _)| *known == word).and_then(|(_, names)| parse(names));
        let mut wrong = Vec::new();
        for (word, expected) in [
            ("cats", "K AE1 T S"),
            ("dogs", "D AO1 G Z"),
            ("judges", "JH AH1 JH AH0 Z"),
            ("dog's", "D AO1 G Z"),
            ("dogs'", "D AO1 G Z"),
            ("marries", "M EH1 R IY0 Z"),
            ("married", "M EH1 R IY0 D"),
            ("stopped", "S T AA1 P T"),
            ("baked", "B EY1 K T"),
            ("wanted", "W AA1 N T AH0 D"),
            ("judged", "JH AH1 JH D"),
            ("stopping", "S T AA1 P IH0 NG"),
            ("baking", "B EY1 K IH0 NG"),
            ("gently", "JH EH1 N T L IY0"),
            ("basically", "B EY1 S IH0 K L IY0"),
            ("happily", "HH AE1 P AH0 L IY0"),
            ("happiness", "HH AE1 P IY0 N AH0 S"),
            ("unhappiest", "AH0 N HH AE1 P IY0 AH0 S T"),
            ("coloured", "K AH1 L ER0 D"),
            ("ghosthouse", "G OW1 S T HH AW1 S"),
            ("wouldn't", "W UH1 D AH0 N T"),
            ("singin'", "S IH1 NG IH0 NG"),
        ] {
            let found = derive(word, &find).map(|(phones, _)| names(&phones));
            if found.as_deref() != Some(expected) {
                wrong.push(format!("{word}: expected {expected}, found {found:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        for word in ["", "'", "s", "xyz", "dogx", "'s", "ss"] {
            assert_eq!(derive(word, &find), None, "{word}");
        }
    }
}
