//! Any text in words and phones, as it is and without markup: every word has its place and its phones, and pauses are single.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use primal_speech::{Lexicon, Phone, markup, sentences};

static LEXICON: LazyLock<Lexicon> = LazyLock::new(primal_host::voice::english);

fn read(text: &str) {
    assert_eq!(sentences(text).concat(), text);
    let all = LEXICON.pieces(text);
    let mut end = 1;
    for word in &all.words {
        assert!(word.phones.start >= end && word.phones.end > word.phones.start, "{word:?}");
        assert!(all.phones[word.phones.clone()].iter().all(|&phone| phone != Phone::SIL), "{word:?}");
        assert!(text.get(word.source.clone()).is_some(), "{word:?}");
        end = word.phones.end;
    }
    assert!(all.warnings.iter().all(|warning| text.get(warning.source.clone()).is_some()));
    assert!(all.phones.windows(2).all(|pair| pair != [Phone::SIL; 2]));
    assert_eq!((all.phones.first(), all.phones.last()), (Some(&Phone::SIL), Some(&Phone::SIL)));
}

fuzz_target!(|text: &str| {
    read(text);
    read(&markup::plain(text));
});
