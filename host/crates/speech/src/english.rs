//! The lexicon of the voice, which tests read with.

use std::sync::LazyLock;

use crate::Lexicon;

/// The file.
pub static FILE: &[u8] = include_bytes!("../../../../models/voices/english.lexicon");
/// The lexicon.
pub static ENGLISH: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::trusted(FILE, "english.lexicon").expect("the lexicon of the voice"));
