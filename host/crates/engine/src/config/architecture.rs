//! Which model a configuration is of.

use super::ghost_tts::GhostTtsConfig;
use super::gpt::GptConfig;
use super::messages::toml_error;
use super::table::ModelTable;
use crate::{Error, Result};

/// The architecture that a configuration is of. One without the key is older than it: of speech where its model has mel bands, else of text.
///
/// # Errors
/// TOML that does not parse; a key that is no string.
pub fn architecture_of(text: &str, origin: &str) -> Result<String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| toml_error(&error, text, origin))?;
    let key = |key: &str| table.get("model").and_then(|model| model.get(key));
    match key("architecture") {
        Some(toml::Value::String(name)) => Ok(name.clone()),
        Some(other) => Err(Error::invalid(format!("{origin}: model.architecture"), "a string", other, "give the name of an architecture")),
        None if key("mels").is_some() => Ok(GhostTtsConfig::ARCHITECTURE.into()),
        None => Ok(GptConfig::ARCHITECTURE.into()),
    }
}
