//! The rows of the table, and how far each kind of op may be from its reference.

mod attention;
mod discrete;
mod float;
mod linear;

use primal_host::backend::Backend;

use crate::harness::{Case, Data, Tolerance};

/// Integers, codes and copies.
pub const EXACT: Tolerance = Tolerance { absolute: 0.0, relative: 0.0 };

/// A few roundings of 2⁻²⁴ on values near 1.
pub const ROUNDING: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

/// What `f32` makes of e^x and what is built on it: two units in the last place from the polynomial, more from its argument.
pub const EXPONENTIAL: Tolerance = Tolerance { absolute: 1e-6, relative: 4e-6 };

/// Rounding of a running sum, for each term of magnitude `size`: partial sums of n terms grow like √n, their n roundings of 2⁻²⁴ add like
/// √n, so the sum is off by 2.5e-8·n in the mean, and five times that in the worst of a few thousand sums.
const SUM_PER_TERM: f64 = 1.5e-7;

/// A sum of `terms` products near `size`.
pub fn sum_of(terms: usize, size: f64) -> Tolerance {
    Tolerance { absolute: SUM_PER_TERM * size * terms as f64 + 1e-6 * size, relative: 1e-6 }
}

/// Every row.
pub fn table<B: Backend + 'static>() -> Vec<Case<B>> {
    let mut rows = float::rows();
    rows.extend(linear::rows());
    rows.extend(attention::rows());
    rows.extend(discrete::rows());
    rows
}

/// What the reference gave, as a buffer for an op that comes after it.
fn narrow(x: &[f64]) -> Data {
    Data::F32(x.iter().map(|&x| x as f32).collect())
}

fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}
