//! N-gram probabilities by interpolated modified Kneser-Ney smoothing, and pruned.
//!
//! S. F. Chen and J. Goodman, "An empirical study of smoothing techniques for language modeling", 1998.

use std::collections::HashMap;

use crate::ngram::{Ngrams, START, STOP};

/// Symbols of an n-gram; the rest is [`NONE`].
type Key = [u16; LONGEST];
/// The longest n-grams.
pub const LONGEST: usize = 7;
const NONE: u16 = u16::MAX;

#[derive(Clone, Copy, Default)]
struct Node {
    /// How often it occurs; for all but the longest, and but those that begin with [`START`], after how many different symbols.
    count: f64,
    probability: f64,
    keep: bool,
}

/// An n-gram model of the sequences that keeps the n-grams whose loss would matter most: at least `prune` nats over all sequences.
pub fn train(sequences: &[Vec<u16>], prune: f64) -> Ngrams {
    let mut levels = count(sequences);
    for length in 1..=LONGEST {
        let (shorter, level) = levels.split_at_mut(length - 1);
        smooth(&mut level[0], shorter.last(), length);
    }
    mark(&mut levels, prune);
    let backoffs = backoffs(&levels);
    let mut entries = Vec::new();
    for (index, level) in levels.iter().enumerate() {
        for (key, node) in level.iter().filter(|(_, node)| node.keep) {
            let backoff = backoffs.get(key).copied().unwrap_or(0.0);
            entries.push((key[..=index].to_vec(), node.probability.ln() as f32, backoff as f32));
        }
    }
    Ngrams::new(entries)
}

fn key(symbols: &[u16]) -> Key {
    let mut key = [NONE; LONGEST];
    key[..symbols.len()].copy_from_slice(symbols);
    key
}

fn context(key: &Key, length: usize) -> Key {
    self::key(&key[..length - 1])
}

fn shorter(key: &Key, length: usize) -> Key {
    self::key(&key[1..length])
}

fn count(sequences: &[Vec<u16>]) -> Vec<HashMap<Key, Node>> {
    let mut levels = vec![HashMap::<Key, Node>::new(); LONGEST];
    for sequence in sequences {
        let symbols: Vec<u16> = [START].into_iter().chain(sequence.iter().copied()).chain([STOP]).collect();
        for end in 1..=symbols.len() {
            for length in 1..=LONGEST.min(end) {
                if length == LONGEST || length == end {
                    levels[length - 1].entry(key(&symbols[end - length..end])).or_default().count += 1.0;
                }
            }
        }
    }
    for length in (2..=LONGEST).rev() {
        let (lower, level) = levels.split_at_mut(length - 1);
        for key in level[0].keys() {
            let node = lower[length - 2].entry(shorter(key, length)).or_default();
            node.count += 1.0;
        }
    }
    levels
}

/// Gives the n-grams of one length their probabilities.
fn smooth(level: &mut HashMap<Key, Node>, lower: Option<&HashMap<Key, Node>>, length: usize) {
    let occur = |times: f64| level.values().filter(|node| node.count == times).count() as f64;
    let n: Vec<f64> = (1..=4).map(|times| occur(f64::from(times)).max(1.0)).collect();
    let y = n[0] / (n[0] + 2.0 * n[1]);
    let discounts = [1.0 - 2.0 * y * n[1] / n[0], 2.0 - 3.0 * y * n[2] / n[1], 3.0 - 4.0 * y * n[3] / n[2]].map(|d| d.clamp(0.05, 2.9));
    let discount = |count: f64| discounts[(count as usize).clamp(1, 3) - 1].min(count);
    let predicted = |key: &Key| length > 1 || key[0] != START;
    let mut totals: HashMap<Key, (f64, f64)> = HashMap::new();
    for (key, node) in level.iter().filter(|(key, _)| predicted(key)) {
        let total = totals.entry(context(key, length)).or_default();
        total.0 += node.count;
        total.1 += discount(node.count);
    }
    let kinds = level.len() as f64;
    for (key, node) in level.iter_mut() {
        let (count, discounted) = totals[&context(key, length)];
        let below = lower.map_or(1.0 / kinds, |lower| lower[&shorter(key, length)].probability);
        node.probability = if predicted(key) { (node.count - discount(node.count)) / count + discounted / count * below } else { 1e-4 };
    }
}

/// Marks what is kept: single symbols, what is worth it, and the context and the shorter n-gram of what is kept.
fn mark(levels: &mut [HashMap<Key, Node>], prune: f64) {
    levels[0].values_mut().for_each(|node| node.keep = true);
    for length in (2..=LONGEST).rev() {
        let (lower, level) = levels.split_at_mut(length - 1);
        let below = &mut lower[length - 2];
        // What the shorter context leaves over for a symbol that is not kept, by context.
        let mut weights: HashMap<Key, (f64, f64)> = HashMap::new();
        for (key, node) in level[0].iter() {
            let weight = weights.entry(context(key, length)).or_insert((1.0, 1.0));
            weight.0 -= node.probability;
            weight.1 -= below[&shorter(key, length)].probability;
        }
        for (key, node) in level[0].iter_mut() {
            let (rest, rest_below) = weights[&context(key, length)];
            let without = below[&shorter(key, length)].probability * (rest.max(1e-9) / rest_below.max(1e-9));
            node.keep |= node.count * (node.probability / without).ln() >= prune;
        }
        for (key, _) in level[0].iter().filter(|(_, node)| node.keep) {
            below.get_mut(&shorter(key, length)).expect("every n-gram's shorter one").keep = true;
            below.get_mut(&context(key, length)).expect("every n-gram's context").keep = true;
        }
    }
}

/// The logarithms of the back-off weights: what the kept symbols leave over, in parts of what they leave over in the shorter context.
fn backoffs(levels: &[HashMap<Key, Node>]) -> HashMap<Key, f64> {
    let mut left: HashMap<Key, (f64, f64)> = HashMap::new();
    let mut all = HashMap::new();
    for length in 2..=LONGEST {
        left.clear();
        for (key, node) in levels[length - 1].iter().filter(|(_, node)| node.keep) {
            let left = left.entry(context(key, length)).or_insert((1.0, 1.0));
            left.0 -= node.probability;
            left.1 -= levels[length - 2][&shorter(key, length)].probability;
        }
        all.extend(left.iter().map(|(&context, &(rest, below))| (context, (rest.max(1e-6) / below.max(1e-6)).ln())));
    }
    all
}
