//! Documents of files: what is learnt of them, what is wrong with them, how they are split and drawn.

use std::collections::BTreeSet;
use std::sync::Arc;

use primal_engine::files::gguf::{self, Array, Gguf, Value};

use super::*;
use crate::data::ModelFiles;

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
/// Without tokens that begin a turn, and without spaces around what is said.
const TRIMS: &str = "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content | trim }} [/INST]{% else %} {{ m.content | trim }}{{ eos_token }}{% endif %}{% endfor %}";
const ROOM: Room = Room { seq_len: 200, tokens: 400, documents: 50 };

/// Three control tokens, of which the last ends texts, and all bytes.
fn codec() -> TextCodec {
    let is_printed = |byte: &u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut others = 256u32..;
    let mut letter = |byte: u8| if is_printed(&byte) { Some(byte.into()) } else { others.next().and_then(char::from_u32) };
    let bytes: Vec<String> = (0..=255).map(|byte| letter(byte).expect("a letter").to_string()).collect();
    let names = ["<|bos|>", "<|im_start|>", "<|im_end|>"].map(str::to_owned);
    let metadata = vec![
        ("tokenizer.ggml.model".to_owned(), Value::string("gpt2")),
        ("tokenizer.ggml.pre".to_owned(), Value::string("gpt-2")),
        ("tokenizer.ggml.tokens".to_owned(), Value::Array(Array::of_strings(names.into_iter().chain(bytes)))),
        ("tokenizer.ggml.token_type".to_owned(), Value::Array(Array::of_i32((0..259).map(|id| if id < 3 { 3 } else { 1 })))),
        ("tokenizer.ggml.merges".to_owned(), Value::Array(Array::of_strings::<&str>([]))),
        ("tokenizer.ggml.bos_token_id".to_owned(), Value::U32(0)),
        ("tokenizer.ggml.add_bos_token".to_owned(), Value::Bool(true)),
        ("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(2)),
    ];
    let gguf = Gguf::from_bytes("the test's", &gguf::encode(&metadata, &[]).expect("metadata")).expect("metadata");
    TextCodec::Stored(Arc::new(ModelFiles::of_gguf(gguf).tokenizer(259).expect("a tokenizer")))
}

fn template(codec: &TextCodec, source: &str) -> ChatTemplate {
    ChatTemplate::of(source, codec.stored().expect("a stored tokenizer"), "m").expect("a template")
}

/// The documents of files, each of these lines.
fn opened(files: &[&[String]], codec: &TextCodec, source: Option<&str>, room: Room, hold_out_test: bool) -> Result<Documents> {
    let sources = (1..).zip(files).map(|(at, lines)| Source::from_text(&format!("{at}.jsonl"), lines.join("\n")).expect("a text"));
    let template = source.map(|source| template(codec, source));
    let options = DocumentOptions { codec, template: template.as_ref(), room, held_out: (Split::Validation, hold_out_test) };
    Documents::from_sources(sources.collect(), &options)
}

/// The text of a line's tokens, with what is learnt in brackets, each document's apart.
fn learnt_of(line: &str, codec: &TextCodec, source: Option<&str>) -> Result<String> {
    let documents = opened(&[&[line.to_owned(), line.to_owned()]], codec, source, ROOM, false)?;
    let text = |document: u32| {
        let (mut text, mut was) = (String::new(), false);
        for token in documents.document(document) {
            let is = token & LEARNT != 0;
            if is != was {
                text.push(if is { '⟦' } else { '⟧' });
            }
            text.push_str(&codec.decode(&[token & !LEARNT]));
            was = is;
        }
        if was { text + "⟧" } else { text }
    };
    let of_each = documents.count() as u32 / 2;
    assert_eq!(documents.splits, [(0..of_each).collect(), (of_each..2 * of_each).collect(), vec![]], "each line is on one side");
    Ok((0..of_each).map(text).collect::<Vec<_>>().join("‖"))
}

#[test]
fn answers_alone_are_learnt_to_the_token() {
    let talk =
        r#"{"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": " Hi "}, {"role": "assistant", "content": " Ho "},
        {"role": "user", "content": "And?"}, {"role": "assistant", "content": "No\n"}]}"#
            .replace('\n', " ");
    let two = &talk.replace(r#"{"role": "system", "content": "S"}, "#, "");
    let named = r#"{"messages": [{"role": "user", "content": "a<|im_end|>"}, {"role": "assistant", "content": "b<|im_end|>c"}]}"#;
    let continued = r#"{"prompt": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "3"}], "completion": [{"role": "assistant", "content": "4"}]}"#;
    let pair = r#"{"prompt": "2+2=", "completion": "4"}"#;
    let [stored, bytes] = [codec(), TextCodec::Bytes];
    let gpt2 = TextCodec::named(primal_engine::config::Tokenizer::Gpt2).expect("a tokenizer");
    for (line, codec, source, expected) in [
        (
            &talk[..],
            &stored,
            Some(CHATML),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\n⟦ Ho <|im_end|>⟧\n<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n⟦No\n<|im_end|>⟧\n",
        ),
        (two, &stored, Some(TRIMS), "<|bos|>[INST] Hi [/INST]⟦ Ho<|im_end|>⟧[INST] And? [/INST]⟦ No<|im_end|>⟧"),
        (named, &stored, Some(CHATML), "<|im_start|>user\na<|im_end|><|im_end|>\n<|im_start|>assistant\n⟦b<|im_end|>c<|im_end|>⟧\n"),
        (
            continued,
            &stored,
            Some(CHATML),
            "<|im_start|>user\n1<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\n3<|im_end|>\n<|im_start|>assistant\n⟦4<|im_end|>⟧\n",
        ),
        (pair, &stored, None, "<|bos|>2+2=⟦4<|im_end|>⟧"),
        (pair, &bytes, None, "2+2=⟦4\n⟧"),
        (pair, &gpt2, None, "2+2=⟦4<|endoftext|>⟧"),
        (r#"{"prompt": "", "completion": "4"}"#, &stored, None, "<|bos|>⟦4<|im_end|>⟧"),
        (r#"{"text": "aé"}"#, &bytes, None, "⟦a\u{fffd}\u{fffd}\n⟧"),
    ] {
        assert_eq!(learnt_of(line, codec, source).expect(line), expected, "{line}");
    }
    // What a user writes is bytes, and no control token.
    let documents = opened(&[&[named.to_owned(), named.to_owned()]], &stored, Some(CHATML), ROOM, false).expect("documents");
    assert_eq!(documents.document(0).iter().filter(|&token| token & !LEARNT == 2).count(), 2);
    // As `chat` reads a question.
    let prompt = stored.encode_controls("<|im_start|>user\n1<|im_end|>\n<|im_start|>assistant\n", true);
    let one = r#"{"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]}"#.to_owned();
    let documents = opened(&[&[one.clone(), one]], &stored, Some(CHATML), ROOM, false).expect("documents");
    assert_eq!(documents.prompt(), prompt);
}

/// As DeepSeek's models begin an answer with thoughts, and forget them.
const THINKS: &str = "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}U:{{ m.content }}{% else %}A:{{ m.content.split('</think>')[-1] }}{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}A:<think>\n{% endif %}";
/// As Mistral's write the system's message before a question that is not answered yet, and a space before an answer.
const ASKS: &str = "{% for m in messages %}{% if m.role == 'user' %}[INST] {% if loop.last and messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}{{ m.content }}[/INST]{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}";
/// As Phi-3's end a conversation, and Llama 3's first one began an answer whether one was asked for or not.
const ENDS: &str = "{% for m in messages %}{{ m.role }}:{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}assistant:{% else %}<|bos|>{% endif %}";
const BEGINS: &str = "{% for m in messages %}{{ m.role }}:{{ m.content }}<|im_end|>{% endfor %}assistant:";
/// Writes questions otherwise once they are answered.
const RENAMES: &str = "{% for m in messages %}{% if m.role == 'user' and loop.last %}Q: {{ m.content }}\nA:{% elif m.role == 'user' %}q: {{ m.content }}\n{% else %}a: {{ m.content }}\n{% endif %}{% endfor %}";
/// As Qwen3's write thoughts of the last answer alone.
const FORGETS: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think>{% if m.reasoning_content is defined %}{{ m.reasoning_content }}{% endif %}</think>{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

#[test]
fn templates_that_write_a_conversation_otherwise_as_it_goes_on_are_learnt_answer_by_answer() {
    let stored = codec();
    let one = r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "<think>\nx</think>Ho"}]}"#;
    let system =
        r#"{"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}"#;
    let two = r#"{"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2", "reasoning_content": "x"}, {"role": "user", "content": "3"}, {"role": "assistant", "content": "4", "reasoning_content": "y<|im_end|>"}]}"#;
    let unlearnt = &two.replacen(r#""reasoning_content": "x""#, r#""weight": 0"#, 1);
    for (line, source, expected) in [
        (one, THINKS, "<|bos|>U:HiA:⟦Ho<|im_end|>⟧"),
        (two, THINKS, "<|bos|>U:1A:⟦2<|im_end|>⟧U:3A:⟦4<|im_end|>⟧"),
        (system, ASKS, "[INST] S\n\nHi[/INST]⟦ Ho<|im_end|>⟧"),
        (two, ASKS, "[INST] 1[/INST]⟦ 2<|im_end|>⟧[INST] 3[/INST]⟦ 4<|im_end|>⟧"),
        (two, ENDS, "user:1<|im_end|>\nassistant:⟦2<|im_end|>⟧\nuser:3<|im_end|>\nassistant:⟦4<|im_end|>⟧\n<|bos|>"),
        (two, BEGINS, "user:1<|im_end|>assistant:⟦2<|im_end|>⟧user:3<|im_end|>assistant:⟦4<|im_end|>⟧assistant:"),
        (
            two,
            FORGETS,
            "<|im_start|>user\n1<|im_end|>\n<|im_start|>assistant\n⟦<think>x</think>2<|im_end|>⟧‖<|im_start|>user\n1<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\n3<|im_end|>\n<|im_start|>assistant\n⟦<think>y<|im_end|></think>4<|im_end|>⟧",
        ),
        (
            unlearnt,
            FORGETS,
            "<|im_start|>user\n1<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\n3<|im_end|>\n<|im_start|>assistant\n⟦<think>y<|im_end|></think>4<|im_end|>⟧\n",
        ),
    ] {
        assert_eq!(learnt_of(line, &stored, Some(source)).expect(line), expected, "{line}");
    }
    let error = learnt_of(one, &stored, Some(RENAMES)).expect_err("another question").to_string();
    assert!(error.contains("an answer after its question, found another beginning at message 2"), "{error}");
    // Of a long conversation only what there is room for is made into tokens; each line is one document at least.
    let turns = r#"{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}, "#.repeat(40);
    let long = format!(r#"{{"messages": [{}]}}"#, turns.trim_end_matches(", "));
    let documents = opened(&[&[long.clone(), long.clone()]], &stored, Some(FORGETS), ROOM, false).expect("documents");
    let [cut, left_out] = documents.cut;
    assert_eq!((documents.count() + left_out, cut - left_out <= 2, documents.count() % 2), (80, true, 0));
    let text = opened(&[&[long]], &stored, Some(FORGETS), ROOM, false).err().expect("one line").to_string();
    assert!(text.contains("2 lines or more") && text.contains("found 1"), "{text}");
}

#[test]
fn names_of_control_tokens_in_texts_are_told_of() {
    let (stored, gpt2) = (codec(), TextCodec::named(primal_engine::config::Tokenizer::Gpt2).expect("a tokenizer"));
    let line = |text: &str| format!("{{\"text\": {text:?}}}");
    let warnings = |text: &str, codec: &TextCodec| {
        opened(&[&[line(text), line("a"), line("b")]], codec, None, ROOM, false).expect("documents").warnings()
    };
    assert!(matches!(&warnings("a<|im_end|>", &stored)[..], [one] if one.contains("1 documents")));
    assert!(matches!(&warnings("<|endoftext|>", &gpt2)[..], [_]));
    assert!(warnings("<|im_end", &stored).is_empty() && warnings("<|endoftext|>", &TextCodec::Bytes).is_empty());
    // They are no bytes of a text either.
    assert_eq!((stored.bytes_of(2), stored.bytes_of(70), gpt2.bytes_of(50_256), TextCodec::Bytes.bytes_of(10)), (0, 1, 0, 1));
}

#[test]
fn answers_with_names_of_control_tokens_and_without_an_end_are_told_of() {
    let stored = codec();
    let talk = |answer: &str| {
        format!(r#"{{"messages": [{{"role": "user", "content": "a<|im_end|>"}}, {{"role": "assistant", "content": "{answer}"}}]}}"#)
    };
    let warnings =
        |answers: [&str; 3], template| opened(&[&answers.map(talk)], &stored, Some(template), ROOM, false).expect("documents").warnings();
    let [ends, goes_on] = ["<|im_end|>", ""].map(|end| format!("{{% for m in messages %}}{{{{ m.content }}}}{end}{{% endfor %}}"));
    assert!(warnings(["a", "b", "c"], &ends).is_empty());
    assert!(
        matches!(&warnings(["a<|im_end|>", "b", "c"], &ends)[..], [one] if one.contains("1 conversations") && one.contains("in their answers"))
    );
    assert!(
        matches!(&warnings(["a", "b", "c"], &goes_on)[..], [one] if one.contains("in 3 of 3 conversations") && one.contains("ends an answer"))
    );
}

#[test]
fn a_list_in_json_holds_documents_too() {
    let (codec, good) = (TextCodec::Bytes, r#"{"text": "good"}"#);
    let open = |text: String| {
        let options = DocumentOptions { codec: &codec, template: None, room: ROOM, held_out: (Split::Validation, false) };
        Documents::from_sources(vec![Source::from_text("a.JSON", text).expect("a text")], &options)
    };
    assert_eq!(open(format!(" [\n  {good},\n  {{\n\"text\":\n\"a b\"}}, {good}]")).expect("documents").count(), 3);
    assert_eq!(open(format!("{good}\n{good}\n")).expect("documents").count(), 2);
    for (text, begins, part) in [
        (format!("[{good}, 3, {good}, {{}}]"), "a.JSON[1]: expected one JSON object", "1 other elements of the file are wrong as well: 3"),
        (format!("[{good}, {good}"), "a.JSON: expected a list of JSON objects", "no JSON: EOF"),
        ("[]".into(), "--data a.JSON: expected 2 lines or more", "found 0"),
    ] {
        let said = open(text).err().expect("no documents").to_string();
        assert!(said.starts_with(begins) && said.contains(part), "{said}");
    }
}

#[test]
fn a_bad_line_is_named() {
    let (stored, good) = (codec(), r#"{"text": "good"}"#);
    let talk =
        r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "assistant", "content": "c"}]}"#;
    let silent = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}";
    for (line, source, part) in [
        ("{", None, "one JSON object, found no JSON"),
        ("{\"a\": 1}", None, "the key \"text\""),
        ("{\"prompt\": \"a\", \"completion\": \"\"}", None, "something to learn, found an empty string"),
        (talk, None, "a model with a template"),
        (talk, Some(silent), "nothing written of message 2"),
        (talk, Some("{{ raise_exception('No!') }}"), "No!"),
    ] {
        let lines = [good, "", "  \r", good, line, good].map(str::to_owned);
        let error = opened(&[&[good.to_owned()], &lines], &stored, source, ROOM, false).err().expect(line);
        let text = error.to_string();
        assert!(text.starts_with("2.jsonl:5: expected ") && text.contains(part) && text.contains("hint: "), "{line}: {text}");
        assert_eq!(error.exit_code(), 2);
    }
    // The first of several, however many there are.
    let mut lines = vec![good.to_owned(); 9000];
    (lines[4321], lines[4322], lines[8999]) = ("x".into(), "[]".into(), "x".into());
    let text = opened(&[&lines], &stored, None, ROOM, false).err().expect("bad lines").to_string();
    assert!(text.starts_with("1.jsonl:4322: ") && text.contains("no JSON"), "{text}");
    assert!(text.ends_with("2 other lines of the file are wrong as well: 4323, 9000"), "{text}");
    // Before the first is no mark of the byte order, and a text needs two tokens.
    let one = format!("\u{feff}{good}\n{good}");
    assert_eq!(opened(&[&[one]], &stored, None, ROOM, false).expect("documents").count(), 2);
    let text = opened(&[&[good.to_owned()]], &stored, None, ROOM, false).err().expect("one document").to_string();
    assert!(text.contains("2 lines or more") && text.contains("found 1"), "{text}");
}

#[test]
fn a_document_is_on_the_same_side_however_long_documents_may_be() {
    // The answer of every third one is beyond the room of the shorter batch.
    let line = |number: usize| {
        let prompt = "x".repeat(if number.is_multiple_of(3) { 20 } else { 2 });
        format!(r#"{{"prompt": "{prompt}", "completion": "{number:04}"}}"#)
    };
    let lines: Vec<String> = (0..60).map(line).collect();
    let held_out = |seq_len: usize| {
        let room = Room { seq_len, tokens: 64, ..ROOM };
        let documents = opened(&[&lines], &TextCodec::Bytes, None, room, false).expect("documents");
        let text = |&document: &u32| {
            let tokens = documents.document(document).iter().map(|token| (token & !LEARNT) as u8).collect::<Vec<_>>();
            String::from_utf8(tokens).expect("text").trim().trim_start_matches('x').to_owned()
        };
        documents.splits[1].iter().map(text).collect::<Vec<_>>()
    };
    let (long, short) = (held_out(30), held_out(10));
    assert_eq!(long, ["0057", "0058", "0059"]);
    assert!(short.iter().all(|text| long.contains(text)), "{short:?}");
}

/// A text of its own for each document.
fn numbered(from: usize, count: usize) -> Vec<String> {
    (from..from + count).map(|number| format!(r#"{{"text": "number {number:04}"}}"#)).collect()
}

#[test]
fn whole_documents_are_held_back_the_last_of_each_file() {
    let codec = TextCodec::Bytes;
    for (counts, hold_out_test, expected) in [
        (vec![100], false, vec![[95, 100]]),
        (vec![100], true, vec![[95, 98], [98, 100]]),
        (vec![40, 60], false, vec![[38, 40], [97, 100]]),
        (vec![1; 60], false, vec![[19, 20], [39, 40], [59, 60]]),
        (vec![7], false, vec![[6, 7]]),
        (vec![2], true, vec![[1, 2]]),
    ] {
        let mut files = Vec::new();
        for count in &counts {
            files.push(numbered(files.iter().map(Vec::len).sum(), *count));
        }
        let files: Vec<&[String]> = files.iter().map(Vec::as_slice).collect();
        let documents = opened(&files, &codec, None, ROOM, hold_out_test).expect("documents");
        let [train, validation, test] = &documents.splits;
        let held: Vec<u32> = expected.iter().flat_map(|&[start, end]| start..end).collect();
        assert_eq!([&validation[..], test].concat(), held, "{counts:?}");
        assert_eq!(test.is_empty(), !hold_out_test || expected.len() == 1, "{counts:?}: {test:?}");
        let all: BTreeSet<u32> = train.iter().chain(&held).copied().collect();
        assert_eq!((all.len(), train.len() + held.len()), (documents.count(), documents.count()), "{counts:?}");
        // All that is held back is measured, once.
        let (mut seen, mut index) = (Vec::new(), 0);
        loop {
            let (mut inputs, mut targets, mut lengths) = (vec![0; ROOM.tokens], vec![0; ROOM.tokens], Vec::new());
            let rows = documents.held_out(index, ROOM.seq_len, &mut inputs, &mut targets, &mut lengths);
            if rows == 0 {
                break;
            }
            assert_eq!(lengths.iter().sum::<u32>() as usize, rows);
            seen.extend(inputs[..rows].chunks_exact(11).map(|row| codec.decode(row)));
            assert!(targets[..rows].chunks_exact(11).all(|row| codec.decode(row).starts_with("umber ")));
            index += 1;
        }
        let of = |documents: &[u32]| documents.iter().map(|number| format!("number {number:04}")).collect::<Vec<_>>();
        assert_eq!(seen, of(validation), "{counts:?}");
    }
}

#[test]
fn a_step_sees_whole_documents_and_each_once_an_epoch() {
    let codec = TextCodec::Bytes;
    let lines: Vec<String> = (0..61).map(|number| format!(r#"{{"text": "{number:02}{}"}}"#, "x".repeat(number * 7 % 50))).collect();
    let room = Room { seq_len: 60, tokens: 130, documents: 5 };
    let documents = opened(&[&lines], &codec, None, room, false).expect("documents");
    let draw = |documents: &Documents, seed, number: u64| {
        let (mut inputs, mut targets, mut lengths) = (vec![0; room.tokens], vec![0; room.tokens], Vec::new());
        documents.sample(
            seed,
            Draw { step: number / 3, micro_batch: (number % 3) as u32, of: 3 },
            60,
            &mut inputs,
            &mut targets,
            &mut lengths,
        );
        (inputs, targets, lengths)
    };
    let mut seen = Vec::new();
    for number in 0..100 {
        let (inputs, targets, lengths) = draw(&documents, 7, number);
        let mut start = 0;
        for len in lengths.into_iter().map(|len| len as usize) {
            let text = codec.decode(&inputs[start..start + len]);
            let document: usize = text[..2].parse().expect("a number");
            assert_eq!(text, format!("{document:02}{}", "x".repeat(document * 7 % 50)));
            assert_eq!(codec.decode(&targets[start..start + len]), format!("{}\n", &text[1..]));
            seen.push(document);
            start += len;
        }
        assert!(start <= room.tokens);
    }
    let train = documents.splits[0].len();
    assert_eq!(train, 58);
    for epoch in seen.chunks_exact(train) {
        assert_eq!(epoch.iter().copied().collect::<BTreeSet<_>>(), (0..train).collect());
    }
    // A function of seed and number: in any order, and of another reader.
    let again = opened(&[&lines], &codec, None, room, false).expect("documents");
    assert_eq!(again.fingerprint(), documents.fingerprint());
    for (seed, number) in [(7, 99), (7, 3), (8, 3), (7, 50), (7, 51)] {
        assert_eq!(draw(&again, seed, number), draw(&documents, seed, number));
    }
    assert_ne!(draw(&again, 7, 3), draw(&again, 8, 3));
    assert_ne!(opened(&[&lines[1..]], &codec, None, room, false).expect("documents").fingerprint(), documents.fingerprint());
}

#[test]
fn long_documents_end_where_there_is_no_more_room() {
    let (codec, long) = (TextCodec::Bytes, "y".repeat(30));
    let lines = [
        format!(r#"{{"text": "{long}"}}"#),
        format!(r#"{{"prompt": "{long}", "completion": "z"}}"#),
        r#"{"text": "short"}"#.to_owned(),
        format!(r#"{{"prompt": "a", "completion": "{long}"}}"#),
    ];
    let documents = opened(&[&lines], &codec, None, Room { seq_len: 20, tokens: 40, documents: 9 }, false).expect("documents");
    assert_eq!((documents.count(), documents.document(0).len(), documents.document(2).len()), (3, 21, 21));
    let [warning] = &documents.warnings()[..] else { panic!("one warning") };
    assert_eq!(
        warning,
        "warning: 3 of 4 documents are longer than --seq-len 20 and end there; 1 of them are left out, as nothing that is learnt is before that"
    );
    let said = documents.describe();
    assert!(said.contains("1.jsonl: 3 documents, 48 tokens (bytes), of which 45 are learnt: 2 documents for training"), "{said}");
    assert!(opened(&[&lines[2..3], &lines[2..3]], &codec, None, ROOM, false).expect("documents").warnings().is_empty());
}

#[test]
fn texts_and_documents_do_not_mix() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (name, content) in [
        ("a.jsonl", "x"),
        ("b.JSONL", "x"),
        ("c.txt", "x"),
        ("d.json", "\u{feff} [\n  {\n \"messages\": []}, {"),
        ("e.json", "{\"question\": \"a\", \"answer\": \"b\"}\n{"),
        ("f.json", "{\n\"text\": 3}\n"),
        ("g.json", "[{\"name\": 3}]"),
        ("h.json", "[\"text\"]"),
        ("i.json", "[{\"name\": {\"text\": 3}, \"prompt\": 3}, {\"text\": \"a\"}]"),
    ] {
        std::fs::write(path(name), content).expect("a file");
    }
    // What is JSON may be a text, too.
    for (name, expected) in [("d", true), ("e", true), ("f", false), ("g", false), ("h", false), ("i", false)] {
        assert_eq!(are_documents(&vec![path(&format!("{name}.json"))].into()).expect("files"), expected, "{name}");
    }
    assert!(are_documents(&vec![path("a.jsonl"), path("b.JSONL"), path("d.json"), path("e.json")].into()).expect("files"));
    assert!(!are_documents(&vec![path("c.txt"), "stories".into()].into()).expect("files"));
    for sources in [vec![path("")], vec![path("a.jsonl"), "stories".into()]] {
        let error = are_documents(&sources.into()).expect_err("both");
        assert!(error.exit_code() == 2 && error.to_string().contains("both: "), "{error}");
    }
}
