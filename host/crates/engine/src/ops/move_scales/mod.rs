//! Scales of groups that follow their gradients, divided by the roots of their factored mean squares as those of [`Vote`](super::Vote) are.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use half::f16;

use super::RandomKey;
use crate::memory::Span;

/// Updates R and C with `gradient` and moves the scales by `-lr` times what it comes to, divided by them. What a half has no room for is rounded at random, so
/// that it is there on average: nothing remembers it.
#[derive(Clone, Copy, Debug)]
pub struct MoveScales {
    /// Moved, `[rows, columns]`.
    pub scales: Span<f16>,
    /// Their gradient, `[rows, columns]`.
    pub gradient: Span<f32>,
    /// Running mean square of each row of the gradient (R), `[rows]`.
    pub row: Span<f32>,
    /// Running mean square of each column of the gradient (C), `[columns]`.
    pub column: Span<f32>,
    /// How far a scale moves whose gradient is as large as usual.
    pub lr: f32,
    /// Decay of R and C.
    pub beta2: f32,
    /// `1 − β₂^t`: corrects C for its start at zero.
    pub bias_correction: f32,
    /// Random numbers.
    pub key: RandomKey,
}
