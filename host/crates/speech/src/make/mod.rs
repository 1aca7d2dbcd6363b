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
use crate::{Error, Lexicon, Phone, Result, spelling};

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

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::invalid(path.display(), "a text", error, "give a complete checkout"))
}
