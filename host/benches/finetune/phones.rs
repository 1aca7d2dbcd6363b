//! Words whose phones a model is asked for: lines of `heldout.jsonl`, as `cargo xtask make-lexicon --documents` writes them.

use serde::{Deserialize, Serialize};

use super::score::Score;

/// Words on which the loss is measured, and those of them that the model is asked for.
pub const MEASURED: usize = 1000;
pub const ASKED: usize = 200;
/// Tokens of an answer, at most: the longest words have 20 phones of up to three tokens.
pub const TOKENS: &str = "64";

/// What a model answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Words {
    pub asked: usize,
    /// The share of words whose phones are all right.
    pub right: f64,
    /// Wrong, missing and extra phones in parts of those expected.
    pub phone_errors: f64,
}

/// A word: what is asked, and what is right.
#[derive(Deserialize)]
struct Word {
    prompt: String,
    completion: String,
    #[serde(default)]
    others: Vec<String>,
}

/// What `generate --prompts` says of one.
#[derive(Deserialize)]
struct Answer {
    text: String,
}

/// The first so many lines.
pub fn first(lines: &str, count: usize) -> String {
    lines.split_inclusive('\n').take(count).collect()
}

/// Compares the lines that `generate --prompts` gave for the lines of words.
///
/// # Errors
/// Other lines than these; another answer than to the prompt of its line.
pub fn score(words: &str, answers: &str) -> Result<Words, String> {
    let mut score = Score::default();
    let (asked, answered) = (words.lines().count(), answers.lines().count());
    if asked != answered || asked == 0 {
        return Err(format!("{answered} answers to {asked} words"));
    }
    for (at, (word, answer)) in (1..).zip(words.lines().zip(answers.lines())) {
        let wrong = |e: serde_json::Error| format!("word {at}: {e}");
        let (word, answer): (Word, Answer) = (serde_json::from_str(word).map_err(wrong)?, serde_json::from_str(answer).map_err(wrong)?);
        let found = answer.text.strip_prefix(&word.prompt).ok_or_else(|| format!("word {at}: {:?} is no answer", answer.text))?;
        let phones = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        score.add(&phones(found), [word.completion].iter().chain(&word.others).map(|text| phones(text)));
    }
    Ok(Words { asked, right: 1.0 - score.words(), phone_errors: score.phones() })
}
