//! What is queued on the device, and the first call of the driver that failed.
//!
//! Ops return nothing, and a kernel that faults makes every later call fail. So the first failure is kept, nothing is queued any more after it, and
//! who asks with [`Queue::check`] learns of it.

use std::cell::OnceCell;

use super::driver::{Failure, Stream};
use crate::{Error, Result};

/// The first call that failed: what was done, and what the driver said.
#[derive(Default)]
struct Fault(OnceCell<String>);

impl Fault {
    /// Calls the driver, unless a call failed before; whether that went well.
    fn call<E: ToString>(&self, doing: impl FnOnce() -> String, call: impl FnOnce() -> Result<(), E>) -> bool {
        if self.0.get().is_some() {
            return false;
        }
        let Err(failure) = call() else { return true };
        self.0.set(format!("{}: {}", doing(), failure.to_string())).expect("the first failure");
        false
    }

    fn check(&self) -> Result<()> {
        let hint = "see that the GPU and its driver work, with nvidia-smi; PRIMAL_CUDA_PROFILE=FILE waits for each kernel, and so names the one that \
                    failed; PRIMAL_CUDA_DEBUG=1 gives each tensor an allocation of its own, for compute-sanitizer";
        self.0.get().map_or(Ok(()), |failed| Err(Error::failed(failed, hint)))
    }
}

/// A stream, until something fails.
pub(super) struct Queue {
    stream: Stream,
    fault: Fault,
}

impl Queue {
    /// A stream of its own, that copies of the host wait for.
    ///
    /// # Errors
    /// What the driver says.
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self { stream: Stream::new()?, fault: Fault::default() })
    }

    /// Calls the driver, unless a call failed before; whether that went well. `doing` says what for, should it fail.
    pub(super) fn call(&self, doing: impl FnOnce() -> String, call: impl FnOnce(&Stream) -> Result<(), Failure>) -> bool {
        self.fault.call(doing, || call(&self.stream))
    }

    /// Whether all went well so far, as far as the driver told.
    ///
    /// # Errors
    /// The first call that failed.
    pub(super) fn check(&self) -> Result<()> {
        self.fault.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_stays_and_ends_all_calls() {
        let fault = Fault::default();
        assert!(fault.call(|| unreachable!("all is well"), || Ok::<_, &str>(())));
        assert!(fault.check().is_ok());
        assert!(!fault.call(|| "launching gelu".into(), || Err("illegal address")));
        assert!(!fault.call(|| unreachable!("not called"), || -> Result<(), &str> { unreachable!("not called") }));
        let error = fault.check().expect_err("it failed");
        assert!(matches!(&error, Error::Failed { message, .. } if message == "launching gelu: illegal address"), "{error}");
    }
}
