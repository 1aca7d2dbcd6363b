//! Makes lexicon files; it needs the feature `make-lexicon`, and unlike the rest of this crate it reads files.
//!
//! | file | idea |
//! |---|---|
//! | `cmudict.rs`    | the words, from the crate `cmudict-fast` |
//! | `align.rs`      | which letters of a word stand for which of its phones |
//! | `kneser_ney.rs` | n-gram probabilities |
//! | `ipa.rs`        | transcriptions in the phones of the voices |
//! | `homographs.rs` | what tells words apart that are written alike, from WikipediaHomographData |

mod align;
pub mod cmudict;
pub mod homographs;
mod ipa;
mod kneser_ney;

use std::path::Path;
use std::time::Instant;

use crate::dictionary::Dictionary;
use crate::disambiguation::Disambiguator;
use crate::g2p::{FIRST, G2p};
use crate::{Error, Lexicon, Phone, Result, phone, spelling};

/// The least loss, in nats over all words, for which the model of the program's lexicon keeps an n-gram.
pub const PRUNE: f64 = 0.7;

/// A lexicon file: a dictionary of `words`, a model of other ones that is trained on them, and `homographs`. An n-gram without which the model loses
/// less than `prune` nats over all words is left out. `say` hears how far it is.
pub fn lexicon(words: &[(&str, &[Phone])], homographs: &Disambiguator, prune: f64, say: &dyn Fn(&str)) -> Vec<u8> {
    let started = Instant::now();
    let spelled: Vec<_> = words.iter().copied().filter(|(word, _)| cmudict::is_spelled(word)).collect();
    let (graphones, sequences) = align::align(&spelled);
    let seconds = || started.elapsed().as_secs_f64();
    say(&format!("{} graphones align {} of {} words; {:.1} s", graphones.len(), sequences.len(), spelled.len(), seconds()));
    let sequences: Vec<Vec<u16>> =
        sequences.iter().map(|sequence| sequence.iter().map(|&number| number as u16 + FIRST).collect()).collect();
    let ngrams = kneser_ney::train(&sequences, prune);
    say(&format!("{} n-grams of up to {} graphones; {:.1} s", ngrams.len(), kneser_ney::LONGEST, seconds()));
    let model = G2p::new(graphones, ngrams).pack();
    let dictionary = Dictionary::pack(words.iter().copied());
    Lexicon::to_file(&dictionary, &homographs.pack(), &model, |content| zstd::encode_all(content, 22).expect("compression in memory"))
}

/// The text that a language model learns letters and phones from: a line of [`spelling`] for each word that is not held out, in an order that their checksums
/// give. Words that cannot be aligned, or have a pair of phones that lines have no byte for, are left out.
pub fn letters(words: &cmudict::Words) -> String {
    let learnt = words.iter().filter(|(word, _)| cmudict::is_spelled(word) && !cmudict::is_held_out(word));
    let learnt: Vec<_> = learnt.map(|(word, phones)| (&word[..], &phones[0][..])).collect();
    let (graphones, sequences) = align::align(&learnt);
    let line = |sequence: &Vec<usize>| spelling::line(sequence.iter().map(|&at| (&graphones[at].letters[..], &graphones[at].phones[..])));
    let mut lines: Vec<String> = sequences.iter().filter_map(line).collect();
    // Neighbours in the dictionary are alike: what is held back at the end of the text has to be like the rest of it.
    lines.sort_by_cached_key(|line| (crc32c::crc32c(line.as_bytes()), line.clone()));
    lines.concat()
}

/// Documents that a language model learns the phones of words from, and those of the words that are held out: JSON lines, each with a word's letters as
/// "prompt" and the phones of its first pronunciation as "completion"; where it is held out and has others, they are in "others". Both are in an order that
/// the words' checksums give, so that any part of them is like the rest.
pub fn documents(words: &cmudict::Words) -> [String; 2] {
    let mut spelled: Vec<_> = words.iter().filter(|(word, _)| cmudict::is_spelled(word)).collect();
    // Not that of the word alone, by which words are held out.
    spelled.sort_by_cached_key(|(word, _)| crc32c::crc32c(format!("{word} ").as_bytes()));
    let quoted = |phones: &Vec<Phone>| format!("\" {}\"", phone::names(phones));
    let line = |word: &str, phones: &[Vec<Phone>], has_others: bool| {
        let letters: Vec<String> = word.chars().map(String::from).collect();
        let others: Vec<String> = phones[1..].iter().map(quoted).collect();
        let others = if has_others && !others.is_empty() { format!(", \"others\": [{}]", others.join(", ")) } else { String::new() };
        format!("{{\"prompt\": \"{} =\", \"completion\": {}{others}}}\n", letters.join(" "), quoted(&phones[0]))
    };
    [false, true].map(|is_held_out| {
        let lines = spelled.iter().filter(|(word, _)| cmudict::is_held_out(word) == is_held_out);
        lines.map(|(word, phones)| line(word, phones, is_held_out)).collect()
    })
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::invalid(path.display(), "a text", error, "give a complete checkout"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_held_out_are_in_no_document_that_is_learnt() {
        let all = ["a", "able", "box", "cat's", "deal", "lead"];
        let numbered = (0..400u32).map(|at| format!("w{}", at.to_string().bytes().map(|digit| char::from(digit + 49)).collect::<String>()));
        let names: Vec<String> = all.iter().map(|&word| word.to_owned()).chain(numbered).collect();
        let of = |text: &str| phone::parse(text).expect("phones");
        let words: cmudict::Words = names.iter().map(|word| (word.clone(), vec![of("L EH1 D"), of("L IY1 D")])).collect();
        let [learnt, held_out] = documents(&words);
        let words_of = |text: &str| -> Vec<String> {
            let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
            lines.map(|line| line["prompt"].as_str().expect("letters").trim_end_matches('=').replace(' ', "")).collect()
        };
        let (learnt_words, held_out_words) = (words_of(&learnt), words_of(&held_out));
        assert!(held_out_words.len() > 5 && learnt_words.len() > 300, "{held_out_words:?}");
        assert!(
            held_out_words.iter().all(|word| cmudict::is_held_out(word)) && !learnt_words.iter().any(|word| cmudict::is_held_out(word))
        );
        let spelled = names.iter().filter(|word| cmudict::is_spelled(word)).count();
        assert_eq!(learnt_words.len() + held_out_words.len(), spelled, "words of letters alone, each once");
        assert!(!learnt_words.is_sorted() && !held_out_words.is_sorted(), "neighbours of the dictionary are apart");
        assert!(learnt.contains(r#"{"prompt": "b o x =", "completion": " L EH1 D"}"#) && !learnt.contains("others"), "{learnt}");
        assert!(held_out.lines().all(|line| line.ends_with(r#", "others": [" L IY1 D"]}"#)), "{held_out}");
    }
}
