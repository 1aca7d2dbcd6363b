//! serde by name, for types without serde.

use primal_device::grid::GridId;
use primal_device::grid::VoteBits;
use serde::{Deserialize, Serialize};

use super::names::{GRIDS, VOTES, bits_of, votes_of};
use super::tokenizer::Tokenizer;

/// A module for `#[serde(with = …)]`.
macro_rules! by_name {
    ($module:ident, $type:ty, $raw:ty, $name:expr, $parse:expr, $expected:expr) => {
        pub(crate) mod $module {
            use super::*;
            pub fn serialize<S: serde::Serializer>(value: &$type, s: S) -> Result<S::Ok, S::Error> {
                $name(*value).serialize(s)
            }
            pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<$type, D::Error> {
                let value = <$raw>::deserialize(d)?;
                $parse(&value).ok_or_else(|| serde::de::Error::custom(format!("{value:?}, expected {}", $expected)))
            }
        }
    };
}
by_name!(grid, GridId, String, GridId::name, |n: &str| GridId::from_name(n), GRIDS);
by_name!(optional_grid, Option<GridId>, String, |g: Option<GridId>| g.map(GridId::name), |n: &str| GridId::from_name(n).map(Some), GRIDS);
by_name!(
    tokenizer,
    Tokenizer,
    String,
    Tokenizer::name,
    |n: &str| Tokenizer::from_name(n, "model.tokenizer").ok(),
    "bytes, english1k or gpt2"
);
by_name!(vote_bits, VoteBits, i64, bits_of, |n: &i64| votes_of(*n), VOTES);
