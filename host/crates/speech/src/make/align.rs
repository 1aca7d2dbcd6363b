//! Which letters of a word stand for which of its phones, learnt by expectation maximisation (Bisani and Ney 2008, section 3).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::Phone;
use crate::g2p::Graphone;

/// Letters and phones of a graphone.
const SHAPES: [(usize, usize); 4] = [(1, 0), (1, 1), (1, 2), (2, 1)];
const ROUNDS: usize = 8;
/// Rarer graphones are dropped, if the words can do without.
const RARE: f64 = 3.0;

/// The graphones and, for each word that can be aligned, the numbers of its own.
pub fn align(words: &[(&str, &[Phone])]) -> (Vec<Graphone>, Vec<Vec<usize>>) {
    // Numbers instead of graphones: each cell of a word's lattice is looked up once.
    let mut graphones = Graphones::default();
    let lattices: Vec<Lattice> = words.iter().map(|(word, phones)| Lattice::new(word.as_bytes(), phones, &mut graphones)).collect();
    let graphones = graphones.all;
    let mut p = vec![1.0; graphones.len()];
    for round in 0..ROUNDS {
        let mut counts = vec![0.0; p.len()];
        lattices.iter().for_each(|lattice| lattice.expect(&p, &mut counts));
        if round + 2 >= ROUNDS {
            counts.iter_mut().for_each(|count| *count = if *count < RARE { 1e-9 } else { *count });
        }
        let total: f64 = counts.iter().sum();
        p = counts.iter().map(|count| count / total).collect();
    }
    let best: Vec<Vec<usize>> = lattices.iter().map(|lattice| lattice.best(&p)).filter(|best| !best.is_empty()).collect();
    let used: BTreeSet<usize> = best.iter().flatten().copied().collect();
    let renumbered: BTreeMap<usize, usize> = used.iter().enumerate().map(|(new, &old)| (old, new)).collect();
    let sequences = best.iter().map(|best| best.iter().map(|number| renumbered[number]).collect()).collect();
    (used.iter().map(|&number| graphones[number].clone()).collect(), sequences)
}

/// Numbers for graphones, in the order in which they are met.
#[derive(Default)]
struct Graphones {
    numbers: HashMap<([u8; 2], [Option<Phone>; 2]), usize>,
    all: Vec<Graphone>,
}

impl Graphones {
    fn number(&mut self, letters: &[u8], phones: &[Phone]) -> usize {
        let key = ([letters[0], letters.get(1).copied().unwrap_or(0)], [phones.first().copied(), phones.get(1).copied()]);
        *self.numbers.entry(key).or_insert_with(|| {
            self.all.push(Graphone { letters: letters.into(), phones: phones.into() });
            self.all.len() - 1
        })
    }
}

/// From one cell to another by a graphone's number; small, as there are tens of millions.
type Edge = (u16, u16, u32);

/// The ways to align one word.
struct Lattice {
    /// From and to which cell (letters, phones: numbered row by row) by which graphone; from smaller cells to larger ones.
    edges: Vec<Edge>,
    cells: usize,
}

impl Lattice {
    fn new(letters: &[u8], phones: &[Phone], graphones: &mut Graphones) -> Self {
        let width = phones.len() + 1;
        let mut edges = Vec::new();
        // Each of the letters that are left can stand for two phones, each of the phones for two letters.
        let possible = |l: usize, p: usize| p <= 2 * l && phones.len() - p <= 2 * (letters.len() - l);
        for l in 0..letters.len() {
            for p in 0..width {
                for (more_letters, more_phones) in SHAPES {
                    if l + more_letters <= letters.len()
                        && p + more_phones < width
                        && possible(l, p)
                        && possible(l + more_letters, p + more_phones)
                    {
                        let number = graphones.number(&letters[l..l + more_letters], &phones[p..p + more_phones]);
                        let cell = |l: usize, p: usize| (l * width + p) as u16;
                        edges.push((cell(l, p), cell(l + more_letters, p + more_phones), number as u32));
                    }
                }
            }
        }
        Self { edges, cells: (letters.len() + 1) * width }
    }

    fn edges(&self) -> impl DoubleEndedIterator<Item = (usize, usize, usize)> {
        self.edges.iter().map(|&(from, to, number)| (from.into(), to.into(), number as usize))
    }

    /// Adds how often each graphone is expected.
    fn expect(&self, p: &[f64], counts: &mut [f64]) {
        let mut forward = vec![0.0; self.cells];
        let mut backward = vec![0.0; self.cells];
        forward[0] = 1.0;
        backward[self.cells - 1] = 1.0;
        self.edges().for_each(|(from, to, number)| forward[to] += forward[from] * p[number]);
        self.edges().rev().for_each(|(from, to, number)| backward[from] += backward[to] * p[number]);
        let total = backward[0];
        if total > 0.0 {
            self.edges().for_each(|(from, to, number)| counts[number] += forward[from] * p[number] * backward[to] / total);
        }
    }

    /// The likeliest sequence.
    fn best(&self, p: &[f64]) -> Vec<usize> {
        let mut best = vec![(0.0, usize::MAX, 0); self.cells];
        best[0].0 = 1.0;
        for (from, to, number) in self.edges() {
            let score = best[from].0 * p[number];
            if score > best[to].0 {
                best[to] = (score, from, number);
            }
        }
        let mut sequence = Vec::new();
        let mut cell = self.cells - 1;
        while cell != 0 && best[cell].1 != usize::MAX {
            sequence.push(best[cell].2);
            cell = best[cell].1;
        }
        sequence.reverse();
        if cell == 0 { sequence } else { Vec::new() }
    }
}
