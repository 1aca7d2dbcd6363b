//! The parser of configurations on any text, and on the embedded ones with one value replaced: what it accepts survives a round trip.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use primal_engine::Error;
use primal_engine::config::{Config, Family};
use primal_host::configurations::named;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    /// A file of this text.
    Text(&'a str),
    /// An embedded configuration with one value replaced, or a line added to its last table.
    Edited { config: usize, line: usize, value: &'a str },
}

fn edited(config: usize, line: usize, value: &str) -> String {
    let mut lines: Vec<&str> = named(Family::Text)[config % named(Family::Text).len()].1.lines().collect();
    let line = line % (lines.len() + 1);
    let Some(key) = lines.get(line).and_then(|old| old.split_once('=')).map(|(key, _)| key) else {
        lines.push(value);
        return lines.join("\n");
    };
    let new = format!("{key}={value}");
    lines[line] = &new;
    lines.join("\n")
}

fuzz_target!(|input: Input| {
    let text = match input {
        Input::Text(text) => text.to_string(),
        Input::Edited { config, line, value } => edited(config, line, value),
    };
    match Config::parse(&text, "fuzz") {
        Ok(config) => {
            let written = config.to_toml();
            let again = Config::parse(&written, "its own").expect("its own text");
            assert_eq!(again, config);
            assert_eq!(again.to_toml(), written);
        }
        Err(error) => {
            assert!(matches!(error, Error::Invalid { .. }), "{error}");
            assert!(error.to_string().contains("fuzz"), "{error}");
        }
    }
});
