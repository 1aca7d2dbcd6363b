//! Every op of every back end, against plain references: one table of cases, several modes.
//!
//! - *compare*: each buffer after the op against the naive `f64` function in `reference.rs` (discrete ops: in `cases/discrete.rs`)
//! - *gradient*: what a backward op wrote against central differences through the naive forward, in `f64`
//! - *same bytes*: from pools of several numbers of threads; of a GPU, twice
//! - *speed*: prints ns and GB/s or GFLOP/s; it never fails
//!
//! To add the rows of an op: its plain function in `reference.rs`, a function in a file of `cases/` that builds a `Case` (buffers, the op, the
//! reference, a tolerance, and for a backward op the loss), and a line in that file's `rows`. `tests/ops.rs` fails while one of
//! [`NAMES`](crate::ops::NAMES) has no row.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::cases;
use super::harness::Case;
use crate::backend::Backend;
use crate::memory::Plan;

/// The rows for a back end, and how it is made from a plan.
pub struct CaseTable<B> {
    rows: Vec<Case<B>>,
    make: fn(&mut Plan) -> B,
}

impl<B: Backend + 'static> CaseTable<B> {
    /// Checks of all rows of the case table.
    pub fn new(make: fn(&mut Plan) -> B) -> Self {
        Self { rows: cases::table(), make }
    }

    /// Only the rows of one op.
    #[must_use]
    pub fn only(mut self, op: &str) -> Self {
        self.rows.retain(|case| case.op == op);
        self
    }

    /// Only those whose buffers hold at most so many values.
    #[must_use]
    pub fn at_most(mut self, values: usize) -> Self {
        self.rows.retain(|case| case.len() <= values);
        self
    }

    /// The ops whose results are compared.
    pub fn ops(&self) -> BTreeSet<&'static str> {
        self.checked().map(|case| case.op).collect()
    }

    /// The ops whose gradients are, too.
    pub fn ops_with_gradient(&self) -> BTreeSet<&'static str> {
        self.rows.iter().filter(|case| case.has_gradient()).map(|case| case.op).collect()
    }

    fn checked(&self) -> impl Iterator<Item = &Case<B>> {
        self.rows.iter().filter(|case| case.is_checked())
    }

    /// Mode *compare*.
    ///
    /// # Errors
    /// The worst element of each row that fails.
    pub fn compare(&self) -> Result<(), String> {
        failures(self.checked().collect(), |case| case.compare(self.make))
    }

    /// Mode *gradient*.
    ///
    /// # Errors
    /// The worst element of each row that fails.
    pub fn gradient(&self) -> Result<(), String> {
        failures(self.checked().filter(|case| case.has_gradient()).collect(), |case| case.check_gradient(self.make))
    }

    /// Mode *same bytes*: in a pool of each of these sizes.
    ///
    /// # Errors
    /// The first byte that differs in each row that fails.
    ///
    /// # Panics
    /// If threads cannot be started.
    pub fn same_bytes(&self, pools: &[usize]) -> Result<(), String> {
        let pool = |&n: &usize| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("a pool");
        let pools: Vec<_> = pools.iter().map(pool).collect();
        let check = |case: &Case<B>| {
            let runs: Result<Vec<_>, _> = pools.iter().map(|pool| pool.install(|| case.bytes(self.make))).collect();
            let runs = runs?;
            let (first, others) = runs.split_first().expect("two runs or more");
            let differs = |(buffer, bytes): (usize, &Vec<u8>)| {
                let byte = (0..bytes.len()).find(|&byte| others.iter().any(|other| other[buffer][byte] != bytes[byte]))?;
                Some(format!("{} {}: buffer {buffer} differs from byte {byte} on in another run", case.op, case.shape))
            };
            first.iter().enumerate().find_map(differs).map_or(Ok(()), Err)
        };
        let rows: Vec<_> = self.checked().collect();
        // One after another: a thread of one pool that waits for another takes up the next row meanwhile, and one on top of that, until its stack is full.
        summary(rows.len(), rows.into_iter().filter_map(|case| check(case).err()).collect())
    }

    /// Mode *same bytes* where the device itself has many threads: twice, of which a *compare* before it is the first time.
    ///
    /// # Errors
    /// The first buffer that differs in each row that fails.
    pub fn same_bytes_twice(&self) -> Result<(), String> {
        failures(self.checked().collect(), |case| case.repeats(self.make))
    }

    /// Mode *speed*.
    pub fn speed(&self) {
        println!("{} threads", rayon::current_num_threads());
        for case in self.rows.iter().filter(|case| case.has_speed()) {
            // Inside the pool, as in training.
            println!("{}", rayon::scope(|_| case.speed(self.make)));
        }
    }
}

/// Rows with more values are checked one after another: their references take gigabytes.
const LARGE: usize = 5_000_000;

fn failures<B: Backend>(rows: Vec<&Case<B>>, check: impl Fn(&Case<B>) -> Result<(), String> + Sync) -> Result<(), String> {
    let count = rows.len();
    let (large, small): (Vec<_>, Vec<_>) = rows.into_iter().partition(|case| case.len() > LARGE);
    let mut failed: Vec<String> = small.into_par_iter().filter_map(|case| check(case).err()).collect();
    failed.extend(large.into_iter().filter_map(|case| check(case).err()));
    summary(count, failed)
}

fn summary(rows: usize, failed: Vec<String>) -> Result<(), String> {
    println!("{} of {rows} rows pass", rows - failed.len());
    if failed.is_empty() { Ok(()) } else { Err(format!("{} of {rows} rows fail:\n{}", failed.len(), failed.join("\n"))) }
}
