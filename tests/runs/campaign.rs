//! The trials, and what they came to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::scenario::{Inputs, Product, SCENARIOS, Scenario, leftovers, memory_folder, product};
use crate::supervisor::{self, Call, Verdict, words};

/// Trials at a time.
const WORKERS: u64 = 2;
/// Disturbances of one trial, at most; after them it runs in peace.
const MOST: u64 = 3;
const ERRORS: [i32; 4] = [libc::ENOSPC, libc::EIO, libc::EDQUOT, libc::EROFS];
/// A kill leaves no time for anything, so it is the most frequent.
const SIGNALS: [i32; 6] = [libc::SIGKILL, libc::SIGKILL, libc::SIGKILL, libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Numbers that look random (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % end
    }
}

/// What happened.
#[derive(Default)]
pub struct Report {
    trials: usize,
    /// Signals by command and number: all, and those between the first and the last write.
    kills: BTreeMap<(&'static str, i32), [usize; 2]>,
    /// Errors by command, system call and file.
    errors: BTreeMap<(&'static str, &'static str, String), usize>,
    /// The calls at which a command failed that had not been disturbed before, and how many there are.
    covered: BTreeMap<&'static str, (BTreeSet<u64>, u64)>,
    failures: Vec<String>,
    time: Duration,
    seed: u64,
}

impl Report {
    fn kills_between(&self) -> usize {
        self.kills.values().map(|[_, between]| between).sum()
    }

    /// Whether nothing was lost, and enough was tried.
    pub fn is_good(&self, kills: usize, errors: usize) -> bool {
        self.failures.is_empty() && self.kills_between() >= kills && self.errors.values().sum::<usize>() >= errors
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let errors: usize = self.errors.values().sum();
        let (seconds, seed) = (self.time.as_secs_f64(), self.seed);
        writeln!(
            f,
            "{} trials in {seconds:.0} s, seed {seed}: {} kills between the first and the last write, {errors} errors injected",
            self.trials,
            self.kills_between()
        )?;
        for ((command, signal), [all, between]) in &self.kills {
            writeln!(f, "{all:>5} by signal {signal:>2}, {between} of them between the first and the last write: {command}")?;
        }
        for ((command, call, file), count) in &self.errors {
            writeln!(f, "{count:>5} at {call} of {file}: {command}")?;
        }
        for (command, (at, all)) in &self.covered {
            writeln!(f, "{:>5} of {all} calls that write have failed in an undisturbed run: {command}", at.len())?;
        }
        self.failures.iter().try_for_each(|failure| writeln!(f, "FAILED {failure}"))
    }
}

/// Trials until the time is over.
pub fn run(time: Duration, seed: u64) -> Report {
    let program = std::env::var_os("PRIMAL_HOST").map_or_else(|| env!("CARGO_BIN_EXE_primal-host").into(), PathBuf::from);
    let inputs = Inputs::new(program);
    let whole: Vec<(Scenario, u64, Product)> = SCENARIOS.iter().map(|&scenario| undisturbed(&inputs, scenario)).collect();
    let (report, begun) = (Mutex::new(Report { seed, ..Report::default() }), Instant::now());
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (inputs, whole, report) = (&inputs, &whole, &report);
            scope.spawn(move || {
                let mut random = Random(seed.wrapping_mul(WORKERS).wrapping_add(worker));
                for number in worker as usize.. {
                    if begun.elapsed() >= time {
                        break;
                    }
                    let (scenario, calls, expected) = &whole[number % whole.len()];
                    let mut trial = Trial { inputs, scenario: *scenario, calls: *calls, report, story: Vec::new() };
                    let outcome = trial.run(&mut random, expected);
                    let mut report = report.lock().expect("no panic");
                    report.trials += 1;
                    if let Err(why) = outcome {
                        report.failures.push(format!("{}, {}: {why}", scenario.name(), trial.story.join(", then ")));
                    }
                }
            });
        }
    });
    let mut report = report.into_inner().expect("no panic");
    report.time = begun.elapsed();
    report
}

/// How many calls write when nothing is disturbed, and what comes of it.
fn undisturbed(inputs: &Inputs, scenario: Scenario) -> (Scenario, u64, Product) {
    let here = memory_folder();
    let mut calls = 0;
    let (status, said) = supervise(inputs.command(scenario, here.path()), here.path(), |_| {
        calls += 1;
        Verdict::Pass
    });
    assert!(status.success(), "{} undisturbed: {said}", scenario.name());
    (scenario, calls, product(scenario, here.path()).expect("a product"))
}

/// Runs a command whose outputs go to files in `here`; how it ended and what it said on standard error.
fn supervise(mut command: Command, here: &Path, decide: impl FnMut(&Call) -> Verdict) -> (ExitStatus, String) {
    let [out, err] = ["out", "err"].map(|name| here.join(name));
    command.stdout(fs::File::create(&out).expect("a file")).stderr(fs::File::create(&err).expect("a file"));
    let status = supervisor::run(&mut command, decide).expect("primal-host runs");
    (status, String::from_utf8_lossy(&fs::read(err).unwrap_or_default()).into_owned())
}

struct Trial<'a> {
    inputs: &'a Inputs,
    scenario: Scenario,
    calls: u64,
    report: &'a Mutex<Report>,
    /// What was done to it.
    story: Vec<String>,
}

impl Trial<'_> {
    /// The calls of an undisturbed run one after another, in leaps, so that each has its turn and a short campaign sees all parts of the run.
    fn next_call(&self) -> u64 {
        const LEAP: u64 = 7919;
        let mut report = self.report.lock().expect("no panic");
        let (covered, all) = report.covered.entry(self.scenario.name()).or_insert_with(|| (BTreeSet::new(), self.calls));
        let start = covered.len() as u64 * LEAP % self.calls;
        let at = (start..self.calls).chain(0..start).find(|at| !covered.contains(at)).unwrap_or(start);
        *all = self.calls;
        covered.insert(at);
        at
    }

    fn run(&mut self, random: &mut Random, expected: &Product) -> Result<(), String> {
        let here = memory_folder();
        for time in 0..1 + random.below(MOST) {
            if self.disturb(random, here.path(), time == 0)? {
                break;
            }
        }
        let command = self.inputs.command(self.scenario, here.path());
        let (status, said) = supervise(command, here.path(), |_| Verdict::Pass);
        if !status.success() {
            return Err(format!("it does not go on ({status}): {said}"));
        }
        let left = leftovers(here.path());
        if !left.is_empty() {
            return Err(format!("left behind: {left:?}"));
        }
        let found = product(self.scenario, here.path())?;
        let differing: Vec<&String> =
            expected.iter().filter(|(name, bytes)| found.get(*name) != Some(bytes)).map(|(name, _)| name).collect();
        if differing.is_empty() { Ok(()) } else { Err(format!("other bytes: {differing:?}")) }
    }

    /// Runs it once with an error or a signal at a call; whether it came to its end.
    fn disturb(&mut self, random: &mut Random, here: &Path, is_first: bool) -> Result<bool, String> {
        let is_error = random.below(2) == 0;
        let at = if is_error && is_first { self.next_call() } else { random.below(self.calls) };
        let error = ERRORS[random.below(ERRORS.len() as u64) as usize];
        let signal = SIGNALS[random.below(SIGNALS.len() as u64) as usize];
        let (mut count, mut hit) = (0, None);
        let (status, said) = supervise(self.inputs.command(self.scenario, here), here, |call| {
            count += 1;
            if count - 1 != at {
                return Verdict::Pass;
            }
            hit = Some(call.clone());
            if is_error { Verdict::Fail(error) } else { Verdict::Signal(signal) }
        });
        let Some(call) = hit else { return Ok(status.success()) };
        let (command, file) = (self.scenario.name(), class(&call, here));
        let mut report = self.report.lock().expect("no panic");
        if is_error {
            self.story.push(format!("{} at {} of {file}", words(error), call.name));
            *report.errors.entry((command, call.name, file)).or_default() += 1;
        } else {
            self.story.push(format!("signal {signal} at {} of {file}", call.name));
            let [all, between] = report.kills.entry((command, signal)).or_default();
            *all += 1;
            // Before this call there was one, and this one was not done by then.
            *between += usize::from(at > 0);
        }
        drop(report);
        let ended_well = match (status.code(), status.signal()) {
            (Some(0), _) => true,
            (Some(1 | 2), _) => is_error && said.contains("primal-host: ") && said.contains("hint: "),
            (Some(code), _) => !is_error && code == 128 + signal,
            (None, killed) => !is_error && killed == Some(signal),
        };
        if !ended_well || said.contains("panicked") {
            return Err(format!("it ended with {status} and said {said:?}"));
        }
        Ok(status.success())
    }
}

/// A name for all files of a kind.
fn class(call: &Call, here: &Path) -> String {
    if call.is_output {
        return "standard output".into();
    }
    let path = call.file.strip_prefix(here).unwrap_or(&call.file).display().to_string();
    let (folder, name) = path.rsplit_once('/').unwrap_or((".", &path));
    let kind = match name {
        name if name.starts_with(".primal-") => "unfinished file",
        name if name.starts_with("events.") => "events",
        name if name.starts_with("step-") => "step-N",
        name if name.ends_with(".wav") => "WAV",
        name if name.contains(".part") => "part",
        name if name.ends_with(".speech") => "features",
        "" => ".",
        name => name,
    };
    format!("{folder}/{kind}")
}
