//! What the levels of a weight are multiplied by: a scale for each row, or a step for each group of 32 weights of a row.
//!
//! A row's scale is the factor of the level. A group's step is a half (IEEE 754 binary16), as blocks of GGML have them, and the factor of the
//! level's numerator, so that int4 holds a block of Q4_0 to the bit, and uint4 with an offset one of Q4_1; on a grid without a denominator it is the
//! factor of the level.

use super::levels::Grid;

/// Weights of a group.
pub const GROUP: usize = 32;

/// The largest numerator of a grid that groups can be on. Larger ones have steps near or below the least normal half, 6e-5, where a step keeps few
/// bits or none; these also keep the integer products of a group exact in `f32`.
const LARGEST_NUMERATOR: i32 = 127;

/// What a weight has scales for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScaleForm {
    /// Each row: `w = scale · level`.
    #[default]
    Row,
    /// Each group of 32 weights of a row: `w = step · numerator`.
    Group32,
    /// Each group, with an offset: `w = step · numerator + offset`.
    Group32Offset,
}

impl ScaleForm {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Row, Self::Group32, Self::Group32Offset];

    /// The name in configurations and flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Group32 => "group32",
            Self::Group32Offset => "group32-offset",
        }
    }

    /// The form of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }

    /// Whether weights on `grid` can have such scales.
    pub fn is_for(self, grid: &Grid) -> bool {
        self == Self::Row || grid.largest_integer() <= LARGEST_NUMERATOR
    }
}

/// The groups of a row, the last of which may be filled up with padding.
pub fn groups(in_features: usize) -> usize {
    in_features.div_ceil(GROUP)
}

/// The value of a half by its bits. Steps and offsets are finite; an infinity would give 65536.
#[inline(always)]
pub fn half_value(bits: u16) -> f32 {
    // Exponents of halves start 112 below those of floats; the product is exact, of subnormals too.
    let magnitude = f32::from_bits(u32::from(bits & 0x7FFF) << 13) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(magnitude.to_bits() | u32::from(bits & 0x8000) << 16)
}

/// The bits of the half nearest to a value, of two the even one.
#[inline(always)]
pub fn half_bits(value: f32) -> u16 {
    let (sign, magnitude) = ((value.to_bits() >> 16) as u16 & 0x8000, value.to_bits() & 0x7FFF_FFFF);
    let bits = if magnitude > 0x7F80_0000 {
        // NaN.
        0x7E00
    } else if magnitude >= 0x477F_F000 {
        // From 65520 on.
        0x7C00
    } else if magnitude < 113 << 23 {
        // Below the normal halves, floats from a half on are as far apart as halves are there.
        (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits()
    } else {
        (magnitude - (112 << 23) + 0xFFF + (magnitude >> 13 & 1)) >> 13
    };
    sign | bits as u16
}

impl Grid {
    /// What a group's step is the factor of, for each code: the numerator, or the level where there is no denominator; 0.0 where the code is no level.
    #[inline(always)]
    pub fn numerators(&self) -> [f32; 16] {
        match self.denominator() {
            Some(_) => self.integers.map(f32::from),
            None => self.levels,
        }
    }

    /// Steps of a group that make its scale, the factor of the level.
    #[inline(always)]
    pub fn steps(&self) -> f32 {
        self.denominator().map_or(1.0, |denominator| denominator as f32)
    }
}
