//! PRIMAL's first rule (`--optimizer poltergeist`): votes of one against large gradients, and flips at random.

use crate::grid::Grid;

/// The vote of the poltergeist rule: one step against the gradient where |gradient| > `cutoff`.
///
/// `cutoff`: the tensor's mean of |gradient| plus s standard deviations. The sign is in level units, so a negative `scale`
/// turns it round. NaN gives 0.
#[inline(always)]
pub fn vote(gradient: f32, scale: f32, cutoff: f32) -> i32 {
    let towards = gradient * if scale < 0.0 { -1.0 } else { 1.0 };
    let magnitude = if towards < 0.0 { -towards } else { towards };
    if magnitude > cutoff { if towards > 0.0 { -1 } else { 1 } } else { 0 }
}

/// The probability of a flip under the poltergeist rule: 0.002 / |scale|, limited to 1e-4..=0.05.
#[inline(always)]
pub fn probability(scale: f32) -> f32 {
    let magnitude = if scale < 0.0 { -scale } else { scale };
    (0.002 / magnitude).clamp(1e-4, 0.05)
}

/// The flip of the poltergeist rule: where |vote| ≥ `consensus` and `uniform` < `probability`, one level in the vote's direction.
///
/// The caller clears the vote after the step.
#[inline(always)]
pub fn flip(grid: &Grid, code: u8, vote: i32, consensus: i32, probability: f32, uniform: f32) -> u8 {
    if vote.abs() < consensus || uniform >= probability || probability.is_nan() {
        return code;
    }
    // A vote of zero moves nothing, not even a code that is no level.
    if vote == 0 { code } else { grid.ends().moved(code, vote.signum()) }
}
