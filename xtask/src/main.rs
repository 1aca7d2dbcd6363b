//! `cargo xtask`: tests, benchmarks and device builds.
fn main() {}
