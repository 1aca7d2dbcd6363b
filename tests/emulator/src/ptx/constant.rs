//! Constant expressions (ISA manual 4.5); integers are 64 bits wide.

use super::parser::{Parser, Result};
use super::token::Token;
use super::{Value, refuse};

impl Parser<'_> {
    /// Whether the parenthesis that comes next holds a constant and is followed by an operator.
    pub(super) fn constant_in_parentheses(&self) -> bool {
        let constant = |ahead| !matches!(self.peek_at(ahead), Some(Token::Name(_) | Token::Mark(b')')) | None);
        let close = (1..).take_while(|&ahead| constant(ahead)).last().unwrap_or(0) + 1;
        let operator = matches!(
            self.peek_at(close + 1),
            Some(Token::ShiftLeft | Token::ShiftRight | Token::Mark(b'+' | b'-' | b'*' | b'/' | b'&' | b'|' | b'^'))
        );
        close > 1 && self.peek_at(close) == Some(Token::Mark(b')')) && operator
    }

    /// A constant expression (ISA manual 4.5); integers are 64 bits wide.
    pub(super) fn constant(&mut self) -> Result<Value> {
        self.binary(0)
    }

    fn binary(&mut self, level: usize) -> Result<Value> {
        let mut left = self.unary()?;
        while let Some((strength, apply)) = self.peek().and_then(operator) {
            if strength < level {
                break;
            }
            self.at += 1;
            let right = self.binary(strength + 1)?;
            left = match (left, right) {
                (Value::Integer(a), Value::Integer(b)) => Value::Integer(apply(a, b)),
                _ => return refuse(self.line(), "an operator between constants needs integers"),
            };
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Value> {
        let line = self.line();
        Ok(match self.next()? {
            Token::Integer(value) => Value::Integer(value),
            Token::Single(bits) => Value::Single(bits),
            Token::Double(bits) => Value::Double(bits),
            Token::Mark(b'-') => match self.unary()? {
                Value::Integer(value) => Value::Integer(value.wrapping_neg()),
                Value::Single(bits) => Value::Single(bits ^ 1 << 31),
                Value::Double(bits) => Value::Double(bits ^ 1 << 63),
            },
            Token::Mark(b'+') => self.unary()?,
            Token::Mark(b'~') => match self.unary()? {
                Value::Integer(value) => Value::Integer(!value),
                _ => return refuse(line, "`~` needs an integer"),
            },
            Token::Mark(b'(') => {
                let value = self.constant()?;
                self.expect(b')')?;
                value
            }
            _ => {
                self.at -= 1;
                return self.unexpected("an operand");
            }
        })
    }
}

/// What a binary operator does.
type Meaning = fn(u64, u64) -> u64;

/// Strength and meaning of a binary operator between constants.
fn operator(token: Token) -> Option<(usize, Meaning)> {
    Some(match token {
        Token::Mark(b'|') => (0, |a, b| a | b),
        Token::Mark(b'^') => (1, |a, b| a ^ b),
        Token::Mark(b'&') => (2, |a, b| a & b),
        Token::ShiftLeft => (3, |a, b| a.checked_shl(b as u32).unwrap_or(0)),
        Token::ShiftRight => (3, |a, b| a.checked_shr(b as u32).unwrap_or(0)),
        Token::Mark(b'+') => (4, u64::wrapping_add),
        Token::Mark(b'-') => (4, u64::wrapping_sub),
        Token::Mark(b'*') => (5, u64::wrapping_mul),
        Token::Mark(b'/') => (5, |a, b| a.checked_div(b).unwrap_or(0)),
        _ => return None,
    })
}
