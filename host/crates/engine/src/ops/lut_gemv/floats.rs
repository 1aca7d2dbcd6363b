//! One token's `y = x · Wᵀ` on the CPU for grids without a denominator: levels are looked up as floats.

use primal_device::grid::GROUP;

use super::cpu::in_tasks;
use crate::backend::Scales;
use crate::backend::cpu::unpack::Codes;
#[cfg(target_arch = "x86_64")]
use crate::backend::cpu::unpack::avx2::{eight_levels, scaled, table};

/// Weights of a vector, and running sums of a row.
const LANES: usize = 8;

/// `y = x · Wᵀ`; x `[inputs]`, y `[outputs]`.
pub fn lut_gemv(y: &mut [f32], x: &[f32], w: &Codes) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: both were just detected.
        return in_tasks(y, w.row_bytes, |y, first| unsafe { rows(y, x, &w.rows(first, y.len())) });
    }
    in_tasks(y, w.row_bytes, |y, first| portable(y, x, &w.rows(first, y.len())));
}

/// What an activation is multiplied by: the level where the row's scale follows, else the weight.
fn factor(w: &Codes, row: usize, column: usize) -> f32 {
    match w.scaling.scales {
        Scales::Row(_) => w.grid().level(w.code(row, column)),
        Scales::Group32 { .. } | Scales::Group32Offset { .. } => w.weight(row, column),
    }
}

/// What a row's sum is multiplied by.
fn row_factor(w: &Codes, row: usize) -> f32 {
    match w.scaling.scales {
        Scales::Row(scale) => scale[row],
        Scales::Group32 { .. } | Scales::Group32Offset { .. } => 1.0,
    }
}

/// Codes of whole vectors, then the rest of a row, which may end within one: what is beyond it is no weight.
fn portable(y: &mut [f32], x: &[f32], w: &Codes) {
    for (row, y) in y.iter_mut().enumerate() {
        let mut sums = [0.0; LANES];
        for (vector, x) in x.chunks(LANES).enumerate() {
            for (i, (sum, x)) in sums.iter_mut().zip(x).enumerate() {
                *sum += x * factor(w, row, vector * LANES + i);
            }
        }
        *y = sums.iter().sum::<f32>() * row_factor(w, row);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn rows(y: &mut [f32], x: &[f32], w: &Codes) {
    use std::arch::x86_64::*;

    /// Vectors of a group; their sums do not wait for each other.
    const TOGETHER: usize = GROUP / LANES;
    let [low, high] = table(&w.scaling.table());
    let (whole, rest) = x.as_chunks::<LANES>();
    for ((row, y), codes) in y.iter_mut().enumerate().zip(w.codes.chunks_exact(w.row_bytes)) {
        let mut sums = [_mm256_setzero_ps(); TOGETHER];
        for ((group, x), codes) in whole.chunks(TOGETHER).enumerate().zip(codes.as_chunks::<4>().0.chunks(TOGETHER)) {
            let factor = match w.scaling.scales {
                Scales::Row(_) => None,
                Scales::Group32 { .. } | Scales::Group32Offset { .. } => Some(w.scaling.factor(row, group * GROUP)),
            };
            for ((sum, x), &codes) in sums.iter_mut().zip(x).zip(codes) {
                let levels = eight_levels(u32::from_le_bytes(codes), low, high);
                let levels = factor.map_or(levels, |factor| scaled(levels, factor));
                // SAFETY: eight values.
                *sum = _mm256_fmadd_ps(levels, unsafe { _mm256_loadu_ps(x.as_ptr()) }, *sum);
            }
        }
        let [a, b, c, d] = sums;
        let mut lanes = [0.0f32; LANES];
        // SAFETY: eight values.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d))) };
        let first = whole.len() * LANES;
        let rest = rest.iter().enumerate().map(|(i, x)| x * factor(w, row, first + i));
        *y = (lanes.iter().sum::<f32>() + rest.sum::<f32>()) * row_factor(w, row);
    }
}

#[cfg(test)]
mod tests {
    use primal_device::grid::{Grid, NF4, UNIFORM16, row_bytes};

    use super::*;

    #[test]
    fn both_ways_give_the_sum_of_the_weights_and_nothing_of_the_padding() {
        static WITHOUT_ZERO: Grid = Grid::irrational("withoutzero", &[-1.3, -0.4, 0.3, 1.1]);
        for inputs in [1, 7, 8, 9, 31, 32, 33, 100, 257] {
            for grid in [&NF4, &UNIFORM16, &WITHOUT_ZERO] {
                let codes: Vec<u8> = (0..3 * row_bytes(inputs)).map(|i| (i * 73 + 29) as u8).collect();
                let x: Vec<f32> = (0..inputs).map(|i| (i * 37 % 17) as f32 - 8.0).collect();
                let scale = [0.5, 1.0, 2.0];
                let w = Codes::new(&codes, Scales::Row(&scale), grid, inputs);
                let exact = |row: usize| {
                    let products = (0..inputs).map(|i| f64::from(x[i]) * f64::from(factor(&w, row, i)));
                    products.sum::<f64>() * f64::from(scale[row])
                };
                let mut got = [[f32::NAN; 3]; 2];
                portable(&mut got[0], &x, &w);
                lut_gemv(&mut got[1], &x, &w);
                for (row, i) in (0..3).flat_map(|row| [(row, 0), (row, 1)]) {
                    let (got, exact) = (f64::from(got[i][row]), exact(row));
                    // Sums of at most 257 products below 20, in f32.
                    assert!((got - exact).abs() < 2e-3, "{grid:?}, {inputs} inputs, row {row}, way {i}: got {got}, expected {exact}");
                }
            }
        }
    }
}
