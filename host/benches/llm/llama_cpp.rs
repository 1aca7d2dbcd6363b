//! llama.cpp as a library, of the version that is fetched: models, contexts, and tokens that are read.
//!
//! Its parameters are structures that each version changes, so their default values are compared with those of this version before they are used.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::null_mut;
use std::time::Instant;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use primal_engine::models::sample::log_probability;

use crate::CONTEXT;
use crate::library::Ggml;
use crate::worker::{Model, serve};

/// The release that [`Ggml`] fetches.
pub const VERSION: &str = "v0.5.0";

/// `struct llama_model_params`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
struct ModelParams {
    devices: *mut c_void,
    tensor_buft_overrides: *const c_void,
    n_gpu_layers: i32,
    split_mode: c_int,
    load_mode: c_int,
    lazy_mode: c_int,
    main_gpu: i32,
    tensor_split: *const f32,
    progress_callback: *const c_void,
    progress_callback_user_data: *mut c_void,
    kv_overrides: *const c_void,
    vocab_only: u8,
    check_tensors: u8,
    use_extra_bufts: u8,
    no_host: u8,
    no_alloc: u8,
    load_mtp: u8,
}

impl ModelParams {
    /// Mapped where that is possible, and repacked for the processor.
    const DEFAULT: Self = Self {
        devices: null_mut(),
        tensor_buft_overrides: null_mut(),
        n_gpu_layers: -1,
        split_mode: 1,
        load_mode: -1,
        lazy_mode: 1,
        main_gpu: 0,
        tensor_split: null_mut(),
        progress_callback: null_mut(),
        progress_callback_user_data: null_mut(),
        kv_overrides: null_mut(),
        vocab_only: 0,
        check_tensors: 0,
        use_extra_bufts: 1,
        no_host: 0,
        no_alloc: 0,
        load_mtp: 0,
    };
}

/// `struct llama_context_params`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
struct ContextParams {
    n_ctx: u32,
    n_batch: u32,
    n_ubatch: u32,
    n_seq_max: u32,
    n_rs_seq: u32,
    n_outputs_max: u32,
    n_outputs_max_per_seq: u32,
    n_threads: i32,
    n_threads_batch: i32,
    ctx_type: c_int,
    rope_scaling_type: c_int,
    pooling_type: c_int,
    attention_type: c_int,
    flash_attn_type: c_int,
    rope_freq: [f32; 2],
    yarn: [f32; 4],
    yarn_orig_ctx: u32,
    defrag_thold: f32,
    cb_eval: [*mut c_void; 2],
    type_k: c_int,
    type_v: c_int,
    abort_callback: [*mut c_void; 2],
    embeddings: u8,
    offload_kqv: u8,
    no_perf: u8,
    op_offload: u8,
    swa_full: u8,
    kv_unified: u8,
    samplers: *mut c_void,
    n_samplers: usize,
    ctx_other: *mut c_void,
}

impl ContextParams {
    /// Flash attention where it is faster, keys and values in f16.
    const DEFAULT: Self = Self {
        n_ctx: 512,
        n_batch: 2048,
        n_ubatch: 512,
        n_seq_max: 1,
        n_rs_seq: 0,
        n_outputs_max: 0,
        n_outputs_max_per_seq: 1,
        n_threads: 4,
        n_threads_batch: 4,
        ctx_type: 0,
        rope_scaling_type: -1,
        pooling_type: -1,
        attention_type: -1,
        flash_attn_type: -1,
        rope_freq: [0.0; 2],
        yarn: [-1.0; 4],
        yarn_orig_ctx: 0,
        defrag_thold: -1.0,
        cb_eval: [null_mut(); 2],
        type_k: 1,
        type_v: 1,
        abort_callback: [null_mut(); 2],
        embeddings: 0,
        offload_kqv: 1,
        no_perf: 1,
        op_offload: 1,
        swa_full: 1,
        kv_unified: 0,
        samplers: null_mut(),
        n_samplers: 0,
        ctx_other: null_mut(),
    };
}

/// `struct llama_batch`.
#[repr(C)]
struct Batch {
    n_tokens: i32,
    token: *mut i32,
    embd: *mut f32,
    pos: *mut i32,
    n_seq_id: *mut i32,
    seq_id: *mut *mut i32,
    logits: *mut i8,
}

/// `struct ggml_threadpool_params`.
#[repr(C)]
struct ThreadpoolParams {
    cpumask: [u8; 512],
    n_threads: c_int,
    prio: c_int,
    poll: u32,
    strict_cpu: u8,
    paused: u8,
}

/// The functions that are called.
struct Functions {
    decode: unsafe extern "C" fn(*mut c_void, Batch) -> i32,
    logits: unsafe extern "C" fn(*mut c_void) -> *const f32,
    memory: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    clear: unsafe extern "C" fn(*mut c_void, bool),
    synchronize: unsafe extern "C" fn(*mut c_void),
    pause: unsafe extern "C" fn(*mut c_void),
}

/// A model with a context of one sequence. It stays until the program ends.
struct Llama {
    functions: Functions,
    context: *mut c_void,
    threadpool: *mut c_void,
    vocab: usize,
    /// Version, and variant for the processor.
    name: String,
    /// They go when this does.
    _libraries: ([Library; 2], Ggml),
}

/// Keeps what llama.cpp says to itself, unless it is an error.
unsafe extern "C" fn log(level: c_int, text: *const c_char, _: *mut c_void) {
    const ERROR: c_int = 4;
    if level == ERROR {
        // SAFETY: a text that ends with 0.
        eprint!("llama.cpp: {}", unsafe { CStr::from_ptr(text) }.to_string_lossy());
    }
}

fn compare<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<T, String> {
    if found == expected { Ok(found) } else { Err(format!("llama.cpp's defaults: expected {expected:?}, found {found:?}")) }
}

impl Llama {
    /// Loads a GGUF file, with the variant of the library of that name (see [`Ggml::load`]).
    ///
    /// # Errors
    /// A library that cannot be had, or is another one; a file that it does not load.
    fn load(model: &Path, variant: Option<&str>, threads: usize) -> Result<Self, String> {
        let ggml = Ggml::load(variant)?;
        let open = |file: &str| {
            let path = ggml.folder.join(file);
            // SAFETY: the file's hash was checked when it was fetched; its initialisers are those of the C++ runtime.
            unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| format!("{}: {e}", path.display()))
        };
        let libraries = [open(&format!("libggml.{VERSION}.so"))?, open(&format!("libllama.{VERSION}.so"))?];
        let [backends, llama] = &libraries;
        let path = CString::new(model.as_os_str().as_encoded_bytes()).map_err(|e| e.to_string())?;
        // SAFETY: the types are those of the headers of this version: llama.h, ggml.h, ggml-cpu.h and ggml-backend.h. The structures are compared.
        unsafe {
            let silence: unsafe extern "C" fn(unsafe extern "C" fn(c_int, *const c_char, *mut c_void), *mut c_void) =
                symbol(llama, "llama_log_set")?;
            silence(log, null_mut());
            let cpu: unsafe extern "C" fn() -> *mut c_void = ggml.symbol("ggml_backend_cpu_reg")?;
            let register: unsafe extern "C" fn(*mut c_void) = symbol(backends, "ggml_backend_register")?;
            register(cpu());
            symbol::<unsafe extern "C" fn()>(llama, "llama_backend_init")?();

            let defaults: unsafe extern "C" fn() -> ModelParams = symbol(llama, "llama_model_default_params")?;
            let params = compare(defaults(), ModelParams::DEFAULT)?;
            let load: unsafe extern "C" fn(*const c_char, ModelParams) -> *mut c_void = symbol(llama, "llama_model_load_from_file")?;
            let loaded = load(path.as_ptr(), params);
            if loaded.is_null() {
                return Err(format!("{}: llama.cpp does not load it", model.display()));
            }

            let defaults: unsafe extern "C" fn() -> ContextParams = symbol(llama, "llama_context_default_params")?;
            let default = compare(defaults(), ContextParams::DEFAULT)?;
            let length = CONTEXT as u32;
            let params = ContextParams {
                n_ctx: length,
                n_batch: length,
                n_outputs_max_per_seq: length,
                n_threads: threads as i32,
                n_threads_batch: threads as i32,
                ..default
            };
            let new: unsafe extern "C" fn(*mut c_void, ContextParams) -> *mut c_void = symbol(llama, "llama_init_from_model")?;
            let context = new(loaded, params);
            if context.is_null() {
                return Err(format!("{}: llama.cpp makes no context of {length} tokens", model.display()));
            }
            for (name, expected) in [("llama_n_ctx", length), ("llama_n_batch", length), ("llama_n_threads", threads as u32)] {
                let found = symbol::<unsafe extern "C" fn(*mut c_void) -> u32>(llama, name)?(context);
                if found != expected {
                    return Err(format!("{name}: expected {expected}, found {found}"));
                }
            }

            // As llama.cpp's own programs do: threads that stay.
            let mut pool = ThreadpoolParams { cpumask: [0; 512], n_threads: 0, prio: 0, poll: 0, strict_cpu: 0, paused: 0 };
            ggml.symbol::<unsafe extern "C" fn(*mut ThreadpoolParams, c_int)>("ggml_threadpool_params_init")?(
                &raw mut pool,
                threads as c_int,
            );
            if (pool.n_threads, pool.paused) != (threads as c_int, 0) {
                return Err(format!("ggml_threadpool_params_init: expected {threads} threads, found {}", pool.n_threads));
            }
            let new: unsafe extern "C" fn(*mut ThreadpoolParams) -> *mut c_void = ggml.symbol("ggml_threadpool_new")?;
            let threadpool = new(&raw mut pool);
            let attach: unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void) = symbol(llama, "llama_attach_threadpool")?;
            attach(context, threadpool, threadpool);

            let vocab: unsafe extern "C" fn(*mut c_void) -> *mut c_void = symbol(llama, "llama_model_get_vocab")?;
            let size: unsafe extern "C" fn(*mut c_void) -> i32 = symbol(llama, "llama_vocab_n_tokens")?;
            let functions = Functions {
                decode: symbol(llama, "llama_decode")?,
                logits: symbol(llama, "llama_get_logits")?,
                memory: symbol(llama, "llama_get_memory")?,
                clear: symbol(llama, "llama_memory_clear")?,
                synchronize: symbol(llama, "llama_synchronize")?,
                pause: ggml.symbol("ggml_threadpool_pause")?,
            };
            let variant = ggml.name.rsplit("libggml-cpu-").next().unwrap_or_default().trim_end_matches(".so");
            let name = format!("llama.cpp, {variant}");
            Ok(Self { functions, context, threadpool, vocab: size(vocab(loaded)) as usize, name, _libraries: (libraries, ggml) })
        }
    }

    /// Reads tokens after earlier ones; logits of what follows the last, or each where that is wanted, `[tokens, vocab]`.
    ///
    /// # Errors
    /// More tokens than the context has room for.
    fn decode(&mut self, tokens: &[u32], each: bool) -> Result<&[f32], String> {
        let mut ids: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
        let mut outputs = vec![i8::from(each); ids.len()];
        if let Some(last) = outputs.last_mut() {
            *last = 1;
        }
        let batch = Batch {
            n_tokens: ids.len() as i32,
            token: ids.as_mut_ptr(),
            embd: null_mut(),
            pos: null_mut(),
            n_seq_id: null_mut(),
            seq_id: null_mut(),
            logits: outputs.as_mut_ptr(),
        };
        let rows = if each { tokens.len() } else { 1 };
        // SAFETY: positions and sequences are counted by the library where there are none; there are logits of as many rows as were asked for.
        unsafe {
            let status = (self.functions.decode)(self.context, batch);
            if status != 0 {
                return Err(format!("llama_decode of {} tokens: {status}", tokens.len()));
            }
            (self.functions.synchronize)(self.context);
            Ok(std::slice::from_raw_parts((self.functions.logits)(self.context), rows * self.vocab))
        }
    }
}

impl Model for Llama {
    /// The threads sleep afterwards.
    fn clear(&mut self) {
        // SAFETY: the context and the pool live.
        unsafe {
            (self.functions.clear)((self.functions.memory)(self.context), false);
            (self.functions.pause)(self.threadpool);
        }
    }

    fn read(&mut self, tokens: &[u32]) -> Result<&[f32], String> {
        self.decode(tokens, false)
    }

    fn loss(&mut self, tokens: &[u32]) -> Result<f64, String> {
        let (vocab, targets) = (self.vocab, &tokens[1..]);
        let logits = self.decode(&tokens[..targets.len()], true)?;
        Ok(-logits.chunks_exact(vocab).zip(targets).map(|(logits, &target)| log_probability(logits, target)).sum::<f64>())
    }

    fn tokens(&self, _: &str) -> Result<Vec<u32>, String> {
        Err("llama.cpp is given its tokens".into())
    }
}

/// Loads a file in the variant of that name, or the best, and serves it.
pub fn work(model: &Path, threads: usize, variant: Option<&str>, began: Instant) -> Result<(), String> {
    let mut model = Llama::load(model, variant, threads)?;
    let name = model.name.clone();
    serve(&mut model, name, began)
}

/// # Safety
/// `T` must be the type of the symbol.
unsafe fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
    // SAFETY: by the caller's contract.
    unsafe { library.get::<T>(name.as_bytes()) }.map(|symbol| *symbol).map_err(|e| format!("{name}: {e}"))
}
