//! What lies beside the tensors in the folder of a model.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::shards::{folder, json};
use crate::files::mapped;
use crate::{Error, Result};

/// The files that are kept with a model, apart from its tensors.
const KEPT: [&str; 5] = ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"];
/// A text for people, of whose head some lines are read.
const CARD: &str = "README.md";
const HINT: &str = "get all files of the model from where it came";

/// The folder of a model, and its configuration.
#[derive(Debug)]
pub struct ModelFolder {
    /// Where its files are.
    pub path: PathBuf,
    /// `config.json`.
    pub config: Map<String, Value>,
}

impl ModelFolder {
    /// Reads the configuration; `path` is what [`open()`](crate::files::open()) takes for the tensors.
    ///
    /// # Errors
    /// I/O errors; bad input where there is no configuration, or something else.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = folder(path)?;
        let config = json(&folder.join("config.json"), "the configuration of a model, a JSON object")?;
        Ok(Self { path: folder, config })
    }

    /// The class in `transformers`, if the configuration has one: `LlamaForCausalLM`.
    pub fn class(&self) -> Option<&str> {
        self.config.get("architectures")?.get(0)?.as_str()
    }

    /// The files to keep with the model, by name, of `most` bytes each.
    ///
    /// # Errors
    /// I/O errors; bad input for one that is longer.
    pub fn kept(&self, most: usize) -> Result<Vec<(String, Vec<u8>)>> {
        let mut kept = Vec::new();
        for name in KEPT {
            let path = self.path.join(name);
            if !path.exists() {
                continue;
            }
            let bytes = mapped::open(&path, "a text", HINT)?.map_or(Vec::new(), |bytes| bytes[..bytes.len().min(most + 1)].to_vec());
            if bytes.len() > most {
                return Err(Error::invalid(path.display(), format!("a text of at most {most} bytes"), "more than that", HINT));
            }
            kept.push((name.to_owned(), bytes));
        }
        Ok(kept)
    }

    /// A value of the head of the text about the model, such as `license`, if it has one of one line.
    pub fn card(&self, key: &str) -> Option<String> {
        const MAX_HEAD: usize = 1 << 16;
        let bytes = mapped::open(&self.path.join(CARD), "a text", HINT).ok()??;
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_HEAD)]);
        let mut lines = text.lines();
        lines.next().filter(|line| line.trim_end() == "---")?;
        let head = lines.take_while(|line| line.trim_end() != "---");
        let value = head.filter_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim).next()?;
        let plain = || value.trim_matches(['"', '\'']).to_owned();
        // Quoted as JSON is, as a rule.
        Some(serde_json::from_str(value).unwrap_or_else(|_| plain())).filter(|value| !value.is_empty())
    }
}

/// A text as YAML has it in a line: plain where it cannot be anything else, or in quotes.
pub fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_plain);
    if is_word && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    // YAML takes the escapes of JSON; other characters that it would end a line at are escaped as well.
    let quoted = serde_json::Value::from(text).to_string();
    let is_safe = |c: char| !c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    quoted.chars().map(|c| if is_safe(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn model(config: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), config).unwrap();
        folder
    }

    #[test]
    fn configurations_that_are_none_are_refused() {
        let folder = model(r#"{"architectures":["Qwen2ForCausalLM"],"hidden_size":896}"#);
        let model_folder = ModelFolder::open(folder.path()).unwrap();
        assert_eq!((model_folder.class(), model_folder.config["hidden_size"].as_u64()), (Some("Qwen2ForCausalLM"), Some(896)));
        for (config, part) in [("[]", "something else"), ("", "an empty file"), (&"[".repeat(100_000), "something else")] {
            let message = ModelFolder::open(model(config).path()).expect_err(part).to_string();
            assert!(message.contains("config.json") && message.contains(part), "{part:?} in: {message}");
        }
    }

    #[test]
    fn what_is_there_is_kept() {
        let folder = model("{}");
        fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
        fs::write(folder.path().join("merges.txt"), "").unwrap();
        let names: Vec<String> = ModelFolder::open(folder.path()).unwrap().kept(100).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["config.json", "tokenizer.json"]);
    }

    #[test]
    fn the_licence_is_in_the_head_of_the_text() {
        let folder = model("{}");
        let model = ModelFolder::open(folder.path()).unwrap();
        assert_eq!(model.card("license"), None);
        fs::write(folder.path().join("README.md"), "---\nlicense: 'apache-2.0'\nbase_model:\n- a/b\n---\nlanguage: en\n").unwrap();
        assert_eq!(model.card("license").as_deref(), Some("apache-2.0"));
        assert_eq!((model.card("base_model"), model.card("language")), (None, None));
    }

    #[test]
    fn what_is_written_for_yaml_is_one_line_and_read_again() {
        let folder = model("{}");
        let model = ModelFolder::open(folder.path()).unwrap();
        assert_eq!(["apache-2.0", "a/b", "yes", "1e3"].map(scalar), ["apache-2.0", "a/b", "\"yes\"", "\"1e3\""]);
        for text in [
            "mit",
            "no",
            "a: b # c",
            "other\n---\nlicense: mit",
            "\"",
            "\\",
            "'x'",
            "é\u{2028}\u{85}\u{7f}",
            "[a]",
            "&x",
            "- a",
            "2.0",
            "~",
        ] {
            let line = scalar(text);
            assert!(!line.contains(['\n', '\u{2028}', '\u{85}']), "{line}");
            fs::write(folder.path().join("README.md"), format!("---\nlicense: {line}\n---\n")).unwrap();
            assert_eq!(model.card("license").as_deref(), Some(text), "{line}");
        }
    }
}
