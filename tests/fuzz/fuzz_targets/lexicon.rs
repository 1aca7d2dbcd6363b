//! Lexicons with a right checksum: what is accepted says any word and text.
#![no_main]

use std::borrow::Cow;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use primal_speech::disambiguation::Disambiguator;
use primal_speech::{Lexicon, Phone};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    content: Content<'a>,
    /// Packed homographs; of an empty list, none.
    homographs: &'a [u8],
    word: &'a str,
    text: &'a str,
}

#[derive(Arbitrary, Debug)]
enum Content<'a> {
    /// A compressed frame of these bytes.
    Frame(&'a [u8]),
    /// A dictionary and a model.
    Parts(&'a [u8], &'a [u8]),
    /// Words for a dictionary, graphones and n-grams for a model, as they are packed.
    Packed { words: Vec<(u8, Vec<u8>, u8, Vec<u8>)>, graphones: Vec<([u8; 2], u8, Vec<u8>)>, ngrams: &'a [u8] },
}

/// A zstd frame of blocks that are not compressed (RFC 8878).
fn frame(content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x28, 0xB5, 0x2F, 0xFD, 0, 7 << 3];
    for block in content.chunks(1 << 17) {
        bytes.extend_from_slice(&((block.len() as u32) << 3).to_le_bytes()[..3]);
        bytes.extend_from_slice(block);
    }
    bytes.extend_from_slice(&[1, 0, 0]);
    bytes
}

fn packed(content: &Content, homographs: &[u8]) -> Vec<u8> {
    let none = Disambiguator::default().pack();
    let homographs = if homographs.is_empty() { &none } else { homographs };
    let (dictionary, model): (Cow<[u8]>, Cow<[u8]>) = match content {
        Content::Frame(bytes) => return Lexicon::to_file(&[], &[], &[], |_| bytes.to_vec()),
        Content::Parts(dictionary, model) => ((*dictionary).into(), (*model).into()),
        Content::Packed { words, graphones, ngrams } => {
            let mut dictionary = Vec::new();
            for (shared, letters, shared_phones, phones) in words {
                dictionary.push(shared % 32);
                dictionary.extend(letters.iter().map(|letter| b'a' + letter % 26));
                dictionary.push(192 + shared_phones % 64);
                dictionary.extend(phones.iter().map(|phone| 128 + phone % Phone::COUNT as u8));
            }
            let mut model = (graphones.len() as u16).to_le_bytes().to_vec();
            for (letters, len, phones) in graphones {
                let (letters, phones) = (&letters[..usize::from(len % 2) + 1], &phones[..phones.len().min(2)]);
                model.push((letters.len() * 4 + phones.len()) as u8);
                model.extend(letters.iter().map(|letter| b'a' + letter % 26));
                model.extend(phones.iter().map(|phone| phone % Phone::COUNT as u8));
            }
            model.extend_from_slice(ngrams);
            (dictionary.into(), model.into())
        }
    };
    Lexicon::to_file(&dictionary, homographs, &model, frame)
}

fuzz_target!(|input: Input| {
    let bytes = packed(&input.content, input.homographs);
    match Lexicon::from_bytes(&bytes, "fuzz") {
        Ok(lexicon) => {
            let word: String = input.word.chars().filter(|c| c.is_ascii_lowercase()).collect();
            let (phones, _) = lexicon.word(&word);
            assert!(!phones.contains(&Phone::SIL), "a pause in {word}");
            let all = lexicon.pieces(input.text);
            assert_eq!((all.phones.first(), all.phones.last()), (Some(&Phone::SIL), Some(&Phone::SIL)));
        }
        Err(error) => assert!(error.to_string().contains("fuzz"), "{error}"),
    }
});
