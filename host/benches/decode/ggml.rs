//! ggml's formats of 4 bits; every product is checked before it is timed.

use std::ffi::{c_int, c_void};

use crate::library::Ggml;

/// What products may be off by, as a part of |w|·|x|: activations of 8 bits with a scale for each 32 (q8_0) or 256 (q8_K).
const TOLERANCE: f64 = 2e-3;

/// `void quantize_row(const float * x, void * y, int64_t k)`.
type QuantizeRow = unsafe extern "C" fn(*const f32, *mut c_void, i64);
/// `void dequantize_row(const void * x, float * y, int64_t k)`.
type DequantizeRow = unsafe extern "C" fn(*const c_void, *mut f32, i64);
/// `void vec_dot(int n, float * s, size_t bs, const void * x, size_t bx, const void * y, size_t by, int nrc)`.
type VecDot = unsafe extern "C" fn(c_int, *mut f32, usize, *const c_void, usize, *const c_void, usize, c_int);
/// `void gemv(int n, float * s, size_t bs, const void * x, const void * y, int nr, int nc)`.
type Gemv = unsafe extern "C" fn(c_int, *mut f32, usize, *const c_void, *const c_void, c_int, c_int);

/// How the product of a format is called.
#[derive(Clone, Copy)]
enum Product {
    Rows(VecDot),
    Eights(Gemv),
}

/// A 4-bit format of ggml.
pub struct Format {
    /// ggml's name of it.
    pub name: &'static str,
    quantize: QuantizeRow,
    dequantize: DequantizeRow,
    quantize_activations: QuantizeRow,
    product: Product,
    /// Values of a block, and its bytes.
    block: [usize; 2],
    /// The same for quantised activations.
    activation_block: [usize; 2],
}

impl Format {
    /// The formats to compare with: q4_0 and q4_K as stored, a row at a time, and q4_0 as ggml rearranges it for this kind of processor.
    ///
    /// # Errors
    /// A symbol that is missing.
    pub fn all(ggml: &Ggml) -> Result<Vec<Self>, String> {
        // SAFETY: the types are those of ggml's headers of this version; every product is checked by `Matrix::check` before it is timed.
        unsafe {
            let q4_0 = Format {
                name: "ggml q4_0",
                quantize: ggml.symbol("quantize_row_q4_0")?,
                dequantize: ggml.symbol("dequantize_row_q4_0")?,
                quantize_activations: ggml.symbol("quantize_row_q8_0")?,
                product: Product::Rows(ggml.symbol("ggml_vec_dot_q4_0_q8_0")?),
                block: [32, 18],
                activation_block: [32, 34],
            };
            let product = Product::Eights(ggml.symbol("ggml_gemv_q4_0_8x8_q8_0")?);
            let eights = Format { name: "ggml q4_0, 8 rows interleaved", product, ..q4_0 };
            let q4_k = Format {
                name: "ggml q4_K",
                quantize: ggml.symbol("quantize_row_q4_K")?,
                dequantize: ggml.symbol("dequantize_row_q4_K")?,
                quantize_activations: ggml.symbol("quantize_row_q8_K")?,
                product: Product::Rows(ggml.symbol("ggml_vec_dot_q4_K_q8_K")?),
                block: [256, 144],
                activation_block: [256, 292],
            };
            Ok(vec![q4_0, eights, q4_k])
        }
    }
}

/// A matrix in one of ggml's formats.
#[derive(Clone)]
pub struct Matrix<'a> {
    format: &'a Format,
    inputs: usize,
    data: Vec<u8>,
    /// Room for quantised activations.
    activations: Vec<u8>,
}

impl<'a> Matrix<'a> {
    /// Quantises `[outputs, inputs]` weights.
    pub fn new(format: &'a Format, weights: &[f32], inputs: usize) -> Self {
        let [block, bytes] = format.block;
        let mut data = vec![0u8; weights.len() / block * bytes];
        // SAFETY: whole blocks, of the sizes that the format has.
        unsafe { (format.quantize)(weights.as_ptr(), data.as_mut_ptr().cast(), weights.len() as i64) };
        if let Product::Eights(_) = format.product {
            data = interleave(&data, inputs);
        }
        Self { format, inputs, data, activations: vec![0; inputs / format.activation_block[0] * format.activation_block[1]] }
    }

    /// Its bytes.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// `y = W · x`, with the quantisation of x.
    pub fn product(&mut self, y: &mut [f32], x: &[f32]) {
        let (n, activations) = (self.inputs as c_int, self.activations.as_mut_ptr().cast::<c_void>());
        // SAFETY: whole blocks, of the sizes that the formats have.
        unsafe {
            (self.format.quantize_activations)(x.as_ptr(), activations, x.len() as i64);
            match self.format.product {
                Product::Rows(dot) => {
                    let row = self.inputs / self.format.block[0] * self.format.block[1];
                    for (y, row) in y.iter_mut().zip(self.data.chunks_exact(row)) {
                        dot(n, y, 0, row.as_ptr().cast(), 0, activations, 0, 1);
                    }
                }
                Product::Eights(gemv) => gemv(n, y.as_mut_ptr(), 0, self.data.as_ptr().cast(), activations, 1, y.len() as c_int),
            }
        }
    }

    /// Compares the product with a plain one over the weights that the format keeps of `weights`.
    ///
    /// # Errors
    /// The worst element.
    pub fn check(&mut self, weights: &[f32], x: &[f32]) -> Result<(), String> {
        let mut y = vec![f32::NAN; weights.len() / self.inputs];
        self.product(&mut y, x);
        let (mut kept, mut row) = (vec![0.0f32; self.inputs], vec![0u8; self.inputs / self.format.block[0] * self.format.block[1]]);
        for (i, (&y, weights)) in y.iter().zip(weights.chunks_exact(self.inputs)).enumerate() {
            // SAFETY: whole blocks, of the sizes that the format has.
            unsafe {
                (self.format.quantize)(weights.as_ptr(), row.as_mut_ptr().cast(), self.inputs as i64);
                (self.format.dequantize)(row.as_ptr().cast(), kept.as_mut_ptr(), self.inputs as i64);
            }
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
            let (expected, size) = (dot(&kept, x), (dot(&kept, &kept) * dot(x, x)).sqrt());
            let off = (f64::from(y) - expected).abs();
            if off.is_nan() || off > TOLERANCE * size {
                return Err(format!("{}[{i}]: got {y}, expected {expected}, tolerance {}", self.format.name, TOLERANCE * size));
            }
        }
        Ok(())
    }
}

/// Blocks of q4_0 of eight rows as ggml rearranges them: eight scales, then eight bytes of each row, twice, nibbles in two's complement.
fn interleave(data: &[u8], inputs: usize) -> Vec<u8> {
    const BLOCK: usize = 18;
    let row = inputs / 32 * BLOCK;
    let mut out = Vec::with_capacity(data.len());
    for rows in data.chunks_exact(8 * row) {
        for block in 0..inputs / 32 {
            let of = |i: usize| &rows[i * row + block * BLOCK..][..BLOCK];
            (0..8).for_each(|i| out.extend_from_slice(&of(i)[..2]));
            for half in [2, 10] {
                (0..8).for_each(|i| out.extend(of(i)[half..half + 8].iter().map(|byte| byte ^ 0x88)));
            }
        }
    }
    out
}
