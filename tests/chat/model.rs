//! A model of random weights with a tokenizer and a template of its own.

use std::path::Path;

use primal_engine::backend::cpu::Cpu;
use primal_engine::config::Config;
use primal_engine::files::checkpoint::{self, TensorRef};
use primal_engine::files::gguf::{self, Array, Value};
use primal_engine::memory::Plan;
use primal_engine::train::bytes::Bytes;
use primal_engine::train::state;
use primal_engine::train::trainer::{Layout, Trainer};

/// Controls, and all bytes.
pub const VOCAB: usize = 3 + 256;
/// Tokens that it remembers.
pub const CONTEXT: usize = 256;
/// How its conversations are written.
pub const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// The characters with which byte-level vocabularies write bytes.
fn alphabet() -> Vec<String> {
    let is_printed = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let others: Vec<u8> = (0..=255).filter(|&byte| !is_printed(byte)).collect();
    let character = |byte: u8| match others.iter().position(|&other| other == byte) {
        Some(place) => char::from_u32(256 + place as u32).expect("a letter"),
        None => byte.into(),
    };
    (0..=255).map(|byte| character(byte).to_string()).collect()
}

/// The metadata of a model whose texts end with the token `stop`.
pub fn metadata(template: Option<&str>, stop: u32) -> Vec<(String, Value<'_>)> {
    let names = ["<|bos|>", "<|im_start|>", "<|im_end|>"];
    let kinds = (0..VOCAB).map(|id| if id < names.len() { 3 } else { 1 });
    let mut entries = vec![
        ("tokenizer.ggml.model".to_owned(), Value::string("gpt2")),
        ("tokenizer.ggml.pre".to_owned(), Value::string("gpt-2")),
        ("tokenizer.ggml.tokens".to_owned(), Value::Array(Array::of_strings(names.map(str::to_owned).into_iter().chain(alphabet())))),
        ("tokenizer.ggml.token_type".to_owned(), Value::Array(Array::of_i32(kinds))),
        ("tokenizer.ggml.merges".to_owned(), Value::Array(Array::of_strings::<&str>([]))),
        ("tokenizer.ggml.bos_token_id".to_owned(), Value::U32(0)),
        ("tokenizer.ggml.add_bos_token".to_owned(), Value::Bool(true)),
        ("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(stop)),
    ];
    entries.extend(template.map(|template| ("tokenizer.chat_template".to_owned(), Value::string(template))));
    entries
}

/// A model file with such a tokenizer attached.
pub fn model(path: &Path, tokenizer: &str, attached: &[(&str, Vec<u8>)]) {
    let config = format!(
        "model = {{ dim = 32, layers = 2, heads = 2, context = {CONTEXT}, tokenizer = '{tokenizer}', grid = 'uniform15' }}\ntrain = {{ batch = 1, seq_len = 8 }}"
    );
    let config = Config::parse(&config, "the test's").expect("a configuration");
    let mut plan = Plan::default();
    let layout: Layout = Layout::plan(&config, &mut plan);
    let backend = Cpu::new(&mut plan);
    let mut trainer = Trainer::new(config, layout, backend);
    trainer.initialise();
    let files: Vec<TensorRef> =
        attached.iter().map(|(name, bytes)| TensorRef::u8(format!("files/{name}"), &[bytes.len()], bytes)).collect();
    let saved = state::checkpoint(&mut trainer, &Bytes::new("a".repeat(100)), |metadata, tensors| {
        let all: Vec<TensorRef> = tensors.iter().cloned().chain(files).collect();
        checkpoint::save(path, metadata, &all)
    });
    saved.expect("a file");
}

/// A model that talks, unless the template says otherwise.
pub fn talking(path: &Path, template: Option<&str>, stop: u32) {
    let bytes = gguf::encode(&metadata(template, stop), &[]).expect("metadata");
    model(path, &format!("stored:{VOCAB}"), &[("gguf", bytes)]);
}
