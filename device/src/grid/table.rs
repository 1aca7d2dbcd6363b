//! The grids, a row each.

use super::levels::Grid;

/// Defines the grids of its rows and the list of them.
macro_rules! grids {
    ($($(#[doc = $doc:literal])* $id:ident = $kind:ident $arguments:tt;)*) => {
        $($(#[doc = $doc])* pub static $id: Grid = Grid::$kind $arguments;)*

        /// Every grid.
        pub static GRIDS: &[&Grid] = &[$(&$id),*];
    };
}

grids! {
    /// 0 and ± the reciprocals of 11, 7, 5, 3, 2 and 1; codes 2..=14.
    PRIME13 = symmetric("prime13", &[210, 330, 462, 770, 1155, 2310], 2310);
    /// [`PRIME13`] with ±1/13 as the innermost level; codes 1..=15.
    PRIME15 = symmetric("prime15", &[2310, 2730, 4290, 6006, 10010, 15015, 30030], 30030);
    /// 0, ±1/12, ±1/8, ±1/6, ±1/4, ±1/3, ±1/2, ±2/3; codes 1..=15.
    FINE15 = symmetric("fine15", &[2, 3, 4, 6, 8, 12, 16], 24);
    /// ±k/7 for k = 0..=7; codes 1..=15.
    UNIFORM15 = symmetric("uniform15", &[1, 2, 3, 4, 5, 6, 7], 7);
    /// Odd multiples of ±1/15, without zero.
    UNIFORM16 = fractions("uniform16", &[-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15], 15);
    /// k/8 for k = −8..=7, code k + 8: the nibbles of Q4_0 in ggml.
    INT4 = fractions("int4", &[-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7], 8);
    /// k/15 for k = 0..=15, code k: the nibbles of Q4_1 in ggml, whose offsets make half of them negative.
    UINT4 = fractions("uint4", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 15);
    /// The quantiles of a normal distribution of QLoRA (Dettmers et al. 2023, appendix E), in that order.
    NF4 = irrational("nf4", &[
        -1.0, -0.696_192_8, -0.525_073_05, -0.394_917_5, -0.284_441_38, -0.184_773_43, -0.091_050_036, 0.0, 0.079_580_3, 0.160_930_2,
        0.246_112_3, 0.337_915_24, 0.440_709_83, 0.562_617, 0.722_956_84, 1.0,
    ]);
    /// The 4-bit floats of OCP microscaling formats (2023): 0, ½, 1, 1½, 2, 3, 4 and 6, all with both signs. The float of bits b has code `8 + b`, or
    /// `15 − b` where they have the sign: −0 keeps a code of its own, 7, so that no bit of a file is lost. But nothing is rounded to it, and a step up
    /// from it or down from 0 goes on to the next other level.
    E2M1 = fractions("e2m1", &[-12, -8, -6, -4, -3, -2, -1, 0, 0, 1, 2, 3, 4, 6, 8, 12], 2);
}

/// The grid of that name.
pub fn by_name(name: &str) -> Option<&'static Grid> {
    GRIDS.iter().copied().find(|grid| grid.name() == name)
}
