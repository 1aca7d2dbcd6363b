//! The words of PTX (ISA manual, chapter 4 "Syntax").

use logos::Logos;

use super::{PtxError, refuse};

/// One token; names and modifiers borrow from the text.
#[derive(Logos, Clone, Copy, Debug, PartialEq)]
#[logos(skip r"[ \t\r\n\f]+")]
#[logos(skip(r"//[^\n]*", allow_greedy = true))]
#[logos(skip r"/\*([^*]|\*+[^*/])*\*+/")]
pub enum Token<'s> {
    /// An identifier, with its leading `%`, `$` or `_`.
    #[regex(r"[A-Za-z][A-Za-z0-9_$]*|[_$%][A-Za-z0-9_$]*", |lexer| lexer.slice())]
    Name(&'s str),
    /// A directive, a type or a modifier, without its dot: `u32`, `shared::cta`, `L2::128B`.
    #[regex(r"\.[A-Za-z0-9_]+(::[A-Za-z0-9_]+)*", |lexer| &lexer.slice()[1..])]
    Dot(&'s str),
    /// An integer: decimal, hexadecimal, octal or binary.
    #[regex(r"0[xX][0-9a-fA-F]+U?|0[bB][01]+U?|[0-9]+U?", |lexer| integer(lexer.slice()))]
    Integer(u64),
    /// `0f` and the 8 hexadecimal digits of an `f32`.
    #[regex(r"0[fF][0-9a-fA-F]{8}", |lexer| u32::from_str_radix(&lexer.slice()[2..], 16).ok())]
    Single(u32),
    /// `0d` and the 16 hexadecimal digits of an `f64`, or a decimal number.
    #[regex(r"0[dD][0-9a-fA-F]{16}", |lexer| u64::from_str_radix(&lexer.slice()[2..], 16).ok())]
    #[regex(r"[0-9]+\.[0-9]*([eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+", |lexer| lexer.slice().parse::<f64>().ok().map(f64::to_bits))]
    Double(u64),
    /// A quoted text.
    #[regex(r#""[^"\n]*""#, |lexer| &lexer.slice()[1..lexer.slice().len() - 1])]
    Text(&'s str),
    /// `<<`.
    #[token("<<")]
    ShiftLeft,
    /// `>>`.
    #[token(">>")]
    ShiftRight,
    /// Any other mark, as its character.
    #[regex(r"[-,;:{}()\[\]<>@!|=+*/&^~?]", |lexer| lexer.slice().as_bytes()[0])]
    Mark(u8),
}

/// The value of an integer literal; `None` if it exceeds 64 bits.
fn integer(text: &str) -> Option<u64> {
    let text = text.trim_end_matches('U');
    let radix = |from: usize, radix| u64::from_str_radix(&text[from..], radix).ok();
    match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => radix(2, 16),
        [b'0', b'b' | b'B', ..] => radix(2, 2),
        [b'0', _, ..] => radix(1, 8),
        _ => radix(0, 10),
    }
}

/// The tokens of `source`, each with its line.
pub fn tokens(source: &str) -> Result<Vec<(Token<'_>, u32)>, PtxError> {
    let mut found = Vec::with_capacity(source.len() / 4);
    let (mut line, mut at) = (1, 0);
    for (token, span) in Token::lexer(source).spanned() {
        line += source[at..span.start].bytes().filter(|&b| b == b'\n').count() as u32;
        at = span.start;
        match token {
            Ok(token) => found.push((token, line)),
            Err(()) => return refuse(line, format!("`{}` is no PTX token", &source[span])),
        }
    }
    Ok(found)
}
