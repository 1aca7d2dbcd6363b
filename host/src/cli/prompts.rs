//! `--prompts`: the texts that a command continues one after another.

use std::path::Path;

use serde_json::Value;

use crate::input::{self, TEXT};
use crate::{Error, Result};

const HINT: &str = "write lines such as {\"prompt\": \"Once\"}; other keys are not read";

/// The prompts of a file of JSON lines.
///
/// # Errors
/// A file that cannot be read; a line without a prompt, with its number; no line.
pub(super) fn read(path: &Path) -> Result<Vec<String>> {
    let text = input::read_text(path, TEXT, HINT)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let prompt = |(number, line): (usize, &str)| {
        let wrong = |found: &dyn std::fmt::Display| {
            Error::bad_input(format!("{}:{number}", path.display()), "one JSON object with \"prompt\", a string", found, HINT)
        };
        let value: Value = serde_json::from_str(line).map_err(|error| wrong(&format!("no JSON at column {}", error.column())))?;
        let found = match value.get("prompt") {
            Some(Value::String(prompt)) => return Ok(prompt.clone()),
            Some(Value::Array(_)) => "a list: `chat` answers messages",
            Some(_) => "a prompt that is no string",
            None => "none",
        };
        Err(wrong(&found))
    };
    let prompts = lines.map(prompt).collect::<Result<Vec<_>>>()?;
    if prompts.is_empty() {
        return Err(Error::bad_input(format!("--prompts {}", path.display()), "a prompt or more", "none", HINT));
    }
    Ok(prompts)
}
