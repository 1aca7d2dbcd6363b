//! Text in, tokens out: sources, splits, tokenizers and the windows that training and evaluation read. And speech: utterances, their features
//! and batches.
//!
//! | file | idea |
//! |---|---|
//! | `stories/`       | the embedded default source: an endless, seeded grammar of simple English stories |
//! | `paths.rs`       | `--data` and `--validation`: what is learnt, and what is held back |
//! | `source.rs`      | `--data`: files and folders, memory-mapped, checked, cut into training, validation and test |
//! | `tokenizer/`     | bytes, byte pairs, and tokenizers that came with a model: encode, decode, streaming decode |
//! | `token_cache.rs` | the GPT-2 tokens of a file, computed once and memory-mapped afterwards |
//! | `generation.rs`  | text from a model |
//! | `corpus.rs`      | the corpus: stateless random windows for training, sequential ones for evaluation |
//! | `documents/`     | files of JSON objects: texts, prompts with completions, conversations; each whole, by itself, once an epoch |
//! | `utterance.rs`       | a line of a speech corpus' file |
//! | `speech_corpus.rs`   | `tts-train --data`: a folder of sound, phones and durations, checked and standardised |
//! | `speech_features.rs` | mel, pitch and energy of its sound, computed once and memory-mapped afterwards |
//! | `epochs.rs`      | every window of a text once, in an order of its own |
//! | `speech_batch.rs`    | stateless random batches of whole utterances |
//! | `voice_facts.rs`     | what the numbers of a voice's checkpoint mean |
//! | `speech_data.rs`     | the corpus as GhostTTS is trained on it |

mod corpus;
mod documents;
mod epochs;
mod generation;
mod paths;
mod source;
mod speech_batch;
mod speech_corpus;
mod speech_data;
mod speech_features;
mod stories;
mod token_cache;
mod tokenizer;
mod utterance;
mod voice_facts;

pub use corpus::{Corpus, CorpusOptions, TokenWindow};
pub use documents::{DocumentOptions, Documents, Room, are_documents};
pub use generation::{Drawn, generate, generate_after, unread};
pub use paths::DataPaths;
pub use source::{STORIES, Source, Split};
pub use speech_batch::{SpeechBatches, SpeechLimits, heldout_batches};
pub use speech_corpus::{SpeechCorpus, SpeechSplit};
pub use speech_data::SpeechData;
pub use stories::stories;
pub use tokenizer::{BytePairs, Exchanged, ModelFiles, StoredTokenizer, StreamDecoder, TextCodec};
pub use utterance::Utterance;
pub use voice_facts::{VoiceFacts, require_phones};
