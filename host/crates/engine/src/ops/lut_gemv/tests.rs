use primal_device::grid::{GridId, row_bytes};
use primal_device::philox::{RandomStream, uniform};

use super::{Codes, LARGEST, RowProduct, TINY, lut_gemv};

/// The definition, one product at a time.
fn plain(x: &[f32], w: &Codes, inputs: usize) -> Vec<f32> {
    let largest = x.iter().fold(0.0f32, |a, b| if b.abs() > a || b.is_nan() { b.abs() } else { a });
    let (inverse, step) = if largest < TINY { (0.0, 0.0) } else { (LARGEST as f32 / largest, largest / LARGEST as f32) };
    let factor = f64::from(step) / f64::from(w.grid.denominator);
    let row = |(codes, &scale): (&[u8], &f32)| {
        let weight = |i: usize| i64::from(w.grid.integers[usize::from(primal_device::grid::get(codes, i))]);
        let sum: i64 = (0..inputs).map(|i| weight(i) * (x[i] * inverse).round_ties_even() as i64).sum();
        (sum as f64 * factor * f64::from(scale)) as f32
    };
    w.codes.chunks_exact(w.row_bytes).zip(w.scale).map(row).collect()
}

/// Every row product against the definition, bit by bit.
fn check(what: &str, id: GridId, x: &[f32], codes: &[u8], scale: &[f32]) {
    let w = Codes::new(codes, scale, id.grid(), x.len());
    let expected = plain(x, &w, x.len());
    for product in RowProduct::all() {
        let mut y = vec![f32::from_bits(0x1234_5678); scale.len()];
        let mut scratch = vec![f32::NAN; x.len() / 2 + 64];
        lut_gemv(&mut y, x, &w, product, &mut scratch);
        for (row, (y, expected)) in y.iter().zip(&expected).enumerate() {
            let case = format!("{what}, {}, {}, [{}, {}]", product.name, id.name(), scale.len(), x.len());
            assert_eq!(y.to_bits(), expected.to_bits(), "{case}: row {row}: got {y:e}, expected {expected:e}");
        }
    }
}

fn random(seed: u64, len: usize) -> Vec<f32> {
    let stream = RandomStream::new(seed, 0, 0);
    (0..len).map(|i| uniform(stream.words(i as u32)[0])).collect()
}

#[test]
fn all_kernels_give_the_bits_of_the_definition() {
    let shapes = [[1, 1], [3, 31], [4, 32], [5, 33], [7, 63], [8, 64], [9, 65], [2, 127], [6, 129], [13, 200], [4, 1000], [3, 4097]];
    for (seed, [outputs, inputs]) in shapes.into_iter().enumerate() {
        for id in GridId::ALL {
            // Bytes of all values: nibbles that are no level count as 0, in the padding too.
            let codes: Vec<u8> = random(seed as u64, outputs * row_bytes(inputs)).iter().map(|u| (u * 256.0) as u8).collect();
            let x: Vec<f32> = random(100 + seed as u64, inputs).iter().map(|u| (u - 0.5).powi(3)).collect();
            check("random", id, &x, &codes, &random(200 + seed as u64, outputs));
        }
    }
}

#[test]
fn the_largest_sums_do_not_overflow() {
    let inputs = 65536;
    for id in GridId::ALL {
        let grid = id.grid();
        let rows: Vec<u8> = [grid.max, grid.min].iter().flat_map(|&code| vec![code << 4 | code; row_bytes(inputs)]).collect();
        check("all at the rails", id, &vec![3.0; inputs], &rows, &[1.0, 1.0]);
        let alternating: Vec<f32> = (0..inputs).map(|i| if i % 2 == 0 { -7.0 } else { 7.0 }).collect();
        let pairs: Vec<u8> =
            [grid.max << 4 | grid.min, grid.min << 4 | grid.max].iter().flat_map(|&b| vec![b; row_bytes(inputs)]).collect();
        check("alternating", id, &alternating, &pairs, &[1.0, 1.0]);
    }
}

#[test]
fn extreme_activations() {
    let codes: Vec<u8> = random(1, 4 * row_bytes(100)).iter().map(|u| (u * 256.0) as u8).collect();
    for id in GridId::ALL {
        for size in [0.0, f32::MIN_POSITIVE / 8.0, TINY, f32::MAX] {
            let x: Vec<f32> = random(2, 100).iter().map(|u| (2.0 * u - 1.0) * size).collect();
            check(&format!("size {size:e}"), id, &x, &codes, &[1.0; 4]);
        }
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = random(3, 100);
            x[17] = bad;
            let w = Codes::new(&codes, &[1.0; 4], id.grid(), 100);
            for product in RowProduct::all() {
                let mut y = [0.0; 4];
                lut_gemv(&mut y, &x, &w, product, &mut [0.0; 128]);
                assert!(y.iter().all(|y| y.is_nan()), "{bad} in, {y:?} out, {}", product.name);
            }
        }
    }
}

#[test]
fn the_error_is_at_most_half_a_step_in_each_activation() {
    let (outputs, inputs) = (64, 300);
    for id in GridId::ALL {
        let grid = id.grid();
        let codes: Vec<u8> = random(4, outputs * inputs).iter().map(|u| (grid.min as f32 + u * 13.0) as u8).collect();
        let mut packed = vec![0; outputs * row_bytes(inputs)];
        for (row, packed) in codes.chunks(inputs).zip(packed.chunks_mut(row_bytes(inputs))) {
            primal_device::grid::pack_row(row, packed);
        }
        let x: Vec<f32> = random(5, inputs).iter().map(|u| u - 0.3).collect();
        let half_step = f64::from(x.iter().fold(0.0f32, |a, b| a.max(b.abs()))) / f64::from(2 * LARGEST);
        let mut y = vec![0.0; outputs];
        lut_gemv(&mut y, &x, &Codes::new(&packed, &vec![1.0; outputs], grid, inputs), RowProduct::best(), &mut [0.0; 256]);
        for (i, (y, codes)) in y.iter().zip(codes.chunks(inputs)).enumerate() {
            let levels = codes.iter().map(|&code| f64::from(grid.level(code)));
            let (exact, size) =
                levels.zip(&x).fold((0.0, 0.0), |(sum, size), (level, &x)| (sum + level * f64::from(x), size + level.abs()));
            // Levels and the result are rounded to f32.
            let allowed = size * half_step * (1.0 + 1e-3) + 1e-6 * exact.abs();
            assert!((f64::from(*y) - exact).abs() <= allowed, "{} row {i}: got {y}, expected {exact}, tolerance {allowed}", id.name());
        }
    }
}
