//! The tokens of a document, and which of them are learnt.
//!
//! A text is cut where a model that answers is told to begin: the prompt is encoded by itself, as `generate` and `chat` encode it, and then what follows.

use super::line::{Line, Wrong, wrong};
use crate::chat::{ChatTemplate, Message};
use crate::data::TextCodec;
use crate::data::tokenizer::pieces;
use crate::{Error, Result};

/// The bit of a token that is learnt: no vocabulary has so many tokens.
pub(super) const LEARNT: u32 = 1 << 31;

/// The documents of a line, as tokens: one, but of a conversation that its template writes otherwise as it goes on, one for each answer. No more than `most`
/// tokens and one of them are needed.
pub(super) fn documents(line: Line, codec: &TextCodec, template: Option<&ChatTemplate>, most: usize) -> Result<Vec<Vec<u32>>, Wrong> {
    let learnt = |tokens: Vec<u32>| tokens.into_iter().map(|token| token | LEARNT);
    let end = codec.end_token().map(|token| token | LEARNT);
    match line {
        Line::Text(text) => Ok(vec![learnt(codec.prompt(&text)).chain(end).collect()]),
        Line::Pair { prompt, completion } => {
            let answer = if prompt.is_empty() { codec.encode(&completion) } else { continuation(codec, &completion) };
            Ok(vec![codec.prompt(&prompt).into_iter().chain(learnt(answer)).chain(end).collect()])
        }
        Line::Conversation { messages, answers } => match template {
            Some(template) => conversation(&messages, &answers, codec, template, most),
            None => wrong(
                "a model with a template for conversations",
                "messages, and a model without one",
                "give the model one by `import model --chat-template`, take one that answers (chat, instruct), or write \"prompt\" and \"completion\" as strings",
            ),
        },
    }
}

/// The tokens of what goes on with a text.
fn continuation(codec: &TextCodec, text: &str) -> Vec<u32> {
    pieces(text).flat_map(|piece| codec.encode_piece(piece, false)).collect()
}

/// The documents of a conversation: what the assistant says in the messages of these numbers is learnt.
fn conversation(
    messages: &[Message],
    answers: &[usize],
    codec: &TextCodec,
    template: &ChatTemplate,
    most: usize,
) -> Result<Vec<Vec<u32>>, Wrong> {
    let shielded = |text: &String| codec.shielded(text).into_owned();
    let shield = |message: &Message| Message {
        role: message.role,
        content: shielded(&message.content),
        reasoning_content: message.reasoning_content.as_ref().map(shielded),
    };
    let messages: Vec<Message> = messages.iter().map(shield).collect();
    let all = template.render(&messages, false).map_err(of_template)?;
    let stops: Vec<String> = codec.stop_tokens().iter().map(|&token| codec.decode(&[token])).collect();
    let part = |&at: &usize| {
        answer(&messages[..=at], template).map(|(before, mut answer)| {
            answer.truncate(end_of_turn(&answer, &stops));
            (before, answer)
        })
    };
    let parts = answers.iter().map(part).collect::<Result<Vec<_>, _>>()?;
    let encode = |text: &str, is_first: bool| if text.is_empty() { Vec::new() } else { codec.encode_controls(text, is_first) };
    let learn = |tokens: &mut Vec<u32>, answer: &str| {
        let answer = encode(answer, tokens.is_empty());
        tokens.extend(answer.into_iter().map(|token| token | LEARNT));
    };
    // Where each answer begins and ends, if the whole is what was written before each of them, and more.
    let mut end = 0;
    let places = parts.iter().map(|(before, answer)| {
        let is_part = before.len() >= end && all.strip_prefix(&**before).is_some_and(|rest| rest.starts_with(&**answer));
        is_part.then(|| (std::mem::replace(&mut end, before.len() + answer.len()), before.len(), before.len() + answer.len()))
    });
    let Some(places) = places.collect::<Option<Vec<_>>>() else {
        let mut documents: Vec<Vec<u32>> = Vec::new();
        for (before, answer) in &parts {
            // Once there is no room for an answer, there is none for those that more is said before.
            let is_full = documents.last().is_some_and(|last| last.len() > most && last[1..most].iter().all(|token| token & LEARNT == 0));
            let mut tokens = if is_full { documents.last().cloned().unwrap_or_default() } else { encode(before, true) };
            if !is_full {
                learn(&mut tokens, answer);
                tokens.truncate(most + 1);
            }
            documents.push(tokens);
        }
        return Ok(documents);
    };
    let mut tokens = Vec::new();
    for (end, from, to) in places {
        tokens.extend(encode(&all[end..from], end == 0));
        learn(&mut tokens, &all[from..to]);
    }
    tokens.extend(encode(&all[end..], false));
    Ok(vec![tokens])
}

/// How a template writes the last of these messages, an answer: what is before it, and what of the rest the model is to say. That is what the template writes
/// beyond the beginning of an answer to all before it.
fn answer(messages: &[Message], template: &ChatTemplate) -> Result<(String, String), Wrong> {
    let render = |messages: &[Message], is_answered| template.render(messages, is_answered).map_err(of_template);
    let (last, earlier) = messages.split_last().expect("an answer");
    let (before, after) = (render(earlier, true)?, render(messages, false)?);
    let parts = match after.strip_prefix(&*before) {
        Some(answer) => (before, answer.to_owned()),
        None => {
            // What does not depend on what the answer says is before it.
            let says = |content: &str| render(&[earlier, &[Message::new(last.role, content)]].concat(), false);
            let (one, other) = (says("a")?, says("b")?);
            let fixed = &one[..common(&one, &other)];
            let history = render(earlier, false)?;
            let cut = if !after.starts_with(fixed) {
                None
            } else if fixed.starts_with(&*history) {
                // An answer in a conversation begins otherwise than one that is asked for, as where that begins with thoughts.
                let at = common(fixed, &before);
                Some((after[..at].to_owned(), at))
            } else {
                // What is before it is written otherwise once it is answered: the answer follows what the model is asked with.
                let ends = (fixed.len().saturating_sub(LONGEST_BEGINNING)..=fixed.len()).rev().filter(|&at| fixed.is_char_boundary(at));
                let common = |at: usize| common_end(&fixed[..at], &before);
                // That is, all of what was said last.
                let question = earlier.last().map_or("", |message| message.content.trim());
                let has_question = |&at: &usize| common(at) > question.len() && before[before.len() - common(at)..].contains(question);
                ends.max_by_key(|&at| common(at)).filter(has_question).map(|at| (before, at))
            };
            let Some((before, at)) = cut else {
                return wrong(
                    "a template that writes an answer after its question",
                    format!("another beginning at message {}", messages.len()),
                    "write \"prompt\" and \"completion\" as strings",
                );
            };
            (before, after[at..].to_owned())
        }
    };
    if parts.1.is_empty() {
        let found = format!("nothing written of message {}", messages.len());
        return wrong("a template that writes what the assistant says", found, "write \"prompt\" and \"completion\" as strings");
    }
    Ok(parts)
}

/// Bytes that a template writes at most before an answer that it did not write when it asked for one.
const LONGEST_BEGINNING: usize = 64;

/// With how many equal bytes, of whole characters, both begin.
fn common(one: &str, other: &str) -> usize {
    let equal = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    (0..=equal).rev().find(|&at| one.is_char_boundary(at) && other.is_char_boundary(at)).unwrap_or(0)
}

/// With how many equal bytes both end.
fn common_end(one: &str, other: &str) -> usize {
    one.bytes().rev().zip(other.bytes().rev()).take_while(|(one, other)| one == other).count()
}

/// Where the first token that ends a turn ends in an answer; its end if none does. What is said has no such names, as it is shielded.
fn end_of_turn(answer: &str, stops: &[String]) -> usize {
    stops.iter().filter_map(|stop| Some(answer.find(&**stop)? + stop.len())).min().unwrap_or(answer.len())
}

fn of_template(error: Error) -> Wrong {
    match error {
        Error::BadInput { expected, found, .. } => {
            Wrong { expected, found, hint: "write the line as the template takes it, or leave it out".into() }
        }
        other => Wrong { expected: "a template that can be used".into(), found: other.to_string(), hint: "import the model again".into() },
    }
}
