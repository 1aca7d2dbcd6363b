use half::f16;
use primal_device::grid::{GRIDS, Grid, ScaleForm, groups, row_bytes};
use primal_device::philox::{RandomStream, uniform};

use super::super::{blocks, q8_0};
use super::{Codes, LARGEST, RowProduct, TINY, lut_gemv, scratch_len};
use crate::backend::Scales;
use crate::backend::cpu::quantized::Quantized;
use crate::files::Dtype;

/// A group's activations as integers of 8 bits, and their step.
fn rounded(x: &[f32]) -> (Vec<i32>, f32) {
    let largest = x.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    let inverse = if largest < TINY { 0.0 } else { 127.0 / largest };
    (x.iter().map(|x| (x * inverse).round_ties_even() as i32).collect(), largest / 127.0)
}

/// The sum of running sums: of halves, of their halves, and so on.
fn halved(mut sums: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        (0..half).for_each(|i| sums[i] += sums[i + half]);
    }
    sums[0]
}

/// The definition, one product at a time.
fn plain(x: &[f32], w: &Codes, inputs: usize) -> Vec<f32> {
    let largest = x.iter().fold(0.0f32, |a, b| if b.abs() > a || b.is_nan() { b.abs() } else { a });
    let (inverse, step) = if largest < TINY { (0.0, 0.0) } else { (LARGEST as f32 / largest, largest / LARGEST as f32) };
    let q: Vec<i64> = x.iter().map(|x| (x * inverse).round_ties_even() as i64).collect();
    let weight = |row: usize, i: usize| i64::from(w.grid().integers[usize::from(w.code(row, i))]);
    let of_row = |row: usize, scale: f32| {
        let factor = f64::from(step) / f64::from(w.grid().denominator().expect("a grid of integers"));
        let sum: i64 = (0..inputs).map(|i| weight(row, i) * q[i]).sum();
        (sum as f64 * factor * f64::from(scale)) as f32
    };
    let rounded: Vec<(Vec<i32>, f32)> = x.chunks(32).map(rounded).collect();
    let of_groups = |row: usize, steps: &[f16], offsets: Option<&[f16]>| {
        let mut sums = [0.0f32; 16];
        for (group, (q, step)) in rounded.iter().enumerate() {
            let (at, sum) = (row * inputs.div_ceil(32) + group, &mut sums[group % 16]);
            let product: i32 = q.iter().enumerate().map(|(i, q)| weight(row, 32 * group + i) as i32 * q).sum();
            *sum = (steps[at].to_f32() * product as f32).mul_add(*step, *sum);
            if let Some(offsets) = offsets {
                *sum = offsets[at].to_f32().mul_add(step * q.iter().sum::<i32>() as f32, *sum);
            }
        }
        halved(sums)
    };
    let rows = 0..w.codes.len() / w.row_bytes;
    rows.map(|row| match w.scaling.scales {
        Scales::Row(scale) => of_row(row, scale[row]),
        Scales::Group32 { step } => of_groups(row, step, None),
        Scales::Group32Offset { step, offset } => of_groups(row, step, Some(offset)),
    })
    .collect()
}

/// Every kernel against the definition, bit by bit.
fn check(what: &str, grid: &'static Grid, x: &[f32], codes: &[u8], scales: Scales<&[f32], &[f16]>) {
    let w = Codes::new(codes, scales, grid, x.len());
    let expected = plain(x, &w, x.len());
    for product in RowProduct::all() {
        let mut y = vec![f32::from_bits(0x1234_5678); expected.len()];
        let mut scratch = vec![f32::NAN; scratch_len(x.len())];
        lut_gemv(&mut y, x, &w, product, &mut scratch);
        let outputs = expected.len();
        for (row, (y, expected)) in y.iter().zip(&expected).enumerate() {
            let case = format!("{what}, {}, {}, {}, [{}, {}]", product.name, grid.name(), scales.form().name(), outputs, x.len());
            assert_eq!(y.to_bits(), expected.to_bits(), "{case}: row {row}: got {y:e}, expected {expected:e}");
        }
    }
}

/// The grids of integers that groups can be on.
fn of_groups() -> impl Iterator<Item = &'static Grid> {
    of_integers().filter(|grid| ScaleForm::Group32.is_for(grid))
}

/// A zero nowhere, and the lowest integer that there can be.
static LOWEST: Grid = Grid::fractions("lowest", &[i16::MIN, -5, 7, 20_000], 20_000);

fn of_integers() -> impl Iterator<Item = &'static Grid> {
    GRIDS.iter().copied().chain([&LOWEST]).filter(|grid| grid.denominator().is_some())
}

fn random(seed: u64, len: usize) -> Vec<f32> {
    let stream = RandomStream::new(seed, 0, 0);
    (0..len).map(|i| uniform(stream.words(i as u32)[0])).collect()
}

#[test]
fn all_kernels_give_the_bits_of_the_definition() {
    let shapes = [[1, 1], [3, 31], [4, 32], [5, 33], [7, 63], [8, 64], [9, 65], [2, 127], [6, 129], [13, 200], [4, 1000], [3, 4097]];
    for (seed, [outputs, inputs]) in shapes.into_iter().enumerate() {
        for grid in of_integers() {
            // Bytes of all values: nibbles that are no level count as 0, those of the padding for nothing.
            let codes: Vec<u8> = random(seed as u64, outputs * row_bytes(inputs)).iter().map(|u| (u * 256.0) as u8).collect();
            let x: Vec<f32> = random(100 + seed as u64, inputs).iter().map(|u| (u - 0.5).powi(3)).collect();
            check("random", grid, &x, &codes, Scales::Row(&random(200 + seed as u64, outputs)));
            if ScaleForm::Group32.is_for(grid) {
                let halves = |seed| random(seed, outputs * groups(inputs)).iter().map(|u| f16::from_f32(u - 0.3)).collect::<Vec<_>>();
                let (step, offset) = (&halves(300 + seed as u64)[..], &halves(400 + seed as u64)[..]);
                check("random", grid, &x, &codes, Scales::Group32 { step });
                check("random", grid, &x, &codes, Scales::Group32Offset { step, offset });
            }
        }
    }
}

#[test]
fn the_largest_sums_do_not_overflow() {
    let inputs = 65536;
    for grid in of_integers() {
        let rows: Vec<u8> = [grid.max, grid.min].iter().flat_map(|&code| vec![code << 4 | code; row_bytes(inputs)]).collect();
        check("all at the rails", grid, &vec![3.0; inputs], &rows, Scales::Row(&[1.0, 1.0]));
        let alternating: Vec<f32> = (0..inputs).map(|i| if i % 2 == 0 { -7.0 } else { 7.0 }).collect();
        let pairs: Vec<u8> =
            [grid.max << 4 | grid.min, grid.min << 4 | grid.max].iter().flat_map(|&b| vec![b; row_bytes(inputs)]).collect();
        check("alternating", grid, &alternating, &pairs, Scales::Row(&[1.0, 1.0]));
    }
    let ones = &vec![f16::ONE; 2 * groups(inputs)][..];
    for grid in of_groups() {
        let rows: Vec<u8> = [grid.max, grid.min].iter().flat_map(|&code| vec![code << 4 | code; row_bytes(inputs)]).collect();
        check("all at the rails", grid, &vec![3.0; inputs], &rows, Scales::Group32Offset { step: ones, offset: ones });
    }
}

#[test]
fn extreme_activations() {
    let codes: Vec<u8> = random(1, 4 * row_bytes(100)).iter().map(|u| (u * 256.0) as u8).collect();
    for grid in of_integers() {
        for size in [0.0, f32::MIN_POSITIVE / 8.0, TINY, f32::MAX] {
            let x: Vec<f32> = random(2, 100).iter().map(|u| (2.0 * u - 1.0) * size).collect();
            check(&format!("size {size:e}"), grid, &x, &codes, Scales::Row(&[1.0; 4]));
        }
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = random(3, 100);
            x[17] = bad;
            let halves = [f16::ONE; 16];
            let of_groups = ScaleForm::Group32.is_for(grid).then_some(Scales::Group32 { step: &halves[..] });
            for (scales, product) in [Some(Scales::Row(&[1.0; 4][..])), of_groups]
                .into_iter()
                .flatten()
                .flat_map(|s| RowProduct::all().into_iter().map(move |p| (s, p)))
            {
                let mut y = [0.0; 4];
                lut_gemv(&mut y, &x, &Codes::new(&codes, scales, grid, 100), product, &mut vec![0.0; scratch_len(100)]);
                assert!(y.iter().all(|y| y.is_nan()), "{bad} in, {y:?} out, {}", product.name);
            }
        }
    }
}

#[test]
fn the_error_is_at_most_half_a_step_in_each_activation() {
    let (outputs, inputs) = (64, 300);
    for grid in of_integers() {
        let codes: Vec<u8> = random(4, outputs * inputs).iter().map(|u| (grid.min as f32 + u * 13.0) as u8).collect();
        let mut packed = vec![0; outputs * row_bytes(inputs)];
        for (row, packed) in codes.chunks(inputs).zip(packed.chunks_mut(row_bytes(inputs))) {
            primal_device::grid::pack_row(row, packed);
        }
        let x: Vec<f32> = random(5, inputs).iter().map(|u| u - 0.3).collect();
        let half_step = f64::from(x.iter().fold(0.0f32, |a, b| a.max(b.abs()))) / f64::from(2 * LARGEST);
        let mut y = vec![0.0; outputs];
        lut_gemv(
            &mut y,
            &x,
            &Codes::new(&packed, Scales::Row(&vec![1.0; outputs]), grid, inputs),
            RowProduct::best(),
            &mut vec![0.0; scratch_len(inputs)],
        );
        for (i, (y, codes)) in y.iter().zip(codes.chunks(inputs)).enumerate() {
            let levels = codes.iter().map(|&code| f64::from(grid.level(code)));
            let (exact, size) =
                levels.zip(&x).fold((0.0, 0.0), |(sum, size), (level, &x)| (sum + level * f64::from(x), size + level.abs()));
            // Levels and the result are rounded to f32.
            let allowed = size * half_step * (1.0 + 1e-3) + 1e-6 * exact.abs();
            assert!((f64::from(*y) - exact).abs() <= allowed, "{} row {i}: got {y}, expected {exact}, tolerance {allowed}", grid.name());
        }
    }
}

/// Steps of any sign, and integers of all bytes, −128 among them.
#[test]
fn all_kernels_give_the_bits_of_the_definition_of_q8_0() {
    for (seed, [outputs, inputs]) in [[1, 32], [5, 96], [7, 576], [3, 4096]].into_iter().enumerate() {
        let mut bytes: Vec<u8> = random(seed as u64, outputs * inputs / 32 * 34).iter().map(|u| (u * 256.0) as u8).collect();
        for (block, u) in bytes.chunks_exact_mut(34).zip(random(50, outputs * inputs / 32)) {
            block[..2].copy_from_slice(&f16::from_f32(u - 0.3).to_le_bytes());
            block[2] = 128;
        }
        let mut x: Vec<f32> = random(100 + seed as u64, inputs).iter().map(|u| (u - 0.5).powi(3)).collect();
        x[..2].copy_from_slice(&[-1.0, 1.0]);
        let of_row = |row: &[u8]| {
            let mut sums = [0.0f32; 16];
            for (i, (block, x)) in row.chunks_exact(34).zip(x.chunks(32)).enumerate() {
                let (q, step) = rounded(x);
                let step = f16::from_le_bytes([block[0], block[1]]).to_f32() * step;
                for (quad, (w, q)) in block[2..].chunks(4).zip(q.chunks(4)).enumerate() {
                    let product: i32 = w.iter().zip(q).map(|(&w, q)| i32::from(w as i8) * q).sum();
                    let sum = &mut sums[i % 2 * 8 + quad];
                    *sum = (product as f32).mul_add(step, *sum);
                }
            }
            halved(sums)
        };
        let expected: Vec<f32> = bytes.chunks(inputs / 32 * 34).map(of_row).collect();
        for product in RowProduct::all() {
            let mut y = vec![f32::NAN; outputs];
            let w = Quantized::new(&bytes, Dtype::Q8_0, inputs);
            blocks::lut_gemv(&mut y, &x, &w, product, &mut vec![f32::NAN; q8_0::scratch_len(inputs)]);
            for (row, (y, expected)) in y.iter().zip(&expected).enumerate() {
                let case = format!("{}, [{outputs}, {inputs}], row {row}", product.name);
                assert_eq!(y.to_bits(), expected.to_bits(), "{case}: got {y:e}, expected {expected:e}");
            }
        }
    }
}
