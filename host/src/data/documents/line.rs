//! A line of a file of documents: one JSON object, of one of three forms.

use serde_json::{Map, Value};

use crate::chat::{Message, Role};

/// What a line holds.
#[derive(Debug)]
pub(super) enum Line {
    /// All of it is learnt.
    Text(String),
    /// What follows the prompt is learnt.
    Pair { prompt: String, completion: String },
    /// What the assistant says is learnt, from the message of that number on.
    Conversation { messages: Vec<Message>, first: usize },
}

/// What is wrong with a line.
#[derive(Debug)]
pub(super) struct Wrong {
    pub expected: String,
    pub found: String,
    pub hint: String,
}

pub(super) fn wrong<T>(expected: impl ToString, found: impl ToString, hint: impl ToString) -> Result<T, Wrong> {
    Err(Wrong { expected: expected.to_string(), found: found.to_string(), hint: hint.to_string() })
}

const FORMS: &str = "\"text\", or \"messages\", or \"prompt\" and \"completion\"";
const FORM_HINT: &str = "the section \"Documents and conversations\" of host/README.md has a line of each form";

/// Reads a line that is not blank.
pub(super) fn read(text: &str) -> Result<Line, Wrong> {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            let (message, column) = (error.to_string(), error.column());
            let message = message.split(" at line ").next().unwrap_or_default().to_owned();
            return wrong("one JSON object", format!("no JSON: {message} at column {column}"), "write each document in a line of its own");
        }
    };
    let Value::Object(object) = value else {
        return wrong("one JSON object", kind(&value), FORM_HINT);
    };
    let has = |key: &str| object.contains_key(key);
    match (has("text"), has("messages"), has("prompt") || has("completion")) {
        (true, false, false) => Ok(Line::Text(filled("text", string(&object, "text")?)?)),
        (false, true, false) => {
            let messages = messages("messages", &object["messages"])?;
            conversation("messages", messages, 0)
        }
        (false, false, true) => pair(&object),
        (false, false, false) => {
            let keys: Vec<_> = object.keys().take(8).map(|key| format!("{key:?}")).collect();
            let found = if keys.is_empty() { "no key".into() } else { format!("only {}", keys.join(", ")) };
            wrong(format!("the key {FORMS}"), found, FORM_HINT)
        }
        _ => {
            let keys = ["text", "messages", "prompt", "completion"].into_iter().filter(|key| has(key));
            let keys: Vec<_> = keys.map(|key| format!("{key:?}")).collect();
            wrong(format!("one of {FORMS}"), keys.join(" and "), "remove the keys that are not meant")
        }
    }
}

fn pair(object: &Map<String, Value>) -> Result<Line, Wrong> {
    for (key, other) in [("prompt", "completion"), ("completion", "prompt")] {
        if !object.contains_key(key) {
            return wrong("\"prompt\" and \"completion\"", format!("only {other:?}"), FORM_HINT);
        }
    }
    if let (Value::Array(_), Value::Array(_)) = (&object["prompt"], &object["completion"]) {
        let mut all = messages("prompt", &object["prompt"])?;
        let first = all.len();
        all.extend(messages("completion", &object["completion"])?);
        return conversation("completion", all, first);
    }
    let [prompt, completion] = ["prompt", "completion"].map(|key| match string(object, key) {
        Err(Wrong { found, hint, .. }) => wrong("\"prompt\" and \"completion\" to be strings, or lists of messages", found, hint),
        string => string,
    });
    Ok(Line::Pair { prompt: prompt?, completion: filled("completion", completion?)? })
}

/// Checks that the assistant says something, at the key of that name, from the message of that number on.
fn conversation(key: &str, messages: Vec<Message>, first: usize) -> Result<Line, Wrong> {
    let mut said = messages[first..].iter().filter(|message| message.role == Role::Assistant).peekable();
    if said.peek().is_none() {
        return wrong(format!("a message of the assistant in {key:?}"), "none", "only what the assistant says is learnt");
    }
    if said.any(|message| message.content.trim().is_empty()) {
        return wrong("something that the assistant says", "an empty content", "remove the message, or the line");
    }
    Ok(Line::Conversation { messages, first })
}

fn messages(key: &str, value: &Value) -> Result<Vec<Message>, Wrong> {
    let Value::Array(list) = value else {
        return wrong(format!("{key:?} to be a list of messages"), kind(value), FORM_HINT);
    };
    let message = |(at, value): (usize, &Value)| {
        let name = format!("{key}[{at}]");
        let Value::Object(object) = value else {
            return wrong(format!("{name} to be an object with \"role\" and \"content\""), kind(value), FORM_HINT);
        };
        let role = match object.get("role").and_then(Value::as_str) {
            Some("system") => Role::System,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            _ => {
                let found =
                    object.get("role").map_or("nothing".into(), |role| role.as_str().map_or(kind(role), |role| format!("{role:?}")));
                return wrong(
                    format!("{name}.role to be system, user or assistant"),
                    found,
                    "other roles are not learnt from: leave them out",
                );
            }
        };
        match object.get("content") {
            Some(Value::String(content)) => Ok(Message { role, content: content.clone() }),
            other => {
                let found = other.map_or("nothing".into(), kind);
                wrong(format!("{name}.content to be a string"), found, "parts other than text, and calls of tools, are not learnt from")
            }
        }
    };
    list.iter().enumerate().map(message).collect()
}

fn string(object: &Map<String, Value>, key: &str) -> Result<String, Wrong> {
    match &object[key] {
        Value::String(text) => Ok(text.clone()),
        other => wrong(format!("{key:?} to be a string"), format!("{key:?}, {}", kind(other)), FORM_HINT),
    }
}

fn filled(key: &str, text: String) -> Result<String, Wrong> {
    if text.is_empty() { wrong(format!("{key:?} with something to learn"), "an empty string", "remove the line") } else { Ok(text) }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        assert!(matches!(read(r#"{"text": "a", "id": 7}"#), Ok(Line::Text(text)) if text == "a"));
        let pair = read(r#"{"prompt": "", "completion": " b"}"#);
        assert!(matches!(pair, Ok(Line::Pair { prompt, completion }) if prompt.is_empty() && completion == " b"));
        let talk = read(r#"{"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "Ho", "name": "x"}]}"#);
        assert!(matches!(talk, Ok(Line::Conversation { messages, first: 0 }) if messages.len() == 2 && messages[1].content == "Ho"));
        let both = r#"{"prompt": [{"role": "assistant", "content": ""}], "completion": [{"role": "assistant", "content": "Ho"}]}"#;
        assert!(matches!(read(both), Ok(Line::Conversation { messages, first: 1 }) if messages.len() == 2));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (line, expected, found) in [
            ("{\"text\": \"a\"", "one JSON object", "no JSON: EOF while parsing an object at column 12"),
            ("hello", "one JSON object", "no JSON: expected value at column 1"),
            ("{\"text\": \"a\"} {\"text\": \"b\"}", "one JSON object", "no JSON: trailing characters at column 15"),
            ("[]", "one JSON object", "a list"),
            ("{}", "the key \"text\", or", "no key"),
            ("{\"Text\": \"a\", \"id\": 1}", "the key \"text\", or", "only \"Text\", \"id\""),
            ("{\"text\": \"a\", \"messages\": []}", "one of \"text\", or", "\"text\" and \"messages\""),
            ("{\"text\": \"a\", \"prompt\": \"\"}", "one of \"text\", or", "\"text\" and \"prompt\""),
            ("{\"text\": null}", "\"text\" to be a string", "\"text\", null"),
            ("{\"text\": \"\"}", "\"text\" with something", "an empty string"),
            ("{\"prompt\": \"a\"}", "\"prompt\" and \"completion\"", "only \"prompt\""),
            ("{\"completion\": \"a\"}", "\"prompt\" and \"completion\"", "only \"completion\""),
            ("{\"prompt\": \"a\", \"completion\": \"\"}", "\"completion\" with something", "an empty string"),
            ("{\"prompt\": \"a\", \"completion\": 3}", "strings, or lists of messages", "\"completion\", a number"),
            ("{\"prompt\": \"a\", \"completion\": []}", "strings, or lists of messages", "\"completion\", a list"),
            ("{\"prompt\": [], \"completion\": []}", "of the assistant in \"completion\"", "none"),
            ("{\"messages\": {}}", "\"messages\" to be a list", "an object"),
            ("{\"messages\": []}", "of the assistant in \"messages\"", "none"),
            ("{\"messages\": [3]}", "messages[0] to be an object", "a number"),
            ("{\"messages\": [{\"content\": \"a\"}]}", "messages[0].role to be system, user or assistant", "nothing"),
            ("{\"messages\": [{\"role\": \"tool\", \"content\": \"a\"}]}", "messages[0].role to be", "\"tool\""),
            ("{\"messages\": [{\"role\": \"user\"}]}", "messages[0].content to be a string", "nothing"),
            ("{\"messages\": [{\"role\": \"user\", \"content\": [\"a\"]}]}", "messages[0].content to be a string", "a list"),
            ("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}", "a message of the assistant", "none"),
            ("{\"messages\": [{\"role\": \"assistant\", \"content\": \" \"}]}", "something that the assistant says", "an empty content"),
        ] {
            let wrong = read(line).expect_err(line);
            assert!(wrong.expected.contains(expected) && wrong.found == found && !wrong.hint.is_empty(), "{line}: {wrong:?}");
        }
    }
}
