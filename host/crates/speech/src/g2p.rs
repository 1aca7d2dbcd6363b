//! Phones of words that no dictionary has, by a joint-sequence model.
//!
//! A word and its phones are one sequence of *graphones*: one or two letters together with the phones that they stand for, none to two. An n-gram
//! model scores such sequences, and the likeliest one that spells the word gives its phones.
//!
//! M. Bisani and H. Ney, "Joint-sequence models for grapheme-to-phoneme conversion", Speech Communication 50 (2008).

use super::ngram::{Ngrams, ROOT, START, STOP};
use super::phone::Phone;

/// Sequences that are followed at each letter.
const BEAM: usize = 40;
/// The first graphone's number in the n-grams; those below are [`START`] and [`STOP`].
pub const FIRST: u16 = 2;

/// Graphones, at most; that of CMUdict has a fifth of it. Each letter of a word tries all that begin with it.
const MOST: u16 = 1 << 12;

/// Letters and the phones that they stand for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Graphone {
    /// One or two of `a` to `z` and the apostrophe.
    pub letters: Vec<u8>,
    /// At most two.
    pub phones: Vec<Phone>,
}

/// The model.
pub struct G2p {
    graphones: Vec<Graphone>,
    /// For each first letter, the numbers of its graphones.
    by_letter: Vec<Vec<u16>>,
    ngrams: Ngrams,
}

/// A sequence of graphones up to some letter.
#[derive(Clone, Copy)]
struct Path {
    score: f32,
    state: u32,
    graphone: u16,
    /// Where it came from among all paths.
    before: u32,
}

impl G2p {
    /// A model of graphones, which the n-grams count from [`FIRST`] on.
    pub fn new(graphones: Vec<Graphone>, ngrams: Ngrams) -> Self {
        let mut by_letter = vec![Vec::new(); 256];
        for (number, graphone) in graphones.iter().enumerate() {
            if let Some(&first) = graphone.letters.first() {
                by_letter[usize::from(first)].push(number as u16);
            }
        }
        Self { graphones, by_letter, ngrams }
    }

    /// The likeliest phones of a word of letters and apostrophes; none, if it has a letter that the model has never seen.
    pub fn phones(&self, word: &str) -> Vec<Phone> {
        let letters = word.as_bytes();
        let mut paths = vec![Path { score: 0.0, state: self.ngrams.step(ROOT, START).0, graphone: 0, before: 0 }];
        // The paths that end at each letter, as numbers in `paths`.
        let mut ends: Vec<Vec<Path>> = vec![Vec::new(); letters.len() + 1];
        let mut best = (f32::NEG_INFINITY, 0);
        for at in 0..=letters.len() {
            let range = if at == 0 { 0..1 } else { Self::prune(&mut ends[at], &mut paths) };
            for number in range {
                let path = paths[number];
                if at == letters.len() {
                    let score = path.score + self.ngrams.step(path.state, STOP).1;
                    if score > best.0 {
                        best = (score, number);
                    }
                    continue;
                }
                for &graphone in &self.by_letter[usize::from(letters[at])] {
                    let spelled = &self.graphones[usize::from(graphone)].letters;
                    if letters[at..].starts_with(spelled) {
                        let (state, score) = self.ngrams.step(path.state, FIRST + graphone);
                        let next = Path { score: path.score + score, state, graphone, before: number as u32 };
                        ends[at + spelled.len()].push(next);
                    }
                }
            }
        }
        let mut sequence = Vec::new();
        let mut number = best.1;
        while number > 0 {
            sequence.push(paths[number].graphone);
            number = paths[number].before as usize;
        }
        sequence.iter().rev().flat_map(|&graphone| self.graphones[usize::from(graphone)].phones.iter().copied()).collect()
    }

    /// Moves the best of `found` to the end of `paths`, one for each state: which ones they are.
    fn prune(found: &mut Vec<Path>, paths: &mut Vec<Path>) -> std::ops::Range<usize> {
        found.sort_by(|a, b| a.state.cmp(&b.state).then(b.score.total_cmp(&a.score)));
        found.dedup_by_key(|path| path.state);
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        let first = paths.len();
        paths.extend(found.drain(..).take(BEAM));
        first..paths.len()
    }

    /// Packs it.
    pub fn pack(&self) -> Vec<u8> {
        let mut bytes = (self.graphones.len() as u16).to_le_bytes().to_vec();
        for graphone in &self.graphones {
            bytes.push((graphone.letters.len() * 4 + graphone.phones.len()) as u8);
            bytes.extend_from_slice(&graphone.letters);
            bytes.extend(graphone.phones.iter().map(|phone| phone.index() as u8));
        }
        self.ngrams.pack(&mut bytes);
        bytes
    }

    /// Reads what [`Self::pack`] gave; none for other bytes.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let (count, mut rest) = bytes.split_first_chunk()?;
        let count = u16::from_le_bytes(*count);
        let mut graphones = Vec::new();
        for _ in 0..count {
            let (&lengths, tail) = rest.split_first()?;
            let (letters, tail) = tail.split_at_checked(usize::from(lengths / 4))?;
            let (phones, tail) = tail.split_at_checked(usize::from(lengths % 4))?;
            let phones = phones.iter().map(|&phone| Phone::new(phone).filter(|&phone| phone != Phone::SIL)).collect::<Option<_>>()?;
            graphones.push(Graphone { letters: letters.into(), phones });
            rest = tail;
        }
        let ngrams = Ngrams::unpack(rest, count.checked_add(FIRST).filter(|_| count <= MOST)?)?;
        let is_graphone = |graphone: &Graphone| (1..=2).contains(&graphone.letters.len()) && graphone.phones.len() <= 2;
        graphones.iter().all(is_graphone).then(|| Self::new(graphones, ngrams))
    }
}
