//! The scales of a grid weight: the one place where they are read.

use half::f16;
use primal_device::grid::{self, GROUP, Grid, half_value};

use crate::backend::Scales;

/// What makes weights of codes, `[rows, in_features]`.
#[derive(Clone, Copy)]
pub struct Scaling<'a> {
    /// Where the factors are.
    pub(crate) scales: Scales<&'a [f32], &'a [f16]>,
    /// The levels.
    pub(crate) grid: &'a Grid,
    /// Groups of a row.
    groups: usize,
}

impl<'a> Scaling<'a> {
    /// The scales of a weight with rows of so many inputs.
    pub fn new(scales: Scales<&'a [f32], &'a [f16]>, grid: &'a Grid, in_features: usize) -> Self {
        let scaling = Self { scales, grid, groups: grid::groups(in_features) };
        if let Scales::Group32Offset { step, offset } = scales {
            assert_eq!(step.len(), offset.len(), "steps and offsets");
        }
        scaling
    }

    /// How many rows there are scales for.
    pub(crate) fn count(&self) -> usize {
        match self.scales {
            Scales::Row(scale) => scale.len(),
            Scales::Group32 { step } | Scales::Group32Offset { step, .. } => step.len() / self.groups,
        }
    }

    /// Those of `count` rows from the `first` on.
    pub(crate) fn rows(&self, first: usize, count: usize) -> Self {
        let of_groups = |half: &'a [f16]| &half[first * self.groups..][..count * self.groups];
        Self { scales: self.scales.map(|scale| &scale[first..][..count], of_groups), ..*self }
    }

    /// What [`factor`](Self::factor) multiplies, for each code: levels, or the numerators that steps of groups count.
    pub(crate) fn table(&self) -> [f32; 16] {
        match self.scales {
            Scales::Row(_) => self.grid.levels,
            Scales::Group32 { .. } | Scales::Group32Offset { .. } => self.grid.numerators(),
        }
    }

    /// The entry of that table.
    #[inline(always)]
    fn entry(&self, code: u8) -> f32 {
        match self.scales {
            Scales::Row(_) => self.grid.level(code),
            Scales::Group32 { .. } | Scales::Group32Offset { .. } => match self.grid.denominator() {
                Some(_) => self.grid.integers[usize::from(code & 15)].into(),
                None => self.grid.level(code),
            },
        }
    }

    /// The factor of a weight and what is added, both the same for all of a group.
    #[inline(always)]
    pub(crate) fn factor(&self, row: usize, column: usize) -> (f32, Option<f32>) {
        let half = |values: &[f16]| half_value(values[row * self.groups + column / GROUP].to_bits());
        match self.scales {
            Scales::Row(scale) => (scale[row], None),
            Scales::Group32 { step } => (half(step), None),
            Scales::Group32Offset { step, offset } => (half(step), Some(half(offset))),
        }
    }

    /// The scale of a weight and what is added, `w = scale · level + offset`: what votes and shadow weights go by.
    #[inline(always)]
    pub(crate) fn scale(&self, row: usize, column: usize) -> (f32, f32) {
        match (self.scales, self.factor(row, column)) {
            (Scales::Row(_), (scale, _)) => (scale, 0.0),
            (Scales::Group32 { .. } | Scales::Group32Offset { .. }, (step, offset)) => (step * self.grid.steps(), offset.unwrap_or(0.0)),
        }
    }

    /// The weight of a code.
    #[inline(always)]
    pub(crate) fn weight(&self, row: usize, column: usize, code: u8) -> f32 {
        let (factor, offset) = self.factor(row, column);
        let product = factor * self.entry(code);
        offset.map_or(product, |offset| product + offset)
    }
}

#[cfg(test)]
mod tests {
    use primal_device::grid::{INT4, NF4, half_bits};

    use super::*;

    #[test]
    fn every_finite_half_has_its_value() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            if half.is_finite() {
                assert_eq!(half_value(bits).to_bits(), half.to_f32().to_bits(), "{half:?}");
            }
        }
    }

    #[test]
    fn every_float_has_its_nearest_half() {
        // Each half, the middle between it and the next, and the floats beside both.
        for bits in 0..=u16::MAX {
            let [half, next] = [bits, bits.wrapping_add(1)].map(|bits| half_value(bits).to_bits());
            for float in [half, half / 2 + next / 2].into_iter().flat_map(|bits| [bits.wrapping_sub(1), bits, bits.wrapping_add(1)]) {
                let (float, got) = (f32::from_bits(float), half_bits(f32::from_bits(float)));
                let expected = f16::from_f32(float);
                assert!(got == expected.to_bits() || (float.is_nan() && f16::from_bits(got).is_nan()), "{float}: {got:#x}, {expected:?}");
            }
        }
        assert_eq!(
            [f32::INFINITY, f32::MAX, -65520.0, 65519.0, f32::MIN_POSITIVE, -0.0].map(half_bits),
            [0x7C00, 0x7C00, 0xFC00, 0x7BFF, 0, 0x8000]
        );
        assert!(f16::from_bits(half_bits(f32::NAN)).is_nan());
    }

    #[test]
    fn steps_count_numerators_and_scales_levels() {
        let halves = |values: [f32; 4]| values.map(f16::from_f32);
        let (step, offset) = (halves([0.5, 0.25, -2.0, 1.0]), halves([1.0, 0.0, 3.0, -1.0]));
        let scales = Scales::Group32Offset { step: &step[..], offset: &offset[..] };
        let int4 = Scaling::new(scales, &INT4, 40);
        assert_eq!((int4.count(), int4.weight(0, 31, 15), int4.weight(0, 32, 0), int4.weight(1, 0, 7)), (2, 4.5, -2.0, 5.0));
        // A level of int4 is an eighth of its numerator.
        assert_eq!(int4.scale(1, 39), (8.0, -1.0));
        assert_eq!(int4.rows(1, 1).scale(0, 39), (8.0, -1.0));
        let nf4 = Scaling::new(Scales::Group32 { step: &step[..] }, &NF4, 40);
        assert_eq!((nf4.scale(1, 0), nf4.weight(1, 0, 15)), ((-2.0, 0.0), -2.0));
    }
}
