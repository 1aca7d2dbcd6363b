//! The language the stories are written in.
//!
//! | marker | becomes |
//! |---|---|
//! | `[a\|b\|]` | one of the alternatives; they nest, and one may be empty |
//! | `{toy}` | a word of that class, the same one through the whole story; `{toy2}` is another one |
//! | `{toy.s}`, `{room.spot}` | another field of the word: its plural, where it is; `words.txt` names the fields of a class |
//! | `{hero}`, `{friend}`, `{friend2}` … | the name of a person; friends are female where the hero is male, and the other way round, so that pronouns tell them apart |
//! | `{hero.kind}`, `{friend.kind}` | what a person is: `girl`, `fox` |
//! | `{friend.he}`, `{parent.him}` … | the pronoun of a person or a word: `he`, `him`, `his` or `himself`, or the female one; without a name, `{he}`, the hero's |
//! | `{Toy}`, `{friend.He}` | the same with a capital, where a word begins there |
//! | `{toy.title}`, `{hero.kind.title}` | the same with every word capitalised |
//! | `{a}` | `a` or `an`, by the first letter of whatever follows |
//! | `{@rule}` | an alternative of that rule in `rules.txt`, not the same one twice in a row |
//!
//! A blank line ends a paragraph; any other white space is one space. A line that starts with `#` is a comment; in the plots only above the
//! first one.

use std::collections::HashMap;

/// Which form of a person or word to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The person's name, or the word.
    Name,
    /// Index into [`Word::fields`]; of a person, those of the kind.
    Field(usize),
    He,
    Him,
    His,
    Himself,
}

/// What to capitalise of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    Lower,
    First,
    Title,
}

/// A step of telling a story.
#[derive(Debug)]
pub enum Op {
    Text(&'static str),
    /// Index into [`Grammar::slots`].
    Slot(usize, Form, Case),
    Article,
    /// Index into [`Grammar::rules`].
    Rule(usize),
    Choice(Vec<Vec<Op>>),
    Paragraph,
}

/// Where a slot's filling comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A person of the first class that the plot's head names.
    Hero,
    /// A person of the second class there, or of the hero's.
    Friend,
    /// Index into [`Grammar::words`].
    Word(usize),
}

/// An entry of `words.txt`.
#[derive(Debug)]
pub struct Word {
    /// The word itself first.
    pub fields: Vec<String>,
    pub female: bool,
}

#[derive(Debug)]
pub struct Plot {
    /// Classes of the hero's kind and the friends'.
    pub kinds: [usize; 2],
    pub ops: Vec<Op>,
}

/// Everything the stories are made of.
#[derive(Debug, Default)]
pub struct Grammar {
    /// By class.
    pub words: Vec<Vec<Word>>,
    /// The hero is slot 0.
    pub slots: Vec<Slot>,
    pub rules: Vec<Vec<Vec<Op>>>,
    pub plots: Vec<Plot>,
    pub children: usize,
    /// Classes of names: of children and of animals, male and female.
    pub names: [[usize; 2]; 2],
    classes: HashMap<&'static str, usize>,
    /// By class: the names of the fields, `kind` for the word itself first.
    field_names: Vec<Vec<&'static str>>,
    slot_names: HashMap<String, usize>,
    rule_names: HashMap<&'static str, usize>,
}

impl Grammar {
    /// Reads the three kinds of files.
    ///
    /// # Errors
    /// The first thing that does not follow the language.
    pub fn parse(words: &'static str, rules: &'static str, plots: &[&'static str]) -> Result<Self, String> {
        let mut grammar = Self::default();
        grammar.parse_words(words)?;
        grammar.slot("hero")?;
        grammar.parse_rules(rules)?;
        for text in plots {
            grammar.parse_plots(text)?;
        }
        Ok(grammar)
    }

    fn parse_words(&mut self, text: &'static str) -> Result<(), String> {
        for line in lines(text) {
            if let Some(head) = line.strip_prefix('@') {
                let (name, fields) = head.split_once(':').unwrap_or((head, ""));
                self.classes.insert(name, self.words.len());
                self.words.push(Vec::new());
                self.field_names.push(std::iter::once("kind").chain(split(fields, ';')).collect());
            } else {
                let names = self.field_names.last().ok_or("a word before its class")?;
                for entry in split(line, ',') {
                    self.words.last_mut().ok_or("a word before its class")?.push(parse_word(entry, names)?);
                }
            }
        }
        self.children = self.class("children")?;
        self.names = [[self.class("boys")?, self.class("girls")?], [self.class("animal_boys")?, self.class("animal_girls")?]];
        Ok(())
    }

    fn parse_rules(&mut self, text: &'static str) -> Result<(), String> {
        let names = lines(text).filter_map(|line| line.strip_prefix('@'));
        self.rule_names = names.enumerate().map(|(index, name)| (name, index)).collect();
        for line in lines(text) {
            if line.starts_with('@') {
                self.rules.push(Vec::new());
            } else {
                let ops = self.compile(line).map_err(|error| format!("{line}: {error}"))?;
                self.rules.last_mut().ok_or("a sentence before its rule")?.push(ops);
            }
        }
        Ok(())
    }

    fn parse_plots(&mut self, text: &'static str) -> Result<(), String> {
        for plot in text.split("\n=== ").skip(1) {
            let (head, body) = plot.split_once('\n').ok_or("a plot without a body")?;
            let (name, kinds) = head.split_once(" : ").ok_or_else(|| format!("{head}: a plot without a kind"))?;
            let (hero, friend) = kinds.split_once(',').unwrap_or((kinds, kinds));
            let kinds = [self.class(hero.trim())?, self.class(friend.trim())?];
            if kinds.iter().any(|&class| self.field_names[class] != self.field_names[self.children]) {
                return Err(format!("{name}: the class of a person's kind has the fields of @children"));
            }
            let ops = self.compile(body.trim()).map_err(|error| format!("{name}: {error}"))?;
            self.plots.push(Plot { kinds, ops });
        }
        Ok(())
    }

    /// Index of that class into [`Grammar::words`].
    pub fn class(&self, name: &str) -> Result<usize, String> {
        let class = self.classes.get(name).copied();
        class.ok_or_else(|| format!("no words of class {name:?}"))
    }

    fn slot(&mut self, name: &str) -> Result<usize, String> {
        if let Some(&slot) = self.slot_names.get(name) {
            return Ok(slot);
        }
        let slot = match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "hero" => Slot::Hero,
            "friend" => Slot::Friend,
            class => Slot::Word(self.class(class)?),
        };
        self.slots.push(slot);
        self.slot_names.insert(name.to_string(), self.slots.len() - 1);
        Ok(self.slots.len() - 1)
    }

    fn compile(&mut self, text: &'static str) -> Result<Vec<Op>, String> {
        let mut rest = text;
        let mut alternatives = self.alternatives(&mut rest)?;
        match alternatives.pop() {
            Some(ops) if rest.is_empty() && alternatives.is_empty() => Ok(ops),
            _ => Err(format!("stray | or ] before {rest:?}")),
        }
    }

    /// Up to the closing bracket, which is left in `rest`.
    fn alternatives(&mut self, rest: &mut &'static str) -> Result<Vec<Vec<Op>>, String> {
        let mut all = Vec::new();
        let mut ops = Vec::new();
        loop {
            let end = rest.find(['[', ']', '|', '{', '\n']).unwrap_or(rest.len());
            let (text, tail) = rest.split_at(end);
            if !text.is_empty() {
                ops.push(Op::Text(text));
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
                    *rest = rest.strip_prefix(']').ok_or("[ without ]")?;
                    ops.push(Op::Choice(inner));
                }
                Some(b'{') => {
                    let (inside, after) = tail[1..].split_once('}').ok_or("{ without }")?;
                    ops.push(self.placeholder(inside)?);
                    *rest = after;
                }
                _ => {
                    let after = tail.trim_start_matches('\n');
                    let blank = tail.len() - after.len() > 1;
                    ops.push(if blank { Op::Paragraph } else { Op::Text(" ") });
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
        let lower = inside.to_ascii_lowercase();
        let (path, title) = lower.strip_suffix(".title").map_or((lower.as_str(), false), |path| (path, true));
        let case = if title {
            Case::Title
        } else if inside.contains(|c: char| c.is_ascii_uppercase()) {
            Case::First
        } else {
            Case::Lower
        };
        if let Some(form) = pronoun(path) {
            return Ok(Op::Slot(self.slot("hero")?, form, case));
        }
        let (name, form) = path.split_once('.').map_or((path, None), |(name, form)| (name, Some(form)));
        let slot = self.slot(name)?;
        let form = form.map_or(Ok(Form::Name), |form| self.form(slot, form).ok_or_else(|| format!("no form {form:?} in {{{inside}}}")))?;
        Ok(Op::Slot(slot, form, case))
    }

    /// The form of that name of what fills the slot.
    fn form(&self, slot: usize, name: &str) -> Option<Form> {
        let class = match self.slots[slot] {
            Slot::Hero | Slot::Friend => self.children,
            Slot::Word(class) => class,
        };
        let field = || self.field_names[class].iter().position(|field| *field == name).map(Form::Field);
        pronoun(name).or_else(field)
    }
}

fn pronoun(name: &str) -> Option<Form> {
    match name {
        "he" => Some(Form::He),
        "him" => Some(Form::Him),
        "his" => Some(Form::His),
        "himself" => Some(Form::Himself),
        _ => None,
    }
}

/// A word with all the fields of its class; a missing plural is made here.
fn parse_word(entry: &str, names: &[&str]) -> Result<Word, String> {
    let mut fields: Vec<String> = split(entry, ';').map(str::to_string).collect();
    let female = fields.last().is_some_and(|field| field == "she");
    if female {
        fields.pop();
    }
    if fields.len() + 1 == names.len() && names.last() == Some(&"s") {
        fields.push(format!("{}s", fields[0]));
    }
    if fields.len() == names.len() { Ok(Word { fields, female }) } else { Err(format!("{entry}: expected the fields {names:?}")) }
}

fn split(text: &'_ str, separator: char) -> impl Iterator<Item = &'_ str> {
    text.split(separator).map(str::trim).filter(|part| !part.is_empty())
}

/// All lines but blank ones and comments.
fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}
