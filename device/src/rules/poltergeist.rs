//! From a vote to a flip: a weight moves by at most one level a step.

use crate::grid::Grid;
use crate::vote::VoteRule;

/// Moves the weight by one level if its vote has reached the consensus, and takes the price from the vote.
///
/// The price is paid at the rails too, where the code stays: a weight held back there must not be stuck at full vote. What
/// remains of the vote is truncated toward zero.
#[inline(always)]
pub fn flip(rule: &VoteRule, grid: &Grid, code: u8, vote: i32) -> (u8, i32) {
    flip_between(rule, grid.min, grid.max, code, vote)
}

#[inline(always)]
pub(crate) fn flip_between(rule: &VoteRule, min: u8, max: u8, code: u8, vote: i32) -> (u8, i32) {
    let step = (vote >= rule.threshold) as i32 - (vote <= -rule.threshold) as i32;
    let moved = (code as i32 + step).clamp(min as i32, max as i32) as u8;
    (moved, (vote as f32 - step as f32 * rule.consumed) as i32)
}

/// The probability of a flip under the older rule: 0.002 / |scale|, limited to 1e-4..=0.05.
#[inline(always)]
pub fn poltergeist_probability(scale: f32) -> f32 {
    let magnitude = if scale < 0.0 { -scale } else { scale };
    (0.002 / magnitude).clamp(1e-4, 0.05)
}

/// The flip of the older rule: where |vote| ≥ `consensus` and `uniform` < `probability`, one level in the vote's direction.
///
/// The caller clears the vote after the step.
#[inline(always)]
pub fn poltergeist_flip(grid: &Grid, code: u8, vote: i32, consensus: i32, probability: f32, uniform: f32) -> u8 {
    if vote.abs() < consensus || uniform >= probability || probability.is_nan() {
        return code;
    }
    match vote.signum() {
        1 => (code + 1).min(grid.max),
        -1 => code.saturating_sub(1).max(grid.min),
        _ => code,
    }
}

/// Re-encodes one weight after its row's scale was multiplied by `factor`.
///
/// The code becomes that of the level nearest to level / factor. What that leaves out, and the move that the vote stood for
/// (vote/Q of a gap, also divided by `factor`), go into the new vote in units of the gap on its side, truncated toward zero
/// and limited to ±A. So the weight and its intention keep their place. A `factor` that is not positive and finite changes
/// nothing.
#[inline]
pub fn rescale(rule: &VoteRule, grid: &Grid, code: u8, vote: i32, factor: f32) -> (u8, i32) {
    if !(factor > 0.0 && factor.is_finite()) {
        return (code, vote);
    }
    let target = grid.level(code) / factor;
    let new_code = grid.nearest(target);
    let remainder = target - grid.level(new_code);
    let old_gap = grid.gap(code, vote > 0) / factor;
    let up = vote as f32 * old_gap + rule.quantum * remainder > 0.0;
    let new_gap = grid.gap(new_code, up);
    // Two quotients rather than one of the sum: with factor 1 both are exact, and nothing changes.
    let new_vote = vote as f32 * (old_gap / new_gap) + rule.quantum * (remainder / new_gap);
    (new_code, (new_vote as i32).clamp(-rule.max, rule.max))
}
