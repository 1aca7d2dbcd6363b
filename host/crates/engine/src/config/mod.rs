//! Configurations: what a model is and how it is trained, as TOML.

mod architecture;
pub(crate) mod by_name;
mod configuration;
mod ghost_tts;
mod gpt;
mod key;
mod llama;
mod messages;
mod names;
pub(crate) mod rule;
mod table;
mod tokenizer;
mod train;

pub use architecture::architecture_of;
pub use configuration::{Config, ConfigOf, SpeechConfig};
pub use ghost_tts::GhostTtsConfig;
pub use gpt::GptConfig;
pub use key::Architecture;
pub use llama::LlamaConfig;
pub use messages::{nearest, toml_error};
pub use names::{ACTS, DIVISORS, REDUCES, SCALES, STARTS, VOTES, WINDOWS, bits_of, grids, votes_of};
pub use rule::{RULES, Rule, rule};
pub use table::{Check, Family, MAX_CONTEXT, ModelTable, TextTable};
pub use tokenizer::{MOST_TOKENS, TOKENIZERS, Tokenizer};
pub use train::{Divisor, Flips, Recompute, Reduce, TrainConfig, VoteStart, Windows};
