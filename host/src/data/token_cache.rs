//! The byte-pair tokens of one text: computed once in parallel, kept in a file named after the content, memory-mapped afterwards.
//!
//! The file is a header of 80 bytes, ten little-endian u64: magic, version, length and xxh3 of the text, the byte offsets of its two cuts,
//! the token offsets of the same cuts, the number of tokens, and the xxh3 of everything else; then the tokens as little-endian u16, or as u32 of a
//! vocabulary that has more.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::source::{Source, TextBytes};
use super::tokenizer::{TextCodec, pieces};
use crate::{Error, Result};
use primal_engine::files::durable;
use primal_engine::files::mapped;

const MAGIC: u64 = u64::from_le_bytes(*b"PRIMALTK");
const VERSION: u64 = 1;
const HEADER: usize = 80;
/// Pieces encoded between two writes: bounds the memory for tokens of a text of any size.
const PIECES_IN_FLIGHT: usize = 64;

/// Tokens of one text, little-endian, and where the text's cuts fall among them.
pub(super) struct TokenFile {
    bytes: TextBytes,
    /// Bytes of a token.
    width: usize,
    /// First token of the validation split and of its second half.
    pub cuts: [u64; 2],
    /// Number of tokens.
    pub count: u64,
}

impl TokenFile {
    /// The tokens of `source`, from a cache file in `folder` if there is a sound one, else computed (and cached, where a folder is given).
    ///
    /// # Errors
    /// When the cache cannot be written, or the source changed under the map.
    pub fn open(source: &Source, codec: &TextCodec, folder: Option<&Path>) -> Result<Self> {
        let Some(folder) = folder else {
            let mut bytes = io::Cursor::new(Vec::new());
            write(source, codec, &mut bytes).map_err(|error| Error::io("reading", Path::new(&source.name), error, CHANGED))?;
            return Self::from_bytes(source, width_of(codec), TextBytes::Owned(bytes.into_inner()))
                .ok_or_else(|| Error::failed(format!("the tokens of {} do not match it", source.name), CHANGED));
        };
        let path = folder.join(format!("{:016x}-{}.{}", source.hash, source.byte_len(), codec.name()));
        if let Some(tokens) = Self::load(source, width_of(codec), &path) {
            return Ok(tokens);
        }
        let failed = |error| {
            let hint = "the tokens of a text are cached there; free some space or choose a folder that can be written to";
            Error::io("writing", &path, error, hint)
        };
        fs::create_dir_all(folder).map_err(failed)?;
        // A token stands for a byte at least.
        durable::atomically(&path, width_of(codec) * source.byte_len() as usize, |file| write(source, codec, file).map_err(failed))?;
        Self::load(source, width_of(codec), &path).ok_or_else(|| {
            Error::failed(
                format!("{}: what was just written reads back damaged", path.display()),
                "check the disk, and that no other program changes the text or the cache",
            )
        })
    }

    /// The token at `index`.
    pub fn get(&self, index: u64) -> u32 {
        let at = HEADER + self.width * index as usize;
        let mut token = [0; 4];
        token[..self.width].copy_from_slice(&self.bytes[at..at + self.width]);
        u32::from_le_bytes(token)
    }

    fn load(source: &Source, width: usize, path: &Path) -> Option<Self> {
        let map = mapped::map(&File::open(path).ok()?, path).ok()?;
        Self::from_bytes(source, width, TextBytes::Mapped(map))
    }

    /// `None` for anything but a complete, undamaged cache of exactly this text.
    fn from_bytes(source: &Source, width: usize, bytes: TextBytes) -> Option<Self> {
        let header: Vec<u64> =
            bytes.get(..HEADER)?.chunks_exact(8).filter_map(|field| field.try_into().ok().map(u64::from_le_bytes)).collect();
        let [_, _, _, _, _, _, first, second, count, hash] = *header.as_slice() else {
            return None;
        };
        let sound = header[..6] == identity(source)
            && first <= second
            && second <= count
            && count.checked_mul(width as u64) == Some((bytes.len() - HEADER) as u64)
            && hash == content_hash(&bytes[..HEADER - 8], &bytes[HEADER..]);
        sound.then_some(Self { bytes, width, cuts: [first, second], count })
    }
}

const CHANGED: &str = "leave the data alone while it is read; start again";

/// Bytes of a token in the file.
fn width_of(codec: &TextCodec) -> usize {
    if codec.vocab_size() <= 1 << 16 { 2 } else { 4 }
}

fn identity(source: &Source) -> [u64; 6] {
    [MAGIC, VERSION, source.byte_len(), source.hash, source.cuts[0], source.cuts[1]]
}

/// Over the tokens first: their header is known only once they are all there.
fn content_hash(header: &[u8], tokens: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(tokens);
    hash.update(header);
    hash.digest()
}

/// Writes header and tokens. Each part between two cuts is encoded by itself, so that no token straddles a cut.
fn write(source: &Source, codec: &TextCodec, out: &mut (impl Write + Seek)) -> io::Result<()> {
    out.write_all(&[0; HEADER])?;
    let mut hash = Xxh3::new();
    let mut counts = [0u64; 3];
    let [first, second] = source.cuts.map(|cut| cut as usize);
    let width = width_of(codec);
    let parts = [0..first, first..second, second..source.bytes.len()];
    for (count, part) in counts.iter_mut().zip(parts) {
        let text = std::str::from_utf8(&source.bytes[part]).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let mut rest = pieces(text).enumerate();
        loop {
            let batch: Vec<(usize, &str)> = rest.by_ref().take(PIECES_IN_FLIGHT).collect();
            if batch.is_empty() {
                break;
            }
            let encoded: Vec<Vec<u8>> = batch
                .par_iter()
                .map(|(i, piece)| {
                    let tokens = codec.encode_piece(piece, *i == 0).into_iter();
                    tokens.flat_map(|token| token.to_le_bytes().into_iter().take(width)).collect()
                })
                .collect();
            for bytes in encoded {
                *count += (bytes.len() / width) as u64;
                hash.update(&bytes);
                out.write_all(&bytes)?;
            }
        }
    }
    let [train, validation, test] = counts;
    let mut header: Vec<u8> =
        identity(source).into_iter().chain([train, train + validation, train + validation + test]).flat_map(u64::to_le_bytes).collect();
    hash.update(&header);
    header.extend(hash.digest().to_le_bytes());
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&header)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::BytePairs;

    fn gpt2() -> TextCodec {
        TextCodec::Pairs(BytePairs::gpt2())
    }

    fn tokens(file: &TokenFile) -> Vec<u32> {
        (0..file.count).map(|index| file.get(index)).collect()
    }

    fn source() -> Source {
        Source::from_text("t", crate::data::stories(1, 600_000)).unwrap()
    }

    #[test]
    fn parts_are_encoded_by_themselves() {
        let source = source();
        let file = TokenFile::open(&source, &gpt2(), None).unwrap();
        let text = std::str::from_utf8(&source.bytes).unwrap();
        let mut expected = Vec::new();
        let [first, second] = source.cuts.map(|cut| cut as usize);
        for (part, end) in [(&text[..first], file.cuts[0]), (&text[first..second], file.cuts[1]), (&text[second..], file.count)] {
            expected.extend(gpt2().encode(part));
            assert_eq!(expected.len() as u64, end);
        }
        assert!(tokens(&file) == expected);
    }

    #[test]
    fn tokens_do_not_depend_on_threads() {
        let source = source();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            tokens(&pool.install(|| TokenFile::open(&source, &gpt2(), None).unwrap()))
        };
        let one = with(1);
        assert!(one == with(3), "1 and 3 threads differ");
    }

    #[test]
    fn a_damaged_cache_is_rebuilt() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::from_text("t", crate::data::stories(2, 5_000)).unwrap();
        let path = folder.path().join(format!("{:016x}-{}.gpt2", source.hash, source.byte_len()));
        let expected = tokens(&TokenFile::open(&source, &gpt2(), Some(folder.path())).unwrap());
        let good = fs::read(&path).unwrap();
        assert_eq!(good.len(), HEADER + 2 * expected.len());

        let mut damaged: Vec<Vec<u8>> = (0..good.len())
            .step_by(11)
            .chain(0..HEADER)
            .map(|at| {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << (at % 8);
                bytes
            })
            .collect();
        damaged.extend([Vec::new(), good[..HEADER - 1].to_vec(), good[..good.len() - 2].to_vec(), [&good[..], &[0, 0]].concat()]);
        for (case, bytes) in damaged.iter().enumerate() {
            fs::write(&path, bytes).unwrap();
            assert!(TokenFile::load(&source, 2, &path).is_none(), "damage {case} went unnoticed");
        }
        let rebuilt = TokenFile::open(&source, &gpt2(), Some(folder.path())).unwrap();
        assert_eq!(tokens(&rebuilt), expected);
        assert!(fs::read(&path).unwrap() == good, "the rebuilt cache differs");

        // A sound cache is used as it is: nothing is written again.
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        TokenFile::open(&source, &gpt2(), Some(folder.path())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "left-over files");
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        fs::write(&blocked, "x").unwrap();
        let error = TokenFile::open(&source(), &gpt2(), Some(&blocked)).err().expect("a file is no folder");
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains("writing"), "{error}");
    }
}
