//! The modifiers of an instruction: a decoder takes those it knows, and what is left is refused.

use super::Result;
use crate::ptx::{Instruction, Type, refuse};

/// The modifiers that have not been taken yet.
pub struct Words<'a> {
    instruction: &'a Instruction<'a>,
    taken: u64,
}

impl<'a> Words<'a> {
    /// All modifiers of an instruction.
    pub fn new(instruction: &'a Instruction<'a>) -> Self {
        Self { instruction, taken: 0 }
    }

    fn left(&self) -> impl Iterator<Item = (usize, &'a str)> {
        let taken = self.taken;
        self.instruction.modifiers.iter().copied().enumerate().filter(move |(at, _)| taken >> at & 1 == 0)
    }

    /// Whether the modifier is there; takes it.
    pub fn take(&mut self, word: &str) -> bool {
        self.choice(|found| (found == word).then_some(())).is_some()
    }

    /// Whether the modifier is there; leaves it.
    pub fn has(&self, word: &str) -> bool {
        self.instruction.modifiers.contains(&word)
    }

    /// Takes the first modifier that `meaning` knows.
    pub fn choice<T>(&mut self, meaning: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (at, value) = self.left().find_map(|(at, word)| Some((at, meaning(word)?)))?;
        self.taken |= 1 << at;
        Some(value)
    }

    /// Takes the first modifier that `meaning` knows; refuses the instruction if there is none.
    pub fn needs<T>(&mut self, what: &str, meaning: impl Fn(&str) -> Option<T>) -> Result<T> {
        match self.choice(meaning) {
            Some(value) => Ok(value),
            None => refuse(self.instruction.line, format!("`{}` has no {what} that is supported", self.instruction.full_name())),
        }
    }

    /// Takes a type.
    pub fn ty(&mut self) -> Result<Type> {
        self.needs("type", Type::from_name)
    }

    /// Takes the modifiers that make no difference here.
    pub fn ignore(&mut self, words: &[&str]) {
        while self.choice(|found| words.contains(&found).then_some(())).is_some() {}
    }

    /// The last type among the modifiers.
    fn last_type(&self) -> Option<Type> {
        self.instruction.modifiers.iter().rev().find_map(|word| Type::from_name(word))
    }

    /// Whether it works on scalar floating-point numbers.
    pub fn is_float(&self) -> bool {
        self.last_type().is_some_and(Type::is_float)
    }

    /// Whether it works on pairs.
    pub fn is_packed(&self) -> bool {
        matches!(self.last_type(), Some(Type::F16x2 | Type::Bf16x2))
    }

    /// Refuses the instruction as a whole.
    pub fn unsupported<T>(&self) -> Result<T> {
        refuse(self.instruction.line, format!("instruction `{}` is not supported", self.instruction.full_name()))
    }

    /// Refuses the instruction if a modifier is left.
    pub fn finish(&self) -> Result<()> {
        match self.left().next() {
            None => Ok(()),
            Some((_, word)) => {
                let name = self.instruction.full_name();
                refuse(self.instruction.line, format!("modifier `.{word}` of `{name}` is not supported"))
            }
        }
    }
}
