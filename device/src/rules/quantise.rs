//! Codes of float weights, and gradients through them (straight-through with a learned step: LSQ, Esser et al. 2020).

use crate::grid::Grid;

/// The code of a float weight in a row of scale `1 / inverse_scale`: that of the nearest level.
#[inline(always)]
pub fn quantise(grid: &Grid, value: f32, inverse_scale: f32) -> u8 {
    grid.nearest(value * inverse_scale)
}

/// What the scale gets of the gradient of a weight of `level` at `at = value / scale`; inside the rails, the grid's `range`, `pass` gives the gradient
/// to the float weight.
#[inline(always)]
pub fn straight_through(gradient: f32, level: f32, at: f32, [lowest, highest]: [f32; 2], pass: impl FnOnce()) -> f32 {
    if lowest <= at && at <= highest {
        pass();
        gradient * (level - at)
    } else {
        gradient * level
    }
}
