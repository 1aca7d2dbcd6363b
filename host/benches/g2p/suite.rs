//! How many lines of a published suite of text normalisation are read as it reads them.
//!
//! The suite is a folder of files `test_cases_KIND.txt` with lines `written~spoken`, as those of NeMo-text-processing
//! (`tests/nemo_text_processing/en/data_text_normalization`). Both sides are turned into phones, and compared without stress, pauses and the word
//! "and".

use std::path::Path;

use primal_speech::Lexicon;

/// Files whose lines are about something else than how a text is read.
const LEFT_OUT: [&str; 3] = ["punctuation", "punctuation_match_input", "special_text"];

/// Prints a table by kind and, if asked, what is read otherwise.
pub fn measure(folder: &Path, misses: bool, lexicon: &Lexicon) {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter_map(|path| {
            let kind = path.file_name()?.to_str()?.strip_prefix("test_cases_")?.strip_suffix(".txt")?.to_string();
            (!LEFT_OUT.contains(&&kind[..])).then_some((kind, path))
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}: expected files test_cases_KIND.txt, found none", folder.display());
    println!("| kind | read alike | of | share |\n|---|---|---|---|");
    let row = |kind: &str, alike: usize, all: usize| println!("| {kind} | {alike} | {all} | {:.0} % |", 100.0 * alike as f64 / all as f64);
    let (mut total, mut total_alike, mut missed) = (0, 0, Vec::new());
    for (kind, path) in files {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (mut all, mut alike) = (0, 0);
        // Lines without text on either side are about something else.
        for (written, spoken) in text
            .lines()
            .filter_map(|line| line.split_once('~'))
            .filter(|(written, spoken)| ![written, spoken].iter().any(|text| text.trim().is_empty()))
        {
            all += 1;
            if sound(lexicon, written) == sound(lexicon, spoken) {
                alike += 1;
            } else {
                missed.push(format!("{kind}: {written} ~ {spoken} ~ {}", words(lexicon, written)));
            }
        }
        if all > 0 {
            row(&kind, alike, all);
        }
        total += all;
        total_alike += alike;
    }
    row("all", total_alike, total);
    if misses {
        println!("\nkind: written ~ the suite's reading ~ ours");
        missed.iter().for_each(|line| println!("{line}"));
    }
}

/// The phones without stress, those of "and" left out.
fn sound(lexicon: &Lexicon, text: &str) -> Vec<&'static str> {
    let all = lexicon.phonemes(text);
    let words = all.words.iter().filter(|word| word.text != "and");
    words.flat_map(|word| &all.phones[word.phones.clone()]).map(|phone| phone.base()).collect()
}

fn words(lexicon: &Lexicon, text: &str) -> String {
    lexicon.phonemes(text).words.iter().map(|word| &word.text[..]).collect::<Vec<_>>().join(" ")
}
