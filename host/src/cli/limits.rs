//! What this machine can run, checked before anything large is allocated or written.

use crate::arena::Plan;
use crate::backend::Device;
use crate::{Error, Result};

/// Checks that the memory that the device has now holds the plan and the back end's scratch.
///
/// # Errors
/// No such device; bad input that says by how much the plan is too large.
pub(super) fn require<D: Device>(plan: &Plan, hint: &str) -> Result<()> {
    let mut plan = plan.clone();
    D::plan_scratch(&mut plan);
    let (needed, available) = (plan.total_bytes(), D::available_memory()?.unwrap_or(isize::MAX as usize));
    if needed > available {
        let mib = |bytes: usize| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        return Err(Error::bad_input(
            "memory",
            format!("a plan within the {} that are available", mib(available)),
            mib(needed),
            format!("{hint}; `primal-host plan` lists what takes how much"),
        ));
    }
    Ok(())
}
