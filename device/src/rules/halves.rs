//! Values on their way into halves.

use crate::philox::uniform;

/// Bits of a float's fraction that a half has no room for.
const DROPPED: u32 = (1 << 13) - 1;
/// The largest half, and the least that has all bits of its fraction.
const LARGEST: f32 = 65504.0;
const NORMAL: f32 = 1.0 / 16384.0;
/// Below that, halves are multiples of 1 over it.
const MULTIPLES: f32 = 16_777_216.0;

/// One of the two halves around a value, chosen by 32 random bits so that it is the value on average; a value that is a half already.
#[inline(always)]
pub fn round_at_random(value: f32, word: u32) -> f32 {
    let size = value.abs();
    if size < NORMAL {
        let multiple = (size * MULTIPLES + uniform(word)) as u32;
        return (multiple as f32 / MULTIPLES).copysign(value);
    }
    let rounded = f32::from_bits((value.to_bits() + (word & DROPPED)) & !DROPPED);
    rounded.clamp(-LARGEST, LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::{half_bits, half_value};
    use crate::philox::RandomStream;

    #[test]
    fn a_value_is_rounded_to_a_half_beside_it_and_is_their_mean() {
        let stream = RandomStream::new(1, 2, 3);
        let gap = |value: f32| if value.abs() < NORMAL { 1.0 / MULTIPLES } else { value.abs() / 1024.0 };
        for value in [0.1, -0.007_123, 1.0 / 3.0, 5.1e-5, -3.3e-6, 6.1e-5, 1234.567] {
            let rounded = (0..4096).flat_map(|block| stream.words(block)).map(|word| round_at_random(value, word));
            assert!(rounded.clone().all(|half| half_value(half_bits(half)) == half), "{value}: no half");
            assert!(rounded.clone().all(|half| (half - value).abs() <= gap(value)), "{value}: far from it");
            let mean = rounded.map(f64::from).sum::<f64>() / f64::from(4 * 4096);
            assert!((mean - f64::from(value)).abs() < 0.03 * f64::from(gap(value)), "{value}: mean {mean}");
        }
        for half in [0.0, -0.0, 0.5, 1.0 / MULTIPLES, -65504.0, 6.103_515_6e-5] {
            assert!((0..100).flat_map(|block| stream.words(block)).all(|word| round_at_random(half, word) == half), "{half} is a half");
        }
        assert_eq!([7e4, -1e9].map(|value| round_at_random(value, 7)), [LARGEST, -LARGEST]);
    }
}
