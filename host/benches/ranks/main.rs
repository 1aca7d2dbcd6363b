//! What it costs ranks to train one model together: bytes on the wire, counted from the plan; the scaling of this machine, measured; and that of others,
//! by a model whose constants are named.

#[path = "../shared/arguments.rs"]
mod arguments;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

use argh::FromArgs;
use arguments::arguments;
use primal_engine::config::{Config, ConfigOf, LlamaConfig, Reduce};
use primal_engine::memory::Plan;
use primal_engine::models::gpt::Gpt;
use primal_engine::models::llama::Llama;
use primal_engine::models::text::TextModel;
use primal_engine::optim::Wire;
use primal_engine::ranks::Place;
use primal_engine::train::text::TextTask;
use primal_engine::train::trainer::Layout;
use primal_host::configurations::Load;
use primal_host::report::metrics;

/// print the bytes on the wire, measure 1 and 2 ranks here, and model more elsewhere
#[derive(FromArgs)]
struct Arguments {
    /// steps of a measured run (default: 40)
    #[argh(option, default = "40")]
    steps: u64,
    /// measure nothing
    #[argh(switch)]
    no_run: bool,
}

/// A network between ranks.
struct Network {
    name: &'static str,
    /// Bytes a second in each direction that a rank gets to see.
    bytes_per_second: f64,
    /// Seconds of a message from one rank to another.
    latency: f64,
}

/// Of what the cables carry, 90 % are counted as payload; latencies as those of TCP on Ethernet, and of RDMA.
const NETWORKS: [Network; 2] = [
    Network { name: "10 Gbit/s", bytes_per_second: 0.9 * 10e9 / 8.0, latency: 30e-6 },
    Network { name: "100 Gbit/s", bytes_per_second: 0.9 * 100e9 / 8.0, latency: 3e-6 },
];

/// What a rank computes with.
struct Computer {
    name: &'static str,
    /// Floating-point operations a second in the products of a step.
    flops: f64,
}

/// Guesses of what a rank sustains, not measurements: a server's CPU, and a GPU.
const COMPUTERS: [Computer; 2] = [Computer { name: "CPU of 1 TFLOP/s", flops: 1e12 }, Computer { name: "GPU of 50 TFLOP/s", flops: 50e12 }];

/// Tokens of a rank's micro-batch in the model.
const TOKENS: f64 = 4096.0;
/// Products of a step: forward, and two backward, of two operations for each weight and token.
const FLOPS_PER_WEIGHT: f64 = 6.0;
/// Part of a step that is the backward pass, behind which deltas travel.
const BACKWARD: f64 = 2.0 / 3.0;

/// What travels in a step of a model, by what is reduced.
struct Model {
    name: &'static str,
    weights: usize,
    /// By the number of ranks, each of which makes one micro-batch.
    wire: Box<dyn Fn(usize, Reduce) -> Wire>,
}

fn wire<M: TextModel>(config: &ConfigOf<M::Config>, ranks: usize, reduce: Reduce) -> Wire {
    let mut config = config.clone();
    (config.train.grad_accum, config.train.reduce) = (ranks as u32, reduce);
    let place = Place { rank: 0, count: ranks };
    let layout = Layout::<TextTask<M>>::plan_at(place, &config, &BTreeMap::new(), &mut Plan::default());
    layout.optimizer.wire(&layout.parameters, &config.train)
}

fn models() -> [Model; 2] {
    let gpt = Config::load("gpt-0.1b").expect("an embedded configuration");
    let llama = ConfigOf::<LlamaConfig>::load("llama-1.1b").expect("an embedded configuration");
    let weights = |layout: &primal_engine::nn::Parameters| {
        layout.specs.matrices.iter().filter(|spec| !spec.is_frozen).map(|spec| spec.weights()).sum()
    };
    let [of_gpt, of_llama]: [usize; 2] = [
        weights(&Layout::<TextTask<Gpt>>::plan(&gpt, &mut Plan::default()).parameters),
        weights(&Layout::<TextTask<Llama>>::plan(&llama, &mut Plan::default()).parameters),
    ];
    [
        Model { name: "gpt-0.1b", weights: of_gpt, wire: Box::new(move |ranks, reduce| wire::<Gpt>(&gpt, ranks, reduce)) },
        Model { name: "llama-1.1b", weights: of_llama, wire: Box::new(move |ranks, reduce| wire::<Llama>(&llama, ranks, reduce)) },
    ]
}

/// Bytes that each rank sends to add up so many bytes over all, at least.
fn sent(bytes: usize, ranks: usize) -> f64 {
    2.0 * bytes as f64 * (ranks - 1) as f64 / ranks as f64
}

fn mb(bytes: f64) -> String {
    format!("{:.1}", bytes / 1e6)
}

fn main() {
    let arguments: Arguments = arguments();
    let models = models();
    println!("Bytes that a rank sends in a step, in MB, one micro-batch a rank:\n");
    println!(
        "| model | trained grid weights | ranks | deltas | R, C and floats | together | gradients in f32 | ratio |\n|---|---|---|---|---|---|---|---|"
    );
    for model in &models {
        for ranks in [2, 4, 16, 32, 1024] {
            let [votes, gradients] = [Reduce::Votes, Reduce::Gradients].map(|reduce| (model.wire)(ranks, reduce));
            let [deltas, floats, all] = [votes.integers, votes.floats, gradients.floats].map(|bytes| sent(bytes, ranks));
            let ratio = all / (deltas + floats);
            let (name, weights) = (model.name, model.weights);
            println!(
                "| {name} | {weights} | {ranks} | {} | {} | {} | {} | {ratio:.2} |",
                mb(deltas),
                mb(floats),
                mb(deltas + floats),
                mb(all)
            );
        }
    }
    if !arguments.no_run {
        measure(arguments.steps);
    }
    predict(&models);
}

/// Tokens a second of `gpt-small-cpu` here: alone, and as two ranks of a thread each.
fn measure(steps: u64) {
    println!(
        "\nOn this machine ({} cores), gpt-small-cpu, one thread a rank, two micro-batches a step, {steps} steps:\n",
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    println!("| ranks | reduce | tokens a second | share of waiting |\n|---|---|---|---|");
    for (ranks, reduce) in [(1, "in-order"), (1, "votes"), (2, "votes"), (2, "gradients")] {
        match run(ranks, reduce, steps) {
            Ok((speed, waiting)) => {
                println!("| {ranks} | {reduce} | {speed:.0} | {} |", waiting.map_or("–".into(), |share| format!("{:.0} %", 100.0 * share)))
            }
            Err(why) => println!("| {ranks} | {reduce} | – | {why} |"),
        }
    }
}

fn run(ranks: usize, reduce: &str, steps: u64) -> Result<(f64, Option<f64>), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let out = folder.path().join("run");
    let program = env!("CARGO_BIN_EXE_primal-host");
    let mut command = if ranks == 1 {
        Command::new(program)
    } else {
        let mut command = Command::new("mpirun");
        command.args(["--allow-run-as-root", "--oversubscribe", "-n", &ranks.to_string(), program]);
        command
    };
    let flags = format!(
        "train --config gpt-small-cpu --threads 1 --grad-accum 2 --reduce {reduce} --steps {steps} --sample-every 0 --validate-every 0"
    );
    command.args(flags.split(' ')).arg("--out").arg(&out);
    let began = Instant::now();
    let output = command.output().map_err(|error| format!("mpirun: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().find(|line| line.contains("primal-host:")).unwrap_or("it failed").to_string());
    }
    let records = metrics::read(&out.join(metrics::FILE_NAME)).map_err(|error| error.to_string())?;
    // The first steps find cold caches.
    let steady = &records[records.len() / 4..];
    let mean = |of: fn(&metrics::StepRecord) -> Option<f64>| {
        let values: Vec<f64> = steady.iter().filter_map(of).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let speed = mean(|record| record.tokens_per_second).ok_or_else(|| format!("no record after {:.0} s", began.elapsed().as_secs_f64()))?;
    Ok((speed, mean(|record| record.waiting)))
}

/// How well more ranks of other machines would be used: the share of a step in which they compute.
fn predict(models: &[Model]) {
    println!(
        "\nA model, not a measurement: the share of time that ranks compute, each with a micro-batch of {TOKENS} tokens a step. A step takes {FLOPS_PER_WEIGHT} \
         operations a weight and token; what is added up crosses a rank's cable twice (less a share of 1/N), in 2·log₂ N messages for each of some 100 sums; \
         deltas travel behind the backward pass, {:.0} % of the step, all else after it.\n",
        100.0 * BACKWARD
    );
    println!("| model | rank | network | reduce | 2 | 4 | 16 | 64 | 256 | 1,024 |\n|---|---|---|---|---|---|---|---|---|---|");
    for model in models {
        for computer in &COMPUTERS {
            for network in &NETWORKS {
                for (name, reduce) in [("votes", Reduce::Votes), ("gradients", Reduce::Gradients)] {
                    let shares = [2, 4, 16, 64, 256, 1024].map(|ranks| {
                        let wire = (model.wire)(ranks, reduce);
                        let compute = FLOPS_PER_WEIGHT * model.weights as f64 * TOKENS / computer.flops;
                        let latency = 2.0 * (ranks as f64).log2() * network.latency;
                        let time = |bytes, sums: f64| sent(bytes, ranks) / network.bytes_per_second + sums * latency;
                        let behind = (time(wire.integers, 100.0) - BACKWARD * compute).max(0.0);
                        let after = time(wire.floats, 4.0);
                        format!("{:.0} %", 100.0 * compute / (compute + behind + after))
                    });
                    println!("| {} | {} | {} | {name} | {} |", model.name, computer.name, network.name, shares.join(" | "));
                }
            }
        }
    }
}
