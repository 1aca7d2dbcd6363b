//! Lines of documents: the forms that are read, and what is said of others.

use super::*;

#[test]
fn each_form_is_read() {
    assert!(matches!(read(r#"{"text": "a", "id": 7, "functions": 3}"#), Ok(Line::Text(text)) if text == "a"));
    let pair = read(r#"{"prompt": "", "completion": " b"}"#);
    assert!(matches!(pair, Ok(Line::Pair { prompt, completion }) if prompt.is_empty() && completion == " b"));
    let talk = read(r#"{"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "Ho", "name": "x"}]}"#);
    assert!(
        matches!(talk, Ok(Line::Conversation { messages, answers }) if messages.len() == 2 && messages[1].content == "Ho" && answers == [1])
    );
    // As other programs write them.
    for (line, said) in [
        (r#"{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}"#, &["Hi", "Ho"][..]),
        (r#"{"conversations": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}], "tools": "[]"}"#, &["Hi", "Ho"]),
        (r#"{"instruction": "Add.", "input": "1 2", "output": "3"}"#, &["Add.\n1 2", "3"]),
        (r#"{"instruction": "Add.", "context": "", "response": "3", "category": "sums"}"#, &["Add.", "3"]),
        (r#"{"instruction": "Add.", "input": "", "context": "1 2", "output": "3"}"#, &["Add.\n1 2", "3"]),
        (r#"{"prompt": "Hi", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}"#, &["Hi", "Ho"]),
        (r#"{"question": "1+2?", "answer": "3", "system_prompt": "Add."}"#, &["Add.", "1+2?", "3"]),
        (
            r#"{"messages": [{"role": "system", "content": null}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}"#,
            &["Hi", "Ho"],
        ),
        (
            r#"{"messages": [{"role": "developer", "content": "Say."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}"#,
            &["Say.", "Hi", "Ho"],
        ),
    ] {
        let Ok(Line::Conversation { messages, answers }) = read(line) else { panic!("{line}: {:?}", read(line)) };
        assert_eq!(messages.iter().map(|message| &*message.content).collect::<Vec<_>>(), said, "{line}");
        assert_eq!(answers, [said.len() - 1], "{line}");
    }
    let both = r#"{"prompt": [{"role": "assistant", "content": ""}], "completion": [{"role": "assistant", "content": "Ho"}]}"#;
    assert!(matches!(read(both), Ok(Line::Conversation { messages, answers }) if messages.len() == 2 && answers == [1]));
    // As published sets have them: a question twice, parts, thoughts, answers that are not learnt, and keys of any kind.
    let many = r#"{"prompt": "Hi", "prompt_id": 1e999, "x": [[[[]]]], "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "a", "weight": 0}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "text", "text": "b"},
        {"type": "text", "text": "c"}], "reasoning_content": "d", "tool_calls": [], "weight": 1}], "tools": null}"#;
    let Ok(Line::Conversation { messages, answers }) = read(many) else { panic!("{many}: {:?}", read(many)) };
    assert_eq!((messages.len(), &answers[..], &*messages[3].content), (4, &[3][..], "b\nc"));
    assert_eq!((&messages[3].reasoning_content, &messages[1].reasoning_content), (&Some("d".to_owned()), &None));
    // What other programs have besides is passed over, whatever it is.
    for key in ["input", "conversations", "answer"] {
        let line = format!(r#"{{"text": "a", "{key}": [1e999, "\\ud800"], "tools": [3]}}"#);
        assert!(matches!(read(&line), Ok(Line::Text(_))), "{line}: {:?}", read(&line));
    }
    let deep = format!("{{\"text\": \"a\", \"other\": {}{}}}", "[".repeat(5000), "]".repeat(5000));
    assert!(matches!(read(&deep), Ok(Line::Text(_))));
}

#[test]
fn what_is_wrong_with_a_line_is_said() {
    for (line, hint) in [
        (r#"{"text": "a", "score": NaN}"#, "NaN"),
        (r#"{"text": "a", "score": -Infinity}"#, "NaN"),
        (r#"{"text": "To Infinity and beyond"#, "a line of its own"),
        (r#"{"text": "\ud800"}"#, "surrogate"),
    ] {
        assert!(read(line).expect_err(line).hint.contains(hint), "{line}: {:?}", read(line));
    }
    for (line, expected, found) in [
        ("{\"text\": \"a\"", "one JSON object", "no JSON: EOF while parsing an object at column 12"),
        ("hello", "one JSON object", "no JSON: expected value at column 1"),
        ("{\"text\": \"a\"} {\"text\": \"b\"}", "one JSON object", "no JSON: trailing characters at column 15"),
        ("[]", "one JSON object", "a list"),
        ("{}", "the key \"text\", or", "no key"),
        ("{\"Text\": \"a\", \"id\": 1}", "the key \"text\", or", "only \"Text\", \"id\""),
        ("{\"question\": \"a\", \"id\": 1}", "the key \"text\", or", "only \"question\", \"id\""),
        ("{\"question\": \"a\", \"answer\": \"\"}", "\"answer\" with something", "an empty string"),
        ("{\"instruction\": \"a\", \"input\": 3, \"output\": \"b\"}", "\"input\" to be a string", "\"input\", a number"),
        ("{\"conversations\": [{\"from\": \"tool\", \"value\": \"a\"}]}", "conversations[0].from to be", "\"tool\""),
        ("{\"conversations\": [{\"from\": \"human\"}]}", "conversations[0].value to be a string", "nothing"),
        ("{\"text\": \"a\", \"messages\": []}", "one of \"text\", or", "\"text\" and \"messages\""),
        ("{\"text\": \"a\", \"prompt\": \"\"}", "one of \"text\", or", "\"text\" and \"prompt\""),
        ("{\"text\": null}", "\"text\" to be a string", "\"text\", null"),
        ("{\"text\": \"\"}", "\"text\" with something", "an empty string"),
        ("{\"prompt\": \"a\"}", "\"prompt\" and \"completion\"", "only \"prompt\""),
        ("{\"completion\": \"a\"}", "\"prompt\" and \"completion\"", "only \"completion\""),
        ("{\"prompt\": \"a\", \"completion\": \"\"}", "\"completion\" with something", "an empty string"),
        ("{\"prompt\": \"a\", \"completion\": 3}", "strings, or lists of messages", "\"completion\", a number"),
        ("{\"prompt\": \"a\", \"completion\": []}", "strings, or lists of messages", "\"completion\", a list"),
        ("{\"prompt\": [], \"completion\": []}", "of the assistant in \"completion\"", "none"),
        ("{\"messages\": {}}", "\"messages\" to be a list", "an object"),
        ("{\"messages\": []}", "of the assistant in \"messages\"", "none"),
        ("{\"messages\": [3]}", "messages[0] to be an object", "a number"),
        ("{\"messages\": [{\"content\": \"a\"}]}", "messages[0].role to be system, user or assistant", "nothing"),
        ("{\"messages\": [{\"role\": \"tool\", \"content\": \"a\"}]}", "messages[0].role to be", "\"tool\""),
        ("{\"messages\": [{\"role\": \"user\"}]}", "messages[0].content to be a string", "nothing"),
        ("{\"messages\": [{\"role\": \"user\", \"content\": [\"a\"]}]}", "messages[0].content to be a string", "a string"),
        (
            "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}]}",
            "messages[0].content to be a string",
            "a part of type \"image_url\"",
        ),
        ("{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\", \"weight\": 0.5}]}", "messages[0].weight to be 0 or 1", "0.5"),
        (
            "{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\", \"weight\": 0}]}",
            "a message of the assistant",
            "none but with \"weight\" 0",
        ),
        (
            "{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\", \"tool_calls\": [{}]}]}",
            "a conversation without tools",
            "messages[0].tool_calls",
        ),
        ("{\"prompt\": [], \"completion\": [], \"functions\": [{}]}", "a conversation without tools", "\"functions\""),
        ("{\"messages\": [], \"tools\": [{}]}", "a conversation without tools", "\"tools\""),
        (
            "{\"prompt\": \"b\", \"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}",
            "one of \"text\", or",
            "\"messages\" and \"prompt\"",
        ),
        ("{\"text\": \"a\", \"score\": NaN}", "one JSON object", "no JSON: expected value at column 24"),
        ("{\"text\": \"\\ud800\"}", "one JSON object", "no JSON: unexpected end of hex escape at column 17"),
        ("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}", "a message of the assistant", "none"),
        ("{\"messages\": [{\"role\": \"assistant\", \"content\": \" \"}]}", "something that the assistant says", "an empty content"),
    ] {
        let wrong = read(line).expect_err(line);
        assert!(wrong.expected.contains(expected) && wrong.found == found && !wrong.hint.is_empty(), "{line}: {wrong:?}");
    }
}
