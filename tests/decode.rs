//! Decoding as a whole: cached against uncached, a context that fills up, sampling, the command.

use std::process::Command;

use primal_device::grid::{self, GRIDS, Grid, ScaleForm};
use primal_engine::backend::Backend;
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::{Config, ConfigOf, GptConfig, LlamaConfig, Rule};
use primal_engine::memory::{Act, Kind, Plan};
use primal_engine::models::causal::{Causal, CausalLayers, CausalTable, Decoder};
use primal_engine::models::sample::{Sampling, draw};
use primal_engine::models::sequence::Sequence;
use primal_engine::models::text::{DecoderShape, TextDecoder, TextModel};
use primal_engine::nn::Parameters;
use primal_engine::nn::Purpose;
use primal_engine::train::trainer::{Layout, Trainer};
use primal_host::configurations::Load;
use primal_host::data::{Corpus, CorpusOptions, TextCodec, generate};

/// Cached and uncached logits may differ by this part of the largest logit: activations of every layer rounded to 13 bits, against float ones.
const LOGITS: f32 = 2e-3;
/// As above, where prompts are read with activations rounded to 8 bits a group.
const PROMPTS: f32 = 2e-2;
/// The same for losses in nats, from logits of a few units.
const LOSSES: f32 = 2e-3;
/// As above, where groups have scales and activations are rounded to 8 bits a group: of one token, and of the mean of 33.
const LOSSES_OF_GROUPS: [f32; 2] = [5e-2, 5e-3];

fn config(grid: &'static Grid) -> Config {
    let mut config = Config::load("gpt-nano").expect("an embedded configuration");
    config.model.dim = 96;
    config.model.heads = 3;
    config.model.layers = 3;
    config.model.context = 33;
    config.model.grid = grid;
    config.model.last_grid = Some(&grid::FINE15);
    config
}

/// A Llama: `more` says what else it has.
fn llama(more: &str) -> ConfigOf<LlamaConfig> {
    let sizes = "architecture = 'llama'\ndim = 96\nlayers = 3\nheads = 4\nkv_heads = 2\nhidden = 160\ncontext = 33\ntokenizer = 'bytes'";
    let text = format!("[model]\n{sizes}\ngrid = 'uniform15'\n{more}\n[train]\nseq_len = 33\n");
    ConfigOf::parse(&text, "a test").expect("a configuration")
}

/// A model at its start values, planned for decoding and for evaluation.
struct Model<C> {
    decoder: Decoder,
    network: Causal<C>,
    parameters: Parameters,
    backend: Cpu,
}

impl<C: CausalTable> Model<C> {
    fn new(config: &ConfigOf<C>, cache: Act) -> Self {
        let mut plan = Plan::default();
        let (layers, specs) = CausalLayers::new(&config.model, config.train.optimizer.is_float());
        let parameters = Parameters::plan(specs, &mut plan);
        let context = config.model.context();
        let decoder = Decoder::plan(layers.clone(), DecoderShape { context, cache }, &mut plan);
        let network = Causal::plan(layers, [1, context], 1024, Purpose::Evaluate, &mut plan);
        let mut backend = Cpu::new(&mut plan);
        parameters.initialise(&mut backend, 5, |_, _, _, _| {});
        decoder.prepare(&mut backend);
        network.prepare(&mut backend);
        Self { decoder, network, parameters, backend }
    }

    /// Logits after tokens that follow so many earlier ones.
    fn read(&mut self, tokens: &[u32], past: usize) -> Vec<f32> {
        let span = self.decoder.read(&mut self.backend, &self.parameters, tokens, past);
        let mut logits = vec![0.0; span.len()];
        self.backend.download(span, &mut logits);
        logits
    }
}

/// The largest difference as a part of the largest expected value.
fn difference(got: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0f32, |a, b| if b <= a { a } else { b }) / largest
}

/// What is checked of every model.
trait Check {
    fn of<C: CausalTable>(&self, name: &str, config: ConfigOf<C>, cache: Act);
}

fn each_model(check: &impl Check) {
    let gpt = |name: &str, config: Config| check.of::<GptConfig>(name, config, Act::F32);
    for &grid in GRIDS {
        gpt(grid.name(), config(grid));
    }
    for form in [ScaleForm::Group32, ScaleForm::Group32Offset] {
        for grid in [&grid::INT4, &grid::UINT4, &grid::NF4] {
            let mut config = config(grid);
            config.model.scales = form;
            gpt(&format!("{}, {}", grid.name(), form.name()), config);
        }
    }
    let mut float = config(&grid::PRIME13);
    float.train.optimizer = Rule::Adamw;
    gpt("float", float);
    let mut gpt2 = config(&grid::FINE15);
    (gpt2.model.biases, gpt2.model.tied) = (true, true);
    gpt("GPT-2", gpt2);
    for (name, more) in [
        ("Llama", ""),
        ("Llama of GGUF", "rotary = 'adjacent'\ntied = true\nscales = 'group32'"),
        ("Qwen2", "qkv_biases = true\ntied = true\nembeddings = 'matrix'"),
        ("Qwen3", "qk_norms = true\nhead_dim = 40\nrope_base = 1e6"),
    ] {
        for cache in [Act::F32, Act::F16] {
            check.of(name, llama(more), cache);
        }
    }
}

#[test]
fn cached_logits_agree_with_uncached_ones() {
    struct Cached;
    impl Check for Cached {
        fn of<C: CausalTable>(&self, name: &str, config: ConfigOf<C>, cache: Act) {
            let mut model = Model::new(&config, cache);
            let tokens: Vec<u32> = (0..33).map(|i| i * i * 7 % 256).collect();
            let uncached: Vec<_> = (1..=tokens.len()).map(|n| model.read(&tokens[..n], 0)).collect();
            for prompt in [1, 2, 20, 32] {
                model.read(&tokens[..prompt], 0);
                for position in prompt..tokens.len() {
                    let logits = model.read(&tokens[position..=position], position);
                    let off = difference(&logits, &uncached[position]);
                    assert!(
                        off < PROMPTS,
                        "{name}: prompt of {prompt}, position {position}: off by {off} of the largest logit, tolerance {PROMPTS}"
                    );
                }
                let logits = model.read(&tokens[prompt..], prompt);
                let off = difference(&logits, uncached.last().expect("tokens"));
                assert!(off < PROMPTS, "{name}: the rest after {prompt}: off by {off} of the largest logit, tolerance {PROMPTS}");
            }
        }
    }
    each_model(&Cached);
}

#[test]
fn decoding_agrees_with_evaluation() {
    struct Evaluated;
    impl Check for Evaluated {
        fn of<C: CausalTable>(&self, name: &str, config: ConfigOf<C>, cache: Act) {
            let mut model = Model::new(&config, cache);
            let tokens: Vec<u32> = (0..34).map(|i| i * i * 11 % 256).collect();
            let (inputs, targets) = (&tokens[..33], &tokens[1..]);
            model.backend.upload(model.network.batch().inputs, inputs);
            model.backend.upload(model.network.batch().targets, targets);
            model.network.evaluate(&mut model.backend, &model.parameters, model.network.attention().sequences);
            let mut losses = vec![0.0f32; 33];
            model.backend.download(model.network.batch().losses, &mut losses);
            let [tolerance, of_mean] = if config.model.scales() == ScaleForm::Row { [LOSSES; 2] } else { LOSSES_OF_GROUPS };
            let mut off = 0.0;
            for (position, &target) in targets.iter().enumerate() {
                let logits = model.read(&inputs[position..=position], position);
                let total: f32 = logits.iter().map(|l| l.exp()).sum();
                let (got, expected) = (total.ln() - logits[target as usize], losses[position]);
                assert!(
                    (got - expected).abs() < tolerance,
                    "{name}: position {position}: loss {got}, expected {expected}, tolerance {tolerance}"
                );
                off += (got - expected) / targets.len() as f32;
            }
            assert!(off.abs() < of_mean, "{name}: mean loss off by {off}, tolerance {of_mean}");
        }
    }
    each_model(&Evaluated);
}

/// With one block, keys and values depend on a token and its position alone.
#[test]
fn a_cache_that_forgot_is_one_that_was_filled_anew() {
    for (more, keep) in [("", 0), ("rotary = 'adjacent'", 3), ("qk_norms = true\nhead_dim = 40\nrope_base = 100.0", 1)] {
        for (cache, tolerance) in [(Act::F32, 1e-5), (Act::F16, 2e-3)] {
            let mut config = llama(more);
            config.model.layers = 1;
            config.train.optimizer = Rule::Adamw;
            let mut model = Model::new(&config, cache);
            let tokens: Vec<u32> = (0..60).map(|i| i * i * 7 % 256).collect();
            let mut sequence = Sequence::new();
            sequence.extend(&tokens[..keep]);
            sequence.keep_all_so_far();
            let mut forgot = 0;
            // A prompt, token by token, and some at once.
            for (at, next) in [(keep, 20)].into_iter().chain((20..40).map(|at| (at, at + 1))).chain([(40, 47), (47, 60)]) {
                sequence.extend(&tokens[at..next]);
                let before = sequence.tokens().len();
                let span = sequence.logits(&mut model.backend, &model.parameters, &model.decoder);
                forgot += usize::from(sequence.tokens().len() < before);
                let mut logits = vec![0.0; span.len()];
                model.backend.download(span, &mut logits);
                let held = sequence.tokens().to_vec();
                assert!(held.len() <= 33 && held.starts_with(&tokens[..keep]) && held.ends_with(&tokens[at..next]), "{more}: {held:?}");
                let mut other = Model::new(&config, cache);
                let off = difference(&logits, &other.read(&held, 0));
                assert!(
                    off < tolerance,
                    "{more:?}, {cache:?}, after {next} tokens: off by {off} of the largest logit, tolerance {tolerance}"
                );
            }
            assert!(forgot >= 2, "the context filled up {forgot} times");
        }
    }
}

/// What `generate` says of a full context: it starts over from the first tokens and the last half of the others.
#[test]
fn greedy_text_is_likeliest_for_the_uncached_model_before_and_after_the_context_is_full() {
    let mut config = config(&grid::PRIME13);
    (config.train.batch, config.train.seq_len) = (8, 32);
    let options = CorpusOptions { stories_bytes: 100_000, ..CorpusOptions::default() };
    let corpus = Corpus::open(&["stories".to_string()], TextCodec::Bytes, &options).expect("stories");
    let mut plan = Plan::default();
    let layout: Layout = Layout::plan(&config, &mut plan);
    let backend = Cpu::new(&mut plan);
    let mut trainer = Trainer::new(config.clone(), layout, backend);
    trainer.initialise();
    for _ in 0..40 {
        trainer.step(&corpus).expect("a step");
    }
    let (b, p, decoder) = (&mut trainer.backend, &trainer.layout.parameters, &trainer.layout.sampler);
    let mut text = "The cat".to_string();
    let prompt = text.len();
    let timing = generate(b, p, decoder, &TextCodec::Bytes, &text.clone(), 100, Sampling::GREEDY, |piece, _| {
        text.push_str(piece);
        Ok(())
    });
    let timing = timing.expect("a text");
    assert_eq!((timing.prompt_tokens, timing.decoded_tokens), (7, 99));
    assert_eq!(text.len(), prompt + 100, "the model was trained on ASCII: {text:?}");
    let (tokens, context) = (TextCodec::Bytes.encode(&text), config.model.context);
    let (first, mut start, mut slides) = (4, 4, 0);
    for next in prompt..tokens.len() {
        if first + next - start > context {
            (start, slides) = (next - (context - first).div_ceil(2), slides + 1);
        }
        let span = decoder.read(b, p, &[&tokens[..first], &tokens[start..next]].concat(), 0);
        let mut logits = vec![0.0f32; span.len()];
        b.download(span, &mut logits);
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let lacking = (largest - logits[tokens[next] as usize]) / largest.abs();
        assert!(lacking < 2.0 * LOGITS, "token {next}: {lacking} of the largest logit below it, tolerance {}", 2.0 * LOGITS);
    }
    assert!(slides >= 3, "the context filled up {slides} times");
}

#[test]
fn a_draw_is_the_one_of_the_definition() {
    let stream = primal_device::philox::RandomStream::new(3, 0, 0);
    let number = |i: u32| primal_device::philox::uniform(stream.words(i)[0]);
    for case in 0..200u32 {
        let logits: Vec<f32> = (0..50).map(|i| (number(case * 100 + i) * 8.0).floor()).collect();
        let (temperature, top_p) = ([0.1, 0.7, 1.5][case as usize % 3], [0.05, 0.5, 0.9, 1.0][case as usize % 4]);
        let at = number(case * 100 + 99);
        let mut order: Vec<usize> = (0..50).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let probability: Vec<f64> = order.iter().map(|&i| f64::from((logits[i] - logits[order[0]]) / temperature).exp()).collect();
        let total: f64 = probability.iter().sum();
        let mut sum = 0.0;
        let count = probability
            .iter()
            .take_while(|&&w| {
                let before = sum < total * f64::from(top_p);
                sum += w;
                before
            })
            .count();
        let nucleus: f64 = probability[..count].iter().sum();
        let mut left = f64::from(at) * nucleus;
        let expected = order[..count]
            .iter()
            .zip(&probability)
            .find(|(_, w)| {
                left -= **w;
                left < 0.0
            })
            .map(|(&i, _)| i);
        let got = draw(&logits, Sampling { temperature, top_p, ..Sampling::GREEDY }, at);
        assert_eq!(Some(got as usize), expected, "case {case}: temperature {temperature}, top-p {top_p}, draw {at}");
    }
    let likeliest = draw(&[1.0, 3.0, 3.0, 2.0], Sampling { top_p: 0.1, ..Sampling::GREEDY }, 0.99);
    assert_eq!(likeliest, 1, "the first of equals");
}

#[test]
fn a_plan_for_decoding_has_no_place_for_parameters() {
    let config = Config::load("gpt-0.1b").expect("an embedded configuration");
    let mut plan = Plan::default();
    let shape = DecoderShape { context: config.model.context, cache: Act::F32 };
    Decoder::plan(CausalLayers::new(&config.model, false).0, shape, &mut plan);
    assert_eq!(plan.bytes_of(Kind::Parameter) + plan.bytes_of(Kind::State) + plan.bytes_of(Kind::Gradient), 0);
    let cache = 13 * 2 * 512 * 768 * 4;
    assert!(plan.total_bytes() < cache + (32 << 20), "{} bytes, of which {cache} are the cache", plan.total_bytes());
}

#[test]
fn the_command_repeats_itself_by_seed_and_reports_its_speed() {
    let folder = tempfile::tempdir().expect("a folder");
    let primal = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_primal-host")).args(arguments).output().expect("primal-host runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
        (output.status.code(), out, err)
    };
    let run = folder.path().join("run").display().to_string();
    let (code, _, message) = primal(&["train", "--config", "gpt-nano", "--steps", "5", "--out", &run]);
    assert_eq!(code, Some(0), "{message}");
    let checkpoint = format!("{run}/checkpoints/step-00000005.safetensors");
    let text = |seed: &str, threads: &str| {
        let arguments =
            ["generate", "--checkpoint", &checkpoint, "--prompt", "Once", "--max-tokens", "150", "--seed", seed, "--threads", threads];
        let (code, out, err) = primal(&arguments);
        assert_eq!(code, Some(0), "{err}");
        assert!(err.contains("prompt: 4 tokens") && err.contains("149 tokens") && err.contains("tokens/s"), "{err}");
        assert!(out.starts_with("Once"), "{out}");
        out
    };
    let first = text("1", "1");
    assert_eq!(first, text("1", "2"));
    assert_ne!(first, text("2", "1"));
}
