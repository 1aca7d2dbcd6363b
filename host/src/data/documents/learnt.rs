//! The tokens of a document, and which of them are learnt.
//!
//! A text is cut where a model that answers is told to begin: the prompt is encoded by itself, as `generate` and `chat` encode it, and then what follows.

use super::line::{Line, Wrong, wrong};
use crate::chat::{ChatTemplate, Message, Role};
use crate::data::TextCodec;
use crate::data::tokenizer::pieces;
use crate::{Error, Result};

/// The bit of a token that is learnt: no vocabulary has so many tokens.
pub(super) const LEARNT: u32 = 1 << 31;

/// The tokens of a line.
pub(super) fn tokens(line: Line, codec: &TextCodec, template: Option<&ChatTemplate>) -> Result<Vec<u32>, Wrong> {
    let learnt = |tokens: Vec<u32>| tokens.into_iter().map(|token| token | LEARNT);
    let end = codec.end_token().map(|token| token | LEARNT);
    match line {
        Line::Text(text) => Ok(learnt(codec.prompt(&text)).chain(end).collect()),
        Line::Pair { prompt, completion } => {
            let answer = if prompt.is_empty() { codec.encode(&completion) } else { continuation(codec, &completion) };
            Ok(codec.prompt(&prompt).into_iter().chain(learnt(answer)).chain(end).collect())
        }
        Line::Conversation { messages, first } => match template {
            Some(template) => conversation(&messages, first, codec, template),
            None => wrong(
                "a model with a template for conversations",
                "messages, and a model without one",
                "models that answer are called chat or instruct; for others write \"prompt\" and \"completion\" as strings",
            ),
        },
    }
}

/// The tokens of what goes on with a text.
fn continuation(codec: &TextCodec, text: &str) -> Vec<u32> {
    pieces(text).flat_map(|piece| codec.encode_piece(piece, false)).collect()
}

/// The tokens of a conversation. What the assistant says is what the template writes beyond the beginning of an answer to all before it.
fn conversation(messages: &[Message], first: usize, codec: &TextCodec, template: &ChatTemplate) -> Result<Vec<u32>, Wrong> {
    let shielded = |message: &Message| Message { role: message.role, content: codec.shielded(&message.content).into_owned() };
    let messages: Vec<Message> = messages.iter().map(shielded).collect();
    let render = |messages: &[Message], is_answered| template.render(messages, is_answered).map_err(of_template);
    let all = render(&messages, false)?;
    let (mut tokens, mut end) = (Vec::new(), 0);
    let encode = |text: &str, is_first: bool| if text.is_empty() { Vec::new() } else { codec.encode_controls(text, is_first) };
    let answers = (first..messages.len()).filter(|&at| messages[at].role == Role::Assistant);
    for at in answers {
        let before = render(&messages[..at], true)?;
        let after = if at + 1 == messages.len() { all.clone() } else { render(&messages[..=at], false)? };
        let is_stable = all.starts_with(&after) && after.starts_with(&before) && end <= before.len();
        if !is_stable {
            return wrong(
                "a template that writes the beginning of a conversation as it does the whole",
                format!("another beginning at message {} of {}", at + 1, messages.len()),
                "end each line with the answer that is to be learnt, with \"prompt\" and \"completion\" as lists of messages",
            );
        }
        tokens.extend(encode(&all[end..before.len()], end == 0));
        let answer = encode(&all[before.len()..after.len()], before.is_empty());
        if answer.is_empty() {
            let found = format!("nothing written of message {}", at + 1);
            return wrong("a template that writes what the assistant says", found, "write \"prompt\" and \"completion\" as strings");
        }
        let until = end_of_turn(&answer, codec);
        tokens.extend(answer.iter().enumerate().map(|(at, &token)| if at < until { token | LEARNT } else { token }));
        end = after.len();
    }
    tokens.extend(encode(&all[end..], false));
    Ok(tokens)
}

/// How many tokens of an answer are up to the one that ends it, of which spaces and lines may follow; all if none does.
fn end_of_turn(answer: &[u32], codec: &TextCodec) -> usize {
    let last = answer.iter().rposition(|token| codec.stop_tokens().contains(token));
    let only_space = |after: &[u32]| after.iter().flat_map(|&token| codec.token_bytes(token)).all(u8::is_ascii_whitespace);
    last.map(|at| at + 1).filter(|&end| only_space(&answer[end..])).unwrap_or(answer.len())
}

fn of_template(error: Error) -> Wrong {
    match error {
        Error::BadInput { expected, found, hint, .. } => Wrong { expected, found, hint },
        other => Wrong { expected: "a template that can be used".into(), found: other.to_string(), hint: "import the model again".into() },
    }
}
