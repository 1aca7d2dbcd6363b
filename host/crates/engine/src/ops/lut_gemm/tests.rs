//! All kernels of this processor against the definition, bit by bit.

use half::f16;
use primal_device::grid::{self, GRIDS, GROUP, Grid, ScaleForm};
use primal_device::philox::{RandomStream, uniform};

use super::cpu::lut_gemm;
use super::kernels::Kernel;
use crate::backend::Scales;
use crate::backend::cpu::activations::Values;
use crate::backend::cpu::scratch::PER_THREAD;
use crate::backend::cpu::unpack::Codes;

/// Values between −1 and 1.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let stream = RandomStream::new(seed, 0, 0);
    (0..count).map(|i| 2.0 * uniform(stream.words(i as u32)[0]) - 1.0).collect()
}

/// A row's product with each row of the weight.
fn plain(x: &[f32], w: &Codes) -> Vec<f32> {
    let mut groups: Vec<(Vec<i32>, f32)> = Vec::new();
    for x in x.chunks(GROUP) {
        let largest = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        groups.push((x.iter().map(|x| (x * (127.0 / largest)).round_ties_even() as i32).collect(), largest / 127.0));
    }
    let of_row = |row: usize| {
        let mut y = 0.0f32;
        for (group, (q, step)) in groups.iter().enumerate() {
            let integer = |i: usize| i32::from(w.grid().integers[usize::from(w.code(row, group * GROUP + i))]);
            let product: i32 = q.iter().enumerate().map(|(i, q)| integer(i) * q).sum();
            let at = row * groups.len() + group;
            let (factor, offset) = match w.scaling.scales {
                Scales::Row(scale) => (scale[row] / w.grid().denominator().expect("a denominator") as f32, None),
                Scales::Group32 { step } => (step[at].to_f32(), None),
                Scales::Group32Offset { step, offset } => (step[at].to_f32(), Some(offset[at].to_f32())),
            };
            y = (product as f32 * factor).mul_add(*step, y);
            if let Some(offset) = offset {
                y = offset.mul_add(step * q.iter().sum::<i32>() as f32, y);
            }
        }
        y
    };
    (0..w.codes.len() / w.row_bytes).map(of_row).collect()
}

/// `[rows, outputs, inputs]`: one of each; ragged in each way; more than a panel, and a block, of each.
const SHAPES: [[usize; 3]; 4] = [[1, 1, 1], [7, 33, 65], [13, 40, 1100], [260, 10, 100]];

fn check(grid: &'static Grid, form: ScaleForm, [rows, outputs, inputs]: [usize; 3]) {
    let x = values(rows * inputs, 1);
    let mut codes = vec![0; outputs * grid::row_bytes(inputs)];
    let levels = f32::from(grid.max - grid.min + 1);
    for (row, packed) in codes.chunks_mut(grid::row_bytes(inputs)).enumerate() {
        let of_row = values(inputs, 10 + row as u64);
        let of_row: Vec<u8> = of_row.iter().map(|x| grid.min + ((0.5 * x + 0.5) * levels) as u8).map(|code| code.min(grid.max)).collect();
        grid::pack_row(&of_row, packed);
    }
    let groups = outputs * grid::groups(inputs);
    let halves = |seed| values(groups, seed).into_iter().map(f16::from_f32).collect::<Vec<_>>();
    let (scale, step, offset) = (values(outputs, 2), halves(3), halves(4));
    let scales = match form {
        ScaleForm::Row => Scales::Row(&scale[..]),
        ScaleForm::Group32 => Scales::Group32 { step: &step[..] },
        ScaleForm::Group32Offset => Scales::Group32Offset { step: &step[..], offset: &offset[..] },
    };
    let w = Codes::new(&codes, scales, grid, inputs);
    let fits = grid.denominator().is_some() && grid.largest_integer() < 100;
    let expected: Vec<f32> = if fits { x.chunks(inputs).flat_map(|x| plain(x, &w)).collect() } else { Vec::new() };
    for kernel in Kernel::all() {
        let case = format!("{}, {}, {}, {rows} × {outputs} × {inputs}", kernel.name, grid.name(), form.name());
        let (mut y, mut scratch) = (vec![7.0f32; rows * outputs], vec![f32::NAN; PER_THREAD]);
        assert_eq!(lut_gemm(&mut y, rows, Values::F32(&x), &w, &kernel, &mut scratch), fits, "{case}");
        for (i, (y, expected)) in y.iter().zip(&expected).enumerate() {
            assert_eq!(y.to_bits(), expected.to_bits(), "{case}: [{i}]: got {y:e}, expected {expected:e}");
        }
    }
}

#[test]
fn all_kernels_give_the_bits_of_the_definition() {
    // One thread, for whose scratch there is room.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(|| {
        for &grid in GRIDS {
            for form in ScaleForm::ALL.into_iter().filter(|form| form.is_for(grid)) {
                SHAPES.into_iter().for_each(|shape| check(grid, form, shape));
            }
        }
    });
}
