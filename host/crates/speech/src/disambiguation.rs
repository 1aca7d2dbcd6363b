//! Which of its pronunciations a word has that is written like another one: a logistic regression on the words around it.
//!
//! Each pronunciation has a score: the sum of the weights that its word gives to the features of the place, and of the weights that all words share
//! for its part of speech. The highest score wins. `cargo xtask make-lexicon --homographs` trains the weights.

use std::collections::HashMap;

use super::normalise::{Item, Spoken};
use super::phone::{Phone, names};

/// Bits of a feature's number.
const HASH_BITS: u32 = 24;
/// Words to either side that count wherever they stand.
const NEAR: usize = 6;
/// The text of a pause's token.
pub const PAUSE: &str = ",";
/// The text of a token that is spelled out.
pub const LETTER: &str = "X";
/// The parts of speech whose weights words share; other ones have weights of zero.
pub const PARTS: [&str; 3] = ["verb", "adjective", "noun"];
/// The bit of [`Pronunciation::parts`] of a name, which is never written with a small letter.
pub const NAME: u8 = 1 << PARTS.len();
/// Verbs that the data knows as nouns only.
const VERBS: [(&str, &str); 1] = [("bow", "B AW1")];
/// Behind these, and behind "I", "we" and "they", a word is the base form of a verb. Not behind "to" and "not", which nouns follow as well.
const AUXILIARIES: [&str; 15] = [
    "will", "would", "can", "could", "should", "must", "might", "cannot", "don't", "didn't", "doesn't", "won't", "can't", "couldn't",
    "wouldn't",
];
/// In front of these the first word of a sentence is a verb.
const DETERMINERS: [&str; 10] = ["the", "your", "my", "his", "her", "our", "their", "these", "this", "it"];
/// They stand between "have" and its verb.
const ADVERBS: [&str; 10] = ["not", "never", "already", "just", "also", "always", "ever", "only", "once", "even"];
/// Behind these a verb is in the perfect.
const HAVE: [&str; 21] = [
    "have", "has", "had", "having", "haven't", "hasn't", "hadn't", "i've", "you've", "we've", "they've", "who've", "he'd", "she'd", "i'd",
    "they'd", "we'd", "you'd", "he's", "she's", "it's",
];
/// The feature of a word that begins with a small letter.
const SMALL: [&str; 2] = ["^", "small"];

/// A token of a text: a word, a letter, or a pause.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// A word in small letters, [`LETTER`] or [`PAUSE`].
    pub text: &'a str,
    /// Is it written with a capital?
    pub capital: bool,
}

/// The tokens of a text that was read as these items.
pub fn tokens<'a>(text: &str, items: &'a [Item]) -> Vec<Token<'a>> {
    let token = |item: &'a Item| {
        let capital = text.get(item.source.clone()).is_some_and(|text| text.starts_with(char::is_uppercase));
        match &item.spoken {
            Spoken::Word(word) => Some(Token { text: word, capital }),
            Spoken::Letter(_) => Some(Token { text: LETTER, capital }),
            Spoken::Pause => Some(Token { text: PAUSE, capital: false }),
            Spoken::Silence => None,
        }
    };
    items.iter().filter_map(token).collect()
}

/// The numbers of what is true of a place among tokens.
pub fn features(tokens: &[Token], at: usize) -> Vec<u32> {
    let token = |offset: isize| at.checked_add_signed(offset).and_then(|at| tokens.get(at));
    let word = |offset: isize| token(offset).map_or("", |token| token.text);
    let mut all = Vec::with_capacity(48);
    let mut add = |parts: &[&str]| all.push(hash(parts));
    add(&["bias"]);
    for (name, offset) in [("-3", -3), ("-2", -2), ("-1", -1), ("+1", 1), ("+2", 2), ("+3", 3)] {
        let word = word(offset);
        add(&[name, word]);
        for length in [1, 2, 3] {
            if word.len() > length && word.is_ascii() {
                add(&[name, "~", &word[word.len() - length..]]);
            }
        }
        if token(offset).is_some_and(|token| token.capital) {
            add(&[name, "^"]);
        }
    }
    for (name, offsets) in [("-2-1", [-2, -1]), ("-1+1", [-1, 1]), ("+1+2", [1, 2])] {
        add(&[name, word(offsets[0]), " ", word(offsets[1])]);
    }
    let ending = |offset: isize| {
        let word = word(offset);
        if word.is_ascii() { &word[word.len().saturating_sub(2)..] } else { word }
    };
    add(&["-1~+1", word(-1), " ", ending(1)]);
    add(&["-1+1~", ending(-1), " ", word(1)]);
    let first = word(-1).is_empty() || word(-1) == PAUSE;
    let capital = token(0).is_some_and(|token| token.capital);
    add(&if !capital { SMALL } else { ["^", if first { "first" } else { "within" }] });
    for near in tokens[at.saturating_sub(NEAR)..at].iter().chain(tokens.iter().skip(at + 1).take(NEAR)) {
        if near.text != PAUSE {
            add(&["near", near.text]);
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// FNV-1a, folded.
fn hash(parts: &[&str]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    ((hash ^ (hash >> HASH_BITS)) & ((1 << HASH_BITS) - 1)) as u32
}

/// A pronunciation of a word that is written like another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pronunciation {
    /// Phones of the word.
    pub phones: Vec<Phone>,
    /// A bit for each of [`PARTS`] that it may be, and [`NAME`].
    pub parts: u8,
}

/// Weights of features: the numbers of features in order, and as many weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    features: Vec<u32>,
    weights: Vec<i8>,
}

impl Weights {
    /// From features in ascending order.
    pub fn new(entries: impl IntoIterator<Item = (u32, i8)>) -> Self {
        let (features, weights) = entries.into_iter().unzip();
        Self { features, weights }
    }

    fn sum(&self, features: &[u32]) -> i32 {
        let weight = |feature| self.features.binary_search(feature).map_or(0, |at| i32::from(self.weights[at]));
        features.iter().map(weight).sum()
    }

    fn len(&self) -> usize {
        self.features.len()
    }
}

/// A word with several pronunciations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Homograph {
    /// Pronunciations of the word, two at least.
    pub pronunciations: Vec<Pronunciation>,
    /// The weights of all but the first.
    pub weights: Vec<Weights>,
}

/// The words with several pronunciations, and what tells them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disambiguator {
    /// By the word in small letters.
    pub words: HashMap<String, Homograph>,
    /// The weights of [`PARTS`].
    pub parts: [Weights; PARTS.len()],
}

impl Disambiguator {
    /// The number of the pronunciation that the word at a place has; none, if it has only one.
    pub fn choose(&self, tokens: &[Token], at: usize) -> Option<usize> {
        let word = tokens.get(at)?.text;
        self.words.contains_key(word).then(|| self.by_rule(tokens, at).or_else(|| self.choose_of(word, &features(tokens, at))))?
    }

    /// The pronunciation where the words beside it leave no doubt.
    pub fn by_rule(&self, tokens: &[Token], at: usize) -> Option<usize> {
        let pronunciations = &self.words.get(tokens.get(at)?.text)?.pronunciations;
        let word = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", |token| token.text);
        let [before, second, after] = [at.checked_sub(1), at.checked_sub(2), Some(at + 1)].map(word);
        if tokens[at].text == "read" {
            let adverb = ADVERBS.contains(&before) || before.ends_with("ly");
            let perfect = HAVE.contains(&before) || (adverb && HAVE.contains(&second));
            let sound = if perfect { "R EH1 D" } else { "R IY1 D" };
            let sure = perfect || AUXILIARIES.contains(&before);
            return sure.then(|| pronunciations.iter().position(|known| names(&known.phones) == sound))?;
        }
        // "Bow to the queen", but "close to the river".
        let adjective = pronunciations.iter().any(|known| known.parts >> 1 & 1 == 1);
        let object = if after == "to" && !adjective { word(Some(at + 2)) } else { after };
        let order = (at == 0 || before == PAUSE) && tokens[at].capital && DETERMINERS.contains(&object);
        let verb = order || matches!(before, "i" | "we" | "they") || AUXILIARIES.contains(&before);
        let known_verb = VERBS.iter().find(|(verb, _)| *verb == tokens[at].text);
        let is_verb = |known: &Pronunciation| known_verb.map_or(known.parts & 1 == 1, |(_, sound)| names(&known.phones) == *sound);
        let mut verbs = (0..pronunciations.len()).filter(|&number| is_verb(&pronunciations[number]));
        let (one, other) = (verbs.next(), verbs.next());
        one.filter(|_| verb && other.is_none())
    }

    /// The number of the pronunciation that a word has where these features are true.
    pub fn choose_of(&self, word: &str, features: &[u32]) -> Option<usize> {
        let word = self.words.get(word)?;
        let shared: Vec<i32> = self.parts.iter().map(|weights| weights.sum(features)).collect();
        let score = |number: usize| {
            let parts = word.pronunciations[number].parts;
            let (sum, count) =
                (0..PARTS.len()).filter(|part| parts >> part & 1 == 1).fold((0, 0), |(sum, n), part| (sum + shared[part], n + 1));
            // The mean of the parts that it may be; in sixths, that it stays a whole number.
            6 * number.checked_sub(1).map_or(0, |number| word.weights[number].sum(features)) + 6 * sum / count.max(1)
        };
        let small = features.contains(&hash(&SMALL));
        let possible = |number: usize| !(small && word.pronunciations[number].parts & NAME != 0);
        (0..word.pronunciations.len()).max_by_key(|&number| (possible(number), score(number), std::cmp::Reverse(number)))
    }

    /// The phones of the word at a place, if it has several.
    pub fn phones(&self, tokens: &[Token], at: usize) -> Option<&[Phone]> {
        let number = self.choose(tokens, at)?;
        Some(&self.words[tokens[at].text].pronunciations[number].phones)
    }

    /// All weights.
    pub fn len(&self) -> usize {
        self.lists().iter().map(|weights| weights.len()).sum()
    }

    /// Has it no words?
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    fn names(&self) -> Vec<&String> {
        let mut names: Vec<&String> = self.words.keys().collect();
        names.sort();
        names
    }

    fn lists(&self) -> Vec<&Weights> {
        self.parts.iter().chain(self.names().into_iter().flat_map(|name| &self.words[name].weights)).collect()
    }

    /// As bytes: the words and their pronunciations, then how many weights each list has, then the features of all lists as differences, then the
    /// weights of all lists.
    pub fn pack(&self) -> Vec<u8> {
        let mut bytes = (self.words.len() as u32).to_le_bytes().to_vec();
        for name in self.names() {
            let pronunciations = &self.words[name].pronunciations;
            bytes.extend([name.len() as u8, pronunciations.len() as u8]);
            bytes.extend(name.bytes());
            for pronunciation in pronunciations {
                bytes.extend([pronunciation.parts, pronunciation.phones.len() as u8]);
                bytes.extend(pronunciation.phones.iter().map(|phone| phone.index() as u8));
            }
        }
        let lists = self.lists();
        lists.iter().for_each(|weights| bytes.extend((weights.len() as u32).to_le_bytes()));
        for weights in &lists {
            let mut last = 0;
            for &feature in &weights.features {
                bytes.extend(&(feature - last).to_le_bytes()[..3]);
                last = feature;
            }
        }
        lists.iter().for_each(|weights| bytes.extend(weights.weights.iter().map(|&weight| weight as u8)));
        bytes
    }

    /// Reads what [`Self::pack`] gave; nothing from bytes that are something else.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        ByteReader { rest: bytes }.all()
    }
}

struct ByteReader<'a> {
    rest: &'a [u8],
}

impl<'a> ByteReader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<usize> {
        Some(self.take(1)?[0].into())
    }

    fn number(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?) as usize)
    }

    fn all(mut self) -> Option<Disambiguator> {
        let mut words = Vec::new();
        for _ in 0..self.number()? {
            let (length, count) = (self.byte()?, self.byte()?);
            let name = std::str::from_utf8(self.take(length)?).ok()?;
            let pronunciations: Vec<_> = (0..count).map(|_| self.pronunciation()).collect::<Option<_>>()?;
            if count < 2 {
                return None;
            }
            words.push((name.to_string(), pronunciations));
        }
        let lists = PARTS.len() + words.iter().map(|(_, pronunciations)| pronunciations.len() - 1).sum::<usize>();
        let lengths: Vec<usize> = (0..lists).map(|_| self.number()).collect::<Option<_>>()?;
        let features: Vec<Vec<u32>> = lengths.iter().map(|&length| self.features(length)).collect::<Option<_>>()?;
        let mut weights = Vec::new();
        for (features, length) in features.into_iter().zip(lengths) {
            weights.push(Weights { features, weights: self.take(length)?.iter().map(|&byte| byte as i8).collect() });
        }
        let mut weights = weights.into_iter();
        let mut all = Disambiguator::default();
        all.parts.iter_mut().for_each(|part| *part = weights.next().unwrap_or_default());
        for (name, pronunciations) in words {
            let weights = weights.by_ref().take(pronunciations.len() - 1).collect();
            all.words.insert(name, Homograph { pronunciations, weights });
        }
        self.rest.is_empty().then_some(all)
    }

    fn pronunciation(&mut self) -> Option<Pronunciation> {
        let (parts, length) = (self.byte()? as u8, self.byte()?);
        let phones: Vec<Phone> = self.take(length)?.iter().map(|&byte| Phone::new(byte)).collect::<Option<_>>()?;
        (!phones.is_empty() && !phones.contains(&Phone::SIL)).then_some(Pronunciation { phones, parts })
    }

    fn features(&mut self, length: usize) -> Option<Vec<u32>> {
        let differences =
            self.take(length.checked_mul(3)?)?.chunks_exact(3).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]));
        let sum = |last: &mut u32, difference: u32| {
            *last = last.checked_add(difference)?;
            Some(*last)
        };
        let all: Vec<u32> = differences.scan(0, sum).collect();
        (all.len() == length).then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::phone::parse;

    fn small() -> Disambiguator {
        let pronunciation = |names, parts| Pronunciation { phones: parse(names).unwrap(), parts };
        let tokens = [Token { text: "we", capital: false }, Token { text: "live", capital: false }];
        let weights = Weights::new(features(&tokens, 1).into_iter().map(|feature| (feature, 5)));
        let live = Homograph { pronunciations: vec![pronunciation("L AY1 V", 2), pronunciation("L IH1 V", 1)], weights: vec![weights] };
        Disambiguator { words: [("live".to_string(), live)].into(), ..Disambiguator::default() }
    }

    #[test]
    fn weights_decide() {
        let all = small();
        let token = |text| Token { text, capital: false };
        assert_eq!(all.choose(&[token("we"), token("live")], 1), Some(1));
        assert_eq!(all.choose(&[token("we"), token("live")], 0), None);
        assert_eq!(all.choose(&[token("we")], 7), None);
    }

    #[test]
    fn packed_weights_come_back() {
        let bytes = small().pack();
        assert_eq!(Disambiguator::unpack(&bytes).unwrap(), small());
        for end in 0..bytes.len() {
            assert!(Disambiguator::unpack(&bytes[..end]).is_none(), "{end} bytes");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Disambiguator::unpack(&bytes);
        }
    }
}
