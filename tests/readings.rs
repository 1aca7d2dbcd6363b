//! How texts are read, by kind, with the lexicon in the program: `tests/speech/readings.txt`.

use std::collections::BTreeMap;

use primal_host::speech::{Lexicon, phone};

/// The kinds that the file has to have.
const KINDS: [&str; 17] = [
    "cardinal",
    "ordinal",
    "decimal",
    "money",
    "date",
    "time",
    "range",
    "phone",
    "URL",
    "unit",
    "abbreviation",
    "acronym",
    "Roman",
    "fraction",
    "symbol",
    "title",
    "homograph",
];

/// The words of a text, letters as capitals; of a homograph: itself and its phones.
fn reading(lexicon: &Lexicon, written: &str, homograph: Option<&str>) -> String {
    let all = lexicon.phonemes(written);
    assert!(all.warnings.is_empty(), "{written:?}: {:?}", all.warnings);
    match homograph {
        Some(word) => {
            let found = all.words.iter().find(|found| found.text == word);
            found.map_or_else(String::new, |found| format!("{word} {}", phone::names(&all.phones[found.phones.clone()])))
        }
        None => all.words.iter().map(|word| &word.text[..]).collect::<Vec<_>>().join(" "),
    }
}

#[test]
fn texts_are_read_as_people_say_them() {
    let lexicon = Lexicon::english();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in include_str!("speech/readings.txt").lines().filter(|line| !line.starts_with("# ")) {
        // A tilde is also a sign that is read.
        let mut fields = line.rsplitn(3, '~');
        let (Some(expected), Some(kind), Some(written)) = (fields.next(), fields.next(), fields.next()) else {
            panic!("{line:?}: expected written~kind~reading")
        };
        // Characters that no editor shows.
        let written = written.replace("\\u00AD", "\u{AD}").replace("\\u200B", "\u{200B}").replace("\\uFEFF", "\u{FEFF}");
        *kinds.entry(kind).or_default() += 1;
        let homograph = (kind == "homograph").then(|| expected.split(' ').next().unwrap_or_default());
        let found = reading(&lexicon, &written, homograph);
        if found != expected {
            wrong.push(format!("{kind}: {written:?}: expected {expected:?}, found {found:?}"));
        }
    }
    println!("{kinds:?}");
    assert!(kinds.keys().all(|kind| KINDS.contains(kind)), "{kinds:?}");
    assert!(KINDS.iter().all(|kind| kinds.get(kind).is_some_and(|&lines| lines >= 15)), "{kinds:?}");
    assert!(kinds.values().sum::<usize>() >= 400, "{kinds:?}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn deviations_from_the_suite_are_what_their_list_says() {
    /// So many may be listed.
    const MOST: usize = 30;
    let lexicon = Lexicon::english();
    let lines: Vec<&str> = include_str!("speech/nemo_deviations.txt").lines().filter(|line| !line.starts_with("# ")).collect();
    assert!(lines.len() <= MOST, "{} deviations", lines.len());
    for line in lines {
        let [written, theirs, ours, why] = line.split('~').collect::<Vec<_>>()[..] else {
            panic!("{line:?}: expected written~theirs~ours~why")
        };
        assert!(!why.is_empty(), "{line}");
        assert_eq!(reading(&lexicon, written, None), ours, "{written:?}");
        assert_ne!(reading(&lexicon, theirs, None), ours, "{written:?} is read alike");
    }
}
