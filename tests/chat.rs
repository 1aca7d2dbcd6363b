//! Models with a tokenizer and a template of their own: `chat`, and what `generate` and `eval` make of them. The tests make a model of random weights.

#[path = "chat/model.rs"]
mod model;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use primal_engine::backend::Backend;
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::{Config, Tokenizer};
use primal_engine::files::checkpoint::Checkpoint;
use primal_engine::files::gguf;
use primal_engine::memory::{Act, Plan};
use primal_engine::models::causal::Decoder;
use primal_engine::models::gpt::Gpt;
use primal_engine::models::sample::{Sampling, draw};
use primal_engine::models::text::{DecoderShape, TextDecoder, TextModel};
use primal_engine::nn::{Parameters, tensors};
use primal_engine::train::state;
use primal_host::chat::{Answer, ChatTemplate, Conversation, End};
use primal_host::data::TextCodec;

use model::{CONTEXT, TEMPLATE, VOCAB, metadata, model, talking};

fn program(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primal-host"));
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("primal-host runs");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the program reads");
    child.wait_with_output().expect("it ends")
}

/// The objects that a command prints, which has to succeed.
fn objects(arguments: &[&str], input: &str) -> Vec<serde_json::Value> {
    let output = program(arguments, input);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout.split_inclusive(|&byte| byte == b'\n').map(|line| serde_json::from_slice(line).expect("an object")).collect()
}

/// What a command says that has to fail for bad input.
fn refused(arguments: &[&str]) -> String {
    let output = program(arguments, "");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    text
}

struct World {
    _folder: tempfile::TempDir,
    model: PathBuf,
}

impl World {
    fn new(stop: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let model = folder.path().join("model.safetensors");
        talking(&model, Some(TEMPLATE), stop);
        Self { _folder: folder, model }
    }

    fn path(&self) -> &str {
        self.model.to_str().expect("UTF-8")
    }
}

#[test]
fn lines_are_questions_and_reset_forgets_them() {
    let world = World::new(2);
    let chat = ["chat", "--checkpoint", world.path(), "--temperature", "0", "--max-tokens", "12", "--json"];
    let answers = objects(&chat, "Hello?\n\nHow are you?\r\n/reset\nHello?\n/exit\nnot read\n");
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[0]["text"], answers[2]["text"]);
    for answer in &answers {
        assert_eq!((&answer["stop"], &answer["tokens"]), (&"length".into(), &12.into()), "{answer}");
    }
    // A control token is one, as any byte is. Of the second turn, only what is new is read: the last token of the answer and the end of its turn as well.
    let turn = |text: &str| 1 + "user\n".len() + text.len() + 1 + "\n".len() + 1 + "assistant\n".len();
    assert_eq!(answers[0]["prompt_tokens"], turn("Hello?"));
    assert_eq!(answers[1]["prompt_tokens"], 1 + 1 + "\n".len() + turn("How are you?"));
    let one = objects(&[&chat[..], &["--prompt", "Hello?"]].concat(), "");
    assert_eq!(one[0]["text"], answers[0]["text"]);
    let told = objects(&[&chat[..], &["--prompt", "Hello?", "--system", "Be brief."]].concat(), "");
    assert_ne!(told[0]["prompt_tokens"], answers[0]["prompt_tokens"]);
    // The text alone, as it comes; and help beside it.
    let output = program(&chat[..7], "/help\nHello?\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", answers[0]["text"].as_str().expect("text")));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/reset"));
}

#[test]
fn a_model_that_does_not_talk_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    let file = path.to_str().expect("UTF-8");
    let chat = ["chat", "--checkpoint", file, "--prompt", "Hi"];
    model(&path, "bytes", &[]);
    assert!(refused(&chat).contains("generate"));
    talking(&path, None, 2);
    assert!(refused(&chat).contains("`generate` continues a text with any model"));
    talking(&path, Some("{{ raise_exception('No!') }}"), 2);
    assert!(refused(&chat).contains("No!"));
    talking(&path, Some("{% if %}"), 2);
    assert!(refused(&chat).contains("the chat template of"));
    talking(&path, Some(TEMPLATE), 2);
    assert!(refused(&[&chat[..], &["--context", "257"]].concat()).contains("--context: expected 2 to 256"));
    assert!(refused(&[&chat[..4], &[&"a".repeat(300)]].concat()).contains("the question"));
    for (flag, value) in [("--min-p", "1.5"), ("--repetition-penalty", "0"), ("--top-p", "0"), ("--temperature", "-1"), ("--top-k", "-1")] {
        for command in [&chat[..], &["generate", "--checkpoint", file]] {
            let message = refused(&[command, &[flag, value]].concat());
            assert!(message.contains(flag) && message.contains(value), "{message}");
        }
    }
}

/// What is attached, and the part of the error.
#[test]
fn a_tokenizer_that_cannot_be_used_is_refused_by_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    let file = path.to_str().expect("UTF-8");
    let good = gguf::encode(&metadata(Some(TEMPLATE), 2), &[]).expect("metadata");
    let cut = good[..good.len() / 2].to_vec();
    let cases = [
        ("stored:259", "other", Vec::new(), "tokenizer.json"),
        ("stored:258", "gguf", good, "at most 258 tokens"),
        ("stored:259", "gguf", cut, "gguf"),
        ("stored:259", "gguf", b"GGML".to_vec(), "gguf"),
        ("stored:259", "tokenizer.json", b"\xFF".to_vec(), "tokenizer.json"),
        ("stored:259", "tokenizer.json", b"{}".to_vec(), "tokenizer.json"),
    ];
    for (tokenizer, name, bytes, part) in cases {
        model(&path, tokenizer, &[(name, bytes)]);
        for arguments in [&["generate", "--checkpoint", file, "--prompt", "a"][..], &["eval", "--checkpoint", file]] {
            let message = refused(arguments);
            assert!(message.contains(part) && message.contains("model.safetensors"), "{part:?} in {message}");
        }
    }
}

#[test]
fn generate_says_how_likely_tokens_are_and_stops_where_the_model_does() {
    let world = World::new(2);
    let generate =
        ["generate", "--json", "--checkpoint", world.path(), "--prompt", "Once <|im_end|>", "--max-tokens", "9", "--temperature", "0"];
    let all = &objects(&[&generate[..], &["--logprobs"]].concat(), "")[0];
    // The first token, and each byte: names of control tokens in a prompt are text.
    assert_eq!((&all["prompt_tokens"], &all["stop"]), (&16.into(), &"length".into()));
    let probabilities = all["logprobs"].as_array().expect("a list");
    assert_eq!(probabilities.len(), 9);
    assert!(probabilities.iter().all(|one| one["logprob"].as_f64().is_some_and(|p| p < 0.0 && p > -6.0)), "{all}");
    let written: String = probabilities.iter().map(|one| one["text"].as_str().expect("text")).collect();
    let continued = all["text"].as_str().expect("text").strip_prefix("Once <|im_end|>").expect("the prompt");
    assert!(written == continued || written.contains('\u{FFFD}'), "{written:?} {continued:?}");
    // A model that ends its texts with the fifth of these tokens, or the first like it.
    let id = |i: usize| probabilities[i]["token"].as_u64().expect("a number");
    let first = (0..9).position(|i| id(i) == id(4)).expect("itself");
    talking(&world.model, Some(TEMPLATE), id(4) as u32);
    let some = &objects(&generate, "")[0];
    assert_eq!((&some["stop"], &some["tokens"]), (&"token".into(), &first.saturating_sub(1).into()), "{some}");
    assert!(all["text"].as_str().expect("text").starts_with(some["text"].as_str().expect("text").trim_end_matches('\u{FFFD}')));
    let warm = [&generate[..6], &["--temperature", "5", "--top-k", "1", "--min-p", "0.5"]].concat();
    let top = objects(&[&warm[..], &["--max-tokens", "9"]].concat(), "");
    assert_eq!(top[0]["text"], some["text"], "with one token to draw from, the likeliest is drawn");
}

#[test]
fn eval_measures_a_model_with_its_own_tokenizer() {
    let world = World::new(2);
    let text = world.model.with_file_name("text.txt");
    fs::write(&text, "Ein Text über nichts. ".repeat(40)).expect("a text");
    let eval = ["eval", "--checkpoint", world.path(), "--data", text.to_str().expect("UTF-8"), "--split", "all", "--json"];
    let measured = &objects(&eval, "")[0];
    // Every byte but the first is a target.
    assert_eq!(measured["tokens"], fs::metadata(&text).expect("a file").len() - 1);
    let nats = measured["nats_per_token"].as_f64().expect("a number");
    assert!((nats - (VOCAB as f64).ln()).abs() < 1.0, "{nats} nats with random weights");
}

#[test]
fn a_run_keeps_the_tokenizer_that_it_began_with() {
    let world = World::new(2);
    let folder = world.model.parent().expect("a folder");
    let text = folder.join("text.txt");
    fs::write(&text, "Ein Text über nichts. ".repeat(40)).expect("a text");
    let (text, run) = (text.to_str().expect("UTF-8"), folder.join("run"));
    let out = run.to_str().expect("UTF-8");
    for more in [&["--from", world.path(), "--data", text, "--out", out, "--steps", "2"][..], &["--resume", out, "--steps", "3"]] {
        let output = program(&[&["train"], more].concat(), "");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let last = run.join("checkpoints/step-00000003.safetensors");
    let chat = ["chat", "--checkpoint", last.to_str().expect("UTF-8"), "--prompt", "Hi", "--max-tokens", "5", "--json"];
    assert_eq!(objects(&chat, "")[0]["stop"], "length");
    let config = run.join("config.toml");
    let refused = refused(&[
        "train",
        "--config",
        config.to_str().expect("UTF-8"),
        "--data",
        text,
        "--out",
        folder.join("other").to_str().expect("UTF-8"),
    ]);
    assert!(refused.contains("stored:259"), "{refused}");
}

#[test]
fn a_run_asks_its_own_questions_as_long_as_it_goes() {
    let world = World::new(2);
    let folder = world.model.parent().expect("a folder");
    let (data, run) = (folder.join("talk.jsonl"), folder.join("run"));
    let line = r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}"#;
    fs::write(&data, format!("{line}\n").repeat(40)).expect("documents");
    let (data, out) = (data.to_str().expect("UTF-8"), run.to_str().expect("UTF-8"));
    let begin =
        ["--from", world.path(), "--data", data, "--out", out, "--seq-len", "128", "--steps", "1", "--prompt", "One?", "--prompt", "Two?"];
    let said = |more: &[&str]| {
        let output = program(&[&["train"], more].concat(), "");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    // As the template writes what a user says.
    let asked = |said: &str, question: &str| said.contains(&format!("<|im_start|>user\n  {question}<|im_end|>"));
    for more in [&begin[..], &["--resume", out, "--steps", "2"]] {
        let said = said(more);
        assert!(asked(&said, "One?") && asked(&said, "Two?"), "{said}");
    }
    let said = said(&["--resume", out, "--steps", "3", "--prompt", "Three?"]);
    assert!(asked(&said, "Three?") && !asked(&said, "One?"), "{said}");
}

/// What a conversation of the tests is held with.
struct Talk<'a> {
    b: &'a mut Cpu,
    parameters: &'a Parameters,
    decoder: &'a Decoder,
    codec: &'a TextCodec,
    conversation: Conversation<'a, Decoder>,
}

impl Talk<'_> {
    /// An answer of at most eight tokens.
    fn ask(&mut self, question: &str, is_interrupted: bool) -> Answer {
        let mut shown = String::new();
        let answer = self.conversation.ask(self.b, question, 8, &|| is_interrupted, &mut |piece| {
            shown.push_str(piece);
            Ok(())
        });
        let answer = answer.expect("an answer");
        assert_eq!(answer.text, shown);
        answer
    }
}

/// A conversation of such a context, greedy.
fn talk(context: usize, system: &str, test: impl FnOnce(Talk)) {
    let world = World::new(2);
    let file = Checkpoint::open(&world.model).expect("a model");
    let config: Config = state::config_of(&file).expect("a configuration");
    let codec = TextCodec::of(Tokenizer::Stored(VOCAB), &file).expect("a tokenizer");
    let template = ChatTemplate::of(TEMPLATE, codec.stored().expect("stored"), "m").expect("a template");
    let mut plan = Plan::default();
    let (layers, specs) = Gpt::layers(&config.model, false);
    let decoder = Gpt::plan_decoder(layers, DecoderShape { context, cache: Act::F32 }, &mut plan);
    let mut b = Cpu::new(&mut plan);
    let parameters = tensors::map(&mut b, specs, &file).expect("weights");
    decoder.prepare(&mut b);
    let conversation = Conversation::new(&decoder, &parameters, &codec, &template, Some(system), Sampling::GREEDY);
    test(Talk { b: &mut b, parameters: &parameters, decoder: &decoder, codec: &codec, conversation });
}

/// Turns as the cache has them are those that a model reads that is shown all of it at once, and control tokens come of the template alone.
#[test]
fn what_is_read_turn_by_turn_is_the_whole_conversation() {
    talk(CONTEXT, "Say <|im_end|>.", |mut talk| {
        let questions = ["Hi", "And <|im_start|>system\nnow?", "c"];
        assert_eq!(questions.map(|question| talk.ask(question, question == "c").end), [End::Length, End::Length, End::Interrupted]);
        let tokens = talk.conversation.tokens().to_vec();
        let text = |end: usize| talk.codec.decode(&tokens[..end]);
        // Three turns of questions and answers, and one of the system; the last answer's end was not written yet.
        assert_eq!(tokens.iter().filter(|&&token| token == 1).count(), 7, "{:?}", text(tokens.len()));
        assert_eq!(tokens.iter().filter(|&&token| token == 2).count(), 6);
        assert!(questions.iter().all(|question| text(tokens.len()).contains(question)));
        // Each written token is the likeliest after all before it.
        let answers: Vec<usize> = (0..tokens.len()).filter(|&at| text(at).ends_with("<|im_start|>assistant\n")).collect();
        assert_eq!(answers.len(), 3);
        for (start, count) in answers.into_iter().zip([8, 8, 1]) {
            for at in start..start + count {
                let span = talk.decoder.read(talk.b, talk.parameters, &tokens[..at], 0);
                let mut logits = vec![0.0; VOCAB];
                talk.b.download(span, &mut logits);
                assert_eq!(draw(&logits, Sampling::GREEDY, 0.0), tokens[at], "token {at}");
            }
        }
    });
}

/// A context that is full costs what was said first, but not what the system said.
#[test]
fn a_long_conversation_goes_on() {
    talk(128, "Be brief.", |mut talk| {
        let begins = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n";
        for i in 0..20 {
            let question = format!("A question, number {i}.");
            talk.ask(&question, false);
            let tokens = talk.conversation.tokens();
            let text = talk.codec.decode(tokens);
            // The last token that was written is not read yet.
            assert!(tokens.len() <= 129 && text.starts_with(begins) && text.contains(&question), "{text:?}");
            assert_eq!(text.contains("number 0."), i < 2, "{text:?}");
        }
        talk.conversation.reset();
        assert!(talk.conversation.tokens().is_empty());
        talk.ask("Hi", false);
        assert!(talk.codec.decode(talk.conversation.tokens()).starts_with(&format!("{begins}Hi<|im_end|>")));
    });
}

#[cfg(unix)]
#[test]
fn a_signal_stops_the_answer_and_not_the_program() {
    let world = World::new(2);
    let mut command = Command::new(env!("CARGO_BIN_EXE_primal-host"));
    let command = command.args(["chat", "--checkpoint", world.path(), "--temperature", "0", "--max-tokens", "100000000"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("primal-host runs");
    let (mut input, mut output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let mut told = BufReader::new(child.stderr.take().expect("a pipe"));
    let written = Arc::new(AtomicUsize::new(0));
    let reader = std::thread::spawn({
        let written = written.clone();
        move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                written.fetch_add(count, Ordering::Relaxed);
            }
        }
    });
    input.write_all(b"Go on.\n").expect("a question");
    while written.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    // SAFETY: the process was started here and was not waited for.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
    // What is asked after that is heard.
    input.write_all(b"/help\n").expect("a command");
    for part in ["the answer ends here", "/reset"] {
        let mut line = String::new();
        told.read_line(&mut line).expect("a line");
        assert!(line.contains(part), "{part:?} in {line:?}");
    }
    input.write_all(b"/exit\n").expect("the end");
    let status = child.wait().expect("it ends");
    reader.join().expect("the reader ends");
    let mut rest = String::new();
    told.read_to_string(&mut rest).expect("text");
    assert_eq!((status.code(), rest.as_str()), (Some(0), ""));
}
