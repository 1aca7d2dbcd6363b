//! serde by name, for types without serde.

use primal_device::grid::{Grid, ScaleForm, VoteBits, by_name as named};
use serde::{Deserialize, Serialize};

use super::names::{SCALES, VOTES, bits_of, grids, votes_of};
use super::tokenizer::{TOKENIZERS, Tokenizer};

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
by_name!(grid, &'static Grid, String, Grid::name, |n: &str| named(n), grids());
by_name!(optional_grid, Option<&'static Grid>, String, |g: Option<&'static Grid>| g.map(Grid::name), |n: &str| named(n).map(Some), grids());
by_name!(scales, ScaleForm, String, ScaleForm::name, |n: &str| ScaleForm::by_name(n), SCALES);
by_name!(
    tokenizer,
    Tokenizer,
    String,
    Tokenizer::name,
    |n: &str| Tokenizer::by_name(n),
    format!("{TOKENIZERS}, or stored:N of an imported model")
);
by_name!(vote_bits, VoteBits, i64, bits_of, |n: &i64| votes_of(*n), VOTES);

#[cfg(test)]
mod tests {
    use primal_device::grid::GRIDS;

    use crate::config::Config;

    #[test]
    fn a_grid_that_nobody_knows_is_refused_with_the_names_of_all() {
        let text = |name: &str| {
            format!("[model]\ndim = 8\nlayers = 1\nheads = 1\ncontext = 128\ntokenizer = \"bytes\"\ngrid = \"{name}\"\n[train]\n")
        };
        for grid in GRIDS {
            let config = Config::parse(&text(grid.name()), "a file").expect("a configuration");
            assert_eq!(config.model.grid, *grid);
            assert_eq!(Config::parse(&config.to_toml(), "its own text").expect("a configuration").model.grid, *grid);
        }
        let error = Config::parse(&text("prime17"), "a.safetensors").expect_err("no such grid").to_string();
        assert!(error.contains("a.safetensors") && error.contains("prime17"), "{error}");
        assert!(GRIDS.iter().all(|grid| error.contains(grid.name())), "{error}");
    }
}
