//! `cargo xtask bench`.

use std::process::ExitCode;

use argh::FromArgs;

/// The benchmarks: name and what it measures.
const BENCHES: [(&str, &str); 3] = [
    ("learning", "how well each update rule and grid learns, against its float twin"),
    ("train", "tokens and GFLOP a second of training, against the peak of the gemm crate"),
    ("decode", "matrix-vector products from codes, against ggml's q4_0"),
];

/// run a benchmark: learning, train or decode; without a name, list them
#[derive(FromArgs)]
#[argh(subcommand, name = "bench")]
pub struct Bench {
    /// its name, and arguments that are passed on to it (--help lists them)
    #[argh(positional, greedy)]
    name: Vec<String>,
}

impl Bench {
    /// Runs it.
    pub fn run(&self) -> ExitCode {
        let Some((name, arguments)) = self.name.split_first() else {
            BENCHES.iter().for_each(|(name, what)| println!("{name:10} {what}"));
            return ExitCode::SUCCESS;
        };
        if BENCHES.iter().all(|(known, _)| known != name) {
            eprintln!("xtask: bench: expected one of {}, found {name:?}", BENCHES.map(|(known, _)| known).join(", "));
            return ExitCode::from(2);
        }
        crate::cargo(&["bench", "--package", "primal-host", "--bench", name, "--"], arguments)
    }
}
