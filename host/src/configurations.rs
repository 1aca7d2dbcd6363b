//! The configurations in the program, from `models/`, and those in files.

use std::borrow::Cow;
use std::path::Path;

use primal_engine::config::{Config, ConfigOf, GhostTtsConfig, ModelConfig, ModelTable, SpeechConfig, nearest, toml_error};

use crate::{Error, Result, input};

/// Configurations by name, as TOML.
type Table = &'static [(&'static str, &'static str)];

/// A kind of model with configurations in the program.
pub trait Named: ModelTable {
    /// Name and TOML of each.
    const NAMED: Table;
    /// The name of the one that is used when none is given.
    const DEFAULT: &'static str;
}

impl Named for ModelConfig {
    const NAMED: Table = &[
        ("gpt-nano", include_str!("../../models/gpt-nano.toml")),
        ("gpt-small-cpu", include_str!("../../models/gpt-small-cpu.toml")),
        ("gpt-0.1b", include_str!("../../models/gpt-0.1b.toml")),
    ];
    const DEFAULT: &'static str = "gpt-small-cpu";
}

impl Named for GhostTtsConfig {
    const NAMED: Table =
        &[("ghost-tts", include_str!("../../models/ghost-tts.toml")), ("ghost-tts-nano", include_str!("../../models/ghost-tts-nano.toml"))];
    const DEFAULT: &'static str = "ghost-tts";
}

/// Configurations that can be loaded by name.
pub trait Load: Sized {
    /// A named configuration, or a file.
    ///
    /// # Errors
    /// No such name or file, TOML that does not parse, unknown keys, values out of range.
    fn load(name: &str) -> Result<Self>;
}

impl<M: Named> Load for ConfigOf<M> {
    fn load(name: &str) -> Result<Self> {
        Ok(Self::parse(&text_of(name, M::NAMED)?, name)?)
    }
}

/// A configuration of whatever kind.
pub enum AnyConfig {
    /// Of text.
    Text(Config),
    /// Of speech.
    Speech(SpeechConfig),
}

impl Load for AnyConfig {
    /// It is one of speech if its model has mel bands.
    fn load(name: &str) -> Result<Self> {
        let text = text_of(name, &[ModelConfig::NAMED, GhostTtsConfig::NAMED].concat())?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| toml_error(&error, &text, name))?;
        let speech = table.get("model").is_some_and(|model| model.get("mels").is_some());
        Ok(if speech { Self::Speech(ConfigOf::parse(&text, name)?) } else { Self::Text(ConfigOf::parse(&text, name)?) })
    }
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
