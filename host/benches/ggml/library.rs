//! ggml's libraries as a peer: fetched from the npm registry into `target/`, the one for the processor in its best variant.

use std::ffi::{CStr, c_char, c_int};
use std::path::{Path, PathBuf};
use std::process::Command;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};

const URL: &str = "https://registry.npmjs.org/@node-llama-cpp/linux-x64/-/linux-x64-3.22.1.tgz";
const SHA512: &str =
    "e6e0820cda9608d7da026f1a47f533c5ba381c1a4a80d17dd640873dea4a86032057638099ab6879f6ce94c8a1b2a0a21f639ddf913f7941d00856df44126e3a";
/// The libraries; they stay loaded for the life of the program.
pub struct Ggml {
    base: Library,
    cpu: Library,
    /// Version of ggml, and which variant of its CPU library.
    pub name: String,
    /// The folder of all of them, llama.cpp's as well.
    #[allow(dead_code, reason = "of interest to one benchmark")]
    pub folder: PathBuf,
}

impl Ggml {
    /// Fetches the libraries into `target/` unless they are there, and loads them: the variant of that name, such as `haswell`, or the best for this processor.
    ///
    /// # Errors
    /// What is missing, in words: not this kind of machine, no network, another library than expected.
    pub fn load(variant: Option<&str>) -> Result<Self, String> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err("the library is for Linux on x86-64".into());
        }
        let folder = fetch()?;
        let open = |file: &Path| {
            // SAFETY: the file's hash was checked; ggml's libraries have no initialisers beyond those of the C++ runtime.
            unsafe { Library::open(Some(file), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| format!("{}: {e}", file.display()))
        };
        let base = open(&folder.join("libggml-base.so"))?;
        let variant = variant.map_or_else(|| best_variant(&folder), |name| Ok(folder.join(format!("libggml-cpu-{name}.so"))))?;
        let cpu = open(&variant)?;
        // SAFETY: `void ggml_cpu_init(void)` fills the tables of f16; `const char * ggml_version(void)` returns a constant.
        let version = unsafe {
            symbol::<unsafe extern "C" fn()>(&cpu, "ggml_cpu_init")?();
            CStr::from_ptr(symbol::<unsafe extern "C" fn() -> *const c_char>(&base, "ggml_version")?()).to_string_lossy().into_owned()
        };
        let name = format!("ggml {version}, {}", variant.file_name().expect("a file").display());
        Ok(Self { base, cpu, name, folder })
    }

    /// A function of either library.
    ///
    /// # Errors
    /// None has it.
    ///
    /// # Safety
    /// `T` must be the type of the symbol.
    pub unsafe fn symbol<T: Copy>(&self, name: &str) -> Result<T, String> {
        // SAFETY: by the caller's contract.
        unsafe { symbol(&self.base, name).or_else(|_| symbol(&self.cpu, name)) }
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
