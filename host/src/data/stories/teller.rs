//! Casts a story and tells it.

use super::grammar::{Case, Form, Grammar, Op, Slot, Word};

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..count`.
    fn below(&mut self, count: usize) -> usize {
        (((self.next() >> 32) * count as u64) >> 32) as usize
    }
}

/// What a slot stands for in the story being told.
#[derive(Clone, Copy)]
struct Filling<'a> {
    name: &'a str,
    /// The word, or the kind of a person.
    word: &'a Word,
    female: bool,
}

/// Tells stories; keeps its tables from one to the next.
pub struct Teller<'a> {
    grammar: &'a Grammar,
    fillings: Vec<Option<Filling<'a>>>,
    /// The alternative that each rule took last in this story.
    last: Vec<usize>,
    random: Random,
    /// Classes of the hero's kind and the friends'.
    kinds: [usize; 2],
    /// Where an `a` waits for the word that follows it.
    article: Option<usize>,
}

impl<'a> Teller<'a> {
    pub fn new(grammar: &'a Grammar) -> Self {
        Self {
            grammar,
            fillings: vec![None; grammar.slots.len()],
            last: vec![usize::MAX; grammar.rules.len()],
            random: Random(0),
            kinds: [grammar.children; 2],
            article: None,
        }
    }

    /// Appends story `index` of `seed` and the blank line that ends it.
    pub fn tell(&mut self, seed: u64, index: u64, out: &mut String) {
        let plot = self.choose(seed, index);
        self.tell_plot(plot, out);
    }

    /// Chooses the plot of story `index` of `seed`, and the random numbers it is told with.
    pub fn choose(&mut self, seed: u64, index: u64) -> usize {
        // Two rounds, so that neighbouring seeds do not tell each other's stories.
        self.random = Random(seed);
        self.random = Random(self.random.next() ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93));
        self.random.below(self.grammar.plots.len())
    }

    /// Appends a story of that plot and the blank line that ends it.
    pub fn tell_plot(&mut self, plot: usize, out: &mut String) {
        let plot = &self.grammar.plots[plot];
        self.fillings.fill(None);
        self.last.fill(usize::MAX);
        self.article = None;
        self.kinds = plot.kinds;
        // First of all, because the friends' gender depends on the hero's.
        self.fillings[0] = Some(self.cast(0));
        self.run(&plot.ops, out);
        end_line(out);
        out.push('\n');
    }

    fn run(&mut self, ops: &'a [Op], out: &mut String) {
        for op in ops {
            match op {
                Op::Text(text) => self.push(text, out),
                Op::Slot(slot, form, case) => self.slot(*slot, *form, *case, out),
                Op::Article => {
                    out.push('a');
                    self.article = Some(out.len());
                }
                Op::Rule(rule) => {
                    let alternatives = &self.grammar.rules[*rule];
                    let mut choice = self.random.below(alternatives.len());
                    if choice == self.last[*rule] {
                        choice = (choice + 1) % alternatives.len();
                    }
                    self.last[*rule] = choice;
                    self.run(&alternatives[choice], out);
                }
                Op::Choice(alternatives) => {
                    let choice = self.random.below(alternatives.len());
                    self.run(&alternatives[choice], out);
                }
                Op::Paragraph => end_line(out),
            }
        }
    }

    fn slot(&mut self, slot: usize, form: Form, case: Case, out: &mut String) {
        let filling = match self.fillings[slot] {
            Some(filling) => filling,
            None => {
                let filling = self.cast(slot);
                self.fillings[slot] = Some(filling);
                filling
            }
        };
        let pronoun = |male, female| if filling.female { female } else { male };
        let word = match form {
            Form::Name => filling.name,
            Form::Field(field) => &filling.word.fields[field],
            Form::He => pronoun("he", "she"),
            Form::Him => pronoun("him", "her"),
            Form::His => pronoun("his", "her"),
            Form::Himself => pronoun("himself", "herself"),
        };
        self.push(word, out);
        let start = out.len() - word.len();
        capitalise(&mut out[start..], case);
    }

    /// Chooses who or what fills a slot, unlike all other fillings.
    fn cast(&mut self, slot: usize) -> Filling<'a> {
        let grammar = self.grammar;
        let class = match grammar.slots[slot] {
            Slot::Word(class) => {
                let word = self.fresh(&grammar.words[class]);
                return Filling { name: &word.fields[0], word, female: word.female };
            }
            Slot::Hero => self.kinds[0],
            Slot::Friend => self.kinds[1],
        };
        // Friends are not of the hero's gender, so that pronouns tell them apart.
        let female = match self.fillings[0] {
            Some(hero) if slot != 0 => !hero.female,
            _ => self.random.below(2) == 0,
        };
        let child = class == grammar.children;
        let name = &self.fresh(&grammar.words[grammar.names[usize::from(!child)][usize::from(female)]]).fields[0];
        let kinds = &grammar.words[class];
        let word = if child { kinds.iter().find(|kind| kind.female == female).unwrap_or(&kinds[0]) } else { self.fresh(kinds) };
        Filling { name, word, female }
    }

    /// A random word that fills no slot yet.
    fn fresh(&mut self, words: &'a [Word]) -> &'a Word {
        let mut index = self.random.below(words.len());
        let taken = |word: &Word| {
            let mut fillings = self.fillings.iter().flatten();
            fillings.any(|filling| filling.name == word.fields[0] || filling.word.fields[0] == word.fields[0])
        };
        for _ in 0..words.len() {
            if !taken(&words[index]) {
                break;
            }
            index = (index + 1) % words.len();
        }
        &words[index]
    }

    /// Appends text: single spaces, no space at a line's start, and the `n` of an article that waits for a vowel.
    fn push(&mut self, text: &str, out: &mut String) {
        let text = if matches!(out.as_bytes().last(), None | Some(b' ' | b'\n')) { text.trim_start_matches(' ') } else { text };
        if let Some(at) = self.article
            && let Some(first) = text.trim_start().chars().next()
        {
            self.article = None;
            if "aeiouAEIOU".contains(first) {
                out.insert(at, 'n');
            }
        }
        out.push_str(text);
    }
}

/// Capitalises the first letter, or that of every word, of a text that is not empty.
fn capitalise(text: &mut str, case: Case) {
    let mut at = (case != Case::Lower).then_some(0);
    while let Some(start) = at {
        text[start..=start].make_ascii_uppercase();
        at = text[start..].find(' ').map(|space| start + space + 1).filter(|_| case == Case::Title);
    }
}

fn end_line(out: &mut String) {
    let length = out.trim_end_matches(' ').len();
    out.truncate(length);
    out.push('\n');
}
