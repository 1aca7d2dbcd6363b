//! The three products of a linear layer on tensor cores: see `common::half_gemm` for tiles and what is lost.
//!
//! 128 threads, 36,928 bytes of shared memory. Items: columns of the result in x, rows in y. Operands and the beginning `f16_` of a name are as in
//! [`linear`](super::linear); `grid` is one that fits halves where rows have the scales. `…_largest` points to the bits of a tensor's largest absolute
//! value, as the kernel `largest` finds it; that of an offset is null with it.
//!
//! `parts` is 1, or k is divided among so many blocks: then the result is `[parts, rows, columns]`, which `add_parts` adds up, `accumulate` is 0, and items
//! in y are `parts` times the rows, rounded up to whole tiles.

use super::sizes::elementwise;
use super::sizes::half_tiles::SHARED;
use super::sizes::tiles::{COVERS, THREADS};
use crate::grid::Grid;
use crate::launch::{kernels, on_gpu};

on_gpu! {
    use super::common::gemm::{AcrossK, AlongK, CodesAcrossK, CodesAlongK, tile};
    use super::common::half_gemm::{Halves, Output, Part, Power, ScaledAlongK, half_gemm};
    use super::common::scaling::{GroupScales, Levels, Scaling};
    use super::common::values::{Element, Values, ValuesMut};
    use crate::gpu::thread::{block_idx_x, thread_idx_x};
    use crate::grid::row_bytes;

    /// The value of these bits.
    #[inline(always)]
    unsafe fn value(bits: *const u32) -> f32 {
        f32::from_bits(*bits)
    }

    /// The power of a tensor.
    #[inline(always)]
    unsafe fn power(largest: *const u32) -> Power {
        Power::of(value(largest))
    }

    /// The power of weights on a grid, from the largest of their steps and offsets; a grid's own largest is its lowest or its highest level.
    #[inline(always)]
    unsafe fn power_of_groups(grid: *const Grid, step_largest: *const u32, offset_largest: *const u32) -> Power {
        let [lowest, highest] = (*grid).range();
        let offset = if offset_largest.is_null() { 0.0 } else { value(offset_largest) };
        Power::of(value(step_largest) * (*grid).steps() * lowest.abs().max(highest.abs()) + offset)
    }

    /// `y = x · Wᵀ`; `scale` multiplies the sums, or is null.
    #[inline(always)]
    unsafe fn forward<T: Element, S: Scaling>(
        y: ValuesMut, x: *const T, codes: *const u8, scaling: S, powers: [Power; 2], scale: *const f32, grid: *const Grid,
        [rows, outputs, inputs, stride]: [u32; 4],
    ) where CodesAlongK<S, true>: Halves {
        let (row, column) = tile();
        let a = AlongK::<4, T, true>::new(x, row, rows, inputs);
        let b = CodesAlongK::<S, true> { codes, scaling, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        let output = Output { c: y, rows, columns: outputs, stride, accumulate: false, column_scale: scale };
        half_gemm(output, a, b, powers, Part::whole(inputs), Some(&*grid));
    }

    /// C without scales, its rows one after another; parts of it follow each other.
    unsafe fn plain(c: *mut f32, part: Part, rows: u32, columns: u32, accumulate: u32) -> Output {
        let c = c.add(part.index as usize * rows as usize * columns as usize);
        Output { c: c.into(), rows, columns, stride: columns, accumulate: accumulate == 1, column_scale: core::ptr::null() }
    }

    /// `dw = dyᵀ · x`.
    #[inline(always)]
    unsafe fn backward_weight<T: Element>(
        dw: *mut f32, dy: *const f32, x: *const T, powers: [Power; 2], [rows, outputs, inputs, stride]: [u32; 4], accumulate: u32, parts: u32,
    ) {
        let ((_, column), part) = (tile(), Part::of(parts, outputs, rows));
        let (a, b) = (AcrossK::<4>::strided(dy, part.row, outputs, rows, stride), AcrossK::<2, T>::new(x, column, inputs, rows));
        half_gemm(plain(dw, part, outputs, inputs, accumulate), a, b, powers, part, None);
    }
}

kernels! {
    optional

    /// `y = x · Wᵀ`; y `[rows, stride]`, x `[rows, inputs]`, scale `[outputs]`.
    fn linear_grid_half(
        y: *mut u8, y_halves: u32, x: *const u8, x_largest: *const u32, codes: *const u8, scale: *const f32, grid: *const Grid, rows: u32,
        outputs: u32, inputs: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let y = ValuesMut::of(y, y_halves, 0);
        forward(y, x.cast::<f32>(), codes, Levels, [power(x_largest); 2], scale, grid, [rows, outputs, inputs, stride]);
    }

    /// `linear_grid_half` of halves.
    fn f16_linear_grid_half(
        y: *mut u8, y_halves: u32, x: *const u8, x_largest: *const u32, codes: *const u8, scale: *const f32, grid: *const Grid, rows: u32,
        outputs: u32, inputs: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let y = ValuesMut::of(y, y_halves, 0);
        forward(y, x.cast::<u16>(), codes, Levels, [power(x_largest); 2], scale, grid, [rows, outputs, inputs, stride]);
    }

    /// `linear_grid_half` where groups have scales.
    fn linear_groups_half(
        y: *mut u8, y_halves: u32, x: *const u8, x_largest: *const u32, codes: *const u8, step: *const u16, step_largest: *const u32,
        offset: *const u16, offset_largest: *const u32, grid: *const Grid, rows: u32, outputs: u32, inputs: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (y, scaling) = (ValuesMut::of(y, y_halves, 0), GroupScales::new(step, offset, inputs));
        let powers = [power(x_largest), power_of_groups(grid, step_largest, offset_largest)];
        forward(y, x.cast::<f32>(), codes, scaling, powers, core::ptr::null(), grid, [rows, outputs, inputs, stride]);
    }

    /// `linear_groups_half` of halves.
    fn f16_linear_groups_half(
        y: *mut u8, y_halves: u32, x: *const u8, x_largest: *const u32, codes: *const u8, step: *const u16, step_largest: *const u32,
        offset: *const u16, offset_largest: *const u32, grid: *const Grid, rows: u32, outputs: u32, inputs: u32, stride: u32,
    ) for [THREADS, SHARED, COVERS] {
        let (y, scaling) = (ValuesMut::of(y, y_halves, 0), GroupScales::new(step, offset, inputs));
        let powers = [power(x_largest), power_of_groups(grid, step_largest, offset_largest)];
        forward(y, x.cast::<u16>(), codes, scaling, powers, core::ptr::null(), grid, [rows, outputs, inputs, stride]);
    }

    /// `dx = dy · W`, or `dx += …` if `accumulate` is 1; dx `[rows, inputs]`, dy `[rows, stride]`, scale `[outputs]`.
    fn linear_backward_input_grid_half(
        dx: *mut f32, dy: *const f32, dy_largest: *const u32, codes: *const u8, scale: *const f32, scale_largest: *const u32, grid: *const Grid,
        rows: u32, outputs: u32, inputs: u32, stride: u32, accumulate: u32, parts: u32,
    ) for [THREADS, SHARED, COVERS] {
        let ((_, column), part) = (tile(), Part::of(parts, rows, outputs));
        let a = ScaledAlongK { matrix: AlongK::strided(dy, part.row, rows, outputs, stride), scale, depth: outputs };
        let b = CodesAcrossK { codes, scaling: Levels, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        // The operand is dy · scale, and at most the product of their largest.
        let powers = [Power::of(value(dy_largest) * value(scale_largest)); 2];
        half_gemm(plain(dx, part, rows, inputs, accumulate), a, b, powers, part, Some(&*grid));
    }

    /// `linear_backward_input_grid_half` where groups have scales.
    fn linear_backward_input_groups_half(
        dx: *mut f32, dy: *const f32, dy_largest: *const u32, codes: *const u8, step: *const u16, step_largest: *const u32, offset: *const u16,
        offset_largest: *const u32, grid: *const Grid, rows: u32, outputs: u32, inputs: u32, stride: u32, accumulate: u32, parts: u32,
    ) for [THREADS, SHARED, COVERS] {
        let ((_, column), part) = (tile(), Part::of(parts, rows, outputs));
        let a = AlongK::<4, f32, true>::strided(dy, part.row, rows, outputs, stride);
        let scaling = GroupScales::new(step, offset, inputs);
        let b = CodesAcrossK { codes, scaling, row_bytes: row_bytes(inputs as usize), first: column, outputs };
        let powers = [power(dy_largest), power_of_groups(grid, step_largest, offset_largest)];
        half_gemm(plain(dx, part, rows, inputs, accumulate), a, b, powers, part, Some(&*grid));
    }

    /// `dw = dyᵀ · x`, or `dw += …` if `accumulate` is 1; dw `[outputs, inputs]`, dy `[rows, stride]`, x `[rows, inputs]`.
    fn linear_backward_weight_half(
        dw: *mut f32, dy: *const f32, dy_largest: *const u32, x: *const u8, x_largest: *const u32, rows: u32, outputs: u32, inputs: u32,
        stride: u32, accumulate: u32, parts: u32,
    ) for [THREADS, SHARED, COVERS] {
        backward_weight(dw, dy, x.cast::<f32>(), [power(dy_largest), power(x_largest)], [rows, outputs, inputs, stride], accumulate, parts);
    }

    /// `linear_backward_weight_half` of halves.
    fn f16_linear_backward_weight_half(
        dw: *mut f32, dy: *const f32, dy_largest: *const u32, x: *const u8, x_largest: *const u32, rows: u32, outputs: u32, inputs: u32,
        stride: u32, accumulate: u32, parts: u32,
    ) for [THREADS, SHARED, COVERS] {
        backward_weight(dw, dy, x.cast::<u16>(), [power(dy_largest), power(x_largest)], [rows, outputs, inputs, stride], accumulate, parts);
    }

    /// `c = parts[0] + parts[1] + …`, or `c += …` if `accumulate` is 1; c `[n]`, parts `[count, n]`. A thread takes four elements.
    fn add_parts(c: *mut f32, parts: *const f32, count: u32, accumulate: u32, n: u32) for [elementwise::THREADS, 0, elementwise::COVERS] {
        let (first, n) = (block_idx_x() as usize * elementwise::COVERS[0] as usize + thread_idx_x() as usize * 4, n as usize);
        let (c, parts) = (ValuesMut::from(c), Values::from(parts));
        if c.aligned() && parts.aligned() && n.is_multiple_of(4) && first < n {
            let mut sums = if accumulate == 1 { c.values().load::<4>(first) } else { [0.0; 4] };
            for part in 0..count as usize {
                let values = parts.load::<4>(part * n + first);
                sums = core::array::from_fn(|i| sums[i] + values[i]);
            }
            c.store::<4>(first, sums);
        } else {
            for i in first..n.min(first + 4) {
                let start = if accumulate == 1 { c.values().get(i) } else { 0.0 };
                c.set(i, (0..count as usize).fold(start, |sum, part| sum + parts.get(part * n + i)));
            }
        }
    }
}
