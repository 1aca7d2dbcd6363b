use half::f16;
use primal_device::grid::{FINE15, GRIDS, INT4, NF4, PRIME13, PRIME15, UINT4, UNIFORM15, pack_row};
use primal_device::philox::{RandomStream, uniform};

use super::*;
use crate::backend::cpu::Cpu;
use crate::backend::{Backend, GridWeight, Storage, Weight};
use crate::memory::{Kind, Plan};
use crate::ops::Linear;

fn random(seed: u64, len: usize) -> Vec<f32> {
    let stream = RandomStream::new(seed, 0, 0);
    (0..len).map(|i| (stream.words(i as u32).map(uniform).iter().sum::<f32>() - 2.0) * 0.1).collect()
}

/// The weights as the forward pass has them, `[out, in]`: those of a product with the unit matrix.
fn values(codes: &[u8], scales: &Scales<Vec<f32>, Vec<f16>>, grid: &'static Grid, inputs: usize) -> Vec<f32> {
    let outputs = codes.len() / grid::row_bytes(inputs);
    let mut plan = Plan::default();
    let [x, y] = [inputs * inputs, inputs * outputs].map(|len| plan.span(Kind::Activation, "matrix", len));
    let code_span = plan.span(Kind::Parameter, "codes", codes.len());
    let mut half = |values: &Vec<f16>| plan.span(Kind::Parameter, "halves", values.len());
    let spans = match scales {
        Scales::Group32 { step } => Scales::Group32 { step: half(step) },
        Scales::Group32Offset { step, offset } => Scales::Group32Offset { step: half(step), offset: half(offset) },
        Scales::Row(scale) => Scales::Row(plan.span(Kind::Parameter, "scale", scale.len())),
    };
    let mut b = Cpu::new(&mut plan);
    b.upload(code_span, codes);
    match (spans, scales) {
        (Scales::Group32 { step: to }, Scales::Group32 { step }) => b.upload(to, step),
        (Scales::Group32Offset { step: to, offset: base }, Scales::Group32Offset { step, offset }) => {
            b.upload(to, step);
            b.upload(base, offset);
        }
        (Scales::Row(to), Scales::Row(scale)) => b.upload(to, scale),
        _ => unreachable!("spans of these scales"),
    }
    let unit: Vec<f32> = (0..inputs * inputs).map(|i| if i % (inputs + 1) == 0 { 1.0 } else { 0.0 }).collect();
    b.upload(x, &unit);
    let storage = Storage::Grid(GridWeight { grid, codes: code_span, scales: spans });
    b.run(Linear { y: y.into(), x: x.into(), weight: Weight { out_features: outputs, in_features: inputs, storage }, rows: inputs });
    let mut columns = vec![0.0; inputs * outputs];
    b.download(y, &mut columns);
    (0..outputs * inputs).map(|i| columns[i % inputs * outputs + i / inputs]).collect()
}

fn error(fitted: &Fitted, weights: &[f32], grid: &'static Grid, inputs: usize) -> f64 {
    let got = values(&fitted.codes, &fitted.scales, grid, inputs);
    let squares = got.iter().zip(weights).map(|(got, w)| f64::from(got - w).powi(2));
    (squares.sum::<f64>() / weights.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>()).sqrt()
}

/// Nibbles of a block as ggml has them: the low ones of sixteen bytes are the first sixteen weights, the high ones the others.
fn nibbles(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte & 15).chain(bytes.iter().map(|byte| byte >> 4)).collect()
}

#[test]
fn blocks_of_ggml_are_held_to_the_bit() {
    // Negative steps, subnormal ones, and zero are halves too.
    for (i, bits) in [0x2E66, 0xAE66, 0x0001, 0x83FF, 0x0000, 0x3C01, 0x7BFF].into_iter().enumerate() {
        let (d, m) = (f16::from_bits(bits), f16::from_bits([0xB0F3, 0x0002, 0x4100][i % 3]));
        let bytes: Vec<u8> = random(i as u64, 16).iter().map(|u| ((u + 0.2) * 640.0) as u8).collect();
        let quants = nibbles(&bytes);
        let mut codes = vec![0; 16];
        pack_row(&quants, &mut codes);
        let q4_0 = values(&codes, &Scales::Group32 { step: vec![d] }, &INT4, 32);
        let q4_1 = values(&codes, &Scales::Group32Offset { step: vec![d], offset: vec![m] }, &UINT4, 32);
        for (at, &q) in quants.iter().enumerate() {
            let expected = [d.to_f32() * (f32::from(q) - 8.0), d.to_f32() * f32::from(q) + m.to_f32()];
            // A product with the unit matrix adds zeros, which makes −0 a 0.
            assert_eq!(q4_0[at].to_bits(), (expected[0] + 0.0).to_bits(), "Q4_0 with step {d:?}, weight {at}: nibble {q}");
            assert_eq!(q4_1[at].to_bits(), (expected[1] + 0.0).to_bits(), "Q4_1 with step {d:?} and offset {m:?}, weight {at}: nibble {q}");
        }
    }
}

#[test]
fn weights_that_are_on_the_grid_are_found_again() {
    for (grid, form) in [(&INT4, ScaleForm::Group32), (&UNIFORM15, ScaleForm::Group32), (&UINT4, ScaleForm::Group32Offset)] {
        let steps = [0.013, 0.4, 0.0007].map(|step| f16::from_f32(step).to_f32());
        let offset = if form == ScaleForm::Group32Offset { f16::from_f32(-0.3).to_f32() } else { 0.0 };
        let weight = |i: usize| {
            let code = grid.min + (i * 7 % 32) as u8 % (grid.max - grid.min + 1);
            steps[i / 32] * grid.numerators()[usize::from(code)] + offset
        };
        let weights: Vec<f32> = (0..96).map(weight).collect();
        let fitted = fit(&weights, 96, grid, form);
        // What is on the grid has a line without error, but a sum with the offset is rounded once.
        let off = error(&fitted, &weights, grid, 96);
        assert!(off < 1e-6, "{}, {}: off by {off}", grid.name(), form.name());
    }
}

#[test]
fn groups_fit_better_than_rows_and_least_squares_better_than_the_largest_weight() {
    let (rows, inputs) = (24, 200);
    // Parts of a row differ in size.
    let weights: Vec<f32> = random(3, rows * inputs).iter().enumerate().map(|(i, w)| w * (1 + i / 40 % 4) as f32).collect();
    for grid in [&UNIFORM15, &INT4, &FINE15, &NF4] {
        let off = |form| error(&fit(&weights, inputs, grid, form), &weights, grid, inputs);
        let [row, group, offset] = ScaleForm::ALL.map(off);
        assert!(group < 0.8 * row && offset < group, "{}: {row} by rows, {group} by groups, {offset} with offsets", grid.name());
    }
    // ggml's rule for Q4_0: the step puts the largest magnitude at −8.
    let largest = |group: &[f32]| group.iter().fold(0.0f32, |a, &b| if b.abs() > a.abs() { b } else { a });
    let plain: f64 = weights
        .chunks(inputs)
        .flat_map(|row| row.chunks(32))
        .map(|group| {
            let d = f16::from_f32(largest(group) / -8.0).to_f32();
            group.iter().map(|&w| f64::from(d * ((w / d).round_ties_even().clamp(-8.0, 7.0)) - w).powi(2)).sum::<f64>()
        })
        .sum();
    let plain = (plain / weights.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>()).sqrt();
    let ours = error(&fit(&weights, inputs, &INT4, ScaleForm::Group32), &weights, &INT4, inputs);
    assert!(ours < 0.95 * plain, "least squares {ours}, the largest weight's step {plain}");
}

/// The best of many scales of halves, for each group.
fn best_of_many(weights: &[f32], grid: &Grid) -> f64 {
    let error_of = |group: &[f32], step: f32| {
        let value = |w: f32| step * grid.numerators()[usize::from(grid.nearest(w / (step * grid.steps())))];
        group.iter().map(|&w| f64::from(value(w) - w).powi(2)).sum::<f64>()
    };
    let best = |group: &[f32]| {
        let widest = group.iter().fold(0.0f32, |a, b| a.max(b.abs())) / grid.steps();
        let steps = (0..2000).map(|i| f16::from_f32((i as f32 - 1000.0) * widest / 700.0).to_f32());
        steps.filter(|&step| step != 0.0).map(|step| error_of(group, step)).fold(f64::INFINITY, f64::min)
    };
    weights.chunks(32).map(best).sum()
}

#[test]
fn no_scale_fits_better() {
    for grid in [&UNIFORM15, &INT4, &FINE15, &NF4] {
        let mut weights = random(11, 32 * 60);
        // Groups with a rarity, of one sign, and with many zeros.
        weights[..640].iter_mut().step_by(32).for_each(|w| *w *= 8.0);
        weights[640..960].iter_mut().for_each(|w| *w = w.abs());
        weights[960..1280].iter_mut().step_by(2).for_each(|w| *w = 0.0);
        let fitted = fit(&weights, weights.len(), grid, ScaleForm::Group32);
        let values = fitted.values(weights.len(), grid);
        let ours: f64 = values.iter().zip(&weights).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let theirs = best_of_many(&weights, grid);
        assert!(ours <= theirs * (1.0 + 1e-4), "{}: {ours}, the best of 2,000 scales {theirs}", grid.name());
    }
}

#[test]
fn remainders_lead_back_to_the_weights() {
    use primal_device::grid::VoteBits;
    use primal_device::rules::votes::VoteRule;

    let (rule, inputs) = (VoteRule::new(VoteBits::Eight, 1.0), 72);
    let weights = random(5, 8 * inputs);
    for (grid, form) in [
        (&INT4, ScaleForm::Group32),
        (&UNIFORM15, ScaleForm::Row),
        (&FINE15, ScaleForm::Group32),
        (&UINT4, ScaleForm::Group32Offset),
        (&NF4, ScaleForm::Group32),
    ] {
        let fitted = if form == ScaleForm::Row { fit_largest(&weights, inputs, grid) } else { fit(&weights, inputs, grid, form) };
        let (values, votes) = (fitted.values(inputs, grid), fitted.remainders(&weights, inputs, grid));
        let (mut rounded, mut led_back) = (0.0, 0.0);
        for (i, (&weight, &value)) in weights.iter().zip(&values).enumerate() {
            let (row, at) = (i / inputs, i % inputs);
            let code = grid::get(&fitted.codes[row * grid::row_bytes(inputs)..], at);
            let scale = match &fitted.scales {
                Scales::Row(scale) => scale[row],
                Scales::Group32 { step } | Scales::Group32Offset { step, .. } => {
                    step[row * grid::groups(inputs) + at / 32].to_f32() * grid.steps()
                }
            };
            let vote = votes[row * grid::padded(inputs) + at];
            let unit = scale * grid.gap(code, vote > 0) / rule.quantum;
            let again = value + f32::from(vote) * unit;
            let is_within = i32::from(vote).abs() < rule.threshold - 1;
            assert!(!is_within || (again - weight).abs() <= 0.501 * unit.abs() + 1e-6, "{} {i}: {again}, not {weight}", grid.name());
            // What rounds to a level is at most half a gap from it, but at a rail.
            assert!(
                [grid.min, grid.max].contains(&code) || f32::from(vote).abs() <= 0.5 * rule.quantum + 1.0,
                "{}: vote {vote}",
                grid.name()
            );
            rounded += f64::from(value - weight).powi(2);
            led_back += f64::from(again - weight).powi(2);
        }
        assert!(led_back < 5e-3 * rounded, "{}: {led_back} of {rounded} left", grid.name());
        assert!(votes.chunks(grid::padded(inputs)).all(|row| row[inputs..].iter().all(|&vote| vote == 0)));
    }
}

#[test]
fn groups_without_a_slope_are_kept() {
    for (value, form) in
        [(0.0, ScaleForm::Row), (0.0, ScaleForm::Group32), (0.0, ScaleForm::Group32Offset), (0.25, ScaleForm::Group32Offset)]
    {
        for grid in [&UNIFORM15, &UINT4, &NF4] {
            let weights = vec![value; 40];
            let fitted = fit(&weights, 40, grid, form);
            let got = values(&fitted.codes, &fitted.scales, grid, 40);
            assert!(got.iter().all(|got| *got == value), "{}, {}: {got:?}, expected {value}", grid.name(), form.name());
        }
    }
}

/// Weights that no half reaches come as near as halves do.
#[test]
fn large_weights_stay_large() {
    let mut weights = vec![1.0; 32];
    weights[7] = 1e6;
    let fitted = fit(&weights, 32, &INT4, ScaleForm::Group32);
    let got = values(&fitted.codes, &fitted.scales, &INT4, 32);
    assert!((0.4e6..=1e6).contains(&got[7]), "{}", got[7]);
    let fitted = fit(&[1e5; 32], 32, &UINT4, ScaleForm::Group32Offset);
    let got = values(&fitted.codes, &fitted.scales, &UINT4, 32);
    assert!(got.iter().all(|got| got.is_finite() && *got > 6e4), "{got:?}");
}

#[test]
fn steps_are_for_grids_of_small_numerators() {
    for &grid in GRIDS {
        let fits = ![&PRIME13, &PRIME15].contains(&grid);
        assert_eq!(ScaleForm::Group32.is_for(grid), fits, "{}", grid.name());
        assert!(ScaleForm::Row.is_for(grid));
    }
}
