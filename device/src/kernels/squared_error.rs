//! Squared error of predictions.

use super::absolute_error::{COVERS, THREADS};
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::absolute_error::row_error;
}

kernels! {
    /// `losses[r] = Σ (x[r] − target[r])²` and `dx = 2(x − target) · gradient_scale`; dx, x, target `[rows, dim]`, losses `[rows]`. Half a
    /// warp takes a row. Items: rows.
    fn squared_error(losses: *mut f32, dx: *mut f32, x: *const f32, target: *const f32, rows: u32, dim: u32, gradient_scale: f32)
        for [THREADS, 0, COVERS] {
        row_error(losses, dx, [x, target], [rows, dim], |d| d * d, |d| 2.0 * d * gradient_scale);
    }
}
