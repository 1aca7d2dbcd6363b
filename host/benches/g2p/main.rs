//! Phone and word error rates on words of CMUdict that neither the dictionary nor the model has seen, beside those of the model of `g2p_en`; with
//! `--write`, the lexicon of the program is made, from all of CMUdict.
//!
//! The peer's weights are those of the crate `grapheme_to_phoneme`. They were trained on all of CMUdict, the held-out words included.

mod align;
mod cmudict;
mod homographs;
mod ipa;
mod kneser_ney;
mod score;
mod suite;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use argh::FromArgs;
use primal_speech::dictionary::Dictionary;
use primal_speech::disambiguation::Disambiguator;
use primal_speech::g2p::{FIRST, G2p};
use primal_speech::{Lexicon, Phone};

use score::Score;

/// measure, or make, what turns words into phones
#[derive(FromArgs)]
struct Arguments {
    /// write a lexicon file made from all words
    #[argh(option)]
    write: Option<PathBuf>,
    /// least loss, in nats over all words, for which the model keeps an n-gram (default 0.7)
    #[argh(option, default = "0.7")]
    prune: f64,
    /// a folder of a published suite of text normalisation: print how much of it is read alike, and nothing else
    #[argh(option)]
    suite: Option<PathBuf>,
    /// with --suite: list what is read otherwise
    #[argh(switch)]
    misses: bool,
    /// a checkout of WikipediaHomographData: train and measure what tells words apart that are written alike, and nothing else; with --write, the
    /// lexicon of the program with it
    #[argh(option)]
    homographs: Option<PathBuf>,
    /// do not measure
    #[argh(switch)]
    quick: bool,
    /// given by cargo bench
    #[argh(switch, hidden_help)]
    #[expect(dead_code, reason = "cargo passes it to every benchmark")]
    bench: bool,
}

/// One word of so many is held out.
const HELD_OUT: u32 = 20;

fn main() {
    let arguments: Arguments = argh::from_env();
    if let Some(folder) = arguments.suite {
        return suite::measure(&folder, arguments.misses);
    }
    let words = cmudict::read();
    let write = |file: &[u8]| {
        let Some(path) = &arguments.write else { return };
        std::fs::write(path, file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!("{}: {} bytes", path.display(), file.len());
    };
    if let Some(folder) = &arguments.homographs {
        let homographs = homographs::train(folder, &words);
        return write(&primal_host::voice::english().with_homographs(&homographs, compress));
    }
    if !arguments.quick {
        measure(&words, arguments.prune);
    }
    if arguments.write.is_some() {
        let all: Vec<_> = words.iter().map(|(word, phones)| (&word[..], &phones[0][..])).collect();
        write(&lexicon(&all, primal_host::voice::english().homographs(), arguments.prune));
    }
}

fn compress(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 22).expect("compression in memory")
}

/// A lexicon file of words.
fn lexicon(words: &[(&str, &[Phone])], homographs: &Disambiguator, prune: f64) -> Vec<u8> {
    let started = Instant::now();
    let spelled: Vec<_> = words.iter().copied().filter(|(word, _)| word.len() > 1 && !word.contains('\'')).collect();
    let (graphones, sequences) = align::align(&spelled);
    println!(
        "{} graphones align {} of {} words; {:.1} s",
        graphones.len(),
        sequences.len(),
        spelled.len(),
        started.elapsed().as_secs_f64()
    );
    let sequences: Vec<Vec<u16>> =
        sequences.iter().map(|sequence| sequence.iter().map(|&number| number as u16 + FIRST).collect()).collect();
    let ngrams = kneser_ney::train(&sequences, prune);
    println!("{} n-grams of up to {} graphones; {:.1} s", ngrams.len(), kneser_ney::LONGEST, started.elapsed().as_secs_f64());
    let model = G2p::new(graphones, ngrams).pack();
    let dictionary = Dictionary::pack(words.iter().copied());
    Lexicon::to_file(&dictionary, &homographs.pack(), &model, compress)
}

fn measure(words: &cmudict::Words, prune: f64) {
    let plain = |word: &str| word.len() > 1 && !word.contains('\'');
    let is_held_out = |word: &str| plain(word) && crc32c::crc32c(word.as_bytes()).is_multiple_of(HELD_OUT);
    let known: Vec<_> = words.iter().filter(|(word, _)| !is_held_out(word)).map(|(word, phones)| (&word[..], &phones[0][..])).collect();
    let held_out: Vec<_> = words.iter().filter(|(word, _)| is_held_out(word)).collect();
    let file = lexicon(&known, &Disambiguator::default(), prune);
    let lexicon = Lexicon::from_bytes(&file, "the lexicon of this run").expect("a lexicon");
    println!("{} bytes of dictionary and model", file.len());
    println!("\n{} held-out words of CMUdict; the nearest of each word's pronunciations counts", held_out.len());
    println!("| | PER | WER | PER without stress | WER without stress | ms a word |");
    println!("|---|---|---|---|---|---|");
    let report = |name: &str, phones: &dyn Fn(&str) -> Vec<Phone>| {
        let started = Instant::now();
        let found: Vec<_> = held_out.iter().map(|(word, _)| phones(word)).collect();
        let milliseconds = started.elapsed().as_secs_f64() * 1e3 / held_out.len() as f64;
        let (mut stressed, mut plain) = (Score::default(), Score::default());
        for ((_, expected), found) in held_out.iter().zip(&found) {
            stressed.add(found, expected, |phone| phone.name());
            plain.add(found, expected, |phone| phone.base());
        }
        let [a, b, c, d] =
            [stressed.phones(), stressed.words(), plain.phones(), plain.words()].map(|rate| format!("{:.2} %", rate * 100.0));
        println!("| {name} | {a} | {b} | {c} | {d} | {milliseconds:.2} |");
    };
    report("joint-sequence model", &|word| lexicon.model().phones(word));
    report("lexicon with its rules", &|word| lexicon.word(word).0);
    let peer = grapheme_to_phoneme::Model::load_in_memory().expect("the peer's weights");
    report("g2p_en (has seen these words)", &|word| {
        let mut names = peer.predict_phonemes_strs(word).unwrap_or_default();
        // It may also predict symbols that are no phones.
        names.retain(|name| Phone::from_name(name).is_some());
        cmudict::phones(&names)
    });
    println!("\n| rule | words | PER | PER of the model on the same words |");
    println!("|---|---|---|---|");
    let mut rules: BTreeMap<&str, (usize, Score, Score)> = BTreeMap::new();
    for (word, expected) in &held_out {
        let (phones, found) = lexicon.word(word);
        let rule = rules.entry(found.name()).or_default();
        rule.0 += 1;
        rule.1.add(&phones, expected, |phone| phone.name());
        rule.2.add(&lexicon.model().phones(word), expected, |phone| phone.name());
    }
    for (name, (words, rule, model)) in &rules {
        println!("| {name} | {words} | {:.2} % | {:.2} % |", rule.phones() * 100.0, model.phones() * 100.0);
    }
}
