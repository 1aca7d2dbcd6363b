//! How texts are read, by kind, with the lexicon in the program: `tests/speech/readings.txt`.

use std::collections::BTreeMap;

use primal_speech::{Lexicon, phone};

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
    let lexicon = primal_host::voice::english();
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
    let lexicon = primal_host::voice::english();
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

/// What `primal-host phonemes` makes of a text: its words, and the phones of each. `PRIMAL_HOST=PATH` asks another program.
fn asked(written: &str) -> Vec<(String, String)> {
    let program = std::env::var_os("PRIMAL_HOST").unwrap_or_else(|| env!("CARGO_BIN_EXE_primal-host").into());
    let output = std::process::Command::new(program).args(["phonemes", "--json", "--", written]).output().expect("primal-host runs");
    assert!(output.status.success(), "{written:?}: {}", String::from_utf8_lossy(&output.stderr));
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let list = |value: &serde_json::Value| value.as_array().expect("a list").clone();
    let phones: Vec<String> = list(&all["phones"]).iter().map(|phone| phone.as_str().expect("a phone").to_owned()).collect();
    let words = list(&all["words"]).into_iter().map(|word| {
        let place: Vec<usize> = list(&word["phones"]).iter().map(|at| at.as_u64().expect("a place") as usize).collect();
        (word["text"].as_str().expect("a word").to_owned(), phones[place[0]..place[1]].join(" "))
    });
    words.collect()
}

/// Texts and how the program reads them.
fn are_read(texts: &[(&str, &str)]) {
    let wrong = texts.iter().filter_map(|(written, expected)| {
        let found = asked(written).into_iter().map(|(word, _)| word).collect::<Vec<_>>().join(" ");
        (found != *expected).then(|| format!("{written:?}: expected {expected:?}, found {found:?}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), texts.len(), wrong.join("\n"));
}

#[test]
fn clause_16_words_in_capitals_are_words() {
    are_read(&[
        ("THE OLD MAN", "the old man"),
        ("I said NO.", "i said no"),
        ("CHAPTER ONE", "chapter one"),
        ("COVID-19", "covid nineteen"),
        ("JPEG", "jpeg"),
        ("STOP! DO NOT ENTER", "stop do not enter"),
        ("the CEO of NATO", "the C E O of nato"),
    ]);
}

#[test]
fn clause_17_numbers_with_something_attached() {
    are_read(&[
        ("1.5M users", "one point five million users"),
        ("3.2B people", "three point two billion people"),
        ("10⁶", "ten to the sixth"),
        ("10⁻³", "ten to the minus three"),
        ("12/25/23", "december twenty fifth twenty three"),
        ("2024/03/05", "march fifth twenty twenty four"),
        ("24/7", "twenty four seven"),
        ("555-1234", "five five five one two three four"),
        ("$5-$10", "five dollars to ten dollars"),
        ("9:00-17:00", "nine to seventeen hundred"),
        ("5–10km", "five to ten kilometers"),
        ("XLII", "forty two"),
        ("MCMLXXIV", "nineteen seventy four"),
        ("12\" ruler", "twelve inch ruler"),
    ]);
}

#[test]
fn clause_18_titles_homographs_and_what_nobody_sees() {
    are_read(&[
        ("Dr Smith", "doctor smith"),
        ("St Patrick", "saint patrick"),
        ("Mr Jones met Mrs Lee", "mister jones met mrs lee"),
        ("Ph.D.", "P H D"),
        ("co\u{AD}operate", "cooperate"),
        ("zero\u{200B}width", "zerowidth"),
    ]);
    for (written, word, expected) in [
        ("She lives in Paris.", "lives", "L IH1 V Z"),
        ("Nine lives were saved.", "lives", "L AY1 V Z"),
        ("Excuse me.", "excuse", "IH0 K S K Y UW1 Z"),
        ("They were live on air.", "live", "L AY1 V"),
        ("We live here.", "live", "L IH1 V"),
    ] {
        let found = asked(written).into_iter().find(|(text, _)| text == word).map(|(_, phones)| phones);
        assert_eq!(found.as_deref(), Some(expected), "{written:?}");
    }
}
