//! `cargo xtask bench dequantize`: `f32` of blocks of every type of GGUF files, compared with ggml's bit for bit, and both timed on one core.

use std::ffi::c_void;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use library::Ggml;
use primal_device::philox::RandomStream;
use primal_engine::files::Dtype;
use primal_engine::files::dequantize::dequantizer;

#[path = "../ggml/library.rs"]
mod library;

/// `void dequantize_row(const void * x, float * y, int64_t k)`.
type DequantizeRow = unsafe extern "C" fn(*const c_void, *mut f32, i64);

const TYPES: [(Dtype, &str); 11] = [
    (Dtype::F16, "ggml_fp16_to_fp32_row"),
    (Dtype::BF16, "ggml_bf16_to_fp32_row"),
    (Dtype::Q4_0, "dequantize_row_q4_0"),
    (Dtype::Q4_1, "dequantize_row_q4_1"),
    (Dtype::Q5_0, "dequantize_row_q5_0"),
    (Dtype::Q5_1, "dequantize_row_q5_1"),
    (Dtype::Q8_0, "dequantize_row_q8_0"),
    (Dtype::Q4_K, "dequantize_row_q4_K"),
    (Dtype::Q5_K, "dequantize_row_q5_K"),
    (Dtype::Q6_K, "dequantize_row_q6_K"),
    (Dtype::IQ4_NL, "dequantize_row_iq4_nl"),
];

/// Enough that every `f16` comes up as a scale.
const VALUES: usize = 1 << 24;
const ROUNDS: usize = 9;

/// Nanoseconds a value, the median of all rounds.
fn time(mut run: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            run();
            began.elapsed().as_secs_f64() * 1e9 / VALUES as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

/// Compares random blocks, whose scales are also infinite or no numbers.
fn compare(ggml: &Ggml, dtype: Dtype, name: &str) -> Result<[f64; 2], String> {
    let dequantize = dequantizer(dtype).expect("a type of floats");
    let stream = RandomStream::new(1, 0, 0);
    let len = dtype.byte_len(VALUES).expect("whole blocks");
    let bytes: Vec<u8> = (0..len.div_ceil(16) as u32).flat_map(|i| stream.words(i).map(u32::to_le_bytes).concat()).take(len).collect();
    // SAFETY: the type is that of ggml's headers of this version.
    let theirs: DequantizeRow = unsafe { ggml.symbol(name) }?;
    let [mut expected, mut got] = [vec![0.0f32; VALUES], vec![0.0f32; VALUES]];
    // SAFETY: as many whole blocks as there are values.
    let their_time = time(|| unsafe { theirs(bytes.as_ptr().cast(), black_box(&mut expected).as_mut_ptr(), VALUES as i64) });
    let our_time = time(|| dequantize(&bytes, black_box(&mut got)));
    let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    match got.iter().zip(&expected).position(|(&got, &expected)| !same(got, expected)) {
        Some(i) => Err(format!("{dtype}[{i}]: got {:e}, expected {:e} to the bit", got[i], expected[i])),
        None => Ok([our_time, their_time]),
    }
}

fn run() -> Result<(), String> {
    let ggml = match Ggml::load(None) {
        Ok(ggml) => ggml,
        Err(reason) => {
            println!("not run: ggml cannot be had: {reason}");
            return Ok(());
        }
    };
    println!("{}; {VALUES} values of each type, one core\n\n{:<8} {:>12} {:>12}   bits", ggml.name, "type", "ours, ns", "ggml, ns");
    for (dtype, name) in TYPES {
        let [ours, theirs] = compare(&ggml, dtype, name)?;
        println!("{dtype:<8} {ours:>12.3} {theirs:>12.3}   the same");
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("dequantize: {message}");
            ExitCode::FAILURE
        }
    }
}
