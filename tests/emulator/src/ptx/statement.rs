//! The statements of a function body, and their operands.

use super::parser::{Parser, Result};
use super::token::Token;
use super::{Instruction, Operand, Statement, Type, refuse};

impl<'s> Parser<'s> {
    /// The statements up to `}`.
    pub(super) fn block(&mut self) -> Result<Vec<Statement<'s>>> {
        let mut statements = Vec::new();
        while !self.eat(b'}') {
            self.statement(&mut statements)?;
        }
        Ok(statements)
    }

    fn statement(&mut self, into: &mut Vec<Statement<'s>>) -> Result<()> {
        let line = self.line();
        match (self.peek(), self.peek_at(1)) {
            (Some(Token::Mark(b'{')), _) => {
                self.at += 1;
                into.push(Statement::Block(self.block()?));
            }
            (Some(Token::Mark(b';')), _) => self.at += 1,
            (Some(Token::Name(name)), Some(Token::Mark(b':'))) => {
                self.at += 2;
                into.push(self.label(name, line)?);
            }
            (Some(Token::Dot(word)), _) => self.directive(word, into)?,
            _ => into.push(Statement::Instruction(self.instruction()?)),
        }
        Ok(())
    }

    fn label(&mut self, name: &'s str, line: u32) -> Result<Statement<'s>> {
        if self.eat_dot("branchtargets") || self.eat_dot("calltargets") {
            return Ok(Statement::Targets(name, self.list(b';', Self::name)?));
        }
        if self.eat_dot("callprototype") {
            self.skip_to(b';')?;
        }
        Ok(Statement::Label(name, line))
    }

    fn directive(&mut self, word: &str, into: &mut Vec<Statement<'s>>) -> Result<()> {
        match word {
            "reg" => {
                self.at += 1;
                self.registers(into)
            }
            "loc" => {
                self.at += 1;
                self.location()
            }
            "pragma" => self.skip_to(b';'),
            _ => {
                into.extend(self.variables(false)?.into_iter().map(Statement::Variable));
                Ok(())
            }
        }
    }

    /// `.loc file line column [, function_name label, inlined_at file line column]`.
    fn location(&mut self) -> Result<()> {
        let place = |parser: &mut Self| (0..3).try_for_each(|_| parser.integer().map(drop));
        place(self)?;
        while self.eat(b',') {
            if self.name()? == "inlined_at" {
                place(self)?;
            } else {
                self.name()?;
                self.offset()?;
            }
        }
        Ok(())
    }

    fn registers(&mut self, into: &mut Vec<Statement<'s>>) -> Result<()> {
        let (mut width, mut ty) = (1, None);
        let line = self.line();
        while let Some(word) = self.dot() {
            match word {
                "v2" => width = 2,
                "v4" => width = 4,
                _ => ty = Type::from_name(word),
            }
        }
        let Some(ty) = ty else { return refuse(line, "a register needs a known type") };
        loop {
            let name = self.name()?;
            let count = if self.eat(b'<') { Some(self.integer()? as u32) } else { None };
            if count.is_some() {
                self.expect(b'>')?;
            }
            into.push(Statement::Register { name, count, ty, width });
            if !self.eat(b',') {
                return self.expect(b';');
            }
        }
    }

    fn instruction(&mut self) -> Result<Instruction<'s>> {
        let line = self.line();
        let guard = if self.eat(b'@') {
            let negated = self.eat(b'!');
            Some((self.name()?, negated))
        } else {
            None
        };
        let opcode = self.name()?;
        let mut modifiers = Vec::new();
        while let Some(word) = self.dot() {
            modifiers.push(word);
        }
        let operands = self.list(b';', Self::operand)?;
        Ok(Instruction { guard, opcode, modifiers, operands, line })
    }

    pub(super) fn operand(&mut self) -> Result<Operand<'s>> {
        match self.peek() {
            Some(Token::Mark(b'{')) => {
                self.at += 1;
                Ok(Operand::Vector(self.list(b'}', Self::operand)?))
            }
            // A parenthesis opens the arguments of a call, or a constant expression.
            Some(Token::Mark(b'(')) if !self.constant_in_parentheses() => {
                self.at += 1;
                Ok(Operand::List(self.list(b')', Self::operand)?))
            }
            Some(Token::Mark(b'[')) => {
                self.at += 1;
                let base = self.operand()?;
                let (base, offset) = match base {
                    Operand::Offset(name, offset) => (Operand::Name(name), offset),
                    base => (base, 0),
                };
                self.expect(b']')?;
                Ok(Operand::Address(Box::new(base), offset))
            }
            Some(Token::Mark(b'!')) => {
                self.at += 1;
                Ok(Operand::Not(self.name()?))
            }
            Some(Token::Name(name)) => {
                self.at += 1;
                self.named_operand(name)
            }
            _ => Ok(Operand::Value(self.constant()?)),
        }
    }

    fn named_operand(&mut self, name: &'s str) -> Result<Operand<'s>> {
        Ok(match self.peek() {
            Some(Token::Dot(element)) => {
                self.at += 1;
                Operand::Element(name, element)
            }
            Some(Token::Mark(b'|')) => {
                self.at += 1;
                Operand::Pair(name, self.name()?)
            }
            Some(Token::Mark(b'+' | b'-')) => Operand::Offset(name, self.offset()?),
            _ => Operand::Name(name),
        })
    }
}
