//! What this machine can run, checked before anything large is allocated or written.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::output::warn;
use crate::{Error, Result, ranks};
use primal_engine::backend::Device;
use primal_engine::config::{ConfigOf, Recompute, Rule, TrainConfig};
use primal_engine::memory::Plan;
use primal_engine::nn::kept::Kept;
use primal_engine::train::task::Task;
use primal_engine::train::trainer::Layout;

/// Bytes for people.
fn mib(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// One part in so many of a device's memory is left to all else than the arena.
pub(super) const REST: usize = 16;

/// An amount of memory as users write it: `11GB`, `7.5GiB`, or a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemorySize(pub(super) usize);

impl FromStr for MemorySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("GB", 1_000_000_000), ("MB", 1_000_000), ("", 1)];
        let (number, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).expect("no unit fits all");
        let number = number.trim_end().parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
        let bytes = number.map(|number| Self((number * f64::from(unit)) as usize));
        bytes.ok_or_else(|| format!("expected an amount of memory, such as 11GB or 7.5GiB, found {text:?}"))
    }
}

/// Bytes that an arena can have now, or as good as no limit.
fn available<D: Device>() -> Result<usize> {
    Ok(D::available_memory()?.unwrap_or(isize::MAX as usize) / D::sharers(ranks::local_place().count))
}

/// Checks that the memory that the device has now holds the plan and the back end's scratch.
///
/// # Errors
/// No such device; bad input that says by how much the plan is too large.
pub(super) fn require<D: Device>(plan: &Plan, hint: &str) -> Result<()> {
    let mut plan = plan.clone();
    D::plan_scratch(&mut plan);
    let (needed, available) = (plan.total_bytes(), available::<D>()?);
    if needed > available {
        return Err(Error::bad_input(
            "memory",
            format!("a plan within the {} that are available", mib(available)),
            mib(needed),
            format!("{hint}; `primal-host plan` lists what takes how much"),
        ));
    }
    Ok(())
}

/// Flags that only votes read.
const OF_VOTES: [&str; 4] = ["--votes", "--start", "--threshold", "--divisor"];

/// Says which of the flags that were given do nothing, as another rule trains.
pub(super) fn warn_of_unread(rule: Rule, given: &[String]) {
    let unread: Vec<&str> = OF_VOTES.into_iter().filter(|flag| given.iter().any(|given| given == flag)).collect();
    if rule != Rule::Votes && !unread.is_empty() && ranks::speaks() {
        warn(format!("warning: without effect, as the optimizer is not votes: {}", unread.join(", ")));
    }
}

/// Says so where gradients were to be made some rows at a time, and none will be.
pub(super) fn warn_without_tiles<T: Task>(layout: &Layout<T>, config: &TrainConfig) {
    if config.gradient_rows.is_some() && !layout.optimizer.has_tiles() && ranks::speaks() {
        let why =
            "no gradient is larger than that of a tile, of a table, a convolution, or a head whose logits come in parts (train.logit_rows)";
        warn(format!("warning: train.gradient_rows changes nothing: {why}"));
    }
}

/// Tokens that a model remembers, unless it is said.
const CONTEXT: usize = 4096;

/// Tokens that a model remembers: what `--context` says, of a model of that context.
///
/// # Errors
/// More than the model's, or none.
pub(super) fn context(given: Option<usize>, of_model: usize) -> Result<usize> {
    match given {
        None => Ok(of_model.min(CONTEXT)),
        Some(context) if (2.min(of_model)..=of_model).contains(&context) => Ok(context),
        Some(context) => {
            Err(Error::bad_input("--context", format!("2 to {of_model}, the model's context"), context, "leave it out, or lower it"))
        }
    }
}

/// Decides what the configuration leaves open: activations are recomputed if the device has no memory for them now. No result depends on it.
///
/// # Errors
/// No such device.
pub(super) fn choose_recompute<T: Task, D: Device>(config: &mut ConfigOf<T::Config>, kept: &BTreeMap<String, Kept>) -> Result<()> {
    if config.train.recompute != Recompute::Auto {
        return Ok(());
    }
    let mut plan = Plan::default();
    Layout::<T>::plan_at(ranks::place(), config, kept, &mut plan);
    D::plan_scratch(&mut plan);
    let available = available::<D>()?;
    if plan.total_bytes() <= available - available / REST {
        config.train.recompute = Recompute::Off;
    } else {
        config.train.recompute = Recompute::On;
        let (needed, available) = (mib(plan.total_bytes()), mib(available));
        if ranks::speaks() {
            warn(format!("activations are recomputed in the backward pass: to keep them takes {needed}, and {available} are free"));
        }
    }
    Ok(())
}
