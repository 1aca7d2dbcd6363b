//! Trains what tells words apart that are written alike, from a checkout of WikipediaHomographData (K. Gorman, G. Mazovetskiy and
//! V. Nikolaev, "Improving homograph disambiguation with machine learning", 2018; Apache-2.0).
//!
//! The objective is the cross-entropy of each word's pronunciations with an L1 penalty on the weights, minimised by AdaGrad with proximal steps
//! (J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::cmudict::Words;
use super::{ipa, read};
use crate::disambiguation::{Disambiguator, Homograph, NAME, PARTS, Pronunciation, Weights, features, tokens};
use crate::normalise::{Spoken, normalise};
use crate::{Lexicon, Phone, Result};

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
pub struct Example {
    /// The word, in small letters.
    pub word: String,
    /// Which of its pronunciations it has here.
    pub answer: usize,
    /// What stands around it; nothing where the word is read as another one.
    pub features: Vec<u32>,
}

/// Pronunciations of each word: their names in the data and what they are.
type Known = BTreeMap<String, Vec<(String, Pronunciation)>>;

/// Words with several pronunciations, and sentences with them.
pub struct Data {
    known: Known,
    /// The training split.
    pub training: Vec<Example>,
    /// The split for evaluation.
    pub evaluation: Vec<Example>,
}

impl Data {
    /// Reads a checkout of WikipediaHomographData; its sentences are normalised as `lexicon` knows words, and `say` hears how many there are.
    ///
    /// # Errors
    /// A file that is missing or no text.
    pub fn read(folder: &Path, words: &Words, lexicon: &Lexicon, say: &dyn Fn(&str)) -> Result<Self> {
        let data = folder.join("data");
        let known = pronunciations(&data.join("wordids.tsv"), words)?;
        let split = |name| examples(&data.join(name), &known, lexicon, say);
        let (training, evaluation) = (split("train")?, split("eval")?);
        Ok(Self { known, training, evaluation })
    }

    /// A model of the training split.
    pub fn train(&self) -> Disambiguator {
        fit(&self.known, &self.training)
    }
}

/// The fields of a line, without their quotation marks.
fn fields(line: &str) -> Vec<String> {
    let bare = |field: &str| field.strip_prefix('"').and_then(|field| field.strip_suffix('"')).unwrap_or(field).replace("\"\"", "\"");
    line.split('\t').map(bare).collect()
}

fn pronunciations(path: &Path, cmudict: &Words) -> Result<Known> {
    let mut listed: BTreeMap<String, Vec<(String, u8, Vec<Phone>)>> = BTreeMap::new();
    for line in read(path)?.lines().skip(1) {
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
    Ok(listed.into_iter().filter(|(_, sounds)| sounds.len() > 1).map(settled).collect())
}

fn examples(folder: &Path, known: &Known, lexicon: &Lexicon, say: &dyn Fn(&str)) -> Result<Vec<Example>> {
    let mut all = Vec::new();
    let mut lost = 0;
    for word in known.keys() {
        for line in read(&folder.join(format!("{word}.tsv")))?.lines().skip(1) {
            let [_, name, sentence, start, end] = &fields(line)[..] else { continue };
            let (Ok(start), Ok(end)) = (start.parse::<usize>(), end.parse::<usize>()) else { continue };
            let Some(answer) = known[word].iter().position(|(known, _)| known == name) else { continue };
            let items = normalise(sentence, &|word| lexicon.knows(word)).items;
            let said: Vec<_> = items.into_iter().filter(|item| item.spoken != Spoken::Silence).collect();
            let found = said.iter().position(|item| item.spoken.word() == Some(word) && item.source.start < end && start < item.source.end);
            let features = found.map_or_else(Vec::new, |at| features(&tokens(sentence, &said), at));
            lost += usize::from(features.is_empty());
            all.push(Example { word: word.clone(), answer, features });
        }
    }
    say(&format!("{}: {} sentences; in {lost} the word is read as another one", folder.display(), all.len()));
    Ok(all)
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
