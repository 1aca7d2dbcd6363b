//! The CUDA driver, looked for when it is first called: the same binary starts on machines without one.
//!
//! - `library`: the functions that are called, and what a failure says
//! - `context`: a device and its context
//! - `memory`: buffers on the device
//! - `stream`: streams and events
//! - `module`: kernels
//!
//! Own declarations, not those of the crate `cust`: its build script wants an installation of CUDA, or a variable that names one, and what depends on
//! this crate must build without either.

mod context;
mod library;
mod memory;
mod module;
mod stream;

pub use context::{Attribute, Context, Device, memory_info, version};
pub use library::{Failure, missing};
pub use memory::{Buffer, Slice};
pub use module::{Function, Module};
pub use stream::{Event, Stream};
