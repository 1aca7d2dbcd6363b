//! Exact GELU on the CPU.

use multiversion::multiversion;
use primal_device::kernels::erf_gelu::erf_gelu;
use rayon::prelude::*;

use super::ErfGelu;
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::elementwise::CHUNK;
use crate::backend::cpu::exp::exp;

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn forward(y: &mut [f32]) {
    for y in y {
        *y = erf_gelu(*y, exp);
    }
}

impl RunOn<Cpu> for ErfGelu {
    fn run_on(self, cpu: &mut Cpu) {
        cpu.start_with(self.y, self.x);
        cpu.write(self.y).par_chunks_mut(CHUNK).for_each(forward);
    }
}
