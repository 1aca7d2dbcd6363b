//! Rotary positions on the CPU.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{Rope, RotaryPairs};
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;

/// Values that a task takes at least.
const VALUES: usize = 16 * 1024;

/// Turns one pair; `sign` is −1 to turn back.
#[inline(always)]
fn turn(a: &mut f32, b: &mut f32, cos: f32, sin: f32, sign: f32) {
    let (x, y, sin) = (*a, *b, sin * sign);
    *a = x * cos - y * sin;
    *b = x * sin + y * cos;
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn head(x: &mut [f32], cos: &[f32], sin: &[f32], layout: RotaryPairs, sign: f32) {
    let pairs = cos.len();
    match layout {
        RotaryPairs::Adjacent => {
            for ((pair, &cos), &sin) in x.chunks_exact_mut(2).zip(cos).zip(sin) {
                let (a, b) = pair.split_at_mut(1);
                turn(&mut a[0], &mut b[0], cos, sin, sign);
            }
        }
        RotaryPairs::Halves => {
            let (a, b) = x.split_at_mut(pairs);
            for (((a, b), &cos), &sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                turn(a, b, cos, sin, sign);
            }
        }
    }
}

impl RunOn<Cpu> for Rope {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { head_dim, pairs, layout, inverse, .. } = self;
        let sign = if inverse { -1.0 } else { 1.0 };
        let [rows, width] = self.shape();
        if rows == 0 || width == 0 {
            return;
        }
        let ((x,), (table, positions)) = cpu.split((self.x,), (self.table, self.positions));
        x.par_chunks_exact_mut(width).zip(positions).with_min_len(VALUES.div_ceil(width)).for_each(|(row, &position)| {
            let (cos, sin) = table[position as usize * 2 * pairs..][..2 * pairs].split_at(pairs);
            row.chunks_exact_mut(head_dim).for_each(|x| head(x, cos, sin, layout, sign));
        });
    }
}
