//! The arguments of a benchmark.

use argh::{EarlyExit, TopLevelCommand};

/// Reads them, without `--bench`, which cargo adds to every benchmark's. Ends the program where they ask for help or are wrong (exit code 2).
pub fn arguments<T: TopLevelCommand>() -> T {
    let all: Vec<String> = std::env::args().filter(|argument| argument != "--bench").collect();
    let texts: Vec<&str> = all.iter().map(String::as_str).collect();
    let (_, given) = texts.split_first().expect("the program's name");
    let name = concat!("cargo xtask bench ", env!("CARGO_CRATE_NAME"));
    T::from_args(&[name], given).unwrap_or_else(|EarlyExit { output, status }| {
        if status.is_ok() {
            println!("{output}");
            std::process::exit(0);
        }
        eprintln!("{output}\nRun {name} --help for more information.");
        std::process::exit(2);
    })
}
