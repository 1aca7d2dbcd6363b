//! `cargo xtask bench decode`: products of a matrix and a vector from codes beside those of ggml's 4-bit formats, on one core with cold weights,
//! and the speed of whole models.
//!
//! All kernels take turns in one run, each with its own quantisation of the activations, on copies of the matrix that together are several times
//! the last-level cache.

mod ggml;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use ggml::{Format, Ggml, Matrix};
use primal_device::grid::{self, GridId};
use primal_device::philox::{RandomStream, uniform};
use primal_engine::backend::cpu::Cpu;
use primal_engine::backend::cpu::unpack::Codes;
use primal_engine::config::Config;
use primal_engine::memory::Plan;
use primal_engine::models::gpt::{Decoder, GptIds};
use primal_engine::models::sample::Sampling;
use primal_engine::nn::Parameters;
use primal_engine::ops::lut_gemv::cpu::{RowProduct, lut_gemv};
use primal_host::configurations::Load;
use primal_host::data::generate;

/// `[outputs, inputs]`.
const SHAPES: [[usize; 2]; 3] = [[4096, 4096], [3072, 768], [4096, 11008]];
/// Bytes of codes over all copies of a matrix.
const COLD_BYTES: usize = 192 << 20;
/// Products of each kernel.
const ROUNDS: usize = 201;

/// A kernel by name, and a call of it on the copy of that number.
type Contender<'a> = (String, Box<dyn FnMut(usize, &mut [f32]) + 'a>);

/// Values with mean 0 and variance 1, within ±3.5; a sum of four uniform ones.
fn normal(len: usize, seed: u64) -> Vec<f32> {
    let stream = RandomStream::new(seed, 0, 0);
    (0..len).map(|i| (stream.words(i as u32).map(uniform).iter().sum::<f32>() - 2.0) * 3f32.sqrt()).collect()
}

/// Codes of prime13, which are levels of every grid.
fn pack(weights: &[f32], inputs: usize) -> Vec<u8> {
    let codes: Vec<u8> = weights.iter().map(|&w| GridId::Prime13.grid().nearest(w / 2.8)).collect();
    let mut packed = vec![0u8; weights.len() / inputs * grid::row_bytes(inputs)];
    for (row, packed) in codes.chunks(inputs).zip(packed.chunks_mut(grid::row_bytes(inputs))) {
        grid::pack_row(row, packed);
    }
    packed
}

/// Every grid with the fastest row product, and prime13 with the other ones that are made for this kind of processor.
fn ours() -> Vec<(GridId, RowProduct)> {
    let products = RowProduct::all();
    let others = products[1..].iter().filter(|product| product.name != "portable");
    GridId::ALL.map(|id| (id, products[0])).into_iter().chain(others.map(|&product| (GridId::Prime13, product))).collect()
}

/// Times one shape and prints its table.
fn products([outputs, inputs]: [usize; 2], formats: &[Format]) -> Result<(), String> {
    let (weights, x) = (normal(outputs * inputs, 1), normal(inputs, 2));
    let copies = COLD_BYTES.div_ceil(outputs * inputs / 2);
    let (packed, scale) = (vec![pack(&weights, inputs); copies], vec![1.0f32; outputs]);
    let mut contenders: Vec<Contender> = Vec::new();
    for (i, (id, product)) in ours().into_iter().enumerate() {
        let (packed, scale, x) = (&packed, &scale, &x);
        let mut scratch = vec![0.0f32; inputs / 2 + 64];
        let run = move |copy: usize, y: &mut [f32]| {
            // All grids share the copies, and are far apart in them.
            let codes = &packed[(copy + i * copies / 5) % copies];
            lut_gemv(y, x, &Codes::new(codes, scale, id.grid(), inputs), product, &mut scratch);
        };
        contenders.push((format!("{}, {}", id.name(), product.name), Box::new(run)));
    }
    for format in formats {
        let mut matrix = Matrix::new(format, &weights, inputs);
        matrix.check(&weights, &x)?;
        let (mut matrices, x) = (vec![matrix; copies], &x);
        contenders.push((format.name.into(), Box::new(move |copy, y| matrices[copy].product(y, x))));
    }
    let mut times = vec![Vec::new(); contenders.len()];
    let mut y = vec![0.0f32; outputs];
    for round in 0..ROUNDS {
        for ((_, run), times) in contenders.iter_mut().zip(&mut times) {
            let began = Instant::now();
            run(round % copies, &mut y);
            times.push(began.elapsed().as_secs_f64() * 1e6);
            black_box(&mut y);
        }
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    let median = |i: usize| times[i][ROUNDS / 2];
    let q4_0 = contenders.iter().position(|(name, _)| name == "ggml q4_0").map(median);
    println!("\n{:<32} {:>11} {:>10}   median × q4_0's", format!("[{outputs}, {inputs}], {copies} copies"), "median µs", "best µs");
    for (i, (name, _)) in contenders.iter().enumerate() {
        let ratio = q4_0.map_or("-".into(), |q4_0| format!("{:.3}", median(i) / q4_0));
        println!("{name:<32} {:>11.1} {:>10.1}   {ratio:>15}", median(i), times[i][0]);
    }
    Ok(())
}

/// Tokens a second of a model at its start values, on all cores, for a prompt and a greedy text that fit into the context.
fn model(name: &str) {
    let config = Config::load(name).expect("an embedded configuration");
    let mut plan = Plan::default();
    let (ids, specs) = GptIds::new(&config.model, false);
    let parameters = Parameters::plan(specs, &mut plan);
    let decoder = Decoder::plan(ids, &config.model, &mut plan);
    let mut backend = Cpu::new(&mut plan);
    parameters.initialise(&mut backend, 1, |_, _, _, _| {});
    let (context, tokenizer) = (config.model.context, config.model.tokenizer);
    let (prompt, sampling) = ("a ".repeat(context / 4), Sampling { temperature: 0.0, top_p: 1.0, seed: 1 });
    let mut rates: Vec<[f64; 2]> = (0..5)
        .map(|_| {
            let timing = generate(&mut backend, &parameters, &decoder, tokenizer, &prompt, context * 3 / 8, sampling, |_| Ok(()));
            let timing = timing.expect("nothing that fails");
            let rate = |tokens: usize, time: std::time::Duration| tokens as f64 / time.as_secs_f64();
            [rate(timing.prompt_tokens, timing.prompt), rate(timing.decoded_tokens, timing.decoding)]
        })
        .collect();
    rates.sort_by(|a, b| a[1].total_cmp(&b[1]));
    println!("{name:<32} {:>11.0} {:>10.0}", rates[2][0], rates[2][1]);
}

fn run() -> Result<(), String> {
    let ggml = Ggml::load();
    match &ggml {
        Ok(ggml) => println!("{}", ggml.name),
        Err(reason) => println!("ggml cannot be had, so only our own kernels are timed: {reason}"),
    }
    let formats = ggml.as_ref().map_or(Ok(Vec::new()), Ggml::formats)?;
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| e.to_string())?;
    one.install(|| SHAPES.into_iter().try_for_each(|shape| products(shape, &formats)))?;
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
