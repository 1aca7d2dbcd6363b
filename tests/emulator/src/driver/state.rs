//! What the driver remembers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::errors::Error;
use super::{Handle, Result};
use crate::device::{Device, Module, Options, SHARED_BYTES};
use crate::exec::program::Program;
use crate::tally::Tally;

/// A context.
pub struct Context {
    /// Flags of the context.
    pub flags: u32,
    /// The fault of a kernel, after which the context is of no use.
    pub fault: Option<Error>,
    /// Limits that were set, by their number.
    pub limits: HashMap<u32, usize>,
}

/// A kernel that was asked for.
pub struct Function {
    /// The module that it is of.
    pub module: Handle,
    /// The kernel.
    pub program: Arc<Program>,
    /// Most bytes of shared memory.
    pub shared_limit: usize,
}

/// A stream.
pub struct Stream {
    /// Flags of the stream.
    pub flags: u32,
    /// Priority of the stream.
    pub priority: i32,
    /// The context that it is of.
    pub context: Handle,
}

/// The state of the driver.
pub struct Driver {
    /// Whether `cuInit` was called.
    pub initialised: bool,
    /// The device.
    pub device: Device,
    /// All contexts.
    pub contexts: HashMap<Handle, Context>,
    /// The primary context, and how often it is retained.
    pub primary: Option<(Handle, u32)>,
    /// Flags of the primary context.
    pub primary_flags: u32,
    /// Modules, with their contexts.
    pub modules: HashMap<Handle, (Handle, Module)>,
    /// Kernels that were asked for.
    pub functions: HashMap<Handle, Function>,
    /// Streams.
    pub streams: HashMap<Handle, Stream>,
    /// Events: when they were recorded.
    pub events: HashMap<Handle, Option<Instant>>,
    next: Handle,
}

thread_local! {
    /// The contexts of the thread, the current one last.
    pub static CURRENT: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

/// Says that the file of a dry run cannot be written.
fn dry_error(file: &Path, error: &std::io::Error) -> Error {
    eprintln!("ptx-emulator: PTX_EMU_DRY={}: expected a file that can be written, found: {error}", file.display());
    Error::OperatingSystem
}

/// Calls `f` with the one driver that there is.
pub fn with_driver<T>(f: impl FnOnce(&mut Driver) -> Result<T>) -> Result<T> {
    static DRIVER: Mutex<Option<Driver>> = Mutex::new(None);
    let mut driver = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
    if driver.is_none() {
        let options = Options::from_environment().map_err(|message| {
            eprintln!("ptx-emulator: {message}");
            Error::InvalidValue
        })?;
        *driver = Some(Driver::new(options)?);
    }
    f(driver.as_mut().expect("just made"))
}

impl Driver {
    fn new(options: Options) -> Result<Self> {
        let device = match options.dry.clone() {
            Some(file) => Device::dry(options, Box::new(File::create(&file).map_err(|error| dry_error(&file, &error))?)),
            None => Device::new(options),
        };
        Ok(Self {
            initialised: false,
            device,
            contexts: HashMap::new(),
            primary: None,
            primary_flags: 0,
            modules: HashMap::new(),
            functions: HashMap::new(),
            streams: HashMap::new(),
            events: HashMap::new(),
            next: 0x1000,
        })
    }

    /// Counts a request, if this is a dry run.
    pub fn count(&mut self, request: impl FnOnce(&mut Tally)) {
        if let Some(tally) = &mut self.device.tally {
            request(tally);
        }
    }

    /// Ends a section of a dry run's file.
    pub fn end_section(&mut self) -> Result<()> {
        let Device { heap, tally, options, .. } = &mut self.device;
        let Some(tally) = tally else { return Ok(()) };
        let (free, total) = heap.info();
        tally.end_section(total - free).map_err(|error| dry_error(options.dry.as_deref().unwrap_or(Path::new("")), &error))
    }

    /// A new handle.
    pub fn handle(&mut self) -> Handle {
        self.next += 16;
        self.next
    }

    /// The current context of the thread.
    pub fn current(&self) -> Result<Handle> {
        let current = CURRENT.with_borrow(|stack| stack.last().copied()).filter(|&current| current != 0);
        let current = current.ok_or(Error::InvalidContext)?;
        if self.contexts.contains_key(&current) { Ok(current) } else { Err(Error::ContextIsDestroyed) }
    }

    /// A new context.
    pub fn new_context(&mut self, flags: u32) -> Handle {
        let handle = self.handle();
        self.contexts.insert(handle, Context { flags, fault: None, limits: HashMap::new() });
        handle
    }

    /// Ends a context with all that belongs to it, and a dry run's section.
    pub fn end_context(&mut self, context: Handle) -> Result<()> {
        let written = self.end_section();
        self.contexts.remove(&context);
        let modules = &mut self.modules;
        modules.retain(|_, (owner, _)| *owner != context);
        self.functions.retain(|_, function| modules.contains_key(&function.module));
        self.streams.retain(|_, stream| stream.context != context);
        self.device.heap.free_all(context);
        written
    }

    /// The kernel behind a handle.
    pub fn function(&mut self, handle: Handle) -> Result<&mut Function> {
        self.functions.get_mut(&handle).ok_or(Error::InvalidHandle)
    }

    /// A handle for a kernel of a module; asked twice, the same.
    pub fn function_of(&mut self, module: Handle, name: &str) -> Result<Handle> {
        let (_, loaded) = self.modules.get(&module).ok_or(Error::InvalidHandle)?;
        let program = loaded.kernels.get(name).ok_or(Error::NotFound)?.clone();
        if let Some((&known, _)) = self.functions.iter().find(|(_, function)| Arc::ptr_eq(&function.program, &program)) {
            return Ok(known);
        }
        let handle = self.handle();
        self.functions.insert(handle, Function { module, program, shared_limit: SHARED_BYTES });
        Ok(handle)
    }

    /// Whether a stream exists; 0, 1 and 2 stand for the default streams.
    pub fn check_stream(&self, stream: Handle) -> Result<()> {
        if stream <= 2 || self.streams.contains_key(&stream) { Ok(()) } else { Err(Error::InvalidHandle) }
    }
}
