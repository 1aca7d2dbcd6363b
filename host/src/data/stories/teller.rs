//! Casts a story and tells it.

use super::grammar::{Class, Form, Grammar, Op};

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
struct Filling {
    name: &'static str,
    /// The second field of a word, the kind of a person.
    second: Option<&'static str>,
    home: &'static str,
    female: bool,
    /// Index in its class, which keeps `{toy2}` apart from `{toy}`.
    index: usize,
}

/// Tells stories; keeps its tables from one to the next.
pub struct Teller<'a> {
    grammar: &'a Grammar,
    fillings: Vec<Option<Filling>>,
    /// The alternative that each rule took last in this story.
    last: Vec<usize>,
    random: Random,
    animals: bool,
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
            animals: false,
            article: None,
        }
    }

    /// Appends story `index` of `seed` and the blank line that ends it.
    pub fn tell(&mut self, seed: u64, index: u64, out: &mut String) {
        // Two rounds, so that neighbouring seeds do not tell each other's stories.
        self.random = Random(seed);
        self.random = Random(self.random.next() ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let plot = self.random.below(self.grammar.plots.len());
        self.tell_plot(plot, out);
    }

    fn tell_plot(&mut self, plot: usize, out: &mut String) {
        let plot = &self.grammar.plots[plot];
        self.fillings.fill(None);
        self.last.fill(usize::MAX);
        self.article = None;
        self.animals = plot.animals;
        self.run(&plot.ops, out);
        end_line(out);
        out.push('\n');
    }

    fn run(&mut self, ops: &'a [Op], out: &mut String) {
        for op in ops {
            match op {
                Op::Text(text) => self.push(text, false, out),
                Op::Slot(slot, form, capital) => self.slot(*slot, *form, *capital, out),
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

    fn slot(&mut self, slot: usize, form: Form, capital: bool, out: &mut String) {
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
            Form::Plain => filling.name,
            Form::Kind => filling.second.unwrap_or(filling.name),
            Form::Home => filling.home,
            Form::He => pronoun("he", "she"),
            Form::Him => pronoun("him", "her"),
            Form::His => pronoun("his", "her"),
            Form::Himself => pronoun("himself", "herself"),
            Form::Plural => match filling.second {
                Some(plural) => plural,
                None => {
                    self.push(filling.name, capital, out);
                    "s"
                }
            },
            Form::In => {
                self.push(filling.second.unwrap_or("at"), capital, out);
                out.push_str(" the ");
                filling.name
            }
            Form::Title => {
                for (index, word) in filling.name.split(' ').enumerate() {
                    if index > 0 {
                        out.push(' ');
                    }
                    self.push(word, true, out);
                }
                return;
            }
        };
        let capital = capital && matches!(out.as_bytes().last(), None | Some(b' ' | b'\n' | b'"'));
        self.push(word, capital, out);
    }

    /// Chooses who or what fills a slot, unlike the other fillings of its class.
    fn cast(&mut self, slot: usize) -> Filling {
        let grammar = self.grammar;
        let class = grammar.slots[slot];
        if let Class::Word(words) = class {
            let index = self.fresh(slot, class, grammar.words[words].len());
            let word = &grammar.words[words][index];
            let field = |at: usize| word.get(at).copied();
            return Filling {
                name: word[0],
                second: field(1).filter(|field| !field.is_empty() && *field != "f"),
                home: field(2).unwrap_or(""),
                female: word.last() == Some(&"f"),
                index,
            };
        }
        // Two heroes of unlike gender can be told apart by their pronouns.
        let female = match self.fillings[0] {
            Some(hero) if slot != 0 => !hero.female,
            _ => self.random.below(2) == 0,
        };
        let animals = self.animals && class == Class::Person;
        let names = match (animals, female) {
            (true, true) => grammar.animal_girls,
            (true, false) => grammar.animal_boys,
            (false, true) => grammar.girls,
            (false, false) => grammar.boys,
        };
        let names = &grammar.words[names];
        let mut name = self.random.below(names.len());
        while self.fillings.iter().flatten().any(|other| other.name == names[name][0]) {
            name = (name + 1) % names.len();
        }
        let mut filling =
            Filling { name: names[name][0], second: Some(if female { "girl" } else { "boy" }), home: "", female, index: usize::MAX };
        if animals {
            let kinds = &grammar.words[grammar.animals];
            filling.index = self.fresh(slot, class, kinds.len());
            filling.second = Some(kinds[filling.index][0]);
            filling.home = kinds[filling.index].get(2).copied().unwrap_or("a home");
        }
        filling
    }

    /// A random index below `count` that no other slot of the class has.
    fn fresh(&mut self, slot: usize, class: Class, count: usize) -> usize {
        let mut index = self.random.below(count);
        let taken = |index| {
            let mut slots = self.grammar.slots.iter().zip(&self.fillings).enumerate();
            slots.any(|(other, (other_class, filling))| {
                other != slot && *other_class == class && filling.is_some_and(|filling| filling.index == index)
            })
        };
        for _ in 0..count {
            if !taken(index) {
                break;
            }
            index = (index + 1) % count;
        }
        index
    }

    /// Appends text: single spaces, no space at a line's start, and the `n` of an article that waits for a vowel.
    fn push(&mut self, text: &str, capital: bool, out: &mut String) {
        let mut text = text;
        if matches!(out.as_bytes().last(), None | Some(b' ' | b'\n')) {
            text = text.trim_start_matches(' ');
        }
        if let Some(at) = self.article
            && let Some(first) = text.trim_start().chars().next()
        {
            self.article = None;
            if "aeiouAEIOU".contains(first) {
                out.insert(at, 'n');
            }
        }
        let mut chars = text.chars();
        match chars.next() {
            Some(first) if capital => {
                out.push(first.to_ascii_uppercase());
                out.push_str(chars.as_str());
            }
            _ => out.push_str(text),
        }
    }
}

fn end_line(out: &mut String) {
    let length = out.trim_end_matches(' ').len();
    out.truncate(length);
    out.push('\n');
}
