//! Trains and measures what tells words apart that are written alike, from a checkout of WikipediaHomographData (K. Gorman, G. Mazovetskiy and
//! V. Nikolaev, "Improving homograph disambiguation with machine learning", 2018; Apache-2.0).
//!
//! The objective is the cross-entropy of each word's pronunciations with an L1 penalty on the weights, minimised by AdaGrad with proximal steps
//! (J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use primal_speech::disambiguation::{Disambiguator, Homograph, NAME, PARTS, Pronunciation, Weights, features, tokens};
use primal_speech::normalise::normalise;
use primal_speech::{Lexicon, Phone};

use crate::cmudict::Words;
use crate::ipa;

/// Passes over the training sentences.
const PASSES: usize = 30;
const RATE: f64 = 0.2;
/// The penalty on each weight of a word, and of those that words share.
const OWN_PENALTY: f64 = 3e-4;
const SHARED_PENALTY: f64 = 1e-4;
/// How often a feature has to be met for a weight of its own, by a word and by all that share.
const LEAST_OWN: usize = 2;
const LEAST_SHARED: usize = 4;
/// Weights are whole numbers of steps, of which the largest weight has so many.
const STEPS: f64 = 127.0;

/// A sentence with a word of several pronunciations.
struct Example {
    word: String,
    /// Which of them it has.
    answer: usize,
    features: Vec<u32>,
}

/// Pronunciations of each word: their names in the data and what they are.
type Known = BTreeMap<String, Vec<(String, Pronunciation)>>;

/// Trains on the training split, prints how many sentences of the other one are answered, and gives the model.
pub fn train(folder: &Path, cmudict: &Words) -> Disambiguator {
    let known = pronunciations(&folder.join("data/wordids.tsv"), cmudict);
    let lexicon = primal_host::voice::english();
    let read = |split: &str| examples(&folder.join("data").join(split), &known, &lexicon);
    let (training, evaluation) = (read("train"), read("eval"));
    let model = fit(&known, &training);
    let file = model.pack();
    println!("{} words, {} weights, {} bytes", model.words.len(), model.len(), file.len());
    report(&model, &training, &evaluation);
    model
}

fn report(model: &Disambiguator, training: &[Example], evaluation: &[Example]) {
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
        entry.0 += usize::from(choose(model, example) == example.answer);
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

fn choose(model: &Disambiguator, example: &Example) -> usize {
    model.choose_of(&example.word, &example.features).unwrap_or_default()
}

/// The fields of a line, without their quotation marks.
fn fields(line: &str) -> Vec<String> {
    let bare = |field: &str| field.strip_prefix('"').and_then(|field| field.strip_suffix('"')).unwrap_or(field).replace("\"\"", "\"");
    line.split('\t').map(bare).collect()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pronunciations(path: &Path, cmudict: &Words) -> Known {
    let mut listed: BTreeMap<String, Vec<(String, u8, Vec<Phone>)>> = BTreeMap::new();
    for line in text(path).lines().skip(1) {
        let [word, name, label, sound, ..] = &fields(line)[..] else { continue };
        let tags = [("vrb", "verb"), ("adj", "adjective"), ("nou", "noun")];
        let of_part =
            |(tag, part): &(&str, &str)| name.contains(&format!("_{tag}")) || name.contains(&format!("-{tag}")) || label.contains(part);
        let parts: u8 = tags.iter().enumerate().filter(|(_, tag)| of_part(tag)).map(|(bit, _)| 1 << bit).sum();
        let is_name = ["_geo", "_nam", "_bible"].iter().any(|tag| name.ends_with(tag));
        let parts = parts | if is_name { NAME } else { 0 };
        listed.entry(word.clone()).or_default().push((name.clone(), parts, ipa::phones(sound)));
    }
    let settled = |(word, sounds): (String, Vec<(String, u8, Vec<Phone>)>)| {
        let phones = ipa::settle(&sounds.iter().map(|(.., phones)| phones.clone()).collect::<Vec<_>>(), cmudict.get(&word));
        let all = sounds.into_iter().zip(phones).map(|((name, parts, _), phones)| (name, Pronunciation { phones, parts })).collect();
        (word, all)
    };
    listed.into_iter().filter(|(_, sounds)| sounds.len() > 1).map(settled).collect()
}

fn examples(folder: &Path, known: &Known, lexicon: &Lexicon) -> Vec<Example> {
    let mut all = Vec::new();
    let mut lost = 0;
    for word in known.keys() {
        for line in text(&folder.join(format!("{word}.tsv"))).lines().skip(1) {
            let [_, name, sentence, start, end] = &fields(line)[..] else { continue };
            let (Ok(start), Ok(end)) = (start.parse::<usize>(), end.parse::<usize>()) else { continue };
            let Some(answer) = known[word].iter().position(|(known, _)| known == name) else { continue };
            let items = normalise(sentence, &|word| lexicon.knows(word)).items;
            let said: Vec<_> = items.into_iter().filter(|item| item.spoken != primal_speech::normalise::Spoken::Silence).collect();
            let found = said.iter().position(|item| item.spoken.word() == Some(word) && item.source.start < end && start < item.source.end);
            let features = found.map_or_else(Vec::new, |at| features(&tokens(sentence, &said), at));
            lost += usize::from(features.is_empty());
            all.push(Example { word: word.clone(), answer, features });
        }
    }
    println!("{}: {} sentences; in {lost} the word is read as another one", folder.display(), all.len());
    all
}

/// A weight and the sum of its squared gradients.
#[derive(Clone, Copy, Default)]
struct Weight {
    value: f64,
    squares: f64,
}

impl Weight {
    fn step(&mut self, gradient: f64, penalty: f64) {
        self.squares += gradient * gradient;
        let rate = RATE / (self.squares.sqrt() + 1e-3);
        let value = self.value - rate * gradient;
        self.value = value.signum() * (value.abs() - rate * penalty).max(0.0);
    }
}

fn fit(known: &Known, examples: &[Example]) -> Disambiguator {
    // The lists: those of the parts of speech, then those of each word's pronunciations but the first.
    let mut first = BTreeMap::new();
    let mut lists = PARTS.len();
    for (word, pronunciations) in known {
        first.insert(&word[..], lists);
        lists += pronunciations.len() - 1;
    }
    // How often each list meets a feature: what is rare says little, and takes room.
    let mut counts: Vec<HashMap<u32, usize>> = vec![HashMap::new(); lists];
    for example in examples {
        let own = first[&example.word[..]];
        for list in (0..PARTS.len()).chain(own..own + known[&example.word].len() - 1) {
            example.features.iter().for_each(|&feature| *counts[list].entry(feature).or_default() += 1);
        }
    }
    let least = |list: usize| if list < PARTS.len() { LEAST_SHARED } else { LEAST_OWN };
    let mut weights: Vec<HashMap<u32, Weight>> = counts
        .iter()
        .enumerate()
        .map(|(list, counts)| {
            let often = counts.iter().filter(|(_, count)| **count >= least(list));
            often.map(|(&feature, _)| (feature, Weight::default())).collect()
        })
        .collect();
    let mut order: Vec<usize> = (0..examples.len()).collect();
    let mut random = 1_u64;
    for _ in 0..PASSES {
        for at in (1..order.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            order.swap(at, (random >> 33) as usize % (at + 1));
        }
        for &at in &order {
            let example = &examples[at];
            let pronunciations = &known[&example.word];
            let own = first[&example.word[..]];
            let uses = |number: usize| {
                let parts = pronunciations[number].1.parts;
                let share = 1.0 / f64::from((parts & !NAME).count_ones().max(1));
                let shared = (0..PARTS.len()).filter(move |part| parts >> part & 1 == 1).map(move |part| (part, share));
                shared.chain(number.checked_sub(1).map(|number| (own + number, 1.0)))
            };
            let sum = |list: usize| {
                example.features.iter().filter_map(|feature| weights[list].get(feature)).map(|weight| weight.value).sum::<f64>()
            };
            let scores: Vec<f64> =
                (0..pronunciations.len()).map(|number| uses(number).map(|(list, share)| share * sum(list)).sum()).collect();
            let most = scores.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = scores.iter().map(|score| (score - most).exp()).sum();
            let mut gradients: BTreeMap<usize, f64> = BTreeMap::new();
            for (number, score) in scores.iter().enumerate() {
                let gradient = (score - most).exp() / total - f64::from(u8::from(number == example.answer));
                uses(number).for_each(|(list, share)| *gradients.entry(list).or_default() += share * gradient);
            }
            for (list, gradient) in gradients {
                let penalty = if list < PARTS.len() { SHARED_PENALTY } else { OWN_PENALTY };
                for &feature in &example.features {
                    if let Some(weight) = weights[list].get_mut(&feature) {
                        weight.step(gradient, penalty);
                    }
                }
            }
        }
    }
    quantised(known, &weights)
}

fn quantised(known: &Known, weights: &[HashMap<u32, Weight>]) -> Disambiguator {
    let most = weights.iter().flat_map(HashMap::values).map(|weight| weight.value.abs()).fold(0.0, f64::max);
    let scale = STEPS / most;
    let mut lists = weights.iter().map(|list| {
        let entry = |(&feature, weight): (&u32, &Weight)| (feature, (weight.value * scale).round() as i8);
        let entries: BTreeMap<u32, i8> = list.iter().map(entry).filter(|(_, weight)| *weight != 0).collect();
        Weights::new(entries)
    });
    let mut model = Disambiguator::default();
    model.parts.iter_mut().for_each(|part| *part = lists.next().expect("a list for each part of speech"));
    for (word, pronunciations) in known {
        let weights = lists.by_ref().take(pronunciations.len() - 1).collect();
        let pronunciations = pronunciations.iter().map(|(_, pronunciation)| pronunciation.clone()).collect();
        model.words.insert(word.clone(), Homograph { pronunciations, weights });
    }
    model
}
