//! How many sentences of WikipediaHomographData are answered.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use primal_speech::disambiguation::Disambiguator;
use primal_speech::make::cmudict::Words;
use primal_speech::make::homographs::{Data, Example};
use primal_speech::{Lexicon, Result};

/// Trains on the training split, and prints how many sentences of the other one are answered.
pub fn measure(folder: &Path, words: &Words, lexicon: &Lexicon) -> Result<()> {
    let data = Data::read(folder, words, lexicon, &|line| println!("{line}"))?;
    let model = data.train();
    println!("{} words, {} weights, {} bytes", model.words.len(), model.len(), model.pack().len());
    report(&model, &data.training, &data.evaluation);
    Ok(())
}

fn report(model: &Disambiguator, training: &[Example], evaluation: &[Example]) {
    let choose = |example: &Example| model.choose_of(&example.word, &example.features).unwrap_or_default();
    let mut counts: HashMap<&str, Vec<usize>> = HashMap::new();
    for example in training {
        let counts = counts.entry(&example.word).or_insert_with(|| vec![0; model.words[&example.word].pronunciations.len()]);
        counts[example.answer] += 1;
    }
    let frequent = |example: &Example| {
        let counts = &counts[&example.word[..]];
        (0..counts.len()).max_by_key(|&number| counts[number]) == Some(example.answer)
    };
    let mut by_word: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for example in evaluation {
        let entry = by_word.entry(&example.word).or_default();
        entry.0 += usize::from(choose(example) == example.answer);
        entry.1 += 1;
    }
    let share = |right: usize| 100.0 * right as f64 / evaluation.len() as f64;
    let right: usize = by_word.values().map(|(right, _)| right).sum();
    println!("| on {} sentences of the eval split | right |\n|---|---|", evaluation.len());
    println!(
        "| the training split's most frequent pronunciation | {:.1} % |",
        share(evaluation.iter().filter(|example| frequent(example)).count())
    );
    println!("| the model | {:.1} % |", share(right));
    let mut worst: Vec<_> = by_word.into_iter().filter(|(_, (right, all))| right < all).collect();
    worst.sort_by_key(|(word, (right, all))| (std::cmp::Reverse(all - right), *word));
    let list: Vec<String> = worst.iter().take(20).map(|(word, (right, all))| format!("{word} {right}/{all}")).collect();
    println!("worst: {}", list.join(", "));
}
