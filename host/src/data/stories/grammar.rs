//! The language the stories are written in.
//!
//! - `[a|b|]` is one of the alternatives; they nest, and one may be empty.
//! - `{name}` is a word or a person of that class, the same one through the whole story; `{name2}` is another of the class. A capital makes
//!   the word begin with one. `{name.form}` asks for a form, see [`Form`]; `{he}`, `{him}`, `{his}`, `{himself}` are the hero's.
//! - `{a}` is `a` or `an`, as the next word wants. `{@rule}` is one of the alternatives of a rule.
//! - A blank line ends a paragraph; other white space is one space. `#` starts a comment line.

use std::collections::HashMap;

/// How a word or a person is put into a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The word, or the person's name.
    Plain,
    /// Every word of it capitalised.
    Title,
    /// The plural (second field, else the word and an s).
    Plural,
    /// With its preposition (second field) and article: `in the park`.
    In,
    /// What a person is: `girl`, `fox`.
    Kind,
    /// Where an animal lives: `a den`.
    Home,
    He,
    Him,
    His,
    Himself,
}

/// A step of telling a story.
#[derive(Debug)]
pub enum Op {
    Text(String),
    /// Index into [`Grammar::slots`], form, whether to capitalise.
    Slot(usize, Form, bool),
    Article,
    Rule(usize),
    Choice(Vec<Vec<Op>>),
    Paragraph,
}

/// Where a slot's filling comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The hero and friends of the hero's kind: children or animals.
    Person,
    /// A child, in any story.
    Child,
    /// Index into [`Grammar::words`].
    Word(usize),
}

/// An entry of `words.txt`: fields separated by `;`.
pub type Word = Vec<&'static str>;

#[derive(Debug)]
pub struct Plot {
    /// Whether the hero is an animal.
    pub animals: bool,
    pub ops: Vec<Op>,
}

/// Everything the stories are made of.
#[derive(Debug, Default)]
pub struct Grammar {
    pub words: Vec<Vec<Word>>,
    pub slots: Vec<Class>,
    pub rules: Vec<Vec<Vec<Op>>>,
    pub plots: Vec<Plot>,
    pub girls: usize,
    pub boys: usize,
    pub animals: usize,
    pub animal_girls: usize,
    pub animal_boys: usize,
    classes: HashMap<&'static str, usize>,
    slot_names: HashMap<String, usize>,
    rule_names: HashMap<&'static str, usize>,
}

impl Grammar {
    /// Reads the three kinds of files.
    pub fn parse(words: &'static str, rules: &'static str, plots: &[&'static str]) -> Result<Self, String> {
        let mut grammar = Self::default();
        // The hero is slot 0.
        grammar.slot("hero")?;
        let mut class = None;
        for line in lines(words) {
            if let Some(name) = line.strip_prefix('@') {
                class = Some(name);
                grammar.classes.insert(name, grammar.words.len());
                grammar.words.push(Vec::new());
            } else if !line.is_empty() {
                let list = grammar.words.last_mut().ok_or("a word before its class")?;
                if matches!(class, Some("girls" | "boys" | "animal_girls" | "animal_boys")) {
                    list.extend(line.split_whitespace().map(|name| vec![name]));
                } else {
                    list.push(line.split(';').map(str::trim).collect());
                }
            }
        }
        grammar.girls = grammar.class("girls")?;
        grammar.boys = grammar.class("boys")?;
        grammar.animals = grammar.class("animals")?;
        grammar.animal_girls = grammar.class("animal_girls")?;
        grammar.animal_boys = grammar.class("animal_boys")?;

        let names = lines(rules).filter_map(|line| line.strip_prefix('@'));
        grammar.rule_names = names.enumerate().map(|(index, name)| (name, index)).collect();
        for line in lines(rules) {
            if line.starts_with('@') {
                grammar.rules.push(Vec::new());
            } else if !line.is_empty() {
                let ops = grammar.compile(line)?;
                grammar.rules.last_mut().ok_or("a rule without a name")?.push(ops);
            }
        }
        for text in plots {
            for plot in text.split("=== ").skip(1) {
                let (head, body) = plot.split_once('\n').ok_or("a plot without a body")?;
                let (name, kind) = head.split_once(" : ").ok_or("a plot without a kind")?;
                let animals = match kind.trim() {
                    "child" => false,
                    "animal" => true,
                    other => return Err(format!("{name}: {other} is neither child nor animal")),
                };
                let body: Vec<&str> = lines(body).collect();
                let ops = grammar.compile(body.join("\n").trim()).map_err(|error| format!("{name}: {error}"))?;
                grammar.plots.push(Plot { animals, ops });
            }
        }
        Ok(grammar)
    }

    fn class(&self, name: &str) -> Result<usize, String> {
        let class = self.classes.get(name).copied();
        class.ok_or_else(|| format!("no words of class {name:?}"))
    }

    fn slot(&mut self, name: &str) -> Result<usize, String> {
        if let Some(&slot) = self.slot_names.get(name) {
            return Ok(slot);
        }
        let class = match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "hero" | "friend" => Class::Person,
            "child" => Class::Child,
            base => Class::Word(self.class(base)?),
        };
        self.slots.push(class);
        self.slot_names.insert(name.to_string(), self.slots.len() - 1);
        Ok(self.slots.len() - 1)
    }

    fn compile(&mut self, text: &str) -> Result<Vec<Op>, String> {
        let mut rest = text;
        let mut alternatives = self.alternatives(&mut rest)?;
        match alternatives.pop() {
            Some(ops) if rest.is_empty() && alternatives.is_empty() => Ok(ops),
            _ => Err(format!("stray | or ] before {rest:?}")),
        }
    }

    /// Up to the closing bracket, which is left in `rest`.
    fn alternatives(&mut self, rest: &mut &str) -> Result<Vec<Vec<Op>>, String> {
        let mut all = Vec::new();
        let mut ops = Vec::new();
        loop {
            let end = rest.find(['[', ']', '|', '{', '\n']).unwrap_or(rest.len());
            let (text, tail) = rest.split_at(end);
            if !text.is_empty() {
                ops.push(Op::Text(text.to_string()));
            }
            *rest = tail;
            match tail.as_bytes().first() {
                None | Some(b']') => {
                    all.push(ops);
                    return Ok(all);
                }
                Some(b'|') => {
                    all.push(std::mem::take(&mut ops));
                    *rest = &tail[1..];
                }
                Some(b'[') => {
                    *rest = &tail[1..];
                    let inner = self.alternatives(rest)?;
                    *rest = rest.strip_prefix(']').ok_or_else(|| format!("[ without ] before {:?}", &tail[..tail.len().min(40)]))?;
                    ops.push(Op::Choice(inner));
                }
                Some(b'{') => {
                    let (inside, after) = tail[1..].split_once('}').ok_or_else(|| format!("{{ without }} in {tail:?}"))?;
                    ops.push(self.placeholder(inside)?);
                    *rest = after;
                }
                _ => {
                    let after = tail.trim_start_matches('\n');
                    let blank = tail.len() - after.len() > 1;
                    ops.push(if blank { Op::Paragraph } else { Op::Text(" ".to_string()) });
                    *rest = after;
                }
            }
        }
    }

    fn placeholder(&mut self, inside: &str) -> Result<Op, String> {
        if inside == "a" {
            return Ok(Op::Article);
        }
        if let Some(rule) = inside.strip_prefix('@') {
            let index = self.rule_names.get(rule).copied();
            return index.map(Op::Rule).ok_or_else(|| format!("no rule {rule:?}"));
        }
        let (name, form) = match inside.split_once('.') {
            Some(parts) => parts,
            None if is_pronoun(&inside.to_ascii_lowercase()) => ("hero", inside),
            None => (inside, ""),
        };
        let capital = name.starts_with(|c: char| c.is_ascii_uppercase()) || form.starts_with(|c: char| c.is_ascii_uppercase());
        let form = match form.to_ascii_lowercase().as_str() {
            "" => Form::Plain,
            "title" => Form::Title,
            "s" => Form::Plural,
            "in" => Form::In,
            "kind" => Form::Kind,
            "home" => Form::Home,
            "he" => Form::He,
            "him" => Form::Him,
            "his" => Form::His,
            "himself" => Form::Himself,
            other => return Err(format!("no form {other:?} in {{{inside}}}")),
        };
        let slot = self.slot(&name.to_ascii_lowercase())?;
        Ok(Op::Slot(slot, form, capital))
    }
}

fn is_pronoun(word: &str) -> bool {
    matches!(word, "he" | "him" | "his" | "himself")
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(str::trim).filter(|line| !line.starts_with('#'))
}
