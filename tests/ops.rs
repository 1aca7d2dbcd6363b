//! The op case table on the CPU. On a GPU, `cargo xtask verify` runs it.

use std::collections::BTreeSet;

use primal_engine::backend::cpu::Cpu;
use primal_engine::verify::ops::Table;

fn check(result: Result<(), String>) {
    if let Err(failures) = result {
        panic!("{failures}");
    }
}

#[test]
fn results_are_those_of_the_references() {
    check(Table::new(Cpu::new).compare());
}

#[test]
fn gradients_are_those_of_finite_differences() {
    check(Table::new(Cpu::new).gradient());
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    check(Table::new(Cpu::new).same_bytes(&[1, 2, 7]));
}

/// Methods of `Backend` that move data and compute nothing; every other case needs `upload` and `download` to work.
const NOT_OPS: [&str; 3] = ["upload", "download", "map"];

#[test]
fn every_op_has_a_row() {
    let source = include_str!("../host/crates/engine/src/backend/mod.rs");
    let (_, body) = source.split_once("pub trait Backend").expect("the trait");
    let methods = body.lines().filter_map(|line| line.trim_start().strip_prefix("fn ")?.split(['(', '<']).next());
    let methods: BTreeSet<&str> = methods.filter(|name| !NOT_OPS.contains(name)).collect();
    let table = Table::new(Cpu::new);
    let (rows, checked) = (table.ops(), table.ops_with_gradient());
    let missing: Vec<_> = methods.difference(&rows).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
    let unknown: Vec<_> = rows.difference(&methods).collect();
    assert!(unknown.is_empty(), "rows for {unknown:?}, which are not methods of Backend");
    let unchecked: Vec<_> = rows.iter().filter(|op| op.contains("_backward") && !checked.contains(*op)).collect();
    assert!(unchecked.is_empty(), "no gradient check for {unchecked:?}");
}
