//! The emulated device: its memory, its modules, its launches. The driver API is a thin layer above it.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use half::{bf16, f16};

use crate::decode::{Symbols, decode};
pub use crate::exec::LaunchSize;
use crate::exec::program::Program;
use crate::exec::{Checks, FUNCTION_WINDOW, Launch, LaunchFault, run};
use crate::memory::{Heap, OutOfBounds};
use crate::profile::Counters;
use crate::ptx::{Initial, Module as Syntax, PtxError, Space, Type, Value, Variable, parse, refuse};
use crate::tally::Tally;

/// The newest PTX that is understood.
const NEWEST_PTX: (u32, u32) = (8, 9);
/// Threads of a block.
pub const MAX_THREADS: u32 = 1024;
/// Shared memory of a block, if a kernel does not ask for more.
pub const SHARED_BYTES: usize = 48 << 10;
/// Shared memory of a block, if a kernel asks for more.
pub const SHARED_BYTES_OPT_IN: usize = 227 << 10;
/// Registers of a block.
pub const REGISTERS: i32 = 65536;

/// What can be set from outside.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is looked for while a kernel runs.
    pub checks: Checks,
    /// Bytes of global memory.
    pub memory: u64,
    /// Compute capability, as (major, minor).
    pub capability: (u32, u32),
    /// Whether a table of counters is printed for each launch.
    pub profile: bool,
    /// How long a launch may take.
    pub timeout: Option<Duration>,
    /// The file that a dry run is written to: see [`Device::dry`].
    pub dry: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let checks = Checks { races: true, unwritten: true };
        Self { checks, memory: 8 << 30, capability: (9, 0), profile: false, timeout: None, dry: None }
    }
}

impl Options {
    /// Reads the `PTX_EMU_…` variables of the environment.
    ///
    /// # Errors
    /// A variable with a value that is not understood.
    pub fn from_environment() -> Result<Self, String> {
        let mut options = Self::default();
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let wrong = |name: &str, value: &str, expected: &str| format!("{name}={value:?}: expected {expected}");
        if let Some(value) = read("PTX_EMU_CHECKS") {
            options.checks = checks(&value).ok_or_else(|| wrong("PTX_EMU_CHECKS", &value, "all, none, or a list of races, unwritten"))?;
        }
        if let Some(value) = read("PTX_EMU_MEMORY") {
            options.memory = bytes(&value).ok_or_else(|| wrong("PTX_EMU_MEMORY", &value, "a size such as 4G or 512M"))?;
        }
        if let Some(value) = read("PTX_EMU_ARCH") {
            let arch = architecture(&value).ok_or_else(|| wrong("PTX_EMU_ARCH", &value, "an architecture such as sm_86"))?;
            options.capability = arch;
        }
        if let Some(value) = read("PTX_EMU_TIMEOUT") {
            let seconds = value.parse().map_err(|_| wrong("PTX_EMU_TIMEOUT", &value, "seconds"))?;
            options.timeout = Some(Duration::from_secs(seconds));
        }
        options.dry = read("PTX_EMU_DRY").map(PathBuf::from);
        options.profile = read("PTX_EMU_PROFILE").is_some_and(|value| value != "0");
        Ok(options)
    }
}

fn checks(list: &str) -> Option<Checks> {
    let mut found = Checks { races: false, unwritten: false };
    for word in list.split(',') {
        match word {
            "all" => found = Checks { races: true, unwritten: true },
            "none" => {}
            "races" => found.races = true,
            "unwritten" => found.unwritten = true,
            _ => return None,
        }
    }
    Some(found)
}

fn bytes(size: &str) -> Option<u64> {
    let (number, shift) = match size.as_bytes().last()? {
        b'K' => (&size[..size.len() - 1], 10),
        b'M' => (&size[..size.len() - 1], 20),
        b'G' => (&size[..size.len() - 1], 30),
        _ => (size, 0),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `sm_86` or `sm_90a` as (8, 6) or (9, 0).
pub fn architecture(name: &str) -> Option<(u32, u32)> {
    let digits = name.strip_prefix("sm_")?.trim_end_matches(['a', 'f']);
    let number: u32 = digits.parse().ok()?;
    Some((number / 10, number % 10))
}

/// Why a module cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The text is no PTX, or uses what is not supported.
    #[error(transparent)]
    Ptx(#[from] PtxError),
    /// The PTX is newer than what is understood.
    #[error("PTX {0}.{1} is newer than {major}.{minor}", major = NEWEST_PTX.0, minor = NEWEST_PTX.1)]
    Version(u32, u32),
    /// The module is for newer devices.
    #[error("the module is for {0}, which is newer than the device (set PTX_EMU_ARCH)")]
    Target(String),
    /// There is no memory left for its variables.
    #[error("out of memory for variable {0}")]
    OutOfMemory(String),
}

/// A loaded module.
pub struct Module {
    /// Kernels by name.
    pub kernels: HashMap<String, Arc<Program>>,
    /// Variables in global and constant space by name: (address, bytes).
    pub variables: HashMap<String, (u64, u64)>,
}

/// Why a launch is refused.
#[derive(Debug, thiserror::Error)]
#[error("launch of {kernel}: {message}")]
pub struct Refused {
    kernel: String,
    message: String,
}

/// The device.
pub struct Device {
    /// Global memory.
    pub heap: Heap,
    /// How it is set up.
    pub options: Options,
    /// Counts what is asked of a device that does nothing.
    pub tally: Option<Tally>,
    launches: u64,
}

impl Device {
    /// A device with empty memory.
    pub fn new(options: Options) -> Self {
        Self { heap: Heap::new(options.memory, options.checks.unwritten), options, tally: None, launches: 0 }
    }

    /// A device that executes nothing and keeps no data: what is asked of it is checked as ever and counted in `into` (see [`crate::tally`]),
    /// and all memory reads as zeros.
    pub fn dry(options: Options, into: Box<dyn Write + Send>) -> Self {
        Self { heap: Heap::without_memory(options.memory), options, tally: Some(Tally::new(into)), launches: 0 }
    }

    /// Loads a module; its variables belong to `owner`.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&mut self, source: &str, owner: u64) -> Result<Module, LoadError> {
        let syntax = parse(source)?;
        let (major, minor) = syntax.version;
        if syntax.version > NEWEST_PTX {
            return Err(LoadError::Version(major, minor));
        }
        if architecture(syntax.target).is_none_or(|target| target > self.options.capability) {
            return Err(LoadError::Target(syntax.target.to_string()));
        }
        let mut variables = HashMap::new();
        for variable in syntax.variables.iter().filter(|v| matches!(v.space, Space::Global | Space::Const)) {
            let bytes = variable.bytes().max(1) as u64;
            let address = self.heap.allocate(bytes, variable.name, owner);
            let address = address.ok_or_else(|| LoadError::OutOfMemory(variable.name.to_string()))?;
            variables.insert(variable.name.to_string(), (address, variable.bytes() as u64));
        }
        let loaded = self.fill_in(&syntax, &variables);
        match loaded {
            Ok(kernels) => Ok(Module { kernels, variables }),
            Err(error) => {
                self.unload(&Module { kernels: HashMap::new(), variables });
                Err(error.into())
            }
        }
    }

    /// Writes the initial values of the variables, and decodes the kernels.
    fn fill_in(&mut self, syntax: &Syntax, variables: &HashMap<String, (u64, u64)>) -> Result<HashMap<String, Arc<Program>>, PtxError> {
        let symbols: Symbols = variables.iter().map(|(name, &(address, _))| (name.clone(), address)).collect();
        for variable in syntax.variables.iter().filter(|variable| symbols.contains_key(variable.name)) {
            let image = image(variable, syntax, &symbols)?;
            self.heap.write(symbols[variable.name], &image).expect("as large as the variable");
        }
        Ok(decode(syntax, &symbols)?.into_iter().map(|program| (program.name.clone(), Arc::new(program))).collect())
    }

    /// Frees the variables of a module.
    pub fn unload(&mut self, module: &Module) {
        for &(address, _) in module.variables.values() {
            // Its context may have been destroyed before it.
            let _: Result<(), OutOfBounds> = self.heap.free(address);
        }
    }

    /// Executes a kernel; a dry device counts it.
    ///
    /// # Errors
    /// A launch that a driver refuses.
    pub fn launch(&mut self, kernel: &Program, size: LaunchSize, params: &[u8]) -> Result<Executed, Refused> {
        let refuse = |message: String| Err(Refused { kernel: kernel.name.clone(), message });
        let threads = size.block.iter().map(|&n| u64::from(n)).product::<u64>();
        let most = kernel.max_threads.unwrap_or(MAX_THREADS).min(MAX_THREADS);
        let shared = kernel.shared_bytes + size.dynamic_shared;
        if size.grid.contains(&0) || size.block.contains(&0) || size.grid[1] > 65535 || size.grid[2] > 65535 {
            return refuse(format!("a grid of {:?} blocks of {:?} threads", size.grid, size.block));
        }
        if threads > most.into() || size.block[2] > 64 {
            return refuse(format!("a block of {:?} threads: at most {most} are possible", size.block));
        }
        if kernel.required_threads.is_some_and(|required| required != size.block) {
            return refuse(format!("a block of {:?} threads: the kernel requires {:?}", size.block, kernel.required_threads));
        }
        if shared > size.shared_limit {
            return refuse(format!("{shared} bytes of shared memory: at most {} are possible", size.shared_limit));
        }
        if params.len() != kernel.param_bytes() {
            return refuse(format!("{} bytes of parameters: the kernel has {}", params.len(), kernel.param_bytes()));
        }
        self.launches += 1;
        if let Some(tally) = &mut self.tally {
            tally.launch(kernel, size, params);
            return Ok(Executed { counters: Counters::default(), result: Ok(()) });
        }
        let launch = Launch {
            program: kernel,
            heap: &self.heap,
            params,
            grid: size.grid,
            block: size.block,
            dynamic_shared: size.dynamic_shared,
            checks: self.options.checks,
            profile: self.options.profile,
            id: self.launches,
            deadline: self.options.timeout.map(|timeout| Instant::now() + timeout),
        };
        let (counters, result) = run(&launch);
        Ok(Executed { counters, result })
    }
}

/// A launch that was executed.
#[derive(Debug)]
pub struct Executed {
    /// What it did, if the device counts that.
    pub counters: Counters,
    /// The fault that ended it.
    pub result: Result<(), Box<LaunchFault>>,
}

/// The initial bytes of a variable.
fn image(variable: &Variable, syntax: &Syntax, symbols: &Symbols) -> Result<Vec<u8>, PtxError> {
    let size = variable.element.bytes();
    let mut image = vec![0; variable.bytes()];
    if variable.initial.len() > variable.count {
        return refuse(variable.line, format!("`{}` has {} elements, but more initial values", variable.name, variable.count));
    }
    for (target, initial) in image.chunks_exact_mut(size.max(1)).zip(&variable.initial) {
        let bits = match initial {
            Initial::Value(value) => value_bits(*value, variable.element, variable.line)?,
            Initial::Address { name, offset, mask } => {
                let function = || syntax.functions.iter().position(|function| function.name == *name);
                let address = symbols.get(*name).copied().or_else(|| function().map(|at| FUNCTION_WINDOW + 16 * at as u64));
                let Some(address) = address else { return refuse(variable.line, format!("`{name}` is not declared")) };
                let address = address.wrapping_add(*offset);
                mask.map_or(address, |mask| (address & mask) >> mask.trailing_zeros())
            }
        };
        let bits = bits.to_le_bytes();
        target.copy_from_slice(bits.get(..size).unwrap_or(&bits));
    }
    Ok(image)
}

fn value_bits(value: Value, ty: Type, line: u32) -> Result<u64, PtxError> {
    let number = match value {
        Value::Integer(bits) if !matches!(ty, Type::F32 | Type::F64) => return Ok(bits),
        Value::Integer(bits) => bits as i64 as f64,
        Value::Single(bits) => f32::from_bits(bits).into(),
        Value::Double(bits) => f64::from_bits(bits),
    };
    match ty {
        Type::F64 | Type::B64 => Ok(number.to_bits()),
        Type::F32 | Type::B32 => Ok((number as f32).to_bits().into()),
        Type::F16 => Ok(f16::from_f64(number).to_bits().into()),
        Type::Bf16 => Ok(bf16::from_f64(number).to_bits().into()),
        _ => refuse(line, format!("initial value {value:?} does not fit type {ty:?}")),
    }
}
