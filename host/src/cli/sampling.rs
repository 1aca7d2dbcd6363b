//! How the commands that write text draw tokens: each flag once.

/// A command of these flags and those of [`Sampling`](primal_engine::models::sample::Sampling).
macro_rules! with_sampling {
    ($(#[$about:meta])* pub struct $Command:ident { $($flags:tt)* }) => {
        $(#[$about])*
        pub struct $Command {
            $($flags)*
            /// divides the logits of the last 64 tokens: above 1 makes repetition less likely (default 1)
            #[argh(option, default = "1.0")]
            repetition_penalty: f32,
            /// temperature: 0 takes the likeliest token (default 0.7)
            #[argh(option, default = "0.7")]
            temperature: f32,
            /// draw from so many tokens, the likeliest ones (default: from all)
            #[argh(option, default = "0")]
            top_k: usize,
            /// probability of the tokens to draw from (default 0.9)
            #[argh(option, default = "0.9")]
            top_p: f32,
            /// share of the likeliest token's probability that a token needs to be drawn (default 0)
            #[argh(option, default = "0.0")]
            min_p: f32,
            /// seed (default 1)
            #[argh(option, default = "1")]
            seed: u64,
        }

        impl $Command {
            /// What the flags say.
            ///
            /// # Errors
            /// A flag out of range.
            fn sampling(&self) -> $crate::Result<primal_engine::models::sample::Sampling> {
                let Self { repetition_penalty, temperature, top_k, top_p, min_p, seed, .. } = *self;
                let sampling = primal_engine::models::sample::Sampling { repetition_penalty, temperature, top_k, top_p, min_p, seed };
                $crate::cli::sampling::require(&sampling)?;
                Ok(sampling)
            }
        }
    };
}

pub(super) use with_sampling;

use crate::{Error, Result};
use primal_engine::models::sample::Sampling;

/// Checks the ranges of flags.
///
/// # Errors
/// The first that is out of range.
pub(super) fn require(sampling: &Sampling) -> Result<()> {
    let Sampling { repetition_penalty, temperature, top_p, min_p, .. } = *sampling;
    if !(temperature >= 0.0 && temperature.is_finite()) {
        return Err(Error::bad_input("--temperature", "0 or more", temperature, "try 0.7"));
    }
    if !(top_p > 0.0 && top_p <= 1.0) {
        return Err(Error::bad_input("--top-p", "above 0, at most 1", top_p, "try 0.9"));
    }
    if !(0.0..=1.0).contains(&min_p) {
        return Err(Error::bad_input("--min-p", "0 to 1", min_p, "try 0.05"));
    }
    if !(repetition_penalty > 0.0 && repetition_penalty.is_finite()) {
        return Err(Error::bad_input("--repetition-penalty", "above 0", repetition_penalty, "try 1.1; 1 changes nothing"));
    }
    Ok(())
}
