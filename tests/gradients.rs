//! The gradients of whole text models against finite differences, and that all of them train: to the same bytes with any number of threads, and
//! whether or not blocks run twice.

#[path = "gradients/differentiate.rs"]
mod differentiate;
#[path = "gradients/packed.rs"]
mod packed;
#[path = "gradients/plain.rs"]
mod plain;
#[path = "train/trainer.rs"]
mod trainer;

use differentiate::differentiate;
use primal_engine::backend::Backend;
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::{ConfigOf, Recompute, Rule};
use primal_engine::models::causal::CausalTable;
use primal_engine::models::gpt::Gpt;
use primal_engine::models::llama::Llama;
use primal_engine::models::text::TextModel;
use primal_engine::train::text::TextTask;
use primal_engine::train::trainer::Trainer;
use trainer::{corpus, state_bytes, trainer};

/// f32 losses of a whole model: the central difference of a mean over 39 tokens carries an error of about 1e-3 of the largest gradients.
const GRADIENT_TOLERANCE: f64 = 2e-3;

/// What is checked of every model.
trait Check {
    fn of<M: TextModel<Config: CausalTable + Sync>>(&self, name: &str, config: ConfigOf<M::Config>);
}

fn each_model(check: &impl Check) {
    fn parsed<C: CausalTable>(architecture: &str, more: &str) -> ConfigOf<C> {
        let sizes = "dim = 24\nlayers = 2\nheads = 2\ncontext = 16\ntokenizer = 'bytes'\ngrid = 'uniform15'";
        let train = "steps = 40\nbatch = 3\nseq_len = 13\nlr = 8e-3\nwarmup = 4\ntrains_table = true";
        let text = format!("[model]\narchitecture = '{architecture}'\n{sizes}\n{more}\n[train]\n{train}\n");
        ConfigOf::parse(&text, "a test").expect("a configuration")
    }
    check.of::<Gpt>("GPT", parsed("gpt", ""));
    check.of::<Gpt>("GPT-2", parsed("gpt", "biases = true\ntied = true"));
    check.of::<Gpt>("GPT-2 with its table on the grid", parsed("gpt", "biases = true\ntied = true\nembeddings = 'matrix'"));
    for (name, more) in [
        ("Llama", "hidden = 80"),
        ("Llama with grouped queries, tied", "hidden = 40\nkv_heads = 1\ntied = true\nrotary = 'adjacent'"),
        ("Llama with its table on the grid", "hidden = 80\nembeddings = 'matrix'"),
        ("Qwen2", "hidden = 80\nkv_heads = 1\nqkv_biases = true\nrope_base = 100.0"),
        ("Qwen3", "hidden = 40\nhead_dim = 20\nqk_norms = true\nrope_scaling = { rope_type = 'linear', factor = 2.0 }"),
    ] {
        check.of::<Llama>(name, parsed("llama", more));
    }
}

#[test]
fn the_whole_models_gradient_agrees_with_finite_differences() {
    struct Slopes;
    impl Check for Slopes {
        fn of<M: TextModel<Config: CausalTable + Sync>>(&self, name: &str, mut config: ConfigOf<M::Config>) {
            config.train.optimizer = Rule::Adamw;
            for recompute in [Recompute::Off, Recompute::On] {
                config.train.recompute = recompute;
                slopes(name, &mut trainer::<M>(&config));
            }
        }
    }
    fn slopes<M: TextModel>(name: &str, trainer: &mut Trainer<Cpu, TextTask<M>>) {
        let floats = differentiate(trainer);
        let (b, model, p) = (&mut trainer.backend, &trainer.layout.model, &trainer.layout.parameters);
        let mut losses = vec![0.0f32; model.batch().losses.len()];
        let mut loss = |b: &mut Cpu| -> f64 {
            model.evaluate(b, p, model.attention().sequences);
            b.download(model.batch().losses, &mut losses);
            losses.iter().map(|&l| f64::from(l)).sum()
        };
        for float in &floats {
            let (mut value, mut gradient) = (vec![0.0f32; float.value.len()], vec![0.0f32; float.value.len()]);
            b.download(float.value, &mut value);
            b.download(float.gradient, &mut gradient);
            // Along the gradient itself the slope is its norm: one difference checks the whole tensor.
            let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
            assert!(norm > 0.0, "{name}, {}: no gradient", float.name);
            let step = 0.01;
            let mut at = |sign: f64| {
                let moved: Vec<f32> = value.iter().zip(&gradient).map(|(&v, &g)| v + (sign * step * f64::from(g) / norm) as f32).collect();
                b.upload(float.value, &moved);
                loss(b)
            };
            // Of fourth order: behind norms by the root mean square, losses bend.
            let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * step);
            b.upload(float.value, &value);
            let error = (slope - norm).abs() / norm.max(1.0);
            assert!(error < GRADIENT_TOLERANCE, "{name}, {}: slope {slope}, norm of the gradient {norm}, error {error}", float.name);
        }
    }
    each_model(&Slopes);
}

#[test]
fn packed_documents_are_as_each_alone() {
    struct Packed;
    impl Check for Packed {
        fn of<M: TextModel<Config: CausalTable + Sync>>(&self, name: &str, mut config: ConfigOf<M::Config>) {
            config.train.optimizer = Rule::Adamw;
            for recompute in [Recompute::Off, Recompute::On] {
                config.train.recompute = recompute;
                packed::check::<M>(name, &config);
            }
        }
    }
    each_model(&Packed);
}

#[test]
fn neither_threads_nor_recomputing_change_a_byte() {
    struct Bytes;
    impl Check for Bytes {
        fn of<M: TextModel<Config: CausalTable + Sync>>(&self, name: &str, mut config: ConfigOf<M::Config>) {
            let mut run = |threads, recompute| {
                config.train.recompute = recompute;
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
                pool.install(|| {
                    let (mut trainer, corpus) = (trainer::<M>(&config), corpus());
                    for _ in 0..5 {
                        trainer.step(&corpus).expect("a step");
                    }
                    state_bytes(&mut trainer)
                })
            };
            let one = run(1, Recompute::Off);
            assert!(one == run(3, Recompute::Off), "{name}: other bytes with three threads");
            assert!(one == run(2, Recompute::On), "{name}: other bytes by recomputing");
        }
    }
    each_model(&Bytes);
}

#[test]
fn every_model_learns_by_votes() {
    struct Learns;
    impl Check for Learns {
        fn of<M: TextModel<Config: CausalTable + Sync>>(&self, name: &str, config: ConfigOf<M::Config>) {
            let (mut trainer, corpus) = (trainer::<M>(&config), corpus());
            let first = trainer.step(&corpus).expect("a step").loss;
            let last = (1..40).map(|_| trainer.step(&corpus).expect("a step").loss).last().expect("steps");
            assert!(last < 0.8 * first, "{name}: loss {first} → {last}");
        }
    }
    each_model(&Learns);
}
