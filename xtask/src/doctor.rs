//! `cargo xtask doctor`: what of the device toolchain is there, and how to get the rest.

use std::process::{Command, ExitCode};

use argh::FromArgs;

use crate::toolchain::{Part, survey};

/// say what of the device toolchain is installed and how to get the rest; exit code 1 if kernels cannot be built
#[derive(FromArgs)]
#[argh(subcommand, name = "doctor")]
pub struct Doctor {
    /// run the commands that install what is missing (Debian, as root)
    #[argh(switch)]
    install: bool,
}

impl Doctor {
    /// Runs it.
    pub fn run(&self) -> ExitCode {
        let mut parts = survey();
        if self.install {
            // What is missing may change with every installation: the compiler says which LLVM it is of.
            for index in 0..parts.len() {
                if parts[index].found.is_err() {
                    if let Err(error) = install(&parts[index]) {
                        eprintln!("xtask: doctor: {error}");
                        return ExitCode::FAILURE;
                    }
                    parts = survey();
                }
            }
        }
        print(&parts);
        if parts.iter().all(Part::suffices) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn install(part: &Part) -> Result<(), String> {
    println!("{}: {}", part.name, part.install);
    match Command::new("sh").args(["-c", &part.install]).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("installing {}: {status}\n  hint: run it yourself: {}", part.name, part.install)),
        Err(error) => Err(format!("running sh: {error}")),
    }
}

fn print(parts: &[Part]) {
    for part in parts {
        match &part.found {
            Ok((path, version)) => println!("{:20} found    {version:16} {}", part.name, path.display()),
            Err(why) => println!(
                "{:20} {}  {why}\n{:20} install:  {}",
                part.name,
                if part.optional { "optional" } else { "MISSING " },
                "",
                part.install
            ),
        }
    }
    if parts.iter().any(|part| part.found.is_err()) {
        println!(
            "\n`cargo xtask doctor --install` runs these commands. On systems without apt: rustup's nightly of Rust 1.96 with the component rust-src"
        );
        println!("(PRIMAL_DEVICE_RUSTC names the compiler), LLVM 22 with llvm-config-22, and ptxas of CUDA 12 on the path.");
    }
}
