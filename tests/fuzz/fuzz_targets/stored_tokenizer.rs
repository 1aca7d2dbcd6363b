//! Tokenizers from any metadata of a GGUF file and any `tokenizer.json`: an error, or one that takes any text, and never writes a number beyond its vocabulary.
#![no_main]

use libfuzzer_sys::fuzz_target;
use primal_engine::files::gguf::Gguf;
use primal_host::data::ModelFiles;

const VOCAB: usize = 1 << 10;

fuzz_target!(|input: (bool, &[u8], &str)| {
    let (is_gguf, bytes, text) = input;
    let folder = tempfile::tempdir().expect("a folder");
    let files = if is_gguf {
        Gguf::from_bytes("fuzz", bytes).map(ModelFiles::of_gguf).map_err(Into::into)
    } else {
        std::fs::write(folder.path().join("tokenizer.json"), bytes).expect("a file");
        ModelFiles::beside(folder.path())
    };
    if let Ok(tokenizer) = files.and_then(|files| files.tokenizer(VOCAB)) {
        for tokens in [tokenizer.encode(text, true), tokenizer.encode_controls(text, false)] {
            assert!(tokens.iter().all(|&token| (token as usize) < VOCAB));
        }
    }
});
