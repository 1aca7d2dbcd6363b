//! Ranks that train one model together: the same bytes whatever their number. Here they are threads of one process; those of MPI are in `ranks/mpi.rs`.

#[cfg(feature = "mpi")]
#[path = "ranks/mpi.rs"]
mod mpi;

use std::collections::BTreeMap;
use std::thread;

use primal_device::grid::VoteBits;
use primal_engine::backend::Backend;
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::{Config, ConfigOf, Reduce, Rule, SpeechConfig};
use primal_engine::files::checkpoint::encode;
use primal_engine::memory::Plan;
use primal_engine::optim::MatrixState;
use primal_engine::ranks::{Alone, Place, Ranks, divisors, threads};
use primal_engine::train::speech::{SpeechSource, SpeechTask};
use primal_engine::train::state;
use primal_engine::train::task::Task;
use primal_engine::train::text::{TextSource, TextTask};
use primal_engine::train::trainer::{Layout, StepStats, Trainer};
use primal_host::configurations::Load;
use primal_host::data::{Corpus, CorpusOptions, SpeechCorpus, SpeechData, TextCodec};
use primal_host::verify::tones::write_corpus;
use primal_speech::mel::MelSettings;

/// What a run came to: the tensors of its checkpoint, and what its last step reported.
struct Outcome {
    bytes: Vec<u8>,
    stats: StepStats,
}

/// One of ranks, at its first step.
fn trainer<T: Task>(config: &ConfigOf<T::Config>, ranks: Box<dyn Ranks>) -> Trainer<Cpu, T> {
    let mut plan = Plan::default();
    let layout = Layout::<T>::plan_at(Place::of(&*ranks), config, &BTreeMap::new(), &mut plan);
    let mut trainer = Trainer::new(config.clone(), layout, Cpu::new(&mut plan)).among(ranks);
    trainer.initialise();
    trainer
}

/// Trains as one of ranks.
fn train<T: Task>(config: &ConfigOf<T::Config>, corpus: &T::Corpus, ranks: Box<dyn Ranks>, steps: u64) -> Outcome {
    let mut trainer = trainer::<T>(config, ranks);
    let mut stats = StepStats::default();
    for _ in 0..steps {
        stats = trainer.step(corpus).expect("a step");
    }
    let bytes = state::checkpoint(&mut trainer, corpus, |_, tensors| encode(&BTreeMap::new(), tensors)).expect("a checkpoint");
    Outcome { bytes, stats }
}

/// The same by so many ranks, which all come to the same.
fn train_among<T: Task<Config: Sync>>(
    config: &ConfigOf<T::Config>,
    corpus: &(impl Fn() -> Box<T::Corpus> + Sync),
    count: usize,
    steps: u64,
) -> Outcome {
    if count == 1 {
        return train::<T>(config, &corpus(), Box::new(Alone), steps);
    }
    let ranks = threads::ranks(count);
    let mut outcomes: Vec<Outcome> = thread::scope(|scope| {
        let run = |rank| scope.spawn(move || train::<T>(config, &corpus(), Box::new(rank), steps));
        let running: Vec<_> = ranks.into_iter().map(run).collect();
        running.into_iter().map(|rank| rank.join().expect("a rank")).collect()
    });
    let first = outcomes.swap_remove(0);
    assert!(outcomes.iter().all(|outcome| outcome.bytes == first.bytes), "ranks hold different models");
    first
}

/// What a case changes of the small configuration.
type Adjust = fn(&mut Config);

fn small(adjust: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::load("gpt-nano").expect("an embedded configuration");
    (config.model.dim, config.model.context) = (24, 16);
    (config.train.batch, config.train.seq_len, config.train.warmup) = (2, 13, 2);
    (config.train.grad_accum, config.train.reduce) = (4, Reduce::Votes);
    adjust(&mut config);
    config.check("the test's configuration").expect("a configuration");
    config
}

fn text() -> Box<dyn TextSource> {
    let options = CorpusOptions { stories_bytes: 100_000, ..CorpusOptions::default() };
    Box::new(Corpus::open(&["stories".to_string()], TextCodec::Bytes, &options).expect("stories"))
}

#[test]
fn any_number_of_ranks_comes_to_the_same_bytes() {
    let rules: [(&str, Adjust); 8] = [
        ("votes", |_| {}),
        ("votes of 6", |config| config.train.grad_accum = 6),
        ("votes of 18, two bytes each", |config| (config.train.grad_accum, config.train.batch) = (18, 1)),
        ("votes of 4 bits", |config| config.train.votes = VoteBits::Four),
        ("answers, of which micro-batches have few or many", |config| config.train.answers_after = Some(',')),
        ("gradients", |config| config.train.reduce = Reduce::Gradients),
        ("gradients of floats", |config| (config.train.reduce, config.train.optimizer) = (Reduce::Gradients, Rule::Adamw)),
        ("gradients of shadow weights", |config| (config.train.reduce, config.train.optimizer) = (Reduce::Gradients, Rule::Qat)),
    ];
    for (name, adjust) in rules {
        let config = small(adjust);
        let alone = train_among::<TextTask>(&config, &text, 1, 12);
        if config.train.optimizer == Rule::Votes {
            assert!(alone.stats.flip_rate > 0.0, "{name}: nothing flips");
        }
        for count in divisors(config.train.grad_accum).into_iter().skip(1) {
            let among = train_among::<TextTask>(&config, &text, count as usize, 12);
            assert!(alone.bytes == among.bytes, "{name} by {count} ranks: other bytes");
            let told = |stats: &StepStats| (stats.loss, stats.items, stats.grad_norm, stats.flip_rate, stats.cut);
            assert_eq!(told(&alone.stats), told(&among.stats), "{name} by {count} ranks");
        }
    }
}

#[test]
fn ranks_train_a_voice_to_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    write_corpus(folder.path());
    let mut config = SpeechConfig::load("ghost-tts-nano").expect("an embedded configuration");
    (config.train.grad_accum, config.train.reduce) = (4, Reduce::Votes);
    let data = || -> Box<dyn SpeechSource> {
        let corpus = SpeechCorpus::open(folder.path(), &MelSettings::default(), None).expect("a corpus");
        Box::new(SpeechData::new(corpus, &config).expect("a corpus that fits"))
    };
    let alone = train_among::<SpeechTask>(&config, &data, 1, 6);
    for count in [2, 4] {
        assert!(train_among::<SpeechTask>(&config, &data, count, 6).bytes == alone.bytes, "{count} ranks");
    }
}

/// Rounding of a vote and a sign differs from rounding of the whole vote where sums of floats do.
const ALMOST: f64 = 0.02;

#[test]
fn one_micro_batch_votes_as_it_does_in_order() {
    let loss = |reduce| {
        let config = small(|config| (config.train.grad_accum, config.train.reduce, config.train.batch) = (1, reduce, 8));
        train_among::<TextTask>(&config, &text, 1, 40).stats.loss
    };
    let (held, in_order) = (loss(Reduce::Votes), loss(Reduce::InOrder));
    println!("held {held}, in order {in_order}");
    assert!((held - in_order).abs() < ALMOST, "{held} nats, in order {in_order}");
}

/// Micro-batches of a step, some of whose gradients agree.
const MICRO_BATCHES: u32 = 8;

/// Root mean squares of all matrices' gradients by row and by column, as the first step leaves them.
fn sizes(reduce: Reduce, bits: VoteBits, lr: f32) -> Vec<f64> {
    let config = small(|config| {
        let t = &mut config.train;
        (t.reduce, t.grad_accum, t.votes, t.lr) = (reduce, MICRO_BATCHES, bits, lr);
    });
    let (mut trainer, text) = (trainer::<TextTask>(&config, Box::new(Alone)), text());
    trainer.step(&*text).expect("a step");
    let (b, optimizer) = (&mut trainer.backend, &trainer.layout.optimizer);
    let of_matrix = |state: &MatrixState| {
        let MatrixState::Votes(votes) = state else { panic!("votes") };
        [votes.0.row, votes.0.column].map(|squares| {
            let mut values = vec![0.0f32; squares.len()];
            b.download(squares, &mut values);
            (values.iter().map(|square| f64::from(*square)).sum::<f64>() / values.len() as f64).sqrt()
        })
    };
    optimizer.matrices.iter().flat_map(of_matrix).collect()
}

#[test]
fn votes_tell_how_large_the_gradient_of_all_micro_batches_is() {
    // However small the moves are; of the first step the gradients are the same.
    for (bits, lr) in [(VoteBits::Eight, 1e-2), (VoteBits::Eight, 1e-5), (VoteBits::Four, 1e-3)] {
        // Where gradients are added up, R and C are those of the sum and not of the mean.
        let (votes, gradients) = (sizes(Reduce::Votes, bits, lr), sizes(Reduce::Gradients, bits, lr));
        let ratios: Vec<f64> =
            votes.iter().zip(&gradients).map(|(votes, gradients)| f64::from(MICRO_BATCHES) * votes / gradients).collect();
        println!("{ratios:.2?}");
        // Without what votes tell they would be those of a micro-batch's gradient, or of random ones: √8 times as large, or as small.
        assert!(ratios.iter().all(|ratio| (0.7..1.5).contains(ratio)), "{ratios:.2?}");
        let near = ratios.iter().filter(|ratio| (0.8..1.2).contains(*ratio)).count();
        assert!(2 * near > ratios.len(), "{ratios:.2?}");
    }
}

#[test]
fn micro_batches_learn_by_votes_as_by_gradients() {
    let loss = |reduce| {
        let config = small(|config| {
            (config.train.reduce, config.train.lr, config.train.steps) = (reduce, 1e-2, 80);
        });
        train_among::<TextTask>(&config, &text, 1, 80).stats.loss
    };
    let (votes, gradients, in_order) = (loss(Reduce::Votes), loss(Reduce::Gradients), loss(Reduce::InOrder));
    println!("votes {votes}, gradients {gradients}, in order {in_order}");
    assert!(votes < gradients + 0.1, "{votes} nats by votes, {gradients} by gradients");
}

#[test]
fn a_rank_that_fails_ends_the_others() {
    let config = small(|_| {});
    let mut ranks = threads::ranks(2).into_iter();
    let (first, second) = (ranks.next().expect("a rank"), ranks.next().expect("a rank"));
    let waits = thread::spawn(move || train::<TextTask>(&config, &*text(), Box::new(first), 2).bytes.len());
    drop(second);
    assert!(waits.join().is_err(), "it goes on without the other");
}

#[test]
fn a_gradient_that_is_not_finite_is_named_by_the_rank_that_has_it() {
    let config = small(|_| {});
    let layout: Layout = Layout::plan(&config, &mut Plan::default());
    // A float tensor, and a matrix.
    for tensor in [0, layout.optimizer.floats.len() + 2] {
        let name = layout.optimizer.norm_name(&layout.parameters, tensor);
        let said: Vec<String> = thread::scope(|scope| {
            let run = |ranks| {
                let config = &config;
                scope.spawn(move || {
                    let (mut trainer, text) = (trainer::<TextTask>(config, Box::new(ranks)), text());
                    if trainer.ranks.rank() == 1 {
                        trainer.inject_fault(tensor);
                    }
                    trainer.step(&*text).expect_err("nothing was noticed").to_string()
                })
            };
            let running: Vec<_> = threads::ranks(2).into_iter().map(run).collect();
            running.into_iter().map(|rank| rank.join().expect("a rank")).collect()
        });
        assert!(said[1].starts_with(&format!("step 1: the gradient of {name} is not finite")), "{said:?}");
    }
}

#[test]
fn a_plan_counts_what_a_way_to_come_together_takes() {
    let plan = |reduce: &str| {
        let flags = ["plan", "--config", "gpt-nano", "--grad-accum", "4", "--json", "--reduce", reduce];
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_primal-host")).args(flags).output().expect("primal-host runs");
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        ["total_bytes", "host_bytes", "grid_weights"].map(|key| object[key].as_u64().expect("a number"))
    };
    let ([in_order, none, weights], [votes, host, _], [gradients, ..]) = (plan("in-order"), plan("votes"), plan("gradients"));
    assert_eq!(none, 0);
    // Rows are padded, and one matrix is worked on.
    assert!((weights..3 * weights).contains(&host), "{host} bytes of votes of {weights} weights");
    assert!(in_order < votes && votes < gradients && gradients - in_order > 4 * weights, "{in_order}, {votes}, {gradients} bytes");
}

/// What would train the same as many times as it was started.
#[cfg(not(feature = "mpi"))]
#[test]
fn a_program_without_mpi_refuses_to_be_one_of_several() {
    let folder = tempfile::tempdir().expect("a folder");
    for size in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_primal-host"));
        let output = command.env(size, "2").current_dir(folder.path()).args(["train", "--config", "gpt-nano", "--out", "run"]).output();
        let output = output.expect("primal-host runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("built without MPI") && said.contains("--features mpi"), "{said}");
        assert!(!folder.path().join("run").exists(), "a run was begun");
    }
}
