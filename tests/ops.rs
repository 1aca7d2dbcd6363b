//! The op case table on the CPU. On a GPU, `cargo xtask verify` runs it.

use std::collections::BTreeSet;

use primal_engine::backend::cpu::Cpu;
use primal_engine::ops::NAMES;
use primal_engine::verify::ops::CaseTable;

fn check(result: Result<(), String>) {
    if let Err(failures) = result {
        panic!("{failures}");
    }
}

#[test]
fn results_are_those_of_the_references() {
    check(CaseTable::new(Cpu::new).compare());
}

#[test]
fn gradients_are_those_of_finite_differences() {
    check(CaseTable::new(Cpu::new).gradient());
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    check(CaseTable::new(Cpu::new).same_bytes(&[1, 2, 7]));
}

/// Methods of `Backend` that compute nothing, and have rows.
const OF_MEMORY: [&str; 2] = ["copy", "zero"];

#[test]
fn every_op_has_a_row() {
    let ops: BTreeSet<&str> = NAMES.iter().copied().chain(OF_MEMORY).collect();
    let table = CaseTable::new(Cpu::new);
    let (rows, checked) = (table.ops(), table.ops_with_gradient());
    let missing: Vec<_> = ops.difference(&rows).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
    let unchecked: Vec<_> = rows.iter().filter(|op| op.contains("_backward") && !checked.contains(*op)).collect();
    assert!(unchecked.is_empty(), "no gradient check for {unchecked:?}");
}
