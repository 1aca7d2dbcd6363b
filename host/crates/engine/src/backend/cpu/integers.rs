//! What products in integers of 8 bits are made of: activations that are rounded by groups of 32, as blocks of GGML's Q8_0 are, and levels as bytes.

use multiversion::multiversion;
use primal_device::grid::GROUP;
use primal_device::kernels::lut_gemv::TINY;

use super::unpack::Codes;

/// In which order rounded activations lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they come.
    Natural,
    /// Of each group those that meet the low nibbles of its codes, then those that meet the high ones.
    Nibbles,
    /// The same of each four groups: as 64 bytes of codes have them.
    NibblesOfFour,
}

/// Half a group.
const HALF: usize = GROUP / 2;

impl Order {
    /// Where the two halves of a group go.
    const fn places(self, group: usize) -> [usize; 2] {
        match self {
            Self::Natural | Self::Nibbles => [group * GROUP, group * GROUP + HALF],
            Self::NibblesOfFour => {
                let first = group / 4 * 4 * GROUP + group % 4 * HALF;
                [first, first + 4 * HALF]
            }
        }
    }
}

/// Rounded activations of a row, by groups.
pub struct Rounded<'a> {
    /// Integers, in some order.
    pub q: &'a mut [i8],
    /// What they stand for: the largest magnitude of the group over 127, or NaN if a value is not finite.
    pub steps: &'a mut [f32],
    /// The sum of the integers times the lowest integer of a grid.
    pub starts: &'a mut [i32],
    /// The sum of the values that they stand for.
    pub sums: &'a mut [f32],
}

/// Words of scratch that a group needs, [`Rounded`].
pub const GROUP_WORDS: usize = GROUP / 4 + 3;

impl<'a> Rounded<'a> {
    /// Places for so many groups in as many words times [`GROUP_WORDS`].
    pub fn new(words: &'a mut [f32], groups: usize) -> Self {
        let (q, words) = words[..groups * GROUP_WORDS].split_at_mut(groups * GROUP / 4);
        let (steps, words) = words.split_at_mut(groups);
        let (starts, sums) = words.split_at_mut(groups);
        Self { q: bytemuck::cast_slice_mut(q), steps, starts: bytemuck::cast_slice_mut(starts), sums }
    }
}

/// Rounds the groups of a row to their places; groups and values beyond its end are zeros.
pub fn round<'a>(mut to: Rounded<'a>, x: &[f32], lowest: i32, order: Order) -> Rounded<'a> {
    let Rounded { q, steps, starts, sums } = &mut to;
    round_row(q, steps, starts, sums, x, lowest, order);
    to
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn round_row(q: &mut [i8], steps: &mut [f32], starts: &mut [i32], sums: &mut [f32], x: &[f32], lowest: i32, order: Order) {
    // Adding 1.5·2²³ rounds to the nearest even integer and leaves it in the low bits, two's complement.
    const ROUND: f32 = 12_582_912.0;
    let groups = x.len().div_ceil(GROUP);
    for (index, x) in x.chunks(GROUP).enumerate() {
        let mut group = [0.0f32; GROUP];
        group[..x.len()].copy_from_slice(x);
        // As integers, magnitudes keep their order, and NaN comes last.
        let largest = f32::from_bits(group.iter().map(|x| x.abs().to_bits()).fold(0, u32::max));
        let inverse = if largest < TINY { 0.0 } else { 127.0 / largest };
        let mut rounded = [0i32; GROUP];
        for (rounded, x) in rounded.iter_mut().zip(group) {
            *rounded = (x * inverse + ROUND).to_bits() as i8 as i32;
        }
        let mut halves = [[0i8; HALF]; 2];
        let [first, second] = &mut halves;
        for (at, (first, second)) in first.iter_mut().zip(second).enumerate() {
            let of = if order == Order::Natural { [at, at + HALF] } else { [2 * at, 2 * at + 1] };
            (*first, *second) = (rounded[of[0]] as i8, rounded[of[1]] as i8);
        }
        for (first, half) in order.places(index).into_iter().zip(halves) {
            q[first..first + HALF].copy_from_slice(&half);
        }
        let total: i32 = rounded.iter().sum();
        steps[index] = if largest.is_finite() { largest / 127.0 } else { f32::NAN };
        starts[index] = lowest * total;
        sums[index] = steps[index] * total as f32;
    }
    for index in groups..steps.len() {
        let places = order.places(index);
        places.into_iter().for_each(|first| q[first..first + HALF].fill(0));
        (steps[index], starts[index], sums[index]) = (0.0, 0, 0.0);
    }
}

/// Which integers stand for codes, less the lowest.
pub struct Levels {
    /// By code.
    pub above_lowest: [u8; 16],
    /// The lowest.
    pub lowest: i32,
    /// The largest of `above_lowest`.
    pub largest: u8,
}

impl Levels {
    /// Those of a weight's grid, if they are of 7 bits.
    pub fn new(w: &Codes) -> Option<Self> {
        let grid = w.grid();
        grid.denominator()?;
        let of_levels = &grid.integers[usize::from(grid.min)..=usize::from(grid.max)];
        let (lowest, highest) = (of_levels.iter().min()?, of_levels.iter().max()?);
        let largest = u8::try_from(i32::from(*highest) - i32::from(*lowest)).ok().filter(|&range| range <= 127)?;
        // What is no level multiplies zeros.
        let above_lowest = grid.integers.map(|integer| (i32::from(integer) - i32::from(*lowest)).clamp(0, largest.into()) as u8);
        Some(Self { above_lowest, lowest: (*lowest).into(), largest })
    }
}
