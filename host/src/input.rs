//! Files that are read whole, each no larger than its kind can be: a device without an end, or a file of another kind, takes no memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::{Error, Result};
use primal_engine::convert::attached;

/// What is read.
#[derive(Clone, Copy)]
pub struct FileKind {
    /// For messages.
    pub name: &'static str,
    /// Bytes, at most.
    pub most: u64,
    /// Whether a file that begins so can be of this kind. Of another one no more is read; whoever parses it says what is wrong.
    begins: fn(&[u8]) -> bool,
}

/// A configuration, or the description of a voice or run.
pub const CONFIGURATION: FileKind = FileKind { name: "a configuration", most: 1 << 20, begins: has_no_zero };
/// A tokenizer, or one of the files beside it: the largest have a third of it.
pub const TOKENIZER: FileKind = FileKind { name: "a tokenizer", most: attached::MOST as u64, begins: has_no_zero };
/// A text to speak: the longest novels have a tenth of it.
pub const TEXT: FileKind = FileKind { name: "a text", most: attached::MOST as u64, begins: has_no_zero };
/// The lines of a corpus: a million utterances.
pub const CORPUS: FileKind = FileKind { name: "the lines of a corpus", most: 1 << 30, begins: has_no_zero };
/// A lexicon's file: the one in the program has a fiftieth of it.
pub const LEXICON: FileKind = FileKind { name: "a lexicon", most: 1 << 26, begins: |bytes| bytes.starts_with(b"PRIMAL") };
/// A sound: six hours at 22,050 Hz.
pub const SOUND: FileKind = FileKind {
    name: "a WAV or FLAC",
    most: 1 << 30,
    begins: |bytes| bytes.starts_with(b"RIFF") || bytes.starts_with(primal_speech::flac::MAGIC),
};

fn has_no_zero(bytes: &[u8]) -> bool {
    !bytes.contains(&0)
}

/// The path that stands for standard input.
pub const STANDARD: &str = "-";
/// Bytes that tell the kind of a file.
const BEGINNING: u64 = 1 << 12;

/// The bytes of a file.
///
/// # Errors
/// I/O errors with the hint; bad input for a file that is too large for its kind.
pub fn read(path: &Path, kind: FileKind, hint: &str) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|error| Error::io("reading", path, error, hint))?;
    read_from(file, path, kind, hint)
}

/// The bytes of standard input.
///
/// # Errors
/// As [`read`].
pub fn read_standard(kind: FileKind, hint: &str) -> Result<Vec<u8>> {
    read_from(io::stdin().lock(), Path::new("standard input"), kind, hint)
}

/// [`read`] of UTF-8.
///
/// # Errors
/// Errors of [`read`]; bad input for other bytes.
pub fn read_text(path: &Path, kind: FileKind, hint: &str) -> Result<String> {
    String::from_utf8(read(path, kind, hint)?).map_err(|error| not_utf8(path.display(), error.as_bytes()))
}

fn read_from(mut source: impl Read, path: &Path, kind: FileKind, hint: &str) -> Result<Vec<u8>> {
    let fail = |error| Error::io("reading", path, error, hint);
    let mut bytes = Vec::new();
    source.by_ref().take(BEGINNING).read_to_end(&mut bytes).map_err(fail)?;
    if (kind.begins)(&bytes) {
        source.take(kind.most + 1 - bytes.len() as u64).read_to_end(&mut bytes).map_err(fail)?;
    }
    if bytes.len() as u64 > kind.most {
        let expected = format!("{} of at most {} MiB", kind.name, kind.most >> 20);
        return Err(Error::bad_input(path.display(), expected, "more than that", hint));
    }
    Ok(bytes)
}

/// How files begin that hold texts in another form, and what to do with them.
const PACKED: [(&[u8], &str); 8] = [
    (b"\x1f\x8b", "it is compressed: unpack it with gunzip"),
    (b"\x28\xb5\x2f\xfd", "it is compressed: unpack it with unzstd"),
    (b"\xfd7zXZ\0", "it is compressed: unpack it with unxz"),
    (b"BZh", "it is compressed: unpack it with bunzip2"),
    (b"PK\x03\x04", "it is an archive or a document of an office: unpack it, or save it as text"),
    (b"PAR1", "it is a table in Parquet: write its documents as lines of JSON"),
    (b"%PDF", "it is a PDF: turn it into text with pdftotext"),
    (b"GGUF", "it is a model: give a text"),
];

/// What to say of bytes that are no UTF-8: where they begin to differ, and how to convert what they seem to be.
pub fn not_utf8(subject: impl ToString, bytes: &[u8]) -> Error {
    let (encoding, name) = encoding_of(bytes);
    let at = str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), |text| text.find('\0').unwrap_or(0));
    let line = 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
    let found = format!("byte 0x{:02x} at offset {at}, in line {line}: it seems to be {name}", bytes.get(at).copied().unwrap_or(0));
    let packed = PACKED.iter().find(|(beginning, _)| bytes.starts_with(beginning));
    let hint = match (packed, encoding) {
        (Some((_, how)), _) => (*how).into(),
        (None, Some(encoding)) => format!("convert it: iconv -f {encoding} -t utf-8 IN >OUT"),
        (None, None) => "give a text; if it is one, find out its encoding and convert it: iconv -f ENCODING -t utf-8 IN >OUT".into(),
    };
    Error::bad_input(subject, "text in UTF-8", found, hint)
}

/// The encoding that a text seems to have, for `iconv`, and its name.
fn encoding_of(bytes: &[u8]) -> (Option<&'static str>, &'static str) {
    let sample = &bytes[..bytes.len().min(1 << 16) & !3];
    // Text of mostly Latin letters has zeros in one half of its units.
    let zeros = |step: usize, first: usize| sample.iter().skip(first).step_by(step).filter(|&&byte| byte == 0).count();
    let [even, odd, quarter] = [zeros(2, 0), zeros(2, 1), (sample.len() / 4).max(1)];
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => (Some("utf-32"), "UTF-32"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => (Some("utf-16"), "UTF-16"),
        _ if odd >= quarter && even >= quarter => (None, "no text"),
        _ if odd > quarter => (Some("utf-16le"), "UTF-16"),
        _ if even > quarter => (Some("utf-16be"), "UTF-16"),
        _ if bytes.contains(&0) => (None, "no text"),
        // What are control characters in Latin-1 are quotation marks and dashes in Windows-1252, but for five.
        _ if bytes.iter().any(|byte| (0x80..0xA0).contains(byte)) => {
            match bytes.iter().any(|byte| b"\x81\x8d\x8f\x90\x9d".contains(byte)) {
                true => (None, "neither Latin-1 nor Windows-1252"),
                false => (Some("cp1252"), "Windows-1252"),
            }
        }
        _ => (Some("latin1"), "Latin-1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_apart() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        for (bytes, expected) in [
            (b"caf\xe9 au lait".to_vec(), "iconv -f latin1"),
            (b"\x93caf\xe9\x94".to_vec(), "iconv -f cp1252"),
            ([b"\xFF\xFE".to_vec(), utf16("The ghost")].concat(), "iconv -f utf-16 "),
            (utf16("The ghost is singing."), "iconv -f utf-16le"),
            ("ghost".chars().flat_map(|c| (c as u32).to_be_bytes()).collect(), "iconv -f ENCODING"),
            (b"\xFF\xFE\0\0T\0\0\0".to_vec(), "iconv -f utf-32"),
            (vec![0; 100], "iconv -f ENCODING"),
            (b"ab\x8d".to_vec(), "iconv -f ENCODING"),
        ] {
            let message = not_utf8("a.txt", &bytes).to_string();
            assert!(message.contains(expected), "{expected}: {message}");
        }
    }

    #[test]
    fn no_file_is_read_beyond_its_limit() {
        const SMALL: FileKind = FileKind { most: 1 << 20, ..TEXT };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        let text = "a".repeat(1 << 20);
        std::fs::write(&path, &text).unwrap();
        assert!(read_text(&path, SMALL, "shorten it").unwrap() == text);
        std::fs::write(&path, text + "b").unwrap();
        let error = read(&path, SMALL, "shorten it").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("a.toml: expected a text of at most 1 MiB"), "{error}");
        std::fs::write(&path, [0; 100_000]).unwrap();
        assert_eq!(read(&path, TEXT, "shorten it").unwrap().len() as u64, BEGINNING);
    }
}
