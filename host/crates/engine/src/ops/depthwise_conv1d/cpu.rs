//! Depthwise convolution on the CPU.

use multiversion::multiversion;
use rayon::prelude::*;

use super::DepthwiseConv1d;
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::elementwise::CHUNK;
use crate::backend::cpu::sequences::{Bounds, offsets};
use crate::memory::Span;

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn add_tap(y: &mut [f32], x: &[f32], weight: &[f32]) {
    for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
        *y += weight * x;
    }
}

impl RunOn<Cpu> for DepthwiseConv1d {
    fn run_on(self, cpu: &mut Cpu) {
        let Self { shape, .. } = self;
        assert!(shape.kernel % 2 == 1, "a kernel of {} taps has no middle", shape.kernel);
        let bias = self.bias.unwrap_or(Span::new(0, 0, 0));
        let ((y,), (x, weight, bias, offsets)) = cpu.split((self.y,), (self.x, self.weight, bias, offsets(shape.sequences)));
        let (bounds, channels) = (Bounds::new(shape.sequences, offsets), weight.len() / shape.kernel);
        assert_eq!((y.len(), x.len()), (shape.sequences.rows() * channels, y.len()), "rows of {channels} channels");
        y.par_chunks_mut(channels).with_min_len(CHUNK.div_ceil(channels)).enumerate().for_each(|(row, y)| {
            if bias.is_empty() {
                y.fill(0.0);
            } else {
                y.copy_from_slice(bias);
            }
            let sequence = bounds.around(row);
            for (tap, weight) in weight.chunks_exact(channels).enumerate() {
                // A row before the sequence is far beyond its end when it wraps around.
                let source = (row + tap * shape.dilation).wrapping_sub(shape.kernel / 2 * shape.dilation);
                if sequence.contains(&source) {
                    add_tap(y, &x[source * channels..][..channels], weight);
                }
            }
        });
    }
}
