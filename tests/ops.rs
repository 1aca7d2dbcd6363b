//! Every op of every back end, against plain references: one table of cases, several modes.
//!
//! - *compare*: each buffer after the op against the naive `f64` function in `reference.rs` (discrete ops: in `cases/discrete.rs`)
//! - *gradient*: what a backward op wrote against central differences through the naive forward, in `f64`
//! - *threads*: the same bytes from pools of 1, 2 and 7 threads; of a GPU, the same bytes twice
//! - *speed*: `PRIMAL_OPS_SPEED=1 cargo test --release --test ops speed -- --nocapture --test-threads 1` prints ns and GB/s or GFLOP/s;
//!   set it to an op's name for that op alone. Without the variable it does nothing; it never fails.
//!
//! To add an op: a function in a file of `cases/` that builds its [`Case`] (buffers, the call, the reference, a tolerance, and for a
//! backward op the loss), and a line in that file's `rows`. A test fails while a method of `Backend` has no row.
//! To add a back end: one [`check_back_end!`] line below.

mod cases;
mod harness;
mod reference;

use std::collections::BTreeSet;

use harness::Case;
use primal_host::arena::Plan;
use primal_host::backend::Backend;
use primal_host::backend::cpu::Cpu;
#[cfg(feature = "cuda")]
use primal_host::backend::{Device, cuda::Cuda};

/// All modes for a back end that `$make` makes from a plan; *threads* with pools of these sizes.
macro_rules! check_back_end {
    ($name:ident, $type:ty, $pools:expr, $make:expr) => {
        mod $name {
            use super::*;

            fn checked() -> Vec<Case<$type>> {
                cases::table().into_iter().filter(Case::is_checked).collect()
            }

            #[test]
            fn compare() {
                report(checked(), |case| case.compare($make));
            }

            #[test]
            fn gradient() {
                let rows = checked().into_iter().filter(Case::has_gradient).collect();
                report(rows, |case| case.check_gradient($make));
            }

            #[test]
            fn threads() {
                super::threads(checked(), &$pools, $make);
            }

            #[test]
            fn speed() {
                super::speed(cases::table::<$type>(), $make);
            }
        }
    };
}

check_back_end!(cpu, Cpu, [1, 2, 7], Cpu::new);
#[cfg(feature = "cuda")]
check_back_end!(cuda, Cuda, [1, 1], |plan| Cuda::open(plan).expect("a GPU: see `cargo xtask verify`"));

/// Fails with the worst element of each failing row.
fn report<B>(rows: Vec<Case<B>>, check: impl Fn(&Case<B>) -> Result<(), String> + Sync) {
    assert!(!rows.is_empty(), "no rows");
    let failures: Vec<String> = rows.iter().filter_map(|case| check(case).err()).collect();
    assert!(failures.is_empty(), "{} of {} rows fail:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

fn threads<B: Backend>(rows: Vec<Case<B>>, pools: &[usize], make: fn(&mut Plan) -> B) {
    let pool = |&n: &usize| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("a pool");
    let pools: Vec<_> = pools.iter().map(pool).collect();
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|case| {
            let runs: Vec<_> = pools.iter().map(|pool| pool.install(|| case.bytes(make))).collect();
            let (first, others) = runs.split_first().expect("two runs or more");
            let differs = |(buffer, bytes): (usize, &Vec<u8>)| {
                let byte = (0..bytes.len()).find(|&byte| others.iter().any(|other| other[buffer][byte] != bytes[byte]))?;
                Some(format!("{} {}: buffer {buffer} differs from byte {byte} on", case.op, case.shape))
            };
            first.iter().enumerate().find_map(differs)
        })
        .collect();
    assert!(failures.is_empty(), "{} rows do not give the same bytes again:\n{}", failures.len(), failures.join("\n"));
}

fn speed<B: Backend>(rows: Vec<Case<B>>, make: fn(&mut Plan) -> B) {
    let Ok(op) = std::env::var("PRIMAL_OPS_SPEED") else { return };
    println!("{} threads", rayon::current_num_threads());
    for case in rows.iter().filter(|case| case.has_speed() && (op == "1" || op == case.op)) {
        // Inside the pool, as in training.
        println!("{}", rayon::scope(|_| case.speed(make)));
    }
}

/// Methods of `Backend` that move data and compute nothing; every other case needs `upload` and `download` to work.
const NOT_OPS: [&str; 3] = ["upload", "download", "map"];

#[test]
fn every_op_has_a_row() {
    let source = include_str!("../host/src/backend/mod.rs");
    let (_, body) = source.split_once("pub trait Backend").expect("the trait");
    let methods = body.lines().filter_map(|line| line.trim_start().strip_prefix("fn ")?.split(['(', '<']).next());
    let methods: BTreeSet<&str> = methods.filter(|name| !NOT_OPS.contains(name)).collect();
    let rows: BTreeSet<&str> = cases::table::<Cpu>().iter().filter(|case| case.is_checked()).map(|case| case.op).collect();
    let missing: Vec<_> = methods.difference(&rows).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
    let unknown: Vec<_> = rows.difference(&methods).collect();
    assert!(unknown.is_empty(), "rows for {unknown:?}, which are not methods of Backend");
    let backward = rows.iter().filter(|op| op.contains("_backward"));
    let checked: BTreeSet<&str> = cases::table::<Cpu>().iter().filter(|case| case.has_gradient()).map(|case| case.op).collect();
    let unchecked: Vec<_> = backward.filter(|op| !checked.contains(*op)).collect();
    assert!(unchecked.is_empty(), "no gradient check for {unchecked:?}");
}
