//! `primal-host verify`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::Instant;

use argh::FromArgs;

use super::device::{self, DeviceName, Work};
use super::threads::in_pool;
use crate::output::print;
use crate::verify::steps;
use crate::{Error, Result};
use primal_engine::backend::Device;
use primal_engine::verify::ops::CaseTable;

/// check a device: every op against plain references; training, generated text and speech beside the CPU's
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "verify",
    example = "{command_name} --device cuda            # everything",
    example = "{command_name} --device cuda ops --op add",
    example = "{command_name} --device cuda speed      # how fast each op is"
)]
pub struct Verify {
    /// what to check: machine, votes, steps, ops, speed (default: the first four; on the CPU, which the others compare with: machine, ops)
    #[argh(positional)]
    parts: Vec<VerifyPart>,
    /// of ops and speed, this op alone
    #[argh(option)]
    op: Option<String>,
    /// of ops, only cases of up to 20,000 values
    #[argh(switch)]
    small: bool,
    /// device: cpu (default) or cuda
    #[argh(option, default = "DeviceName::default()")]
    device: DeviceName,
    /// threads (default: all cores)
    #[argh(option)]
    threads: Option<usize>,
}

/// Values of the largest case with `--small`.
const SMALL: usize = 20_000;

/// What can be checked.
#[derive(Clone, Copy, PartialEq)]
enum VerifyPart {
    /// What the device is, and whether it can be used.
    Machine,
    /// From the same gradients, the CPU's votes and flips, bit for bit.
    Votes,
    /// Losses, text and speech.
    Steps,
    /// The case table.
    Ops,
    /// The case table's times; it fails never.
    Speed,
}

impl FromStr for VerifyPart {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "machine" => Ok(Self::Machine),
            "votes" => Ok(Self::Votes),
            "steps" => Ok(Self::Steps),
            "ops" => Ok(Self::Ops),
            "speed" => Ok(Self::Speed),
            _ => Err(format!("expected machine, votes, steps, ops or speed, found {name:?}")),
        }
    }
}

impl Verify {
    /// Checks, and prints a line for each check.
    ///
    /// # Errors
    /// No such device; flags that cannot be used; a check that fails, after all were made.
    pub fn run(mut self) -> Result<()> {
        let alone = self.device == DeviceName::Cpu;
        if self.parts.is_empty() {
            self.parts = if alone {
                vec![VerifyPart::Machine, VerifyPart::Ops]
            } else {
                vec![VerifyPart::Machine, VerifyPart::Votes, VerifyPart::Steps, VerifyPart::Ops]
            };
        }
        if alone && self.parts.iter().any(|part| [VerifyPart::Votes, VerifyPart::Steps].contains(part)) {
            let hint = "give --device cuda, or leave votes and steps out";
            return Err(Error::bad_input("verify", "a device to compare with the CPU", "the CPU", hint));
        }
        in_pool(self.threads, || device::run(self.device, &self))
    }

    /// The case table, or the rows of `--op`.
    fn table<D: Device>(&self) -> Result<CaseTable<D>> {
        let table = CaseTable::new(|plan| D::open(plan).unwrap_or_else(|error| panic!("{error}")));
        let table = if self.small { table.at_most(SMALL) } else { table };
        let Some(op) = &self.op else { return Ok(table) };
        let ops = table.ops();
        if ops.contains(op.as_str()) {
            return Ok(table.only(op));
        }
        let names = ops.into_iter().collect::<Vec<_>>().join(", ");
        Err(Error::bad_input("--op", names, op, "give one of them, or leave --op out for all"))
    }
}

impl Work for Verify {
    fn run_on<D: Device>(&self) -> Result<()> {
        // Before anything else, whether the device is there at all.
        let facts = D::describe()?;
        let mut failed = Vec::new();
        for part in &self.parts {
            match part {
                VerifyPart::Machine => facts.iter().try_for_each(|(name, fact)| print(format!("{name}: {fact}")))?,
                VerifyPart::Votes => check("votes", &mut failed, asserts(steps::the_same_gradients_give_the_same_votes_and_flips::<D>))?,
                VerifyPart::Steps => {
                    check("arena", &mut failed, asserts(steps::the_arena_is_what_was_planned::<D>))?;
                    check("text", &mut failed, asserts(steps::losses_and_generated_text_agree::<D>))?;
                    check("documents", &mut failed, asserts(steps::documents_are_learnt_the_same::<D>))?;
                    check("speech", &mut failed, asserts(steps::a_voice_learns_and_speaks_the_same::<D>))?;
                    check("voices", &mut failed, asserts(steps::the_voices_in_the_program_say_the_same::<D>))?;
                }
                VerifyPart::Ops => {
                    let table = self.table::<D>()?;
                    check("ops", &mut failed, || table.compare())?;
                    check("gradients", &mut failed, || table.gradient())?;
                    check("same bytes twice", &mut failed, || table.same_bytes_twice())?;
                }
                VerifyPart::Speed => self.table::<D>()?.speed(),
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(Error::failed(format!("checks that fail: {}", failed.join(", ")), "the lines above name the first difference of each"))
    }
}

/// Makes a check, whatever became of the one before.
fn check(name: &'static str, failed: &mut Vec<&'static str>, run: impl FnOnce() -> Result<(), String>) -> Result<()> {
    let began = Instant::now();
    // Checks of steps panic where they fail.
    let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(message(panic.as_ref())));
    let seconds = began.elapsed().as_secs_f64();
    match result {
        Ok(()) => print(format!("passed {name} in {seconds:.1} s")),
        Err(cause) => {
            failed.push(name);
            print(format!("FAILED {name} in {seconds:.1} s: {cause}"))
        }
    }
}

/// A check that panics where it fails.
fn asserts(run: fn()) -> impl FnOnce() -> Result<(), String> {
    move || {
        run();
        Ok(())
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic").to_owned()
}
