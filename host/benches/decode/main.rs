//! `cargo xtask bench decode`: products of a matrix and a vector from codes beside those of ggml's 4-bit formats, on one core with cold weights,
//! and the speed of whole models.
//!
//! All kernels take turns in one run, each with its own quantisation of the activations, on copies of the matrix that together are several times
//! the last-level cache.

#[path = "../memory/bandwidth.rs"]
mod bandwidth;
mod ggml;
#[path = "../ggml/library.rs"]
mod library;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use bandwidth::bandwidth;
use ggml::{Format, Matrix};
use half::f16;
use library::Ggml;
use primal_device::grid::{self, GRIDS, Grid, ScaleForm};
use primal_device::philox::{RandomStream, uniform};
use primal_engine::backend::Scales;
use primal_engine::backend::cpu::Cpu;
use primal_engine::backend::cpu::unpack::Codes;
use primal_engine::config::Config;
use primal_engine::memory::{Act, Plan};
use primal_engine::models::causal::{CausalLayers, Decoder};
use primal_engine::models::sample::Sampling;
use primal_engine::models::text::DecoderShape;
use primal_engine::nn::Parameters;
use primal_engine::ops::lut_gemv::cpu::{RowProduct, lut_gemv, scratch_len};
use primal_host::configurations::Load;
use primal_host::data::{TextCodec, generate};

/// `[outputs, inputs]`.
const SHAPES: [[usize; 2]; 3] = [[4096, 4096], [3072, 768], [4096, 11008]];
/// Bytes of codes over all copies of a matrix.
const COLD_BYTES: usize = 192 << 20;
/// Products of each kernel.
const ROUNDS: usize = 201;

/// A kernel by name, the bytes of a matrix, and a call of it on the copy of that number.
type Contender<'a> = (String, usize, Box<dyn FnMut(usize, &mut [f32]) + 'a>);

/// Values with mean 0 and variance 1, within ±3.5; a sum of four uniform ones.
fn normal(len: usize, seed: u64) -> Vec<f32> {
    let stream = RandomStream::new(seed, 0, 0);
    (0..len).map(|i| (stream.words(i as u32).map(uniform).iter().sum::<f32>() - 2.0) * 3f32.sqrt()).collect()
}

/// Codes of prime13, which are levels of every grid.
fn pack(weights: &[f32], inputs: usize) -> Vec<u8> {
    let codes: Vec<u8> = weights.iter().map(|&w| grid::PRIME13.nearest(w / 2.8)).collect();
    let mut packed = vec![0u8; weights.len() / inputs * grid::row_bytes(inputs)];
    for (row, packed) in codes.chunks(inputs).zip(packed.chunks_mut(grid::row_bytes(inputs))) {
        grid::pack_row(row, packed);
    }
    packed
}

/// A row of ours in the table.
type Ours = (&'static Grid, ScaleForm, RowProduct);

/// Every grid and scales with the fastest row product, and one of each kind with the other products that are made for this kind of processor.
fn ours() -> Vec<Ours> {
    let products = RowProduct::all();
    let others = products[1..].iter().filter(|product| product.name != "portable");
    let formats = GRIDS.iter().flat_map(|&grid| ScaleForm::ALL.map(|form| (grid, form))).filter(|(grid, form)| form.is_for(grid));
    let of_others = [(&grid::PRIME13, ScaleForm::Row), (&grid::INT4, ScaleForm::Group32), (&grid::UINT4, ScaleForm::Group32Offset)];
    let fastest = formats.map(|(grid, form)| (grid, form, products[0]));
    fastest.chain(others.flat_map(|&product| of_others.map(|(grid, form)| (grid, form, product)))).collect()
}

/// Scales of a weight: of rows, and steps and offsets of groups.
#[derive(Clone)]
struct AllScales {
    row: Vec<f32>,
    step: Vec<f16>,
    offset: Vec<f16>,
}

impl AllScales {
    fn of(&self, form: ScaleForm) -> Scales<&[f32], &[f16]> {
        match form {
            ScaleForm::Row => Scales::Row(&self.row),
            ScaleForm::Group32 => Scales::Group32 { step: &self.step },
            ScaleForm::Group32Offset => Scales::Group32Offset { step: &self.step, offset: &self.offset },
        }
    }
}

/// Bytes of a matrix.
fn bytes_of(form: ScaleForm, [outputs, inputs]: [usize; 2]) -> usize {
    let halves = match form {
        ScaleForm::Row => 2 * outputs,
        ScaleForm::Group32 => outputs * grid::groups(inputs),
        ScaleForm::Group32Offset => 2 * outputs * grid::groups(inputs),
    };
    outputs * grid::row_bytes(inputs) + halves * size_of::<f16>()
}

/// Times one shape and prints its table.
fn products([outputs, inputs]: [usize; 2], formats: &[Format], bandwidth: f64) -> Result<(), String> {
    let (weights, x) = (normal(outputs * inputs, 1), normal(inputs, 2));
    let copies = COLD_BYTES.div_ceil(outputs * inputs / 2);
    let groups = outputs * grid::groups(inputs);
    let scales = AllScales { row: vec![1.0; outputs], step: vec![f16::ONE; groups], offset: vec![f16::ONE; groups] };
    let (packed, scales) = (vec![pack(&weights, inputs); copies], vec![scales; copies]);
    let mut contenders: Vec<Contender> = Vec::new();
    let ours = ours();
    let apart = copies.div_ceil(ours.len());
    for (i, (grid, form, product)) in ours.into_iter().enumerate() {
        let (packed, scales, x) = (&packed, &scales, &x);
        let mut scratch = vec![0.0f32; scratch_len(inputs)];
        let run = move |copy: usize, y: &mut [f32]| {
            // All grids share the copies, and are far apart in them.
            let at = (copy + i * apart) % copies;
            lut_gemv(y, x, &Codes::new(&packed[at], scales[at].of(form), grid, inputs), product, &mut scratch);
        };
        let way = if grid.denominator().is_some() { product.name } else { "floats" };
        contenders.push((format!("{}, {}, {way}", grid.name(), form.name()), bytes_of(form, [outputs, inputs]), Box::new(run)));
    }
    for format in formats {
        let mut matrix = Matrix::new(format, &weights, inputs);
        matrix.check(&weights, &x)?;
        let (bytes, mut matrices, x) = (matrix.bytes(), vec![matrix; copies], &x);
        contenders.push((format.name.into(), bytes, Box::new(move |copy, y| matrices[copy].product(y, x))));
    }
    let mut times = vec![Vec::new(); contenders.len()];
    let mut y = vec![0.0f32; outputs];
    for round in 0..ROUNDS {
        for ((.., run), times) in contenders.iter_mut().zip(&mut times) {
            let began = Instant::now();
            run(round % copies, &mut y);
            times.push(began.elapsed().as_secs_f64() * 1e6);
            black_box(&mut y);
        }
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    let median = |i: usize| times[i][ROUNDS / 2];
    let q4_0 = contenders.iter().position(|(name, ..)| name == "ggml q4_0").map(median);
    println!(
        "\n{:<36} {:>11} {:>10} {:>10} {:>12}   median × q4_0's",
        format!("[{outputs}, {inputs}], {copies} copies"),
        "median µs",
        "best µs",
        "MB",
        "of bandwidth"
    );
    for (i, (name, bytes, _)) in contenders.iter().enumerate() {
        let ratio = q4_0.map_or("-".into(), |q4_0| format!("{:.3}", median(i) / q4_0));
        let share = *bytes as f64 / (median(i) * 1e-6) / bandwidth * 100.0;
        println!("{name:<36} {:>11.1} {:>10.1} {:>10.2} {share:>10.1} %   {ratio:>15}", median(i), times[i][0], *bytes as f64 / 1e6);
    }
    Ok(())
}

/// Tokens a second of a model at its start values, on all cores, for a prompt and a greedy text that fit into the context.
fn model(name: &str) {
    let config = Config::load(name).expect("an embedded configuration");
    let mut plan = Plan::default();
    let (layers, specs) = CausalLayers::new(&config.model, false);
    let parameters = Parameters::plan(specs, &mut plan);
    let decoder = Decoder::plan(layers, DecoderShape { context: config.model.context, cache: Act::F32 }, &mut plan);
    let mut backend = Cpu::new(&mut plan);
    parameters.initialise(&mut backend, 1, |_, _, _, _| {});
    let (context, codec) = (config.model.context, TextCodec::named(config.model.tokenizer).expect("no file is needed"));
    let prompt = "a ".repeat(context / 4);
    let mut rates: Vec<[f64; 2]> = (0..5)
        .map(|_| {
            let timing = generate(&mut backend, &parameters, &decoder, &codec, &prompt, context * 3 / 8, Sampling::GREEDY, |_, _| Ok(()));
            let timing = timing.expect("nothing that fails");
            let rate = |tokens: usize, time: std::time::Duration| tokens as f64 / time.as_secs_f64();
            [rate(timing.prompt_tokens, timing.prompt), rate(timing.decoded_tokens, timing.decoding)]
        })
        .collect();
    rates.sort_by(|a, b| a[1].total_cmp(&b[1]));
    println!("{name:<32} {:>11.0} {:>10.0}", rates[2][0], rates[2][1]);
}

fn run() -> Result<(), String> {
    let ggml = Ggml::load(None);
    match &ggml {
        Ok(ggml) => println!("{}", ggml.name),
        Err(reason) => println!("ggml cannot be had, so only our own kernels are timed: {reason}"),
    }
    let formats = ggml.as_ref().map_or(Ok(Vec::new()), Format::all)?;
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| e.to_string())?;
    let bandwidth = one.install(bandwidth);
    println!("one core reads {:.1} GB/s in order", bandwidth / 1e9);
    one.install(|| SHAPES.into_iter().try_for_each(|shape| products(shape, &formats, bandwidth)))?;
    println!("\n{:<32} {:>11} {:>10}", "tokens/s, median of five", "prompt", "text");
    rayon::scope(|_| ["gpt-small-cpu", "gpt-0.1b"].into_iter().for_each(model));
    if formats.is_empty() {
        println!("\nNothing was compared: without ggml these figures stand alone.");
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("decode: {message}");
            ExitCode::FAILURE
        }
    }
}
