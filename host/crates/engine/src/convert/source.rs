//! An open model of another program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::attached;
use super::lines::Lines;
use super::names::{Place, Style, place};
use super::table::Table;
use super::{from_config, from_gguf};
use crate::files::gguf::{self, Gguf, Value};
use crate::files::hugging_face::ModelFolder;
use crate::files::{self, TensorFile};
use crate::{Error, Result};

/// The architectures that are imported: names in GGUF, and classes of `transformers`.
pub const ARCHITECTURES: [(&str, &str); 5] = [
    ("llama", "LlamaForCausalLM"),
    ("llama", "MistralForCausalLM"),
    ("qwen2", "Qwen2ForCausalLM"),
    ("qwen3", "Qwen3ForCausalLM"),
    ("gpt2", "GPT2LMHeadModel"),
];

/// Keys of the configuration: here, in GGUF files, in `config.json` of models like Llama, and of GPT-2.
const KEYS: [[&str; 4]; 9] = [
    ["model.dim", "embedding_length", "hidden_size", "n_embd"],
    ["model.layers", "block_count", "num_hidden_layers", "n_layer"],
    ["model.heads", "attention.head_count", "num_attention_heads", "n_head"],
    ["model.kv_heads", "attention.head_count_kv", "num_key_value_heads", "n_head"],
    ["model.head_dim", "attention.key_length", "head_dim", "n_head"],
    ["model.hidden", "feed_forward_length", "intermediate_size", "n_inner"],
    ["model.context", "context_length", "max_position_embeddings", "n_positions"],
    ["model.rope_base", "rope.freq_base", "rope_theta", "n_positions"],
    ["model.norm_epsilon", "attention.layer_norm_rms_epsilon", "rms_norm_eps", "layer_norm_epsilon"],
];

/// The prefix of the names of GPT-2's tensors, which files of the bare model leave out.
const GPT2_PREFIX: &str = "transformer.";

/// The metadata of a GGUF file, among the files that are kept.
const GGUF: &str = "gguf";
/// What is kept of a folder's templates, and of how texts are made.
const TEMPLATE: &str = "chat_template.jinja";
const GENERATION: &str = "generation_config.json";
const ENDS: &str = "eos_token_id";

/// Refuses an architecture by its name in `path`.
pub(super) fn unsupported(path: &Path, name: &str) -> Error {
    let names: Vec<String> = ARCHITECTURES.iter().map(|(gguf, class)| format!("{gguf} ({class})")).collect();
    let hint = "give a model of one of these: others compute something else";
    Error::invalid(path.display(), format!("a model of architecture {}", names.join(", ")), format!("`{name}`"), hint)
}

/// A model of another program, by the names of the parameters here.
#[derive(Debug)]
pub struct Source {
    /// What it is.
    pub table: Table,
    /// Tokens of its context, of which this program may use fewer.
    pub context: usize,
    /// Where it was opened.
    pub path: PathBuf,
    pub(super) style: Style,
    pub(super) file: Box<dyn TensorFile>,
    /// The whole GGUF file, if it is one.
    pub(super) gguf: Option<Gguf>,
    /// Files to keep with the model.
    pub(super) attached: Vec<(String, Vec<u8>)>,
    /// Licence, name, base model: what of it is known.
    pub about: BTreeMap<String, String>,
}

impl Source {
    /// Opens a GGUF file, or the folder or the first file of a model of Hugging Face.
    ///
    /// # Errors
    /// I/O errors; bad input for what is no such model, or has an architecture, a key or a tensor that is not known.
    pub fn open(path: &Path) -> Result<Self> {
        let file = files::open(path)?;
        let source = if file.kind() == gguf::FORMAT.name { Self::of_gguf(path, file)? } else { Self::of_folder(path, file)? };
        source.table.to_toml(&path.display().to_string()).map_err(|error| source.by_its_keys(error))?;
        source.require_tensors()?;
        attached::require_short(&source)?;
        Ok(source)
    }

    /// Keeps another template of conversations with the model, and has what it makes end at this token as well.
    ///
    /// # Errors
    /// Bad input for files of the model that do not parse.
    pub fn set_chat_template(&mut self, template: &str, end: Option<u32>) -> Result<()> {
        if let Some(gguf) = &self.gguf {
            // One that is there goes on to end what is made.
            let free = ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"].into_iter().find(|key| gguf.value(key).is_none());
            let template = ("tokenizer.chat_template", Some(Value::string(template)));
            let keys = [template, (free.unwrap_or("tokenizer.ggml.eot_token_id"), end.map(Value::U32))];
            let mut metadata: Vec<_> = gguf.entries().map(|(key, value)| (key.to_owned(), value)).collect();
            for (key, value) in keys.into_iter().filter_map(|(key, value)| Some((key, value?))) {
                match metadata.iter_mut().find(|(other, _)| other == key) {
                    Some((_, old)) => *old = value,
                    None => metadata.push((key.to_owned(), value)),
                }
            }
            self.attached = vec![(GGUF.to_owned(), gguf::encode(&metadata, &[])?)];
            return Ok(());
        }
        self.attach(TEMPLATE, template.as_bytes().to_vec());
        let Some(end) = end else { return Ok(()) };
        let object = |name: &str| {
            let Some((_, bytes)) = self.attached.iter().find(|(other, _)| other == name) else { return Ok(None) };
            serde_json::from_slice::<serde_json::Map<String, Json>>(bytes).map(Some).map_err(|error| {
                let subject = format!("{}: {name}", self.path.display());
                Error::invalid(subject, "an object in JSON", error, "get all files of the model from where it came")
            })
        };
        // Where its own file does not say so, what is made ends as the configuration says.
        let [generation, config] = [object(GENERATION)?, object("config.json")?];
        let ends = |object: &Option<serde_json::Map<String, Json>>| object.as_ref()?.get(ENDS).filter(|ends| !ends.is_null()).cloned();
        let old = ends(&generation).or(ends(&config)).unwrap_or_default();
        let mut ends = match old {
            Json::Null => Vec::new(),
            Json::Array(several) => several,
            one => vec![one],
        };
        ends.push(end.into());
        let mut generation = generation.unwrap_or_default();
        generation.insert(ENDS.into(), ends.into());
        self.attach(GENERATION, serde_json::to_vec(&generation).expect("plain data"));
        Ok(())
    }

    fn attach(&mut self, name: &str, bytes: Vec<u8>) {
        self.attached.retain(|(other, _)| other != name);
        self.attached.push((name.to_owned(), bytes));
    }

    fn of_gguf(path: &Path, file: Box<dyn TensorFile>) -> Result<Self> {
        let gguf = Gguf::open(file.path())?;
        let table = from_gguf::table(&gguf)?;
        let metadata: Vec<_> = gguf.entries().map(|(key, value)| (key.to_owned(), value)).collect();
        let attached = vec![(GGUF.to_owned(), gguf::encode(&metadata, &[])?)];
        let text = |key: &str| gguf.value(key).and_then(|value| value.as_str().map(str::to_owned));
        let about = [
            ("license", text("general.license")),
            ("name", text("general.name")),
            ("base_model", text("general.base_model.0.repo_url").or_else(|| text("general.base_model.0.name"))),
        ];
        let about = about.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?))).collect();
        let context = gguf.of_architecture("context_length").and_then(|value| value.as_u64()).unwrap_or(0) as usize;
        Ok(Self { table, context, path: path.into(), style: Style::Gguf, file, gguf: Some(gguf), attached, about })
    }

    fn of_folder(path: &Path, file: Box<dyn TensorFile>) -> Result<Self> {
        let folder = ModelFolder::open(path)?;
        let tables = ["model.embed_tokens.weight", "transformer.wte.weight", "wte.weight"];
        let vocab = tables.iter().find_map(|name| file.find(name)?.shape.first().copied());
        let vocab = vocab.unwrap_or_else(|| folder.config.get("vocab_size").and_then(|size| size.as_u64()).unwrap_or(0) as usize);
        let table = from_config::table(&folder, vocab)?;
        let given = |key: &str| folder.config.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let folder_name = || folder.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let about = [
            ("license", folder.card("license")),
            ("name", given("_name_or_path").or_else(folder_name)),
            ("base_model", folder.card("base_model")),
        ];
        let about = about.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?))).collect();
        let context = ["max_position_embeddings", "n_positions", "n_ctx"].iter().find_map(|key| folder.config.get(*key)?.as_u64());
        let (context, attached) = (context.unwrap_or(0) as usize, folder.kept(attached::MOST)?);
        Ok(Self { table, context, path: path.into(), style: Style::HuggingFace, file, gguf: None, attached, about })
    }

    /// An error of the configuration by the names that the file has for its keys.
    fn by_its_keys(&self, error: Error) -> Error {
        let Error::Invalid { subject, expected, found, .. } = error else { return error };
        let is_gpt = matches!(self.table, Table::Gpt(_));
        let row = subject.rsplit_once(": ").and_then(|(_, ours)| KEYS.iter().find(|row| row[0] == ours));
        let subject = match (row, self.style) {
            (Some([_, gguf, ..]), Style::Gguf) => {
                let architecture = self.gguf.as_ref().and_then(|gguf| gguf.architecture().ok()).unwrap_or_default();
                format!("{}: {architecture}.{gguf}", self.path.display())
            }
            (Some([_, _, llama, gpt]), Style::HuggingFace) => {
                format!("{}: {} of config.json", self.path.display(), if is_gpt { gpt } else { llama })
            }
            (None, _) => subject,
        };
        Error::invalid(subject, expected, found, "the file is damaged, or its model is one that this program does not run")
    }

    /// Requires all tensors of the model, each of the right shape, and none that it does not know.
    fn require_tensors(&self) -> Result<()> {
        let (specs, mut used) = (self.table.specs(), BTreeSet::new());
        for spec in &specs.matrices {
            self.lines(&spec.name, &[spec.out_features, spec.in_features])?;
            used.insert(self.place(&spec.name).name);
        }
        for spec in &specs.vectors {
            self.lines(&spec.name, &spec.shape)?;
            used.insert(self.place(&spec.name).name);
        }
        let unknown = self.file.names().find(|name| !used.contains(*name) && !self.is_idle(name));
        unknown.map_or(Ok(()), |name| {
            let expected = "tensors of its architecture alone";
            let hint = "give a model whose weights are all known: with this one it would compute something else";
            Err(Error::invalid(self.path.display(), expected, format!("`{name}` besides"), hint))
        })
    }

    /// Whether a tensor says nothing that the model needs.
    pub(super) fn is_idle(&self, name: &str) -> bool {
        match self.style {
            Style::Gguf => name == from_gguf::FACTORS,
            Style::HuggingFace => {
                let masks = [".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"];
                masks.iter().any(|end| name.ends_with(end)) || (name == "lm_head.weight" && self.table.is_tied())
            }
        }
    }

    /// Where a parameter is.
    pub(super) fn place(&self, ours: &str) -> Place {
        let mut place = place(&self.table, self.style, ours);
        if let Some(bare) = place.name.strip_prefix(GPT2_PREFIX)
            && self.file.find(bare).is_some()
        {
            place.name = bare.to_owned();
        }
        place
    }

    /// The rows of a parameter of this shape; those of a vector are one.
    ///
    /// # Errors
    /// No such tensor, or one of another shape or of a type that is no float.
    pub fn lines(&self, ours: &str, shape: &[usize]) -> Result<Lines<'_>> {
        let Place { name, third, is_transposed } = self.place(ours);
        let view = self.file.view(&name)?;
        let parts = if third.is_some() { 3 } else { 1 };
        let mut expected = shape.to_vec();
        expected[0] *= parts;
        if is_transposed {
            expected.reverse();
        }
        let subject = format!("{}: tensor {name}", self.path.display());
        if view.shape != expected {
            let hint = "the file is damaged, or its configuration is another model's";
            return Err(Error::invalid(subject, format!("the shape {expected:?}"), format!("{:?}", view.shape), hint));
        }
        let [rows, cols] = match *shape {
            [rows, cols] => [rows, cols],
            _ => [1, shape.iter().product()],
        };
        let stride = is_transposed.then_some(parts * rows);
        Lines::of(&subject, view, [rows, cols], third.unwrap_or(0) * rows, stride)
    }

    /// Whether most weights of the model are in blocks of 4 or 5 bits, which would lose more on a grid.
    pub fn is_quantised(&self) -> bool {
        let specs = self.table.specs();
        let is_small = |name: &str| {
            self.file.find(&self.place(name).name).is_some_and(|view| {
                let (values, bytes) = view.dtype.block();
                values > 1 && 8 * bytes <= 6 * values
            })
        };
        let small: usize = specs.matrices.iter().filter(|spec| is_small(&spec.name)).map(|spec| spec.weights()).sum();
        2 * small > specs.matrix_weights()
    }

    /// The GGUF file, if it is one.
    pub fn gguf(&self) -> Option<&Gguf> {
        self.gguf.as_ref()
    }
}
