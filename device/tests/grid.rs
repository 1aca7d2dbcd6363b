//! The grids and their packing.

use primal_device::grid::{self, BLOCK, GridId, ROW_ALIGN, VoteBits, ZERO, get, histogram, pack_row, padded, row_bytes, set, unpack_row};
use proptest::prelude::*;

fn any_grid() -> impl Strategy<Value = GridId> {
    prop::sample::select(GridId::ALL.to_vec())
}

#[test]
fn levels_are_those_of_the_definition() {
    let expected: [(GridId, &[(f32, f32)]); 4] = [
        (GridId::Prime13, &[(1., 11.), (1., 7.), (1., 5.), (1., 3.), (1., 2.), (1., 1.)]),
        (GridId::Prime15, &[(1., 13.), (1., 11.), (1., 7.), (1., 5.), (1., 3.), (1., 2.), (1., 1.)]),
        (GridId::Fine15, &[(1., 12.), (1., 8.), (1., 6.), (1., 4.), (1., 3.), (1., 2.), (2., 3.)]),
        (GridId::Uniform15, &[(1., 7.), (2., 7.), (3., 7.), (4., 7.), (5., 7.), (6., 7.), (7., 7.)]),
    ];
    for (id, positive) in expected {
        let grid = id.grid();
        assert_eq!(grid.min, ZERO - positive.len() as u8, "{}", id.name());
        assert_eq!(grid.max, ZERO + positive.len() as u8, "{}", id.name());
        for (k, (over, under)) in positive.iter().enumerate() {
            let code = ZERO + 1 + k as u8;
            assert_eq!(grid.level(code), over / under, "{} code {code}", id.name());
        }
    }
}

#[test]
fn levels_ascend_mirror_and_are_exact_fractions() {
    for id in GridId::ALL {
        let grid = id.grid();
        for code in 0..16u8 {
            let name = id.name();
            let (level, integer) = (grid.level(code), grid.integers[code as usize]);
            assert_eq!(level, integer as f32 / grid.denominator as f32, "{name} {code}");
            let product = level as f64 * grid.denominator as f64;
            assert_eq!(product.round(), integer as f64, "{name} {code}");
            assert!((product - integer as f64).abs() < 1e-3, "{name} {code}");
            if !grid.is_level(code) {
                assert_eq!((level, integer), (0.0, 0), "{name} {code}");
                continue;
            }
            assert_eq!(level, -grid.level(2 * ZERO - code), "{name} {code}");
            if code > grid.min {
                assert!(level > grid.level(code - 1), "{name} {code}");
            }
        }
        assert_eq!(grid.level(ZERO), 0.0);
        assert_eq!(grid.largest(), grid.levels.iter().copied().fold(0.0, f32::max));
    }
}

#[test]
fn a_zero_byte_is_never_weights() {
    for id in GridId::ALL {
        assert!(!id.grid().is_level(0), "{}", id.name());
        let mut codes = [9; 6];
        unpack_row(&[0; 3], &mut codes);
        for code in codes {
            assert_eq!(id.grid().level(code), 0.0, "{}", id.name());
        }
    }
}

#[test]
fn names_lead_back() {
    for id in GridId::ALL {
        assert_eq!(GridId::from_name(id.name()), Some(id));
    }
    assert_eq!(GridId::from_name("prime14"), None);
}

#[test]
fn gaps_reach_the_neighbour_and_repeat_at_the_rails() {
    for id in GridId::ALL {
        let grid = id.grid();
        for code in grid.min..=grid.max {
            for up in [false, true] {
                let (low, high) = match up {
                    true if code == grid.max => (code - 1, code),
                    true => (code, code + 1),
                    false if code == grid.min => (code, code + 1),
                    false => (code - 1, code),
                };
                let expected = grid.level(high) - grid.level(low);
                assert_eq!(grid.gap(code, up), expected, "{} {code} {up}", id.name());
            }
        }
        for code in 0..16 {
            assert!(grid.gap(code, true) > 0.0 && grid.gap(code, false) > 0.0);
        }
    }
}

#[test]
fn nearest_of_the_odd_values() {
    for id in GridId::ALL {
        let grid = id.grid();
        assert_eq!(grid.nearest(f32::NAN), ZERO);
        assert_eq!(grid.nearest(-0.0), ZERO);
        assert_eq!(grid.nearest(f32::INFINITY), grid.max);
        assert_eq!(grid.nearest(f32::NEG_INFINITY), grid.min);
        for code in grid.min..=grid.max {
            assert_eq!(grid.nearest(grid.level(code)), code, "{}", id.name());
        }
    }
}

proptest! {
    #[test]
    fn nearest_beats_every_other_level(id in any_grid(), value in -1.5f32..1.5) {
        let grid = id.grid();
        let distance = |code: u8| (value as f64 - grid.level(code) as f64).abs();
        let chosen = grid.nearest(value);
        prop_assert!(grid.is_level(chosen));
        let best = (grid.min..=grid.max).map(distance).fold(f64::INFINITY, f64::min);
        // The midpoint of two levels is rounded to f32: half a unit in the last place of 1.
        prop_assert!(distance(chosen) <= best + 6e-8, "{value}: {chosen}, {} over {best}", distance(chosen));
        prop_assert_eq!(grid.nearest(-value), 2 * ZERO - chosen);
    }

    #[test]
    fn packing_round_trips(codes in prop::collection::vec(0u8..16, 0..100)) {
        let mut packed = vec![0; row_bytes(codes.len())];
        pack_row(&codes, &mut packed);
        let mut back = vec![0; codes.len()];
        unpack_row(&packed, &mut back);
        prop_assert_eq!(&back, &codes);
        for index in 0..padded(codes.len()) {
            prop_assert_eq!(get(&packed, index), codes.get(index).copied().unwrap_or(ZERO), "{}", index);
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
