//! The configurations in the program, from `models/`, and those in files.

use std::borrow::Cow;
use std::path::Path;

use primal_engine::config::{ConfigOf, Family, ModelTable, architecture_of, nearest};

use crate::{Error, Result, input};

/// Configurations by name, as TOML.
pub type Table = &'static [(&'static str, &'static str)];

/// Text models.
const TEXT: Table = &[
    ("gpt-nano", include_str!("../../models/gpt-nano.toml")),
    ("gpt-small-cpu", include_str!("../../models/gpt-small-cpu.toml")),
    ("gpt-0.1b", include_str!("../../models/gpt-0.1b.toml")),
    ("llama-1.1b", include_str!("../../models/llama-1.1b.toml")),
    ("llama-7b", include_str!("../../models/llama-7b.toml")),
];

/// Speech models.
const SPEECH: Table =
    &[("ghost-tts", include_str!("../../models/ghost-tts.toml")), ("ghost-tts-nano", include_str!("../../models/ghost-tts-nano.toml"))];

/// The configurations of that family in the program.
pub fn named(family: Family) -> Table {
    match family {
        Family::Text => TEXT,
        Family::Speech => SPEECH,
    }
}

/// The name of the configuration that is used when none is given.
pub fn default_of(family: Family) -> &'static str {
    match family {
        Family::Text => "gpt-small-cpu",
        Family::Speech => "ghost-tts",
    }
}

/// Configurations that can be loaded by name.
pub trait Load: Sized {
    /// A named configuration, or a file.
    ///
    /// # Errors
    /// No such name or file, TOML that does not parse, unknown keys, values out of range.
    fn load(name: &str) -> Result<Self>;
}

impl<M: ModelTable> Load for ConfigOf<M> {
    fn load(name: &str) -> Result<Self> {
        Ok(Self::parse(&text_of(name, named(M::FAMILY))?, name)?)
    }
}

/// The architecture of a named configuration of that family, or of a file.
///
/// # Errors
/// No such name or file, TOML that does not parse.
pub fn architecture(name: &str, family: Family) -> Result<String> {
    Ok(architecture_of(&text_of(name, named(family))?, name)?)
}

/// The TOML of a configuration of any family, by name or file.
///
/// # Errors
/// No such name or file.
pub fn any_text_of(name: &str) -> Result<Cow<'static, str>> {
    text_of(name, &[TEXT, SPEECH].concat())
}

/// The TOML of a named configuration, or of a file.
fn text_of(name: &str, named: &[(&'static str, &'static str)]) -> Result<Cow<'static, str>> {
    if let Some(&(_, text)) = named.iter().find(|(known, _)| *known == name) {
        return Ok(text.into());
    }
    let path = Path::new(name);
    if !path.exists() && path.extension().is_none_or(|e| e != "toml") {
        let names: Vec<_> = named.iter().map(|(name, _)| *name).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "name one of them, or give the path of a .toml file".into(),
        };
        return Err(Error::bad_input("--config", format!("one of {} or a file", names.join(", ")), format!("{name:?}"), hint));
    }
    let hint = "give the path of a configuration, or one of the names";
    input::read_text(path, input::CONFIGURATION, hint).map(Cow::from)
}
