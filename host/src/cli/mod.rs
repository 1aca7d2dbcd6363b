//! The subcommands. Exit codes: 0 ok, 1 failed, 2 bad input.

mod eval;
mod generate;
mod info;
mod plan;
mod report;
mod train;

use argh::FromArgs;

use crate::Result;

/// Trains and runs neural networks directly on a 4-bit grid. Exit codes: 0 ok, 1 failed, 2 bad input.
#[derive(FromArgs)]
pub struct Arguments {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
#[expect(clippy::large_enum_variant, reason = "made once, at the start")]
enum Command {
    Train(train::Train),
    Eval(eval::Eval),
    Generate(generate::Generate),
    Plan(plan::Plan),
    Info(info::Info),
    Report(report::Report),
}

impl Arguments {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// Those of the subcommand.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Train(command) => command.run(),
            Command::Eval(command) => command.run(),
            Command::Generate(command) => command.run(),
            Command::Plan(command) => command.run(),
            Command::Info(command) => command.run(),
            Command::Report(command) => command.run(),
        }
    }
}
