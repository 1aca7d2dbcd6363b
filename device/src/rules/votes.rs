//! From a gradient to a vote, the integer by which a weight remembers where it wants to go, and from a vote to a flip: a move by one level.
//!
//! A vote counts fractions of the gap to the neighbouring level: [`VoteRule::quantum`] votes are one gap. It is kept across
//! steps and rounded at random without bias, so moves far smaller than one vote add up.

use crate::grid::{Ends, Grid, VoteBits};

/// The constants of the vote accumulator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VoteRule {
    /// The largest vote, A.
    pub max: i32,
    /// The votes that make one local gap, Q = A / 0.85.
    pub quantum: f32,
    /// The consensus: a vote this large moves the weight by one level. About 0.8·Q, so that turning back costs more than
    /// going on.
    pub threshold: i32,
    /// What a flip takes from the vote, D = κ·Q.
    pub consumed: f32,
}

impl VoteRule {
    /// The rule for votes of that width; `kappa` is the part of a gap that a flip consumes (1, or 0.5 to learn faster early).
    pub fn new(bits: VoteBits, kappa: f32) -> Self {
        let (max, threshold) = match bits {
            VoteBits::Four => (7, 7),
            VoteBits::Eight => (127, 120),
        };
        let quantum = max as f32 / 0.85;
        Self { max, quantum, threshold, consumed: kappa * quantum }
    }

    /// The rule with its consensus at this share of a gap, as near as votes count. The least one is the one at which a weight that has just moved does not
    /// turn back at once.
    pub fn with_threshold(self, share: f32) -> Self {
        let least = (0.5 * self.consumed) as i32 + 1;
        let wanted = nearest(share * self.quantum).0;
        Self { threshold: wanted.max(least).min(self.max), ..self }
    }

    /// The rule with its consensus at this share of a gap, and at the largest vote, so that a vote stands for as little as it can: what is rounded at
    /// random each time then adds the least noise. The least share is just above a half, where a weight that has just moved does not turn back at once.
    pub fn with_full_range(self, share: f32) -> Self {
        let quantum = (self.max as f32 / share).min((2 * self.max - 1) as f32);
        Self { quantum, threshold: self.max, consumed: self.consumed / self.quantum * quantum, ..self }
    }

    /// The rule that forgets: one vote is a whole gap and flips the weight, so that a flip is as probable as the wanted move is long.
    pub fn without_memory(self) -> Self {
        Self { max: 1, quantum: 1.0, threshold: 1, consumed: 1.0 }
    }

    /// The levels by which a weight of that vote moves: −1, 0 or 1.
    #[inline(always)]
    pub fn step(&self, vote: i32) -> i32 {
        (vote >= self.threshold) as i32 - (vote <= -self.threshold) as i32
    }
}

/// The largest magnitude of a normalised gradient that counts.
pub const GRADIENT_LIMIT: f32 = 5.0;

/// The move that the gradient asks for, in level units: −clamp(n, −5, 5) · sign(scale) · lr / |scale|.
///
/// `scale`: the row's; `lr`: this step's. `lr / scale` does not depend on the weight, so a loop over a row divides once.
#[inline(always)]
pub fn wanted_move(normalised_gradient: f32, scale: f32, lr: f32) -> f32 {
    // Nothing moves what has no scale.
    let step = if scale == 0.0 { 0.0 } else { lr / scale };
    -limit(normalised_gradient, GRADIENT_LIMIT) * step
}

/// `x` limited to ±`bound`; NaN stays NaN. (`f32::clamp` also checks its bounds, which costs in the inner loop.)
#[inline(always)]
fn limit(x: f32, bound: f32) -> f32 {
    let below = if x > bound { bound } else { x };
    if below < -bound { -bound } else { below }
}

/// The new vote of one weight: ⌊vote + Q·wanted/gap + uniform⌋ limited to ±A.
///
/// `wanted`: from [`wanted_move`]; `uniform`: in [0, 1), which makes the rounding unbiased. The gap is the one on the side
/// where the vote stands: above if vote > 0, or vote = 0 and wanted > 0; below otherwise. A NaN leaves the vote as it is.
/// For a whole tensor, [`VoteTable::cast`] gives the same bits faster.
#[inline(always)]
pub fn cast(rule: &VoteRule, grid: &Grid, code: u8, vote: i32, wanted: f32, uniform: f32) -> i32 {
    let gap = grid.gap(code, leans_up(vote, wanted));
    add_rounded(vote, wanted * (rule.quantum / gap), uniform, rule.max)
}

#[inline(always)]
fn leans_up(vote: i32, wanted: f32) -> bool {
    // Without `||`, which would branch on what is a coin toss.
    (vote > 0) | ((vote == 0) & (wanted > 0.0))
}

/// The integer nearest to x, |x| ≤ 2²², and its value. Adding 1.5·2²³ leaves it in the low bits; `as` would do, but it saturates, and loops over it do not
/// vectorise.
#[inline(always)]
fn nearest(x: f32) -> (i32, f32) {
    const ROUND: f32 = 12_582_912.0;
    let shifted = x + ROUND;
    (shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32, shifted - ROUND)
}

/// ⌊vote + change + uniform⌋ limited to ±`max`; unchanged if the sum is NaN.
#[inline(always)]
fn add_rounded(vote: i32, change: f32, uniform: f32, max: i32) -> i32 {
    let sum = vote as f32 + change + uniform;
    // `max` is an integer, so limiting before the floor gives what limiting after it would.
    let limited = limit(sum, max as f32);
    let (integer, value) = nearest(limited);
    let floor = integer - (value > limited) as i32;
    if sum.is_nan() { vote } else { floor }
}

/// Moves the weight by one level if its vote has reached the consensus, and takes the price from the vote.
///
/// The price is paid at the rails too, where the code stays: a weight held back there must not be stuck at full vote. What
/// remains of the vote is truncated toward zero.
#[inline(always)]
pub fn flip(rule: &VoteRule, grid: &Grid, code: u8, vote: i32) -> (u8, i32) {
    flip_between(rule, grid.ends(), code, vote)
}

#[inline(always)]
pub(crate) fn flip_between(rule: &VoteRule, ends: Ends, code: u8, vote: i32) -> (u8, i32) {
    let step = rule.step(vote);
    (ends.moved(code, step), (vote as f32 - step as f32 * rule.consumed) as i32)
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

/// [`cast`] and [`flip`] for many weights: the 32 quotients Q/gap of a grid, worked out once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VoteTable {
    /// Votes per unit of level at `code` when moving down, then the same when moving up.
    votes_per_level: [f32; 32],
    rule: VoteRule,
    ends: Ends,
}

impl VoteTable {
    /// The table of a rule on a grid.
    pub fn new(rule: &VoteRule, grid: &Grid) -> Self {
        let votes_per_level = core::array::from_fn(|index| Self::entry(rule, grid, index));
        Self { votes_per_level, rule: *rule, ends: grid.ends() }
    }

    #[inline(always)]
    fn entry(rule: &VoteRule, grid: &Grid, index: usize) -> f32 {
        rule.quantum / grid.gap((index & 15) as u8, index >= 16)
    }

    /// Makes the table at `to` by the threads of a block, at least 32: this one is number `thread`. A barrier must follow.
    ///
    /// # Safety
    /// `to` is valid and shared by these threads alone.
    #[cfg(any(target_arch = "nvptx64", feature = "cuda_std"))]
    #[inline(always)]
    pub unsafe fn fill(to: *mut Self, rule: &VoteRule, grid: &Grid, thread: usize) {
        // SAFETY: each thread writes a field of its own.
        unsafe {
            if let Some(entry) = (*to).votes_per_level.get_mut(thread) {
                *entry = Self::entry(rule, grid, thread);
            }
            if thread == 0 {
                ((*to).rule, (*to).ends) = (*rule, grid.ends());
            }
        }
    }

    /// Casts a vote as the function [`cast`] does, bit for bit, with a look-up in place of its division.
    #[inline(always)]
    pub fn cast(&self, code: u8, vote: i32, wanted: f32, uniform: f32) -> i32 {
        let side = (leans_up(vote, wanted) as usize) << 4;
        let change = wanted * self.votes_per_level[side | (code & 15) as usize];
        add_rounded(vote, change, uniform, self.rule.max)
    }

    /// Whether a weight of that vote moves, or would but for the end of its grid.
    #[inline(always)]
    pub fn moves(&self, vote: i32) -> bool {
        self.rule.step(vote) != 0
    }

    /// The code and the vote that the function [`flip`] gives.
    #[inline(always)]
    pub fn flip(&self, code: u8, vote: i32) -> (u8, i32) {
        flip_between(&self.rule, self.ends, code, vote)
    }
}
