//! `cargo xtask bench`.

use std::process::ExitCode;

use argh::FromArgs;

/// The benchmarks: name, package, the features that it needs, and what it measures.
const BENCHES: [(&str, &str, &str, &str); 13] = [
    ("learning", "primal-host", "", "how well each update rule and grid learns, against its float twin"),
    ("finetune", "primal-host", "", "what fine-tuning all weights by votes gains, against AdamW on floats and LoRA"),
    ("train", "primal-host", "", "tokens and GFLOP a second of training, against the peak of the gemm crate and a step in PyTorch"),
    ("ranks", "primal-host", "mpi", "bytes on the wire and scaling of several processes that train one model"),
    ("decode", "primal-host", "", "matrix-vector products from codes, against ggml's q4_0"),
    ("prefill", "primal-host", "", "products of a prompt and 4-bit weights, against ggml's q4_0"),
    ("llm", "primal-host", "", "whole language models, against llama.cpp: speed, memory and loss"),
    ("dequantize", "primal-host", "", "f32 of the blocks of GGUF files, bit for bit against ggml"),
    ("tokenizers", "primal-host", "", "tokens of files' tokenizers, against those that other programs give"),
    ("models", "primal-host", "", "logits of tiny models of every architecture, against transformers"),
    ("g2p", "primal-host", "g2p-bench", "phone errors on words that are in no dictionary, against g2p_en"),
    ("vocoder", "primal-host", "", "seconds of work for a second of audio, against ONNX Runtime"),
    ("emulator", "ptx-emulator", "", "lane-instructions a second of PTX on the emulated GPU"),
];

/// The one that is no program of a package, and what it measures: it drives a recogniser in Python.
const SPEECH: (&str, &str) = ("speech", "how much of the voice's speech a recogniser understands");

/// run a benchmark; without a name, list them
#[derive(FromArgs)]
#[argh(subcommand, name = "bench")]
pub struct Bench {
    /// its name, and arguments that are passed on to it (--help lists them)
    #[argh(positional, greedy)]
    name: Vec<String>,
}

/// Every name, and what it measures.
fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    BENCHES.iter().map(|&(name, .., what)| (name, what)).chain([SPEECH])
}

impl Bench {
    /// Runs it.
    pub fn run(&self) -> ExitCode {
        let Some((name, arguments)) = self.name.split_first() else {
            all().for_each(|(name, what)| println!("{name:10} {what}"));
            return ExitCode::SUCCESS;
        };
        if name == SPEECH.0 {
            return crate::speech::run(arguments);
        }
        let Some((_, package, features, _)) = BENCHES.iter().find(|(known, ..)| known == name) else {
            let names: Vec<_> = all().map(|(name, _)| name).collect();
            eprintln!("xtask: bench: expected one of {}, found {name:?}", names.join(", "));
            return ExitCode::from(2);
        };
        crate::cargo(&["bench", "--package", package, "--features", features, "--bench", name, "--"], arguments)
    }
}
