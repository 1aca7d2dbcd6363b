//! `cargo xtask bench prefill`: products of a prompt's rows and a matrix from codes, in integers and in float, beside those of ggml's q4_0 as it rearranges
//! it for this kind of processor, on one core.
//!
//! All kernels take turns in one run, each with its own quantisation of the activations.

#[path = "../ggml/library.rs"]
mod library;

use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use half::f16;
use library::Ggml;
use primal_device::grid::{self, Grid, ScaleForm};
use primal_device::philox::{RandomStream, uniform};
use primal_engine::backend::Scales;
use primal_engine::backend::cpu::activations::Values;
use primal_engine::backend::cpu::gemm::{Right, gemm};
use primal_engine::backend::cpu::scratch::PER_THREAD;
use primal_engine::backend::cpu::unpack::Codes;
use primal_engine::ops::lut_gemm::cpu::lut_gemm;
use primal_engine::ops::lut_gemm::kernels::Kernel;

/// `[rows, outputs, inputs]`: of a model of 135 million parameters, and of one of seven billion.
const SHAPES: [[usize; 3]; 4] = [[256, 1536, 576], [256, 576, 1536], [64, 4096, 4096], [16, 4096, 4096]];
/// Products of each kernel.
const ROUNDS: usize = 201;
/// What a product of ggml may be off by, as a part of |w|·|x|: activations of 8 bits.
const TOLERANCE: f64 = 2e-3;

/// `void quantize(const float * x, void * y, int64_t k)`, of a row or of four.
type Quantize = unsafe extern "C" fn(*const f32, *mut c_void, i64);
/// `void dequantize_row(const void * x, float * y, int64_t k)`.
type Dequantize = unsafe extern "C" fn(*const c_void, *mut f32, i64);
/// `void gemm(int n, float * s, size_t bs, const void * x, const void * y, int nr, int nc)`.
type Gemm = unsafe extern "C" fn(c_int, *mut f32, usize, *const c_void, *const c_void, c_int, c_int);

/// A kernel by name, and a call of it.
type Contender<'a> = (String, Box<dyn FnMut(&mut [f32]) + 'a>);

/// Values with mean 0 and variance 1, within ±3.5; a sum of four uniform ones.
fn normal(len: usize, seed: u64) -> Vec<f32> {
    let stream = RandomStream::new(seed, 0, 0);
    (0..len).map(|i| (stream.words(i as u32).map(uniform).iter().sum::<f32>() - 2.0) * 3f32.sqrt()).collect()
}

/// A matrix of q4_0, eight rows interleaved.
struct Q4 {
    quantize_activations: Quantize,
    gemm: Gemm,
    /// What is left of the weights.
    kept: Vec<f32>,
    data: Vec<u8>,
    activations: Vec<u8>,
    inputs: usize,
}

/// Bytes of a block of q4_0, and of four blocks of rounded activations.
const BLOCK: usize = 18;
const FOUR: usize = 4 * 34;

impl Q4 {
    fn new(ggml: &Ggml, weights: &[f32], [rows, _, inputs]: [usize; 3]) -> Result<Self, String> {
        // SAFETY: the types are those of ggml's headers of this version; the product is checked before it is timed.
        let (quantize, quantize_activations, gemm): (Quantize, Quantize, Gemm) = unsafe {
            (ggml.symbol("quantize_row_q4_0")?, ggml.symbol("ggml_quantize_mat_q8_0_4x8")?, ggml.symbol("ggml_gemm_q4_0_8x8_q8_0")?)
        };
        let (mut plain, mut kept) = (vec![0u8; weights.len() / 32 * BLOCK], vec![0.0f32; weights.len()]);
        // SAFETY: whole blocks.
        unsafe {
            quantize(weights.as_ptr(), plain.as_mut_ptr().cast(), weights.len() as i64);
            ggml.symbol::<Dequantize>("dequantize_row_q4_0")?(plain.as_ptr().cast(), kept.as_mut_ptr(), weights.len() as i64);
        }
        let (row, mut data) = (inputs / 32 * BLOCK, Vec::new());
        // Eight scales, then eight bytes of each row, twice, nibbles in two's complement.
        for eight in plain.chunks_exact(8 * row) {
            for block in 0..inputs / 32 {
                let of = |i: usize| &eight[i * row + block * BLOCK..][..BLOCK];
                (0..8).for_each(|i| data.extend_from_slice(&of(i)[..2]));
                for half in [2, 10] {
                    (0..8).for_each(|i| data.extend(of(i)[half..half + 8].iter().map(|byte| byte ^ 0x88)));
                }
            }
        }
        Ok(Self { quantize_activations, gemm, kept, data, activations: vec![0; rows / 4 * (inputs / 32) * FOUR], inputs })
    }

    fn product(&mut self, y: &mut [f32], x: &[f32]) {
        let (rows, inputs) = (x.len() / self.inputs, self.inputs);
        let outputs = y.len() / rows;
        let four = inputs / 32 * FOUR;
        for (x, to) in x.chunks_exact(4 * inputs).zip(self.activations.chunks_exact_mut(four)) {
            // SAFETY: four rows of whole blocks.
            unsafe { (self.quantize_activations)(x.as_ptr(), to.as_mut_ptr().cast(), inputs as i64) };
        }
        let (weights, activations) = (self.data.as_ptr().cast(), self.activations.as_ptr().cast());
        // SAFETY: multiples of four rows and of eight outputs, of the sizes that the formats have.
        unsafe { (self.gemm)(inputs as c_int, y.as_mut_ptr(), outputs, weights, activations, rows as c_int, outputs as c_int) };
    }
}

/// Compares some products of ggml with plain ones.
fn check(y: &[f32], x: &[f32], weights: &[f32], [_, outputs, inputs]: [usize; 3]) -> Result<(), String> {
    for i in (0..y.len()).step_by(97) {
        let (x, w) = (&x[i / outputs * inputs..][..inputs], &weights[i % outputs * inputs..][..inputs]);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let (expected, size) = (dot(x, w), (dot(x, x) * dot(w, w)).sqrt());
        let off = (f64::from(y[i]) - expected).abs();
        if off.is_nan() || off > TOLERANCE * size {
            return Err(format!("ggml q4_0[{i}]: got {}, expected {expected}, tolerance {}", y[i], TOLERANCE * size));
        }
    }
    Ok(())
}

/// A weight of ours: what codes stand for, and the codes with their scales.
struct Ours {
    grid: &'static Grid,
    form: ScaleForm,
    codes: Vec<u8>,
    step: Vec<f16>,
    offset: Vec<f16>,
}

impl Ours {
    fn new(grid: &'static Grid, form: ScaleForm, [_, outputs, inputs]: [usize; 3]) -> Self {
        let codes: Vec<u8> = normal(outputs * inputs, 3).iter().map(|&w| grid.nearest(w / 3.5)).collect();
        let mut packed = vec![0u8; outputs * grid::row_bytes(inputs)];
        for (row, packed) in codes.chunks(inputs).zip(packed.chunks_mut(grid::row_bytes(inputs))) {
            grid::pack_row(row, packed);
        }
        let groups = outputs * grid::groups(inputs);
        Self { grid, form, codes: packed, step: vec![f16::from_f32(0.4); groups], offset: vec![f16::from_f32(-0.2); groups] }
    }

    fn codes(&self, inputs: usize) -> Codes<'_> {
        let scales = match self.form {
            ScaleForm::Row => panic!("scales of groups"),
            ScaleForm::Group32 => Scales::Group32 { step: &self.step[..] },
            ScaleForm::Group32Offset => Scales::Group32Offset { step: &self.step[..], offset: &self.offset[..] },
        };
        Codes::new(&self.codes, scales, self.grid, inputs)
    }
}

/// Times one shape and prints its table.
fn products(shape: [usize; 3], ggml: Option<&Ggml>) -> Result<(), String> {
    let [rows, outputs, inputs] = shape;
    let (weights, x) = (normal(outputs * inputs, 1), normal(rows * inputs, 2));
    let mut y = vec![0.0f32; rows * outputs];
    let ours = [Ours::new(&grid::INT4, ScaleForm::Group32, shape), Ours::new(&grid::UINT4, ScaleForm::Group32Offset, shape)];
    let mut contenders: Vec<Contender> = Vec::new();
    for ours in &ours {
        let (name, x) = (format!("{}, {}", ours.grid.name(), ours.form.name()), &x);
        for kernel in Kernel::all().into_iter().filter(|kernel| kernel.name != "portable") {
            let mut scratch = vec![0.0f32; PER_THREAD];
            let run = move |y: &mut [f32]| {
                assert!(lut_gemm(y, rows, Values::F32(x), &ours.codes(inputs), &kernel, &mut scratch), "a grid of integers");
            };
            contenders.push((format!("{name}, {}", kernel.name), Box::new(run)));
        }
        let mut scratch = vec![0.0f32; PER_THREAD];
        let run = move |y: &mut [f32]| {
            gemm(y, rows, outputs, inputs, Values::F32(x).left(inputs), Right::Transposed(ours.codes(inputs)), false, &mut scratch);
        };
        contenders.push((format!("{name}, in float"), Box::new(run)));
    }
    if let Some(ggml) = ggml {
        let mut matrix = Q4::new(ggml, &weights, shape)?;
        matrix.product(&mut y, &x);
        check(&y, &x, &matrix.kept, shape)?;
        let x = &x;
        contenders.push(("ggml q4_0, 8 rows interleaved".into(), Box::new(move |y| matrix.product(y, x))));
    }
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for ((_, run), times) in contenders.iter_mut().zip(&mut times) {
            let began = Instant::now();
            run(&mut y);
            times.push(began.elapsed().as_secs_f64() * 1e6);
            black_box(&mut y);
        }
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    let rate = |time: f64| 2.0 * (rows * outputs * inputs) as f64 / time / 1e3;
    println!("\n{:<36} {:>11} {:>10} {:>10}", format!("[{rows}, {inputs}] · [{outputs}, {inputs}]ᵀ"), "median µs", "best µs", "GFLOP/s");
    for ((name, _), times) in contenders.iter().zip(&times) {
        println!("{name:<36} {:>11.0} {:>10.0} {:>10.0}", times[ROUNDS / 2], times[0], rate(times[ROUNDS / 2]));
    }
    Ok(())
}

fn run() -> Result<(), String> {
    let ggml = Ggml::load(None);
    match &ggml {
        Ok(ggml) => println!("{}", ggml.name),
        Err(reason) => println!("ggml cannot be had, so only our own kernels are timed: {reason}"),
    }
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| e.to_string())?;
    one.install(|| SHAPES.into_iter().try_for_each(|shape| products(shape, ggml.as_ref().ok())))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("prefill: {message}");
            ExitCode::FAILURE
        }
    }
}
