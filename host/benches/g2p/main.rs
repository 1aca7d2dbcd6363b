//! Phone and word error rates on words of CMUdict that neither the dictionary nor the model has seen, beside those of the model of `g2p_en`.
//!
//! The peer's weights are those of the crate `grapheme_to_phoneme`. They were trained on all of CMUdict, the held-out words included.

#[path = "../shared/arguments.rs"]
mod arguments;
mod homographs;
mod score;
mod suite;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use argh::FromArgs;
use arguments::arguments;
use primal_speech::disambiguation::Disambiguator;
use primal_speech::make::cmudict::{self, is_held_out};
use primal_speech::make::{PRUNE, lexicon};
use primal_speech::{Lexicon, Phone};

use primal_engine::files;
use primal_host::voice::english;
use primal_host::voice::letters::{BEAM, Letters};
use primal_host::{Error, Result};

use score::Score;

/// measure what turns words into phones
#[derive(FromArgs)]
struct Arguments {
    /// least loss, in nats over all words, for which the model keeps an n-gram (default 0.7)
    #[argh(option, default = "PRUNE")]
    prune: f64,
    /// a checkpoint of a model that `primal-host train --config models/letters.toml` trained: measured beside the others, on one core
    #[argh(option)]
    letters: Option<PathBuf>,
    /// with --letters: answers that are followed at each letter (default 4)
    #[argh(option, default = "BEAM")]
    beam: usize,
    /// a folder of a published suite of text normalisation: print how much of it is read alike, and nothing else
    #[argh(option)]
    suite: Option<PathBuf>,
    /// with --suite: list what is read otherwise
    #[argh(switch)]
    misses: bool,
    /// a checkout of WikipediaHomographData: train and measure what tells words apart that are written alike, and nothing else
    #[argh(option)]
    homographs: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&arguments()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("g2p: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if arguments.beam == 0 {
        return Err(Error::bad_input("--beam", "an answer to follow at least", 0, "give 1 or more"));
    }
    if let Some(folder) = &arguments.suite {
        suite::measure(folder, arguments.misses, &english());
        return Ok(());
    }
    let words = cmudict::words()?;
    match &arguments.homographs {
        Some(folder) => Ok(homographs::measure(folder, &words, &english())?),
        None => {
            // Before the first question for the number of threads: one core answers.
            rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("threads");
            let letters = arguments.letters.as_ref().map(|path| Letters::new(&*files::open(path)?, arguments.beam)).transpose()?;
            measure(&words, arguments.prune, letters);
            Ok(())
        }
    }
}

/// Counts a word; `symbol` says which phones are the same.
fn add(score: &mut Score, found: &[Phone], expected: &[Vec<Phone>], symbol: fn(Phone) -> &'static str) {
    let symbols = |phones: &[Phone]| phones.iter().map(|&phone| symbol(phone)).collect::<Vec<_>>();
    score.add(&symbols(found), expected.iter().map(|phones| symbols(phones)));
}

fn measure(words: &cmudict::Words, prune: f64, letters: Option<Letters>) {
    let known: Vec<_> = words.iter().filter(|(word, _)| !is_held_out(word)).map(|(word, phones)| (&word[..], &phones[0][..])).collect();
    let held_out: Vec<_> = words.iter().filter(|(word, _)| is_held_out(word)).collect();
    let file = lexicon(&known, &Disambiguator::default(), prune, &|line| println!("{line}"));
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
            add(&mut stressed, found, expected, Phone::name);
            add(&mut plain, found, expected, Phone::base);
        }
        let [a, b, c, d] =
            [stressed.phones(), stressed.words(), plain.phones(), plain.words()].map(|rate| format!("{:.2} %", rate * 100.0));
        println!("| {name} | {a} | {b} | {c} | {d} | {milliseconds:.2} |");
    };
    report("joint-sequence model", &|word| lexicon.model().phones(word));
    report("lexicon with its rules", &|word| lexicon.word(word).0);
    if let Some(letters) = letters.map(RefCell::new) {
        report("letters by `train`, 4 bits", &|word| letters.borrow_mut().phones(word));
    }
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
        add(&mut rule.1, &phones, expected, Phone::name);
        add(&mut rule.2, &lexicon.model().phones(word), expected, Phone::name);
    }
    for (name, (words, rule, model)) in &rules {
        println!("| {name} | {words} | {:.2} % | {:.2} % |", rule.phones() * 100.0, model.phones() * 100.0);
    }
}
