//! A line of a file of documents: one JSON object, of one of three forms. Forms of other programs are read as one of these.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::chat::{Message, Role};

/// What a line holds.
#[derive(Debug)]
pub(super) enum Line {
    /// All of it is learnt.
    Text(String),
    /// What follows the prompt is learnt.
    Pair { prompt: String, completion: String },
    /// What the assistant says in the messages of these numbers is learnt.
    Conversation { messages: Vec<Message>, answers: Vec<usize> },
}

impl Line {
    /// What is learnt, and what is read without a template.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::Pair { prompt, completion } => vec![prompt, completion],
            Self::Conversation { messages, answers } => answers.iter().map(|&at| &*messages[at].content).collect(),
        }
    }
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

/// The keys of conversations: the second is that of ShareGPT's.
const CONVERSATIONS: [&str; 2] = ["messages", "conversations"];
/// The keys of a question and its answer, as sets of instructions have them (Alpaca, Dolly, GSM8K, OpenOrca): what is asked, what belongs to it, what is answered,
/// and what is said before.
const ASKED: [&str; 2] = ["instruction", "question"];
const BESIDES: [&str; 2] = ["input", "context"];
const ANSWERED: [&str; 3] = ["output", "response", "answer"];
const BEFORE: [&str; 2] = ["system", "system_prompt"];

/// The keys that are read.
const KEYS: [&str; 6] = ["text", "messages", "prompt", "completion", "tools", "functions"];

/// Whether the value of a key is read where there is none of [`KEYS`].
fn is_of_others(key: &str) -> bool {
    [&CONVERSATIONS[..], &ASKED, &BESIDES, &ANSWERED, &BEFORE].iter().any(|keys| keys.contains(&key))
}

/// What a line has of [`KEYS`], what it may have to say in forms of other programs, as it is written, and the names of its other keys, whose values are passed over.
struct Object {
    known: Map<String, Value>,
    maybe: Vec<(String, Box<RawValue>)>,
    others: Vec<String>,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Object;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object { known: Map::new(), maybe: Vec::new(), others: Vec::new() };
                while let Some(key) = map.next_key::<String>()? {
                    if KEYS.contains(&key.as_str()) {
                        object.known.insert(key, map.next_value()?);
                    } else if is_of_others(&key) {
                        object.maybe.push((key, map.next_value()?));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        object.others.push(key);
                    }
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// What is wrong with a line that is no object in JSON.
fn no_object(text: &str, error: &serde_json::Error) -> Wrong {
    let (message, column) = (error.to_string(), error.column());
    let message = message.split(" at line ").next().unwrap_or_default();
    // Of a name that is no value, serde tells one of its first bytes.
    let at = (0..=text.len().min(column.saturating_sub(2))).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let (found, hint) = match serde_json::from_str::<Value>(text) {
        Ok(value) => (kind(&value), FORM_HINT),
        Err(_) if message.contains("hex escape") => {
            (format!("no JSON: {message} at column {column}"), "half of a surrogate pair, \\ud800 to \\udfff, is no character: remove it")
        }
        Err(_) if ["NaN", "Infinity", "-Infinity"].iter().any(|name| text[at..].trim_start().starts_with(name)) => {
            (format!("no JSON: {message} at column {column}"), "NaN and Infinity are no values of JSON: write null, or leave the key out")
        }
        Err(_) => (format!("no JSON: {message} at column {column}"), "write each document in a line of its own"),
    };
    Wrong { expected: "one JSON object".into(), found, hint: hint.into() }
}

/// Whether a text begins with an object that has the keys of a document.
pub(super) fn begins(text: &str) -> bool {
    let Some(Ok(Object { known, maybe, .. })) = serde_json::Deserializer::from_str(text).into_iter().next() else { return false };
    let has = |key: &str| known.contains_key(key) || maybe.iter().any(|(other, _)| other == key);
    let has_one = |keys: &[&str]| keys.iter().any(|key| has(key));
    has("text") || has_one(&CONVERSATIONS) || has("prompt") && has("completion") || has_one(&ASKED) && has_one(&ANSWERED)
}

/// Reads a line that is not blank.
pub(super) fn read(text: &str) -> Result<Line, Wrong> {
    let Object { known: mut object, maybe, others } = serde_json::from_str(text).map_err(|error| no_object(text, &error))?;
    if ["text", "messages", "completion"].iter().all(|key| !object.contains_key(*key)) {
        for (key, value) in maybe {
            let value = serde_json::from_str(value.get()).map_err(|error| no_object(text, &error))?;
            object.insert(key, value);
        }
    }
    let has = |key: &str| object.contains_key(key);
    let list = CONVERSATIONS.into_iter().find(|key| has(key));
    let is_conversation = list.is_some() || object.get("completion").is_some_and(Value::is_array);
    if let Some(key) = ["tools", "functions"].into_iter().find(|key| is_conversation && object.get(*key).is_some_and(is_filled)) {
        return wrong("a conversation without tools", format!("{key:?}"), "calls of tools are not learnt: remove the key, or the line");
    }
    match (has("text"), list, has("prompt") || has("completion")) {
        (true, None, false) => Ok(Line::Text(filled("text", string(&object, "text")?)?)),
        (false, Some(key), false) => conversation(key, messages(key, &object[key])?, 0),
        // Some sets of conversations have the first question as a key of its own besides.
        (false, Some(key), true) if !has("completion") && is_said(&object["prompt"], &object[key]) => {
            conversation(key, messages(key, &object[key])?, 0)
        }
        (false, None, true) => pair(&object),
        (false, None, false) => question(&object)?.map_or_else(
            || {
                let keys: Vec<_> = object.keys().chain(&others).take(8).map(|key| format!("{key:?}")).collect();
                let found = if keys.is_empty() { "no key".into() } else { format!("only {}", keys.join(", ")) };
                wrong(format!("the key {FORMS}"), found, FORM_HINT)
            },
            Ok,
        ),
        _ => {
            let keys = ["text", "messages", "conversations", "prompt", "completion"].into_iter().filter(|key| has(key));
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

/// A question with its answer, which are a conversation; none where one of them is missing.
fn question(object: &Map<String, Value>) -> Result<Option<Line>, Wrong> {
    let first = |keys: &[&'static str]| keys.iter().copied().find(|key| object.contains_key(*key));
    let (Some(asked), Some(answered)) = (first(&ASKED), first(&ANSWERED)) else { return Ok(None) };
    let besides = |keys: &[&'static str]| {
        let found = keys.iter().find(|key| object.get(**key).is_some_and(|value| !value.is_null() && value != ""));
        found.map_or(Ok(String::new()), |key| string(object, key))
    };
    let parts = [string(object, asked)?, besides(&BESIDES)?];
    let asked: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    let (before, answer) = (besides(&BEFORE)?, filled(answered, string(object, answered)?)?);
    let before = (!before.is_empty()).then(|| Message::new(Role::System, before));
    let messages = before.into_iter().chain([Message::new(Role::User, asked.join("\n")), Message::new(Role::Assistant, answer)]);
    conversation(answered, messages.map(|message| (message, true)).collect(), 0).map(Some)
}

/// Checks that the assistant says something, at the key of that name, from the message of that number on.
fn conversation(key: &str, said: Vec<(Message, bool)>, first: usize) -> Result<Line, Wrong> {
    let answers = || (first..said.len()).filter(|&at| said[at].0.role == Role::Assistant);
    let learnt: Vec<usize> = answers().filter(|&at| said[at].1).collect();
    if learnt.is_empty() {
        let found = if answers().count() == 0 { "none" } else { "none but with \"weight\" 0" };
        return wrong(format!("a message of the assistant in {key:?}"), found, "only what the assistant says is learnt");
    }
    if answers().any(|at| said[at].0.content.trim().is_empty()) {
        return wrong("something that the assistant says", "an empty content", "remove the message, or the line");
    }
    Ok(Line::Conversation { messages: said.into_iter().map(|(message, _)| message).collect(), answers: learnt })
}

/// Whether a text is what one of the messages says.
fn is_said(text: &Value, messages: &Value) -> bool {
    let said = messages.as_array().into_iter().flatten().filter_map(|message| message.get("content").or(message.get("value")));
    text.as_str().is_some_and(|text| said.filter_map(Value::as_str).any(|said| said.trim() == text.trim()))
}

/// Whether a value says something.
fn is_filled(value: &Value) -> bool {
    match value {
        Value::Null => false,
        // A list that was written as text.
        Value::String(text) => !["", "[]", "{}", "null"].contains(&text.trim()),
        Value::Array(parts) => !parts.is_empty(),
        Value::Object(parts) => !parts.is_empty(),
        _ => true,
    }
}

/// The messages of a list, and whether they are to be learnt where the assistant says them.
fn messages(key: &str, value: &Value) -> Result<Vec<(Message, bool)>, Wrong> {
    let Value::Array(list) = value else {
        return wrong(format!("{key:?} to be a list of messages"), kind(value), FORM_HINT);
    };
    let message = |(at, value): (usize, &Value)| {
        let name = format!("{key}[{at}]");
        let Value::Object(object) = value else {
            return wrong(format!("{name} to be an object with \"role\" and \"content\""), kind(value), FORM_HINT);
        };
        let is_other = !object.contains_key("role") && object.contains_key("from");
        let [who, what] = if is_other { ["from", "value"] } else { ["role", "content"] };
        let role = match object.get(who).and_then(Value::as_str) {
            Some("system" | "developer") => Role::System,
            Some("user" | "human") => Role::User,
            Some("assistant" | "gpt" | "chatgpt") => Role::Assistant,
            _ => {
                let found = object.get(who).map_or("nothing".into(), |role| role.as_str().map_or(kind(role), |role| format!("{role:?}")));
                return wrong(
                    format!("{name}.{who} to be system, user or assistant"),
                    found,
                    "other roles are not learnt from: leave them out",
                );
            }
        };
        if let Some(call) = ["tool_calls", "function_call"].into_iter().find(|call| object.get(*call).is_some_and(is_filled)) {
            let found = format!("{name}.{call}");
            return wrong("a conversation without tools", found, "calls of tools are not learnt: remove the key, or the line");
        }
        let is_learnt = match object.get("weight").filter(|_| role == Role::Assistant) {
            None | Some(Value::Null) => true,
            Some(weight) => match weight.as_f64() {
                Some(1.0) => true,
                Some(0.0) => false,
                _ => {
                    return wrong(format!("{name}.weight to be 0 or 1"), weight, "an answer is learnt or is not: there is nothing between");
                }
            },
        };
        let reasoning_content = match object.get("reasoning_content") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => return wrong(format!("{name}.reasoning_content to be a string"), kind(other), FORM_HINT),
        };
        let content = match object.get(what) {
            Some(Value::String(content)) => content.clone(),
            Some(Value::Array(parts)) => joined(&name, parts)?,
            // Nothing is said before the conversation.
            Some(Value::Null) if role == Role::System => return Ok(None),
            other => {
                let found = other.map_or("nothing".into(), kind);
                let hint = "parts other than text, and calls of tools, are not learnt from";
                return wrong(format!("{name}.{what} to be a string, or a list of texts"), found, hint);
            }
        };
        Ok(Some((Message { reasoning_content, ..Message::new(role, content) }, is_learnt)))
    };
    list.iter().enumerate().map(message).filter_map(Result::transpose).collect()
}

/// What a message says in parts, each a text, in lines.
fn joined(name: &str, parts: &[Value]) -> Result<String, Wrong> {
    let text = |part: &Value| match (part["type"].as_str(), &part["text"]) {
        (Some("text"), Value::String(text)) => Ok(text.clone()),
        (type_of, _) => {
            let found = type_of.map_or_else(|| kind(part), |name| format!("a part of type {name:?}"));
            let hint = "parts other than {\"type\": \"text\", \"text\": \"…\"} are not learnt from: leave them out, or the line";
            wrong(format!("{name}.content to be a string, or a list of texts"), found, hint)
        }
    };
    Ok(parts.iter().map(text).collect::<Result<Vec<_>, _>>()?.join("\n"))
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
#[path = "line_tests.rs"]
mod tests;
