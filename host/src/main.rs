//! The command line of PRIMAL.
fn main() {}
