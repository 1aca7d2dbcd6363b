//! The votes and flips: a table worked out by hand, and what must hold for any input.

use primal_device::grid::GridId::{self, Fine15, Prime13, Uniform15};
use primal_device::grid::VoteBits::{self, Eight, Four};
use primal_device::philox::uniform_byte;
use primal_device::rules::poltergeist;
use primal_device::rules::votes::{VoteRule, VoteTable, cast, flip, rescale, wanted_move};
use proptest::prelude::*;

/// (grid, votes, κ), (code, vote), wanted, uniform, (code, vote) after one cast and flip.
type Case = (GridId, VoteBits, f32, (u8, i32), f32, f32, (u8, i32));

/// Eight bits: A = 127, Q = 127 / 0.85 = 149.412, fires at 120; D = 149.412 for κ = 1 and 74.706 for κ = ½.
/// Four bits: A = 7, Q = 7 / 0.85 = 8.235, fires at 7; D = 8.235 for κ = 1 and 4.118 for κ = ½.
const GOLDEN: &[Case] = &[
    // From 0 up to 1/11: 149.412 · 0.01 · 11 = 16.435; + 0.5 = 16.935.
    (Prime13, Eight, 1.0, (8, 0), 0.01, 0.5, (8, 16)),
    // The same with + 0.6 = 17.035.
    (Prime13, Eight, 1.0, (8, 0), 0.01, 0.6, (8, 17)),
    // From 0 down to −1/11: −16.435 + 0.5 = −15.935, and the floor is below.
    (Prime13, Eight, 1.0, (8, 0), -0.01, 0.5, (8, -16)),
    // 1/7 − 1/11 = 4/77: 149.412 · 0.005 · 77/4 = 14.381; 110 + 14.381 + 0.25 = 124.6 → 124 fires; 124 − 149.412 = −25.4.
    (Prime13, Eight, 1.0, (9, 110), 0.005, 0.25, (10, -25)),
    // Down to 0 the gap is 1/11: −110 − 16.435 + 0.9 = −125.5 → −126 fires; −126 + 149.412 = 23.4.
    (Prime13, Eight, 1.0, (9, -110), -0.01, 0.9, (8, 23)),
    // A vote above zero counts in the gap above, though it wants to go down: 149.412 · 0.01 · 77/4 = 28.762; 50 − 28.762 = 21.2.
    (Prime13, Eight, 1.0, (9, 50), -0.01, 0.0, (9, 21)),
    // The mirror of it below: −50 + 16.435 (gap 1/11) + 0 = −33.565 → −34.
    (Prime13, Eight, 1.0, (9, -50), 0.01, 0.0, (9, -34)),
    // One short of the consensus: 119 + 0 + 0.99 → 119.
    (Prime13, Eight, 1.0, (9, 119), 0.0, 0.99, (9, 119)),
    // At the consensus, without a wish: 120 fires; 120 − 149.412 = −29.4.
    (Prime13, Eight, 1.0, (9, 120), 0.0, 0.0, (10, -29)),
    // Upper rail, last gap 1/2: 119 + 149.412 · 0.1 · 2 + 0.3 = 149.2 → 127; the code stays, 127 − 149.412 = −22.4.
    (Prime13, Eight, 1.0, (14, 119), 0.1, 0.3, (14, -22)),
    // Lower rail: −127 − 298.8 → −127; −127 + 149.412 = 22.4.
    (Prime13, Eight, 1.0, (2, -127), -1.0, 0.5, (2, 22)),
    // Away from the lower rail, gap 1/2: 100 + 149.412 · 0.08 · 2 + 0.2 = 124.1 → 124 fires; −25.4.
    (Prime13, Eight, 1.0, (2, 100), 0.08, 0.2, (3, -25)),
    // κ = ½, from 1/2 to 1: 100 + 29.882 + 0.5 = 130.4 → 127 fires; 127 − 74.706 = 52.3.
    (Prime13, Eight, 0.5, (13, 100), 0.1, 0.5, (14, 52)),
    // κ = ½ downward, 1/2 − 1/3 = 1/6: −115 − 149.412 · 0.01 · 6 + 0.5 = −123.5 → −124; + 74.706 = −49.3.
    (Fine15, Eight, 0.5, (14, -115), -0.01, 0.5, (13, -49)),
    // Gap 1/7: 8.235 · 0.05 · 7 = 2.882; + 0.1 = 2.98.
    (Uniform15, Four, 1.0, (8, 0), 0.05, 0.1, (8, 2)),
    // The same with + 0.2 = 3.08.
    (Uniform15, Four, 1.0, (8, 0), 0.05, 0.2, (8, 3)),
    // Onto the rail: 5 + 2.882 + 0.2 = 8.08 → 7 fires; 7 − 8.235 = −1.2.
    (Uniform15, Four, 1.0, (14, 5), 0.05, 0.2, (15, -1)),
    // At the upper rail: 6 + 8.235 · 0.02 · 7 = 7.15 → 7; the code stays, −1.2.
    (Uniform15, Four, 1.0, (15, 6), 0.02, 0.0, (15, -1)),
    // At the lower rail: −6 − 1.153 + 0.5 = −6.65 → −7; the code stays, −7 + 8.235 = 1.2.
    (Uniform15, Four, 1.0, (1, -6), -0.02, 0.5, (1, 1)),
    // κ = ½, gap 1/12: −3 − 8.235 · 0.05 · 12 + 0.95 = −6.99 → −7 fires; −7 + 4.118 = −2.9.
    (Fine15, Four, 0.5, (8, -3), -0.05, 0.95, (7, -2)),
    // Nothing wanted, nothing changes, however large the draw.
    (Uniform15, Four, 1.0, (8, 0), 0.0, 0.999, (8, 0)),
    // A wish that is not a number is no wish; an infinite one is the largest vote.
    (Prime13, Eight, 1.0, (9, 30), f32::NAN, 0.5, (9, 30)),
    (Prime13, Eight, 1.0, (9, 0), f32::INFINITY, 0.5, (10, -22)),
    (Uniform15, Four, 1.0, (9, 0), f32::NEG_INFINITY, 0.5, (8, 1)),
];

#[test]
fn golden_table() {
    for &(id, bits, kappa, (code, vote), wanted, uniform, expected) in GOLDEN {
        let (rule, grid) = (VoteRule::new(bits, kappa), id.grid());
        let new_vote = cast(&rule, grid, code, vote, wanted, uniform);
        assert_eq!(
            flip(&rule, grid, code, new_vote),
            expected,
            "{} {bits:?} κ {kappa}: code {code}, vote {vote}, wanted {wanted}, uniform {uniform} gave vote {new_vote}",
            id.name()
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
    let grid = Prime13.grid();
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
    let grid = Uniform15.grid();
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

fn weight() -> impl Strategy<Value = (GridId, VoteBits, u8, i32)> {
    (prop::sample::select(GridId::ALL.to_vec()), any::<bool>()).prop_flat_map(|(id, eight)| {
        let bits = if eight { Eight } else { Four };
        let max = VoteRule::new(bits, 1.0).max;
        (Just(id), Just(bits), id.grid().min..=id.grid().max, -max..=max)
    })
}

/// Where the weight is on its way to, in levels.
fn intention(rule: &VoteRule, id: GridId, code: u8, vote: i32) -> f32 {
    id.grid().level(code) + vote as f32 / rule.quantum * id.grid().gap(code, vote > 0)
}

proptest! {
    #[test]
    fn rounding_is_unbiased((id, bits, code, vote) in weight(), wanted in -0.2f32..0.2) {
        let (rule, grid) = (VoteRule::new(bits, 1.0), id.grid());
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
        (id, bits, code, vote) in weight(),
        kappa in 0.25f32..1.5,
        wanted in prop_oneof![-0.3f32..0.3, any::<f32>(), Just(0.0), Just(-0.0)],
        byte: u8,
    ) {
        let (rule, grid, uniform) = (VoteRule::new(bits, kappa), id.grid(), uniform_byte(byte));
        let table = VoteTable::new(&rule, grid);
        let new_vote = cast(&rule, grid, code, vote, wanted, uniform);
        prop_assert_eq!(table.cast(code, vote, wanted, uniform), new_vote);
        prop_assert_eq!(table.flip(code, new_vote), flip(&rule, grid, code, new_vote));
    }

    #[test]
    fn a_step_stays_on_the_grid((id, bits, code, vote) in weight(), wanted: f32, byte: u8) {
        let (rule, grid) = (VoteRule::new(bits, 1.0), id.grid());
        let new_vote = cast(&rule, grid, code, vote, wanted, uniform_byte(byte));
        prop_assert!(new_vote.abs() <= rule.max, "vote {new_vote}");
        let (new_code, left) = flip(&rule, grid, code, new_vote);
        prop_assert!(grid.is_level(new_code) && new_code.abs_diff(code) <= 1, "code {code} → {new_code}");
        prop_assert!(left.abs() < rule.threshold, "vote {left} left");
    }

    #[test]
    fn votes_mirror((id, bits, code, vote) in weight(), wanted in -0.3f32..0.3, byte: u8) {
        // Mirroring weight, vote, wish and draw turns the floor into a ceiling, so compare the flip and the rounding apart.
        let (rule, grid) = (VoteRule::new(bits, 1.0), id.grid());
        let (up_code, up_vote) = flip(&rule, grid, code, vote);
        prop_assert_eq!(flip(&rule, grid, 16 - code, -vote), (16 - up_code, -up_vote));
        prop_assume!(vote != 0 || wanted != 0.0);
        let here = cast(&rule, grid, code, vote, wanted, uniform_byte(byte));
        let there = cast(&rule, grid, 16 - code, -vote, -wanted, uniform_byte(255 - byte));
        prop_assert!((here + there).abs() <= 1, "{here} and {there}");
    }

    #[test]
    fn rescaling_keeps_the_intention((id, bits, code, vote) in weight(), factor in 1.0f32..2.0) {
        let (rule, grid) = (VoteRule::new(bits, 1.0), id.grid());
        let (new_code, new_vote) = rescale(&rule, grid, code, vote, factor);
        prop_assert!(grid.is_level(new_code) && new_vote.abs() <= rule.max);
        let expected = intention(&rule, id, code, vote) / factor;
        let got = intention(&rule, id, new_code, new_vote);
        // Truncation loses less than one vote, a Q-th of the gap; at ±A the vote may lose more.
        let gap = grid.gap(new_code, true).max(grid.gap(new_code, false));
        if new_vote.abs() < rule.max {
            prop_assert!((got - expected).abs() <= gap / rule.quantum + 1e-5, "{got}, expected {expected}");
        }
        prop_assert_eq!(rescale(&rule, grid, code, vote, 1.0), (code, vote));
    }
}
