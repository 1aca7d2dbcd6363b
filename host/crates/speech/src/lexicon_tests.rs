use proptest::prelude::*;

use super::*;
use crate::english::{ENGLISH, FILE};
use crate::phone::names;

#[test]
fn words_are_found_where_they_should_be() {
    for (word, found, expected) in [
        ("ghost", Found::Dictionary, "G OW1 S T"),
        ("the", Found::Dictionary, "DH AH0"),
        ("singing", Found::Dictionary, "S IH1 NG IH0 NG"),
        ("ghost's", Found::Rule("contraction"), "G OW1 S T S"),
        ("unhaunted", Found::Rule("inflection"), "AH0 N HH AO1 N T AH0 D"),
        ("bcdfg", Found::Letters, "B IY1 S IY1 D IY1 EH1 F JH IY1"),
    ] {
        let (phones, how) = ENGLISH.word(word);
        assert_eq!((how, names(&phones)), (found, expected.to_string()), "{word}");
    }
    let (phones, found) = ENGLISH.word("blorptastic");
    assert_eq!(found, Found::Model);
    assert!(names(&phones).starts_with("B L"), "{}", names(&phones));
}

#[test]
fn a_text_has_pauses_around_and_between() {
    let all = ENGLISH.phonemes("Hello, ghost!");
    assert_eq!(names(&all.phones), "SIL HH AH0 L OW1 SIL G OW1 S T SIL");
    let words: Vec<_> = all.words.iter().map(|word| (&word.text[..], word.phones.clone(), word.source.clone())).collect();
    assert_eq!(words, [("hello", 1..5, 0..5), ("ghost", 6..10, 7..12)]);
    assert!(all.warnings.is_empty());
    let all = ENGLISH.phonemes("I read the FBI's record. 😀");
    assert_eq!(all.warnings.len(), 1);
    assert!(all.words.iter().any(|word| word.found == Found::Letters));
    assert!(all.words.iter().any(|word| word.found == Found::Homograph));
    for text in ["", " ", "...", "😀", "\u{0}"] {
        let all = ENGLISH.phonemes(text);
        assert!(all.is_empty() && all.phones == [Phone::SIL], "{text:?}: {all:?}");
    }
}

#[test]
fn all_words_that_texts_are_read_with_are_known() {
    let said = "to the of dot dash colon ampersand question mark port slash version extension hundred squared cubed by per feet foot inch inches times \
        quarter hour hours minute minutes second seconds minus plus number north south east west thousand million billion trillion first";
    let all = crate::normalise::number_words().into_iter().chain(crate::normalise::table_words().into_iter().map(String::from));
    let mut unknown: Vec<String> = all.chain(said.split_whitespace().map(String::from)).filter(|word| !ENGLISH.knows(word)).collect();
    unknown.sort();
    unknown.dedup();
    assert!(unknown.is_empty(), "{} unknown: {}", unknown.len(), unknown.join(" "));
}

#[test]
fn a_very_long_word_is_spelled_with_a_warning() {
    for (letters, warnings) in [(40, 0), (41, 1), (400, 1)] {
        let text = format!("say {} now", &"ab".repeat(letters)[..letters]);
        let all = ENGLISH.phonemes(&text);
        assert_eq!(all.warnings.len(), warnings, "{letters}: {:?}", all.warnings);
        assert!(all.warnings.iter().all(|warning| warning.to_string().starts_with("spelled out at byte 4: ")), "{:?}", all.warnings);
    }
}

#[test]
fn other_bytes_are_bad_input() {
    assert!(Lexicon::from_bytes(b"", "nothing").is_err());
    assert!(Lexicon::from_bytes(MAGIC, "only the beginning").is_err());
    for damage in [20, FILE.len() / 2, FILE.len() - 1] {
        let mut bytes = FILE.to_vec();
        bytes[damage] ^= 1;
        assert!(Lexicon::from_bytes(&bytes, "a flipped bit").is_err(), "bit of byte {damage}");
        assert!(Lexicon::from_bytes(&FILE[..damage], "a part").is_err(), "{damage} bytes");
    }
}

#[test]
fn long_texts_are_no_trouble() {
    for text in
        ["The ghost in the machine is singing. ".repeat(2_700), "a".repeat(100_000), "x1".repeat(50_000), "blorptastic ".repeat(2_000)]
    {
        let all = ENGLISH.phonemes(&text);
        assert!(all.phones.len() > 1000);
    }
}

proptest! {
    #[test]
    fn spans_are_in_order_and_pauses_are_single(text in any::<String>()) {
        let all = ENGLISH.phonemes(&text);
        let mut end = 1;
        for word in &all.words {
            prop_assert!(word.phones.start >= end && word.phones.end > word.phones.start, "{word:?} of {text:?}");
            prop_assert!(all.phones[word.phones.clone()].iter().all(|&phone| phone != Phone::SIL));
            prop_assert!(text.get(word.source.clone()).is_some());
            end = word.phones.end;
        }
        prop_assert!(all.phones.windows(2).all(|pair| pair != [Phone::SIL; 2]));
        prop_assert_eq!((all.phones.first(), all.phones.last()), (Some(&Phone::SIL), Some(&Phone::SIL)));
    }
}
