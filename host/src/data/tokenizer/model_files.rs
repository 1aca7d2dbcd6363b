//! The files beside a model's weights, which say how its text is written.

use std::collections::BTreeMap;
use std::path::Path;

use primal_engine::convert::attached;
use primal_engine::files::gguf::Gguf;
use primal_engine::files::{Dtype, TensorFile, hugging_face};

use super::stored::{Found, StoredTokenizer};
use super::{from_gguf, from_json};
use crate::input::{self, TOKENIZER};
use crate::{Error, Result};

/// The metadata of the GGUF file that a model came from, as a GGUF file without tensors.
const GGUF: &str = "gguf";
const HINT: &str = "give the folder of a model as Hugging Face has it, or its GGUF file";

/// What came with a model's weights.
pub struct ModelFiles {
    /// For messages.
    pub(super) subject: String,
    gguf: Option<Gguf>,
    texts: BTreeMap<&'static str, String>,
    /// Whether there is a vocabulary of SentencePiece, which is not read.
    has_piece_model: bool,
}

impl ModelFiles {
    /// The files that count in a folder of Hugging Face.
    pub const NAMES: [&str; 5] =
        ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];

    /// Those that an import attached to a model's file.
    ///
    /// # Errors
    /// Bad input for what cannot be read.
    pub fn attached_to(file: &dyn TensorFile) -> Result<Self> {
        let subject = file.path().display().to_string();
        let read = |name: &str| {
            let tensor = attached::name_of(name);
            let Some(view) = file.find(&tensor) else { return Ok(None) };
            if view.dtype != Dtype::U8 || view.byte_len() > attached::MOST {
                let found = format!("{} of {} bytes", view.dtype, view.byte_len());
                let expected = format!("`{tensor}` to be U8, of at most {} bytes", attached::MOST);
                return Err(Error::bad_input(&subject, expected, found, "import the model again"));
            }
            Ok(Some(view.bytes()?.into_owned()))
        };
        let mut texts = BTreeMap::new();
        for name in Self::NAMES {
            if let Some(bytes) = read(name)? {
                let text = String::from_utf8(bytes).map_err(|error| input::not_utf8(format!("{subject}: {name}"), error.as_bytes()))?;
                texts.insert(name, text);
            }
        }
        let gguf = read(GGUF)?.map(|bytes| Gguf::from_bytes(&format!("{subject}: {GGUF}"), &bytes)).transpose()?;
        Ok(Self { subject, gguf, texts, has_piece_model: false })
    }

    /// Those in the folder of a model, or beside a file of it.
    ///
    /// # Errors
    /// Bad input for what cannot be read.
    pub fn beside(path: &Path) -> Result<Self> {
        let folder = hugging_face::folder(path)?;
        let mut texts = BTreeMap::new();
        for name in Self::NAMES {
            let path = folder.join(name);
            if path.exists() {
                texts.insert(name, input::read_text(&path, TOKENIZER, HINT)?);
            }
        }
        let has_piece_model = folder.join("tokenizer.model").exists();
        Ok(Self { subject: folder.display().to_string(), gguf: None, texts, has_piece_model })
    }

    /// The metadata of a GGUF file.
    pub fn of_gguf(gguf: Gguf) -> Self {
        Self { subject: gguf.path().display().to_string(), gguf: Some(gguf), texts: BTreeMap::new(), has_piece_model: false }
    }

    /// The files of text, by name.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(name, text)| (*name, text.as_str()))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// The tokenizer of a model of `vocab` tokens.
    ///
    /// # Errors
    /// Bad input where there is none, or one that cannot be used.
    pub fn tokenizer(&self, vocab: usize) -> Result<StoredTokenizer> {
        let mut found = match (&self.gguf, self.text("tokenizer.json")) {
            (Some(gguf), _) => from_gguf::read(gguf, &self.subject)?,
            (None, Some(_)) => from_json::read(self)?,
            (None, None) if self.has_piece_model => {
                return Err(Error::bad_input(
                    &self.subject,
                    "a tokenizer.json",
                    "only a tokenizer.model, the file of SentencePiece, which is not read",
                    "transformers writes one: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
                ));
            }
            (None, None) => {
                return Err(Error::bad_input(&self.subject, "a tokenizer.json, or the metadata of a GGUF file", "neither", HINT));
            }
        };
        // Tokens that were added to the file alone, such as one to pad with, are none of the model; those that its template writes should be.
        let template = self.chat_template().ok().flatten().unwrap_or_default();
        let is_to_spare = |found: &Found, id: usize| {
            let added = found.added.iter().find(|token| token.id as usize == id);
            added.map_or(found.texts[id].is_empty(), |token| !template.contains(&token.name))
        };
        if found.texts.len() > vocab && (vocab..found.texts.len()).all(|id| is_to_spare(&found, id)) {
            found.texts.truncate(vocab);
            found.added.retain(|token| (token.id as usize) < vocab);
        }
        StoredTokenizer::new(found, &self.subject, vocab)
    }

    /// The template of its conversations, in the language of Jinja.
    ///
    /// # Errors
    /// Bad input for a configuration that cannot be read.
    pub fn chat_template(&self) -> Result<Option<String>> {
        if let Some(gguf) = &self.gguf {
            return Ok(gguf.value("tokenizer.chat_template").and_then(|value| value.as_str().map(str::to_owned)));
        }
        match self.text("chat_template.jinja") {
            Some(template) => Ok(Some(template.to_owned())),
            None => from_json::chat_template(self),
        }
    }
}
