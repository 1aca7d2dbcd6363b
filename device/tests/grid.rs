//! The grids and their packing.

use primal_device::grid::{
    self, BLOCK, E2M1, FINE15, GRIDS, Grid, INT4, NF4, PADDING, PRIME13, PRIME15, ROW_ALIGN, UINT4, UNIFORM15, UNIFORM16, VoteBits, get,
    histogram, pack_row, padded, row_bytes, set, unpack_row,
};
use proptest::prelude::*;

/// A few levels, none of them zero, and no level at the code of the padding.
static FEW: Grid = Grid::irrational("few", &[-0.9, -0.2, 0.1, 0.7]);

fn grids() -> Vec<&'static Grid> {
    GRIDS.iter().copied().chain([&FEW]).collect()
}

fn any_grid() -> impl Strategy<Value = &'static Grid> {
    prop::sample::select(grids())
}

/// The four grids with 0 at code 8 and as many levels on both sides.
static SYMMETRIC: [&Grid; 4] = [&PRIME13, &PRIME15, &FINE15, &UNIFORM15];

#[test]
fn levels_are_those_of_the_definition() {
    let expected: [&[(f32, f32)]; 4] = [
        &[(1., 11.), (1., 7.), (1., 5.), (1., 3.), (1., 2.), (1., 1.)],
        &[(1., 13.), (1., 11.), (1., 7.), (1., 5.), (1., 3.), (1., 2.), (1., 1.)],
        &[(1., 12.), (1., 8.), (1., 6.), (1., 4.), (1., 3.), (1., 2.), (2., 3.)],
        &[(1., 7.), (2., 7.), (3., 7.), (4., 7.), (5., 7.), (6., 7.), (7., 7.)],
    ];
    for (grid, positive) in SYMMETRIC.into_iter().zip(expected) {
        let steps = positive.len() as u8;
        assert_eq!((grid.zero(), grid.min, grid.max), (Some(8), 8 - steps, 8 + steps), "{grid:?}");
        for (k, (over, under)) in (9..).zip(positive) {
            assert_eq!([grid.level(k), grid.level(16 - k)], [over / under, -over / under], "{grid:?} code {k}");
        }
    }
    let zeros = [(&INT4, Some(8)), (&UINT4, Some(0)), (&NF4, Some(7)), (&E2M1, Some(8)), (&UNIFORM16, None), (&FEW, None)];
    for (grid, zero) in zeros {
        assert_eq!((grid.zero(), grid.min), (zero, 0), "{grid:?}");
        assert_eq!(grid.max, if grid == &FEW { 3 } else { 15 }, "{grid:?}");
    }
    for code in 0..16u8 {
        let n = f32::from(code);
        assert_eq!([&INT4, &UINT4, &UNIFORM16].map(|grid| grid.level(code)), [(n - 8.0) / 8.0, n / 15.0, (2.0 * n - 15.0) / 15.0]);
        // Sign, two bits of exponent over 1, one of mantissa (OCP Microscaling Formats 1.0, 5.3.3).
        let (sign, exponent, mantissa) = (code >> 3, code >> 1 & 3, f32::from(code & 1));
        let magnitude = if exponent == 0 { 0.5 * mantissa } else { f32::from(1u8 << (exponent - 1)) * (1.0 + 0.5 * mantissa) };
        let (ours, value) = if sign == 0 { (8 + code, magnitude) } else { (15 - code, -magnitude) };
        assert_eq!(E2M1.level(ours), value, "bits {code:04b}");
    }
    let [lowest, highest] = NF4.range();
    assert_eq!([lowest, NF4.level(7), highest], [-1.0, 0.0, 1.0]);
}

/// Quantiles of a normal distribution at evenly spaced probabilities of either side, over the largest.
#[test]
fn nf4_is_made_of_quantiles() {
    // Φ by the series of erf; the outermost probability is the mean of 1 − 1/30 and 1 − 1/32.
    let phi = |x: f64| {
        let (mut term, mut sum) = (x, x);
        for n in 1..80 {
            term *= -x * x / (2.0 * f64::from(n));
            sum += term / f64::from(2 * n + 1);
        }
        0.5 + sum / std::f64::consts::TAU.sqrt()
    };
    let quantile = |p: f64| {
        let (mut low, mut high) = (-4.0, 4.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if phi(middle) < p { low = middle } else { high = middle }
        }
        low
    };
    let outermost = 0.5 * ((1.0 - 1.0 / 30.0) + (1.0 - 1.0 / 32.0));
    let side = |count: u8, k: u8| quantile(0.5 + (outermost - 0.5) * f64::from(k) / f64::from(count)) / quantile(outermost);
    for code in 0..16u8 {
        let expected = if code < 7 { -side(7, 7 - code) } else { side(8, code - 7) };
        let got = f64::from(NF4.level(code));
        assert!((got - expected).abs() < 1e-6, "code {code}: {got}, not {expected}");
    }
}

#[test]
fn levels_ascend_and_are_exact_fractions() {
    for grid in grids() {
        for code in 0..16u8 {
            let (level, integer) = (grid.level(code), grid.integers[code as usize]);
            match grid.denominator() {
                Some(denominator) => {
                    assert_eq!(level, integer as f32 / denominator as f32, "{grid:?} {code}");
                    let product = level as f64 * denominator as f64;
                    assert_eq!(product.round(), integer as f64, "{grid:?} {code}");
                    assert!((product - integer as f64).abs() < 1e-3, "{grid:?} {code}");
                }
                None => assert_eq!(integer, 0, "{grid:?} {code}"),
            }
            if !grid.is_level(code) {
                assert_eq!((level, integer), (0.0, 0), "{grid:?} {code}");
            } else if code > grid.min {
                let doubled = grid == &E2M1 && code == 8;
                assert!(level > grid.level(code - 1) || doubled, "{grid:?} {code}");
            }
        }
        let largest = grid.integers.iter().map(|n| i32::from(*n).abs()).max();
        assert_eq!(Some(grid.largest_integer()), largest);
        // What is at code zero need not be zero, but it is what it reads as.
        assert_eq!(grid.zero().is_some(), (grid.min..=grid.max).any(|code| grid.level(code) == 0.0), "{grid:?}");
        assert!(grid.zero().is_none_or(|zero| grid.level(zero) == 0.0), "{grid:?}");
    }
    assert_eq!(SYMMETRIC.map(Grid::reach), [1.0, 1.0, 16.0 / 24.0, 1.0]);
    assert_eq!([&INT4, &UINT4, &E2M1].map(Grid::reach), [15.0 / 16.0, 0.5, 6.0]);
}

#[test]
fn halves_hold_integers_of_eleven_bits() {
    let fit = GRIDS.iter().filter(|grid| grid.fits_half()).map(|grid| grid.name()).collect::<Vec<_>>();
    assert_eq!(fit, ["prime13", "fine15", "uniform15", "uniform16", "int4", "uint4", "e2m1"]);
    static LARGE: [Grid; 3] = [
        Grid::fractions("large", &[-2047, 0, 4094], 1),
        Grid::fractions("odd", &[-2049, 0, 1], 1),
        Grid::fractions("lowest", &[i16::MIN, 0, 1], 1),
    ];
    assert_eq!(LARGE.each_ref().map(Grid::fits_half), [true, false, true]);
}

#[test]
fn names_lead_back() {
    for &grid in GRIDS {
        assert_eq!(grid::by_name(grid.name()), Some(grid));
    }
    assert_eq!(grid::by_name("prime14"), None);
}

#[test]
fn gaps_reach_the_next_level_and_repeat_at_the_rails() {
    for grid in grids() {
        for code in grid.min..=grid.max {
            let level = grid.level(code);
            let all = || (grid.min..=grid.max).map(|code| grid.level(code));
            let up = all().filter(|&other| other > level).fold(f32::INFINITY, f32::min) - level;
            let down = level - all().filter(|&other| other < level).fold(f32::NEG_INFINITY, f32::max);
            let expected = [if down.is_finite() { down } else { up }, if up.is_finite() { up } else { down }];
            assert_eq!([false, true].map(|up| grid.gap(code, up)), expected, "{grid:?} {code}");
            for step in [-1, 0, 1] {
                let moved = grid.ends().moved(code, step);
                let by = grid.level(moved) - level;
                let expected = [if down.is_finite() { -down } else { 0.0 }, 0.0, if up.is_finite() { up } else { 0.0 }];
                assert_eq!(by, expected[(step + 1) as usize], "{grid:?} {code} {step}");
            }
        }
        for code in 0..16 {
            assert!(grid.gap(code, true) > 0.0 && grid.gap(code, false) > 0.0);
        }
    }
}

#[test]
fn rails_are_ends_at_which_a_wider_scale_helps() {
    for grid in grids() {
        assert_eq!(grid.rails(), if grid == &UINT4 { [15, 15] } else { [grid.min, grid.max] }, "{grid:?}");
    }
}

#[test]
fn nearest_of_the_odd_values() {
    for grid in grids() {
        let nearest_zero = grid.zero().unwrap_or(if grid == &FEW { 2 } else { 8 });
        assert_eq!(grid.nearest(f32::NAN), nearest_zero, "{grid:?}");
        assert_eq!(grid.nearest(-0.0), nearest_zero, "{grid:?}");
        assert_eq!(grid.nearest(f32::INFINITY), grid.max);
        assert_eq!(grid.nearest(f32::NEG_INFINITY), grid.min);
        for code in grid.min..=grid.max {
            let expected = if grid == &E2M1 && code == 7 { 8 } else { code };
            assert_eq!(grid.nearest(grid.level(code)), expected, "{grid:?}");
        }
    }
    // Never the other zero.
    assert_eq!([-0.26, -0.25, -0.1, 0.1, 0.25, 0.26].map(|value| E2M1.nearest(value)), [6, 8, 8, 8, 8, 9]);
}

proptest! {
    #[test]
    fn nearest_beats_every_other_level(grid in any_grid(), value in -1.5f32..1.5) {
        let value = value * grid.reach();
        let distance = |code: u8| (value as f64 - grid.level(code) as f64).abs();
        let chosen = grid.nearest(value);
        prop_assert!(grid.is_level(chosen));
        let best = (grid.min..=grid.max).map(distance).fold(f64::INFINITY, f64::min);
        // The midpoint of two levels is rounded to f32: half a unit in the last place of the largest.
        prop_assert!(distance(chosen) <= best + 6e-8 * grid.reach() as f64, "{value}: {chosen}, {} over {best}", distance(chosen));
        if SYMMETRIC.contains(&grid) {
            prop_assert_eq!(grid.nearest(-value), 16 - chosen);
        }
    }

    #[test]
    fn packing_round_trips(codes in prop::collection::vec(0u8..16, 0..100)) {
        let mut packed = vec![0; row_bytes(codes.len())];
        pack_row(&codes, &mut packed);
        let mut back = vec![0; codes.len()];
        unpack_row(&packed, &mut back);
        prop_assert_eq!(&back, &codes);
        for index in 0..padded(codes.len()) {
            prop_assert_eq!(get(&packed, index), codes.get(index).copied().unwrap_or(PADDING), "{}", index);
        }
        prop_assert_eq!(packed.len() * 2 % ROW_ALIGN, 0);
    }

    #[test]
    fn set_changes_one_code(codes in prop::collection::vec(0u8..16, 1..70), at: prop::sample::Index, code in 0u8..16) {
        let mut packed = vec![0; row_bytes(codes.len())];
        pack_row(&codes, &mut packed);
        let mut expected = codes.clone();
        expected[at.index(codes.len())] = code;
        set(&mut packed, at.index(codes.len()), code);
        let mut back = vec![0; codes.len()];
        unpack_row(&packed, &mut back);
        prop_assert_eq!(back, expected);
    }

    #[test]
    fn histogram_counts_weights_and_no_padding(codes in prop::collection::vec(0u8..16, 0..100)) {
        let mut packed = vec![0; row_bytes(codes.len())];
        pack_row(&codes, &mut packed);
        let mut counts = [5; 16];
        histogram(&packed, codes.len(), &mut counts);
        for code in 0..16u8 {
            let expected = 5 + codes.iter().filter(|&&c| c == code).count() as u32;
            prop_assert_eq!(counts[code as usize], expected, "code {}", code);
        }
    }
}

#[test]
fn a_word_holds_codes_as_bytes_do_and_a_nibble_each_vote() {
    let codes: [u8; BLOCK] = std::array::from_fn(|i| (i as u8 * 7 + 3) % 16);
    let bytes = grid::pack_codes(codes);
    assert_eq!(grid::pack_codes_to_word(codes), u64::from_le_bytes(bytes));
    assert_eq!(grid::unpack_codes(bytes), codes);
    assert_eq!(grid::unpack_codes_of_word(u64::from_le_bytes(bytes)), codes);
    assert!((0..BLOCK).all(|i| grid::get(&bytes, i) == codes[i]));
    for vote in -7..=7 {
        assert_eq!(grid::vote_of_nibble(grid::nibble_of_vote(vote)), vote);
    }
    let empty = grid::empty_votes(VoteBits::Four);
    assert_eq!([empty & 15, empty >> 4].map(grid::vote_of_nibble), [0, 0]);
}
