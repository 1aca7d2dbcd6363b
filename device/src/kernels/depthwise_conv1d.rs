//! Depthwise convolution within sequences: each channel has its own taps.

use super::sizes::elementwise::{COVERS, THREADS};
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::windows::Sequences;
    use crate::gpu::thread::{block_idx_x, thread_idx_x};
}

kernels! {
    /// `y[t][c] = bias[c] + Σ_tap weight[tap][c] · x[t + (tap − (taps − 1)/2) · dilation][c]`, rows outside of t's sequence as zeros; y and x
    /// `[rows, channels]`, weight `[taps, channels]`, bias `[channels]` or null, `offsets` as in `conv1d`. Items: elements of y; a thread takes four.
    fn depthwise_conv1d(
        y: *mut f32, x: *const f32, weight: *const f32, bias: *const f32, offsets: *const u32, sequences: u32, len: u32, rows: u32, channels: u32,
        taps: u32, dilation: u32,
    ) for [THREADS, 0, COVERS] {
        let sequences = Sequences { offsets, count: sequences, len, rows };
        let (first, n) = (block_idx_x() * COVERS[0] + thread_idx_x() * 4, rows * channels);
        for i in first..n.min(first + 4) {
            let (row, channel) = (i / channels, i % channels);
            let [_, start, end] = sequences.of(row);
            let mut sum = if bias.is_null() { 0.0 } else { *bias.add(channel as usize) };
            for tap in 0..taps {
                let source = row as i32 + (tap as i32 - (taps / 2) as i32) * dilation as i32;
                if source >= start as i32 && source < end as i32 {
                    sum += *weight.add((tap * channels + channel) as usize) * *x.add(source as usize * channels as usize + channel as usize);
                }
            }
            *y.add(i as usize) = sum;
        }
    }
}
