//! `train` on documents: a model that came with a tokenizer and a template learns what is said in conversations, and a run goes on bit for bit.

#[path = "chat/model.rs"]
mod model;
#[path = "train/program.rs"]
mod program;

use std::fs;
use std::path::Path;

use model::{TEMPLATE, talking};
use primal_host::report::metrics;
use program::program;

/// Conversations, prompts and texts of several lengths; all questions have the same answer.
fn write_documents(path: &Path) {
    let line = |number: usize| {
        let question = format!("{}{}", char::from(b'a' + (number * 7 % 26) as u8), number * 7919 % 1000).repeat(1 + number % 4);
        match number % 4 {
            0 => format!(
                r#"{{"prompt": [{{"role": "user", "content": "{question}"}}], "completion": [{{"role": "assistant", "content": "yes"}}]}}"#
            ),
            1 => format!(r#"{{"prompt": "{question}?", "completion": "yes"}}"#),
            _ => format!(r#"{{"messages": [{{"role": "user", "content": "{question}"}}, {{"role": "assistant", "content": "yes"}}]}}"#),
        }
    };
    fs::write(path, (0..120).map(line).collect::<Vec<_>>().join("\n")).expect("a file");
}

#[test]
fn answers_are_learnt_and_a_run_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    talking(&path.join("model.safetensors"), Some(TEMPLATE), 2);
    write_documents(&path.join("chats.jsonl"));
    let flags = "--data chats.jsonl --threads 1 --batch 4 --seq-len 64 --grad-accum 2";
    let train = format!(
        "train --from model.safetensors {flags} --steps 60 --lr 0.01 --warmup 3 --validate-every 20 --checkpoint-every 40 --out run"
    );
    let said = program(path, &train, 0);
    assert!(
        said.contains("chats.jsonl: 120 documents, ") && said.contains("114 documents for training") && said.contains("6 for validation"),
        "{said}"
    );
    let records = metrics::read(&path.join("run/metrics.jsonl")).expect("records");
    let losses: Vec<f64> = records.iter().filter_map(|record| record.validation_loss).collect();
    // Questions cannot be known; answers can.
    assert!(losses.len() == 3 && losses[2] < 0.5, "validation losses {losses:?}");
    let tokens: Vec<u64> = records.iter().filter_map(|record| record.tokens).collect();
    assert!(tokens.len() == 60 && tokens.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= 512), "{tokens:?}");

    // From the checkpoint before the last, the last comes again.
    let last = path.join("run/checkpoints/step-00000060.safetensors");
    let before = fs::read(&last).expect("a checkpoint");
    for entry in fs::read_dir(path.join("run/checkpoints")).expect("a folder") {
        let file = entry.expect("an entry").path();
        if !file.ends_with("step-00000040.safetensors") && file.extension().is_some_and(|ending| ending == "safetensors") {
            fs::remove_file(file).expect("a file");
        }
    }
    program(path, "train --resume run --threads 2", 0);
    assert!(fs::read(&last).expect("a checkpoint") == before, "other bytes after going on");
    let again = metrics::read(&path.join("run/metrics.jsonl")).expect("records");
    assert_eq!(again.iter().filter_map(|record| record.tokens).collect::<Vec<_>>(), tokens);

    // `eval` measures the answers alone, too, in batches of another size.
    let checkpoint = "run/checkpoints/step-00000060.safetensors";
    let said = program(path, &format!("eval --checkpoint {checkpoint} --data chats.jsonl --json"), 0);
    let found: serde_json::Value = serde_json::from_str(&said).expect("an object");
    let nats = found["nats_per_token"].as_f64().expect("a number");
    // Six answers of "yes" and a token that ends each.
    assert!((nats - losses[2]).abs() < 1e-4 && found["tokens"] == 24, "{said}, in training {}", losses[2]);
    let said = program(path, &format!("eval --checkpoint {checkpoint} --data chats.jsonl --split test"), 2);
    assert!(said.contains("documents in the test split"), "{said}");

    // The model answers as it learnt to.
    let answer =
        program(path, "chat --checkpoint run/checkpoints/step-00000060.safetensors --prompt b12b12 --temperature 0 --max-tokens 9", 0);
    assert_eq!(answer, "yes\n");

    // So it does where a file asks: each prompt of it, and each as if it were alone.
    fs::write(path.join("asked.jsonl"), "{\"prompt\": \"c12?\", \"completion\": \"yes\"}\n\n{\"prompt\": \"a7?\"}\n").expect("a file");
    let generate = format!("generate --checkpoint {checkpoint} --temperature 0 --max-tokens 9");
    let said = program(path, &format!("{generate} --prompts asked.jsonl"), 0);
    let texts = said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("an object"));
    let texts: Vec<String> = texts.map(|object| object["text"].as_str().expect("a text").to_owned()).collect();
    assert_eq!(texts, ["c12?yes", "a7?yes"], "{said}");
    assert_eq!(program(path, &format!("{generate} --prompt a7?"), 0).lines().next(), Some("a7?yes"));
    for (file, more, part) in [
        ("{\"prompt\": \"a\"}\n{\"prompt\": 7}\n", "", "asked.jsonl:2: expected one JSON object with \"prompt\", a string"),
        ("{\"prompt\"", "", "asked.jsonl:1: expected"),
        ("\n", "", "--prompts asked.jsonl: expected a prompt or more"),
        ("", "--prompt b", "--prompt: expected one of --prompt and --prompts"),
    ] {
        fs::write(path.join("asked.jsonl"), file).expect("a file");
        let said = program(path, &format!("{generate} --prompts asked.jsonl {more}"), 2);
        assert!(said.contains(part) && said.contains("hint: "), "{file:?}: {said}");
    }
    fs::write(path.join("chats.jsonl"), "{\"text\": \"other\"}\n".repeat(50)).expect("a file");
    let said = program(path, "train --resume run --steps 70", 2);
    assert!(said.contains("the data of the run"), "{said}");
}

#[test]
fn other_files_are_held_back_where_they_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    talking(&path.join("model.safetensors"), Some(TEMPLATE), 2);
    write_documents(&path.join("chats.jsonl"));
    let lines =
        |count: usize| fs::read_to_string(path.join("chats.jsonl")).expect("lines").lines().take(count).collect::<Vec<_>>().join(",\n");
    fs::write(path.join("others.json"), format!("[{}]", lines(7))).expect("a file");
    fs::write(path.join("text.txt"), "a line of a text\n".repeat(200)).expect("a file");
    fs::write(path.join("other.txt"), "another line of it\n".repeat(20)).expect("a file");
    let train = "train --threads 1 --batch 2 --seq-len 48 --steps 2 --checkpoint-every 1 --keep 3 --validate-every 1 --lr 1e-2 --warmup 1";
    for (begun, data, other, told) in [
        ("--from model.safetensors", "chats.jsonl", "others.json", ["120 documents for training", "7 for validation"]),
        ("--config gpt-nano", "text.txt", "other.txt", ["3,400 for training", "380 for validation"]),
    ] {
        let said = program(path, &format!("{train} {begun} --data {data} --validation {other} --out run"), 0);
        assert!(told.iter().all(|part| said.contains(part)), "{said}");
        let last = path.join("run/checkpoints/step-00000002.safetensors");
        let whole = fs::read(&last).expect("a checkpoint");
        fs::remove_file(&last).expect("a file");
        // It goes on with both; what is held back can have gone elsewhere.
        let moved = other.replace("other", "moved");
        fs::rename(path.join(other), path.join(&moved)).expect("a file");
        let said = program(path, "train --resume run", 2);
        assert!(said.contains(other) && said.contains("with --validation where"), "{said}");
        program(path, &format!("train --resume run --validation {moved}"), 0);
        assert!(fs::read(&last).expect("a checkpoint") == whole, "other bytes");
        // Without it the data would be others.
        let copied = format!("copied-{data}");
        fs::copy(path.join(data), path.join(&copied)).expect("a file");
        let said = program(path, &format!("train --resume run --validation {copied} --steps 3"), 2);
        assert!(said.contains("the data of the run"), "{said}");
        fs::remove_dir_all(path.join("run")).expect("a folder");
    }
    // Where a folder has both, it is not learnt.
    fs::create_dir(path.join("set")).expect("a folder");
    fs::copy(path.join("chats.jsonl"), path.join("set/train.jsonl")).expect("a file");
    fs::copy(path.join("chats.jsonl"), path.join("set/test.jsonl")).expect("a file");
    let both = format!("{train} --from model.safetensors --data set --out run");
    let said = program(path, &format!("{both} --validation set/../set/test.jsonl"), 0);
    assert!(said.contains("120 documents for training") && said.contains("120 for validation"), "{said}");
    // Only one of them is told where it is now.
    fs::rename(path.join("set"), path.join("other")).expect("a folder");
    let said = program(path, "train --resume run --steps 3 --data other/train.jsonl", 2);
    assert!(said.contains("test.jsonl") && said.contains("with --validation where"), "{said}");
    program(path, "train --resume run --steps 3 --data other --validation other/test.jsonl", 0);
    fs::remove_dir_all(path.join("run")).expect("a folder");
    let said = program(path, &format!("{train} --from model.safetensors --data other --out run --validation other"), 2);
    assert!(said.contains("--validation: expected other files than all of --data"), "{said}");
    let said = program(path, &format!("{train} --config gpt-nano --data text.txt --validation none.txt --out run"), 2);
    assert!(said.contains("--validation") && said.contains("no such path") && !path.join("run").exists(), "{said}");
    let said = program(path, &format!("{train} --from model.safetensors --data chats.jsonl --validation text.txt --out run"), 2);
    assert!(said.contains("both: "), "{said}");
}

#[test]
fn what_documents_do_not_go_with_is_said_before_the_run_begins() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    talking(&path.join("model.safetensors"), None, 2);
    write_documents(&path.join("chats.jsonl"));
    fs::write(path.join("pairs.jsonl"), "{\"prompt\": \"1+1=\", \"completion\": \"2\"}\n".repeat(40)).expect("a file");
    fs::write(path.join("bad.jsonl"), "{\"text\": \"good\"}\n\n{\"text\": 3}\n").expect("a file");
    fs::write(path.join("text.txt"), "words\n".repeat(500)).expect("a file");
    let config = |more: &str| {
        let text = format!(
            "[model]\ndim = 16\nlayers = 1\nheads = 2\ncontext = 32\ntokenizer = 'bytes'\ngrid = 'uniform15'\n[train]\nsteps = 2\nbatch = 2\nseq_len = 32\n{more}"
        );
        fs::write(path.join("c.toml"), text).expect("a file");
    };
    for (flags, more, part) in [
        ("--from model.safetensors --data chats.jsonl", "", "chats.jsonl:1: expected a model with a template for conversations"),
        ("--config c.toml --data chats.jsonl", "", "chats.jsonl:1: expected a model with a template"),
        ("--config c.toml --data bad.jsonl", "", "bad.jsonl:3: expected \"text\" to be a string, found \"text\", a number"),
        ("--config c.toml --data pairs.jsonl --data text.txt", "", "both: "),
        ("--config c.toml --data pairs.jsonl --activations f16", "", "--activations: expected f32"),
        ("--config c.toml --data pairs.jsonl", "answers_after = '='", "train.answers_after"),
        ("--config c.toml --data none.jsonl", "", "no such path"),
    ] {
        config(more);
        let said = program(path, &format!("train {flags} --out run"), 2);
        assert!(said.contains(part) && said.contains("hint: "), "{flags}: {said}");
        assert!(!path.join("run").exists(), "{flags}: a run has begun");
    }
    // Models of all tokenizers learn pairs and texts.
    for tokenizer in ["bytes", "english1k", "gpt2"] {
        config("");
        let said = program(path, &format!("train --config c.toml --data pairs.jsonl --tokenizer {tokenizer} --out {tokenizer}"), 0);
        assert!(said.contains("40 documents, ") && said.contains("1+1="), "{tokenizer}: {said}");
    }
}
