//! The processes that a launcher of MPI started together (`mpirun -n 4 primal-host train`), and which of them this one is.
//!
//! Each holds the whole run and makes its share of every step's micro-batches; the first one alone writes and speaks. See `primal_engine::ranks`.

#[cfg(feature = "mpi")]
mod mpi;

use std::sync::OnceLock;

use primal_engine::config::{Flips, Reduce, Rule, TrainConfig};
use primal_engine::ranks::{Alone, Place, Ranks, divisors};

use crate::{Error, Result};

/// What launchers tell the processes that they start: how many there are.
const SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
/// What Slurm tells them; it does so of processes that have nothing to do with each other as well, but not without a server of PMIx.
const SLURM: [&str; 2] = ["PMIX_RANK", "SLURM_NTASKS"];
/// What launchers tell of those on one machine.
const LOCAL_SIZES: [&str; 3] = ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_NTASKS_PER_NODE"];
const LOCAL_RANKS: [&str; 3] = ["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"];

static HERE: OnceLock<Place> = OnceLock::new();

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.trim().parse().ok()
}

/// How many processes a launcher started together, as far as it says.
fn launched() -> usize {
    let by_slurm = std::env::var_os(SLURM[0]).and_then(|_| number(SLURM[1]));
    SIZES.iter().find_map(|name| number(name)).or(by_slurm).unwrap_or(1)
}

/// Where this process stands among the ranks of its run.
pub fn place() -> Place {
    HERE.get().copied().unwrap_or(Place::ALONE)
}

/// Where it stands among those on this machine.
pub fn local_place() -> Place {
    let Place { rank, count } = place();
    if count == 1 {
        return Place::ALONE;
    }
    let [local_rank, local_count] = [&LOCAL_RANKS, &LOCAL_SIZES].map(|names| names.iter().find_map(|name| number(name)));
    Place { rank: local_rank.unwrap_or(rank), count: local_count.unwrap_or(count).clamp(1, count) }
}

/// The ranks of this run.
pub fn all() -> Box<dyn Ranks> {
    match place().count {
        1 => Box::new(Alone),
        #[cfg(feature = "mpi")]
        _ => Box::new(mpi::Mpi::default()),
        #[cfg(not(feature = "mpi"))]
        _ => unreachable!("refused by `together`"),
    }
}

/// Does `work` as one of the ranks that were started together. One that fails says why, and ends all of them.
///
/// # Errors
/// Those of `work` of who is alone; several processes of a program that was built without MPI, or by another MPI than the program's.
pub(crate) fn together(work: impl FnOnce() -> Result<()>) -> Result<()> {
    let launched = launched();
    if launched <= 1 {
        return work();
    }
    #[cfg(feature = "mpi")]
    return mpi::together(launched, work);
    #[cfg(not(feature = "mpi"))]
    {
        let hint = "build it with `cargo build --release -p primal-host --features mpi`, or start one process";
        let found = format!("{launched}, each of which would train the same");
        Err(Error::bad_input("processes started together", "1, as this program was built without MPI", found, hint))
    }
}

/// Whether this process speaks: one of them does.
pub(crate) fn speaks() -> bool {
    place().rank == 0
}

/// Does something that writes for all, a cache: the first rank before the others.
///
/// # Errors
/// Those of `work`.
pub(crate) fn in_turn<R>(work: impl FnOnce() -> Result<R>) -> Result<R> {
    let Place { rank, count } = place();
    let meet = || {
        if count > 1 {
            _ = all().largest(0)
        }
    };
    if rank > 0 {
        meet();
        return work();
    }
    let done = work()?;
    meet();
    Ok(done)
}

/// Of a new run that says nothing of it, how micro-batches come together on several ranks: by votes, if the rule has votes.
pub(crate) fn choose(config: &mut TrainConfig) {
    // What neither suits is refused by `require`.
    let can_share = config.optimizer != Rule::Poltergeist && config.flips == Flips::Step && config.gradient_rows.is_none();
    if place().count > 1 && !config.reduce.is_shared() && can_share {
        config.reduce = if config.optimizer == Rule::Votes { Reduce::Votes } else { Reduce::Gradients };
    }
}

/// Whether the ranks can share the micro-batches of a run.
///
/// # Errors
/// Bad input that says how many ranks can.
pub(crate) fn require(config: &TrainConfig) -> Result<()> {
    let count = place().count;
    if count == 1 {
        return Ok(());
    }
    if !config.reduce.is_shared() {
        let hint = "start one process; a new run takes --reduce votes or gradients, if its rule is not poltergeist, its flips come once a step, \
             and gradients come whole (--gradient-rows 0)";
        return Err(Error::bad_input("train.reduce", format!("votes or gradients on {count} ranks"), "in-order", hint));
    }
    if !(config.grad_accum as usize).is_multiple_of(count) {
        let can: Vec<String> = divisors(config.grad_accum).iter().map(u32::to_string).collect();
        let expected = format!("a number that divides the {} micro-batches of a step: {}", config.grad_accum, can.join(", "));
        let hint = "start so many processes; a new run has other micro-batches with --grad-accum";
        return Err(Error::bad_input("the number of ranks", expected, count, hint));
    }
    Ok(())
}
