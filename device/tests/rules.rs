//! The votes and flips: a table worked out by hand, and what must hold for any input.

use primal_device::grid::VoteBits::{self, Eight, Four};
use primal_device::grid::{E2M1, FINE15, GRIDS, Grid, INT4, NF4, PRIME13, UINT4, UNIFORM15, UNIFORM16};
use primal_device::philox::uniform_byte;
use primal_device::rules::poltergeist;
use primal_device::rules::votes::{VoteRule, VoteTable, cast, flip, rescale, wanted_move};
use proptest::prelude::*;

/// (grid, votes, κ), (code, vote), wanted, uniform, (code, vote) after one cast and flip.
type Case = (&'static Grid, VoteBits, f32, (u8, i32), f32, f32, (u8, i32));

/// Eight bits: A = 127, Q = 127 / 0.85 = 149.412, fires at 120; D = 149.412 for κ = 1 and 74.706 for κ = ½.
/// Four bits: A = 7, Q = 7 / 0.85 = 8.235, fires at 7; D = 8.235 for κ = 1 and 4.118 for κ = ½.
const GOLDEN: &[Case] = &[
    // From 0 up to 1/11: 149.412 · 0.01 · 11 = 16.435; + 0.5 = 16.935.
    (&PRIME13, Eight, 1.0, (8, 0), 0.01, 0.5, (8, 16)),
    // The same with + 0.6 = 17.035.
    (&PRIME13, Eight, 1.0, (8, 0), 0.01, 0.6, (8, 17)),
    // From 0 down to −1/11: −16.435 + 0.5 = −15.935, and the floor is below.
    (&PRIME13, Eight, 1.0, (8, 0), -0.01, 0.5, (8, -16)),
    // 1/7 − 1/11 = 4/77: 149.412 · 0.005 · 77/4 = 14.381; 110 + 14.381 + 0.25 = 124.6 → 124 fires; 124 − 149.412 = −25.4.
    (&PRIME13, Eight, 1.0, (9, 110), 0.005, 0.25, (10, -25)),
    // Down to 0 the gap is 1/11: −110 − 16.435 + 0.9 = −125.5 → −126 fires; −126 + 149.412 = 23.4.
    (&PRIME13, Eight, 1.0, (9, -110), -0.01, 0.9, (8, 23)),
    // A vote above zero counts in the gap above, though it wants to go down: 149.412 · 0.01 · 77/4 = 28.762; 50 − 28.762 = 21.2.
    (&PRIME13, Eight, 1.0, (9, 50), -0.01, 0.0, (9, 21)),
    // The mirror of it below: −50 + 16.435 (gap 1/11) + 0 = −33.565 → −34.
    (&PRIME13, Eight, 1.0, (9, -50), 0.01, 0.0, (9, -34)),
    // One short of the consensus: 119 + 0 + 0.99 → 119.
    (&PRIME13, Eight, 1.0, (9, 119), 0.0, 0.99, (9, 119)),
    // At the consensus, without a wish: 120 fires; 120 − 149.412 = −29.4.
    (&PRIME13, Eight, 1.0, (9, 120), 0.0, 0.0, (10, -29)),
    // Upper rail, last gap 1/2: 119 + 149.412 · 0.1 · 2 + 0.3 = 149.2 → 127; the code stays, 127 − 149.412 = −22.4.
    (&PRIME13, Eight, 1.0, (14, 119), 0.1, 0.3, (14, -22)),
    // Lower rail: −127 − 298.8 → −127; −127 + 149.412 = 22.4.
    (&PRIME13, Eight, 1.0, (2, -127), -1.0, 0.5, (2, 22)),
    // Away from the lower rail, gap 1/2: 100 + 149.412 · 0.08 · 2 + 0.2 = 124.1 → 124 fires; −25.4.
    (&PRIME13, Eight, 1.0, (2, 100), 0.08, 0.2, (3, -25)),
    // κ = ½, from 1/2 to 1: 100 + 29.882 + 0.5 = 130.4 → 127 fires; 127 − 74.706 = 52.3.
    (&PRIME13, Eight, 0.5, (13, 100), 0.1, 0.5, (14, 52)),
    // κ = ½ downward, 1/2 − 1/3 = 1/6: −115 − 149.412 · 0.01 · 6 + 0.5 = −123.5 → −124; + 74.706 = −49.3.
    (&FINE15, Eight, 0.5, (14, -115), -0.01, 0.5, (13, -49)),
    // Gap 1/7: 8.235 · 0.05 · 7 = 2.882; + 0.1 = 2.98.
    (&UNIFORM15, Four, 1.0, (8, 0), 0.05, 0.1, (8, 2)),
    // The same with + 0.2 = 3.08.
    (&UNIFORM15, Four, 1.0, (8, 0), 0.05, 0.2, (8, 3)),
    // Onto the rail: 5 + 2.882 + 0.2 = 8.08 → 7 fires; 7 − 8.235 = −1.2.
    (&UNIFORM15, Four, 1.0, (14, 5), 0.05, 0.2, (15, -1)),
    // At the upper rail: 6 + 8.235 · 0.02 · 7 = 7.15 → 7; the code stays, −1.2.
    (&UNIFORM15, Four, 1.0, (15, 6), 0.02, 0.0, (15, -1)),
    // At the lower rail: −6 − 1.153 + 0.5 = −6.65 → −7; the code stays, −7 + 8.235 = 1.2.
    (&UNIFORM15, Four, 1.0, (1, -6), -0.02, 0.5, (1, 1)),
    // κ = ½, gap 1/12: −3 − 8.235 · 0.05 · 12 + 0.95 = −6.99 → −7 fires; −7 + 4.118 = −2.9.
    (&FINE15, Four, 0.5, (8, -3), -0.05, 0.95, (7, -2)),
    // Nothing wanted, nothing changes, however large the draw.
    (&UNIFORM15, Four, 1.0, (8, 0), 0.0, 0.999, (8, 0)),
    // A wish that is not a number is no wish; an infinite one is the largest vote.
    (&PRIME13, Eight, 1.0, (9, 30), f32::NAN, 0.5, (9, 30)),
    (&PRIME13, Eight, 1.0, (9, 0), f32::INFINITY, 0.5, (10, -22)),
    (&UNIFORM15, Four, 1.0, (9, 0), f32::NEG_INFINITY, 0.5, (8, 1)),
    // Without zero: from −1/15 to 1/15 the gap is 2/15: 100 + 149.412 · 0.02 · 7.5 + 0.5 = 122.9 → 122 fires; −27.4.
    (&UNIFORM16, Eight, 1.0, (7, 100), 0.02, 0.5, (8, -27)),
    // Below −1 there is nothing, the gap is 1/8: −110 − 149.412 · 0.01 · 8 + 0.5 = −121.5 → −122 fires; 27.4.
    (&INT4, Eight, 1.0, (0, -110), -0.01, 0.5, (0, 27)),
    // From 0, the lowest, up by 1/15: 110 + 149.412 · 0.01 · 15 = 132.4 → 127 fires; −22.4.
    (&UINT4, Eight, 1.0, (0, 110), 0.01, 0.0, (1, -22)),
    // From 0.7230 to 1: 110 + 149.412 · 0.02 / 0.27704 = 120.8 → 120 fires; −29.4.
    (&NF4, Eight, 1.0, (14, 110), 0.02, 0.0, (15, -29)),
    // From 0 down past −0 to −½, and from −0 up past 0 to ½, a gap of ½: 110 + 149.412 · 0.05 · 2 = 124.9.
    (&E2M1, Eight, 1.0, (8, -110), -0.05, 0.0, (6, 24)),
    (&E2M1, Eight, 1.0, (7, 110), 0.05, 0.0, (9, -25)),
    // The other way they are levels as others.
    (&E2M1, Eight, 1.0, (7, -110), -0.05, 0.0, (6, 24)),
    (&E2M1, Eight, 1.0, (8, 110), 0.05, 0.0, (9, -25)),
    (&E2M1, Eight, 1.0, (6, 110), 0.05, 0.0, (7, -25)),
];

#[test]
fn golden_table() {
    for &(grid, bits, kappa, (code, vote), wanted, uniform, expected) in GOLDEN {
        let rule = VoteRule::new(bits, kappa);
        let new_vote = cast(&rule, grid, code, vote, wanted, uniform);
        assert_eq!(
            flip(&rule, grid, code, new_vote),
            expected,
            "{grid:?} {bits:?} κ {kappa}: code {code}, vote {vote}, wanted {wanted}, uniform {uniform} gave vote {new_vote}"
        );
    }
}

#[test]
fn constants_of_both_widths() {
    let eight = VoteRule::new(Eight, 1.0);
    assert_eq!((eight.max, eight.threshold), (127, 120));
    assert!((eight.quantum - 149.41176).abs() < 1e-4 && eight.consumed == eight.quantum);
    let four = VoteRule::new(Four, 0.5);
    assert_eq!((four.max, four.threshold), (7, 7));
    assert!((four.quantum - 8.235294).abs() < 1e-5 && four.consumed == 0.5 * four.quantum);
}

#[test]
fn a_threshold_is_the_largest_vote_and_its_flip_does_not_turn_back_at_once() {
    for (bits, kappa, share) in
        [(Eight, 1.0, 0.5), (Eight, 1.0, 0.52), (Eight, 0.5, 0.8), (Four, 1.0, 0.5), (Four, 1.0, 0.52), (Four, 0.5, 0.85)]
    {
        let rule = VoteRule::new(bits, kappa).with_full_range(share);
        assert_eq!(rule.threshold, rule.max);
        let (gap, most) = (rule.threshold as f32 / rule.quantum, 0.5 / rule.max as f32);
        assert!((gap - share).abs() <= most, "{bits:?}, a share of {share}: {gap} of a gap");
        assert!((rule.consumed / rule.quantum - kappa).abs() < 1e-6);
        assert_eq!(rule.step((rule.threshold as f32 - rule.consumed) as i32), 0, "{bits:?}, a share of {share}");
    }
}

#[test]
fn wanted_move_goes_against_the_gradient() {
    // (n, scale, lr) → −n · lr / scale, n limited to ±5.
    for (n, scale, lr, expected) in [
        (2.0, 0.1, 0.01, -0.2),
        (-2.0, 0.1, 0.01, 0.2),
        (9.0, 0.1, 0.01, -0.5),
        (-9.0, -0.1, 0.01, -0.5),
        (1.0, 0.25, 0.5, -2.0),
        (f32::INFINITY, 1.0, 1.0, -5.0),
    ] {
        let got = wanted_move(n, scale, lr);
        assert!((got - expected).abs() < 1e-6, "{n} {scale} {lr}: {got}, not {expected}");
    }
    assert!(wanted_move(f32::NAN, 0.1, 0.01).is_nan());
}

#[test]
fn poltergeist_votes_against_large_gradients() {
    for (gradient, scale, cutoff, expected) in [
        (0.5, 1.0, 0.4, -1),
        (-0.5, 1.0, 0.4, 1),
        (0.5, -1.0, 0.4, 1),
        (0.4, 1.0, 0.4, 0),
        (0.0, 1.0, 0.0, 0),
        (f32::NAN, 1.0, 0.4, 0),
        (1.0, 1.0, f32::NAN, 0),
    ] {
        assert_eq!(poltergeist::vote(gradient, scale, cutoff), expected, "{gradient} {scale} {cutoff}");
    }
}

#[test]
fn poltergeist_flips_by_consensus_and_chance() {
    let grid = &PRIME13;
    // (code, vote, consensus, probability, uniform) → code
    for (code, vote, consensus, probability, uniform, expected) in [
        (8, 3, 3, 0.05, 0.049, 9),
        (8, -3, 3, 0.05, 0.049, 7),
        (8, 2, 3, 0.05, 0.0, 8),
        (8, 3, 3, 0.05, 0.05, 8),
        (14, 1, 1, 1.0, 0.5, 14),
        (2, -1, 1, 1.0, 0.5, 2),
        (8, 0, 0, 1.0, 0.0, 8),
        (8, 9, 1, f32::NAN, 0.0, 8),
    ] {
        let got = poltergeist::flip(grid, code, vote, consensus, probability, uniform);
        assert_eq!(got, expected, "{code} {vote} {consensus} {probability} {uniform}");
    }
    // 0.002 / 0.1 = 0.02; the bounds at both ends; the sign does not matter.
    for (scale, expected) in [(0.1, 0.02), (-0.1, 0.02), (1e-3, 0.05), (0.0, 0.05), (100.0, 1e-4)] {
        let got = poltergeist::probability(scale);
        assert!((got - expected).abs() < 1e-8, "{scale}: {got}, not {expected}");
    }
}

#[test]
fn rescale_by_hand() {
    let grid = &UNIFORM15;
    // 1 / 1.5 = 2/3 lies between 4/7 and 5/7, nearest 5/7 (code 13); 2/3 − 5/7 = −1/21 is −1/3 of a gap of 1/7.
    // Eight bits: −149.412 / 3 = −49.8; a vote of 60 is worth 60 / 1.5 = 40 of the new row: 40 − 49.8 = −9.8.
    let eight = VoteRule::new(Eight, 1.0);
    assert_eq!(rescale(&eight, grid, 15, 0, 1.5), (13, -49));
    assert_eq!(rescale(&eight, grid, 15, 60, 1.5), (13, -9));
    assert_eq!(rescale(&eight, grid, 1, -60, 1.5), (3, 9));
    // Four bits: −8.235 / 3 = −2.7.
    assert_eq!(rescale(&VoteRule::new(Four, 1.0), grid, 15, 0, 1.5), (13, -2));
    // Halving the scale doubles the level: 2 is beyond the rail, and the vote is full.
    assert_eq!(rescale(&eight, grid, 15, 0, 0.5), (15, 127));
    for factor in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(rescale(&eight, grid, 12, 34, factor), (12, 34), "{factor}");
    }
}

fn weight() -> impl Strategy<Value = (&'static Grid, VoteBits, u8, i32)> {
    (prop::sample::select(GRIDS.to_vec()), any::<bool>()).prop_flat_map(|(grid, eight)| {
        let bits = if eight { Eight } else { Four };
        let max = VoteRule::new(bits, 1.0).max;
        (Just(grid), Just(bits), grid.min..=grid.max, -max..=max)
    })
}

/// Where the weight is on its way to, in levels.
fn intention(rule: &VoteRule, grid: &Grid, code: u8, vote: i32) -> f32 {
    grid.level(code) + vote as f32 / rule.quantum * grid.gap(code, vote > 0)
}

proptest! {
    #[test]
    fn rounding_is_unbiased((grid, bits, code, vote) in weight(), wanted in -0.2f32..0.2) {
        let rule = VoteRule::new(bits, 1.0);
        let up = vote > 0 || (vote == 0 && wanted > 0.0);
        let exact = vote as f32 + wanted * (rule.quantum / grid.gap(code, up));
        prop_assume!(exact.abs() < (rule.max - 1) as f32);
        let sum: i32 = (0..=255).map(|r| cast(&rule, grid, code, vote, wanted, uniform_byte(r))).sum();
        let mean = sum as f32 / 256.0;
        // 256 draws resolve 1/256, so the nearest mean is at most half of that away; plus f32 rounding at 127.
        prop_assert!((mean - exact).abs() <= 0.5 / 256.0 + 2e-5, "mean {mean}, exact {exact}");
    }

    #[test]
    fn table_is_the_function_bit_for_bit(
        (grid, bits, code, vote) in weight(),
        kappa in 0.25f32..1.5,
        wanted in prop_oneof![-0.3f32..0.3, any::<f32>(), Just(0.0), Just(-0.0)],
        byte: u8,
    ) {
        let (rule, uniform) = (VoteRule::new(bits, kappa), uniform_byte(byte));
        let table = VoteTable::new(&rule, grid);
        let new_vote = cast(&rule, grid, code, vote, wanted, uniform);
        prop_assert_eq!(table.cast(code, vote, wanted, uniform), new_vote);
        prop_assert_eq!(table.flip(code, new_vote), flip(&rule, grid, code, new_vote));
    }

    #[test]
    fn a_step_stays_on_the_grid((grid, bits, code, vote) in weight(), wanted: f32, byte: u8) {
        let rule = VoteRule::new(bits, 1.0);
        let new_vote = cast(&rule, grid, code, vote, wanted, uniform_byte(byte));
        prop_assert!(new_vote.abs() <= rule.max, "vote {new_vote}");
        let (new_code, left) = flip(&rule, grid, code, new_vote);
        let between = code.min(new_code) + 1..code.max(new_code);
        let is_next = between.into_iter().all(|passed| [code, new_code].map(|code| grid.level(code)).contains(&grid.level(passed)));
        prop_assert!(grid.is_level(new_code) && is_next, "code {code} → {new_code}");
        prop_assert!(new_code == code || grid.level(new_code) != grid.level(code), "code {code} → {new_code}: no way");
        prop_assert!(left.abs() < rule.threshold, "vote {left} left");
    }

    #[test]
    fn votes_mirror((grid, bits, code, vote) in weight(), wanted in -0.3f32..0.3, byte: u8) {
        prop_assume!(grid.zero() == Some(8) && grid.min > 0);
        // Mirroring weight, vote, wish and draw turns the floor into a ceiling, so compare the flip and the rounding apart.
        let rule = VoteRule::new(bits, 1.0);
        let (up_code, up_vote) = flip(&rule, grid, code, vote);
        prop_assert_eq!(flip(&rule, grid, 16 - code, -vote), (16 - up_code, -up_vote));
        prop_assume!(vote != 0 || wanted != 0.0);
        let here = cast(&rule, grid, code, vote, wanted, uniform_byte(byte));
        let there = cast(&rule, grid, 16 - code, -vote, -wanted, uniform_byte(255 - byte));
        prop_assert!((here + there).abs() <= 1, "{here} and {there}");
    }

    #[test]
    fn rescaling_keeps_the_intention((grid, bits, code, vote) in weight(), factor in 1.0f32..2.0) {
        let rule = VoteRule::new(bits, 1.0);
        let (new_code, new_vote) = rescale(&rule, grid, code, vote, factor);
        prop_assert!(grid.is_level(new_code) && new_vote.abs() <= rule.max);
        let expected = intention(&rule, grid, code, vote) / factor;
        let got = intention(&rule, grid, new_code, new_vote);
        // Truncation loses less than one vote, a Q-th of the gap; at ±A the vote may lose more.
        let gap = grid.gap(new_code, true).max(grid.gap(new_code, false));
        if new_vote.abs() < rule.max {
            prop_assert!((got - expected).abs() <= gap / rule.quantum + 1e-5, "{got}, expected {expected}");
        }
        // Of two codes with a level, the upper one stays.
        prop_assert_eq!(rescale(&rule, grid, code, vote, 1.0), (grid.nearest(grid.level(code)), vote));
        prop_assert_eq!(grid.level(grid.nearest(grid.level(code))), grid.level(code));
    }
}
