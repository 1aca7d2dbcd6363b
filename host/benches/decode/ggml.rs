//! ggml's CPU library as a peer: fetched from the npm registry into `target/`, in its best variant for this processor; every product is checked
//! before it is timed.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};

const URL: &str = "https://registry.npmjs.org/@node-llama-cpp/linux-x64/-/linux-x64-3.22.1.tgz";
const SHA512: &str =
    "e6e0820cda9608d7da026f1a47f533c5ba381c1a4a80d17dd640873dea4a86032057638099ab6879f6ce94c8a1b2a0a21f639ddf913f7941d00856df44126e3a";
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

/// The libraries; they stay loaded for the life of the program.
pub struct Ggml {
    base: Library,
    cpu: Library,
    /// Version of ggml, and which variant of its CPU library.
    pub name: String,
}

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

impl Ggml {
    /// Fetches the libraries into `target/` unless they are there, and loads them.
    ///
    /// # Errors
    /// What is missing, in words: not this kind of machine, no network, another library than expected.
    pub fn load() -> Result<Self, String> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err("the library is for Linux on x86-64".into());
        }
        let folder = fetch()?;
        let open = |file: &Path| {
            // SAFETY: the file's hash was checked; ggml's libraries have no initialisers beyond those of the C++ runtime.
            unsafe { Library::open(Some(file), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| format!("{}: {e}", file.display()))
        };
        let base = open(&folder.join("libggml-base.so"))?;
        let variant = best_variant(&folder)?;
        let cpu = open(&variant)?;
        // SAFETY: `void ggml_cpu_init(void)` fills the tables of f16; `const char * ggml_version(void)` returns a constant.
        let version = unsafe {
            symbol::<unsafe extern "C" fn()>(&cpu, "ggml_cpu_init")?();
            CStr::from_ptr(symbol::<unsafe extern "C" fn() -> *const c_char>(&base, "ggml_version")?()).to_string_lossy().into_owned()
        };
        let name = format!("ggml {version}, {}", variant.file_name().expect("a file").display());
        Ok(Self { base, cpu, name })
    }

    /// The formats to compare with: q4_0 and q4_K as stored, a row at a time, and q4_0 as ggml rearranges it for this kind of processor.
    ///
    /// # Errors
    /// A symbol that is missing.
    pub fn formats(&self) -> Result<Vec<Format>, String> {
        // SAFETY: the types are those of ggml's headers of this version; every product is checked by `Matrix::check` before it is timed.
        unsafe {
            let q4_0 = Format {
                name: "ggml q4_0",
                quantize: symbol(&self.cpu, "quantize_row_q4_0")?,
                dequantize: symbol(&self.base, "dequantize_row_q4_0")?,
                quantize_activations: symbol(&self.cpu, "quantize_row_q8_0")?,
                product: Product::Rows(symbol(&self.cpu, "ggml_vec_dot_q4_0_q8_0")?),
                block: [32, 18],
                activation_block: [32, 34],
            };
            let product = Product::Eights(symbol(&self.cpu, "ggml_gemv_q4_0_8x8_q8_0")?);
            let eights = Format { name: "ggml q4_0, 8 rows interleaved", product, ..q4_0 };
            let q4_k = Format {
                name: "ggml q4_K",
                quantize: symbol(&self.cpu, "quantize_row_q4_K")?,
                dequantize: symbol(&self.base, "dequantize_row_q4_K")?,
                quantize_activations: symbol(&self.cpu, "quantize_row_q8_K")?,
                product: Product::Rows(symbol(&self.cpu, "ggml_vec_dot_q4_K_q8_K")?),
                block: [256, 144],
                activation_block: [256, 292],
            };
            Ok(vec![q4_0, eights, q4_k])
        }
    }
}

/// # Safety
/// `T` must be the type of the symbol.
unsafe fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
    // SAFETY: by the caller's contract.
    let symbol: Symbol<T> = unsafe { library.get(name.as_bytes()) }.map_err(|e| format!("{name}: {e}"))?;
    Ok(*symbol)
}

fn fetch() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ggml");
    let libraries = folder.join("package/bins/linux-x64");
    if libraries.join("libggml-base.so").exists() {
        return Ok(libraries);
    }
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let script = format!(
        "curl --silent --show-error --fail --location --output ggml.tgz {URL} && \
         echo '{SHA512}  ggml.tgz' | sha512sum --check --status && tar -xzf ggml.tgz"
    );
    let output = Command::new("sh").args(["-c", &script]).current_dir(&folder).output().map_err(|e| format!("sh: {e}"))?;
    if !output.status.success() {
        return Err(format!("fetching {URL} failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(libraries)
}

/// The variant that ggml itself would take: the one with the highest score on this processor.
fn best_variant(folder: &Path) -> Result<PathBuf, String> {
    let files = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let scored = files.filter_map(|file| {
        let path = file.ok()?.path();
        path.file_name()?.to_str()?.starts_with("libggml-cpu-").then_some(())?;
        // SAFETY: as in `Ggml::load`; `int ggml_backend_score(void)` asks the processor for its features.
        let score = unsafe {
            let library = Library::new(&path).ok()?;
            symbol::<unsafe extern "C" fn() -> c_int>(&library, "ggml_backend_score").ok()?()
        };
        (score > 0).then_some((score, path))
    });
    scored.max().map(|(_, path)| path).ok_or_else(|| "no variant of the library runs on this processor".into())
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
