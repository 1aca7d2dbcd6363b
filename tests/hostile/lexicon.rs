//! Lexicons with a right checksum that make no sense, or unpack to more than there is memory.

use std::fs;

use primal_speech::Lexicon;
use primal_speech::disambiguation::Disambiguator;

use crate::Place;
use crate::tiny::Tiny;

/// Bytes of a block, at most (RFC 8878).
const BLOCK: usize = 1 << 17;

/// A zstd frame of blocks that are not compressed, and of so many that repeat a zero.
fn frame(content: &[u8], zero_blocks: usize) -> Vec<u8> {
    // Magic number; no checksum, no size of the content; a window of a block.
    let mut bytes = vec![0x28, 0xB5, 0x2F, 0xFD, 0, 7 << 3];
    let mut block = |kind: u32, len: usize, content: &[u8]| {
        bytes.extend_from_slice(&(kind << 1 | (len as u32) << 3).to_le_bytes()[..3]);
        bytes.extend_from_slice(content);
    };
    content.chunks(BLOCK).for_each(|part| block(0, part.len(), part));
    (0..zero_blocks).for_each(|_| block(1, BLOCK, &[0]));
    block(0, 0, &[]);
    let last = bytes.len() - 3;
    bytes[last] |= 1;
    bytes
}

/// A dictionary of the word "a", and a model without graphones whose n-grams are only the root.
const DICTIONARY: &[u8] = &[0, b'a', 192, 129];
const MODEL: &[u8] = &[0, 0, 1, 0, 0, 0, 0, 0];

#[test]
fn clause_13_no_lexicon_with_a_right_checksum_ends_the_program() {
    let (place, tiny) = (Place::new(), Tiny::new());
    let lexicon = |dictionary: &[u8], model: &[u8], zeros: usize| {
        Lexicon::to_file(dictionary, &Disambiguator::default().pack(), model, |content| frame(content, zeros))
    };
    let good = lexicon(DICTIONARY, MODEL, 0);
    assert!(Lexicon::from_bytes(&good, "good").is_ok());

    let graphones = |count: u16, graphone: &[u8]| [&count.to_le_bytes()[..], &graphone.repeat(count.into()), &MODEL[2..]].concat();
    // Words of 32 letters and 63 phones, of which each repeats all but one of the one before.
    let mut growing = Vec::new();
    let digits = |number: usize| (0..10).rev().map(move |place| b'a' + (number / 26usize.pow(place) % 26) as u8);
    for word in 0..700_000 {
        let shared = if word == 0 { 0 } else { 21 };
        growing.push(shared);
        if word == 0 {
            growing.extend([b'a'; 21]);
        }
        growing.extend(digits(word));
        growing.extend(if word == 0 { [&[192][..], &[129; 63]].concat() } else { vec![255] });
    }
    let cases: [(&str, Vec<u8>); 9] = [
        ("a model that is cut short", lexicon(DICTIONARY, &MODEL[..3], 0)),
        ("no model", lexicon(DICTIONARY, &[], 0)),
        ("other bytes for a model", lexicon(DICTIONARY, &[255; 64], 0)),
        ("as many graphones as numbers", lexicon(DICTIONARY, &graphones(u16::MAX, &[4, b'a']), 0)),
        ("graphones of many letters", lexicon(DICTIONARY, &graphones(1, &[4 * 4, b'a', b'a', b'a', b'a']), 0)),
        ("pauses for phones", lexicon(&[0, b'a', 192, 128], MODEL, 0)),
        ("a dictionary that unfolds", lexicon(&growing, MODEL, 0)),
        ("3 GB of zeros", lexicon(DICTIONARY, MODEL, 24_000)),
        ("nothing", lexicon(&[], &[], 0)),
    ];
    let folder = place.path("voice");
    fs::create_dir(&folder).expect("a folder");
    for name in ["acoustic.safetensors", "vocoder.safetensors"] {
        fs::copy(tiny.voice.join(name), folder.join(name)).expect("a file");
    }
    let description = fs::read_to_string(tiny.voice.join("voice.toml")).expect("a description");
    fs::write(folder.join("voice.toml"), description + "lexicon = \"english.lexicon\"\n").expect("a description");
    let says = ["tts", "--threads", "1", "--text", "Blorptastic ghost.", "--output", "a.wav", "--voice", "voice"];
    for (name, bytes) in cases {
        fs::write(folder.join("english.lexicon"), bytes).expect("a lexicon");
        let message = place.refused(&says);
        assert!(message.contains("english.lexicon") && message.contains("a lexicon, found"), "{name}: {message}");
        assert!(!place.path("a.wav").exists());
    }
    fs::write(folder.join("english.lexicon"), good).expect("a lexicon");
    place.succeeds(&says);
}
