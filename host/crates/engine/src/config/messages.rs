//! What is wrong with a text, and what its writer may have meant.

use crate::Error;

/// The candidate most like `name`, if one is near.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|c| (strsim::jaro_winkler(name, c), c));
    scored.filter(|(score, _)| *score > 0.7).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, c)| c)
}

/// What is wrong with the TOML of `origin`. serde says "unknown field `x`, expected one of `a`, `b`": names the nearest.
pub fn toml_error(error: &toml::de::Error, text: &str, origin: &str) -> Error {
    let message = error.message();
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let mut quoted = message.split('`').skip(1).step_by(2);
    let hint = match quoted.next() {
        Some(unknown) if message.starts_with("unknown") => match nearest(unknown, quoted) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "remove it, or take one of those expected".into(),
        },
        _ => "correct the line; the config.toml of any run shows how keys are written".into(),
    };
    let (found, expected) = message.split_once(", expected ").unwrap_or((message, "a configuration in TOML"));
    Error::invalid(format!("{origin}, line {line}"), expected.trim_end(), found.trim_end(), hint)
}
