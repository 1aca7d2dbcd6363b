//! Text of a file or a model, made harmless for a terminal.

use std::borrow::Cow;

/// Stands for a character that is not shown.
const MASK: char = '·';

/// Text of several lines without the characters that drive a terminal or reorder what is read; ends of lines and tabs stay.
pub fn text(text: &str) -> Cow<'_, str> {
    masked(text, |c| c != '\n' && c != '\t')
}

/// A name or value within a line: as [`text`], and it cannot end the line.
pub fn line(text: &str) -> Cow<'_, str> {
    masked(text, |_| true)
}

/// JSON whose strings have the same content, the characters that [`text`] masks written as escapes.
pub fn json(value: &serde_json::Value) -> String {
    // serde_json itself escapes those below a space.
    value.to_string().chars().fold(String::new(), |mut all, c| {
        match is_hidden(c) {
            true => all.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
            false => all.push(c),
        }
        all
    })
}

fn masked(text: &str, wanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    let hidden = |c: char| is_hidden(c) && wanted(c);
    if text.contains(hidden) { text.chars().map(|c| if hidden(c) { MASK } else { c }).collect() } else { text.into() }
}

/// Control characters (C0, delete, C1), ends of lines of Unicode, and marks that change the direction of writing
/// (Unicode Technical Report 36, "Bidirectional text spoofing").
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200E}' | '\u{200F}' | '\u{061C}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_drives_the_terminal() {
        let hostile = "a\u{1b}[2J\tb\nc\u{9b}31m\u{7f}\u{202e}d\r";
        assert_eq!(text(hostile), "a·[2J\tb\nc·31m··d·");
        assert_eq!(line(hostile), "a·[2J·b·c·31m··d·");
        assert!(matches!(text("The ghost – “singing” 👻\n"), Cow::Borrowed(_)));
        let value = serde_json::json!({ "a": hostile });
        let printed = json(&value);
        assert!(!printed.contains(is_hidden), "{printed:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
    }
}
