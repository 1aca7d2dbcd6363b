//! Training, generation and speech on a device beside the CPU's, from the same state.

use std::marker::PhantomData;

use crate::Error;
use crate::configurations::{Load, architecture};
use crate::data::SpeechData;
use crate::data::{Corpus, CorpusOptions, DocumentOptions, Documents, Room, SpeechCorpus, Split, TextCodec};
use crate::voice::embedded;
use crate::voice::synthesis::{Listener, Said, Synthesizer};
use crate::voice::voice::Voice;
use primal_engine::backend::Device;
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::Tokenizer;
use primal_engine::config::{Config, ConfigOf, Family, ModelTable, Reduce, Rule, SpeechConfig, TextTable, votes_of};
use primal_engine::memory::{Act, Kind, Plan, Span};
use primal_engine::models::ghost_tts::{Controls, SpokenMel};
use primal_engine::models::gpt::Gpt;
use primal_engine::models::llama::Llama;
use primal_engine::models::registry::{OnText, on_text};
use primal_engine::models::sample::{Sampling, draw};
use primal_engine::models::text::{TextDecoder, TextModel};
use primal_engine::ops::{Flip, RandomKey, RescaleRows, Vote, VoteCast};
use primal_engine::optim::MatrixState;
use primal_engine::optim::votes::Votes;
use primal_engine::train::speech::SpeechTask;
use primal_engine::train::task::Task;
use primal_engine::train::text::TextTask;
use primal_engine::train::trainer::{Layout, Trainer};
use primal_speech::Phone;
use primal_speech::mel::MelSettings;

use primal_device::grid::{Grid, INT4, ScaleForm, UINT4};
use primal_device::rules::votes::VoteRule;

use super::tones;

const STEPS: usize = 20;
/// Relative difference of the losses: sums in other orders differ in the last bits, and now and then a vote is rounded the other way.
const LOSS_TOLERANCE: f64 = 1e-4;
/// The same after the first step where activations, or scales that are trained, are halves: a sum that differs in its last bit is now and then rounded
/// to the other of two halves, and more votes with it.
const HALF_LOSS_TOLERANCE: f64 = 2e-3;
/// With the prompt, the context of `gpt-nano`.
const GENERATED: usize = 60;
/// Of logits, relative to the largest: where the two likeliest are as near as this, devices may choose differently.
const TIE: f32 = 1e-4;
/// The same after training with [`HALF_LOSS_TOLERANCE`]: the two models are not quite the same, and losses a thousandth apart come of logits that are
/// hundredths apart.
const TIE_OF_HALVES: f32 = 5e-2;
/// Of frames: a duration as near to the middle between two may be rounded either way.
const TIE_OF_FRAMES: f32 = 1e-2;
/// Of values of a spectrogram, in natural logarithms.
const SPEECH_TOLERANCE: f32 = 1e-2;
/// Of samples, in ±1.
const SOUND_TOLERANCE: f32 = 1e-3;

/// A grid that is on no list: nothing of it is even, its zero is no level, its integers are none.
static OWN: Grid = Grid::irrational("own", &[-1.1, -0.7, -0.41, -0.15, 0.08, 0.3, 0.62, 0.9]);

/// A configuration of each text architecture.
const TEXT: [&str; 1] = ["gpt-nano"];

fn config<M: ModelTable>(name: &str, rule: Rule, bits: i64) -> ConfigOf<M> {
    let mut config = ConfigOf::<M>::load(name).expect("an embedded configuration");
    let t = &mut config.train;
    (t.optimizer, t.batch, t.seq_len, t.steps) = (rule, 2, 61, STEPS as u64);
    (t.warmup, t.rescale_every) = (4, 5);
    t.votes = votes_of(bits).expect("4 or 8");
    config
}

fn trainer<D: Device, T: Task>(config: &ConfigOf<T::Config>) -> Trainer<D, T> {
    let mut plan = Plan::default();
    let layout = Layout::<T>::plan(config, &mut plan);
    let backend = D::open(&mut plan).expect("a device: it was there a moment ago");
    let mut trainer = Trainer::new(config.clone(), layout, backend);
    trainer.initialise();
    trainer
}

fn corpus() -> Corpus {
    let options = CorpusOptions { stories_bytes: 100_000, ..CorpusOptions::default() };
    Corpus::open(&["stories".to_string()], TextCodec::Bytes, &options).expect("stories")
}

/// Greedy tokens after a prompt, and the logits of each.
fn written<D: Device, M: TextModel>(trainer: &mut Trainer<D, TextTask<M>>) -> Vec<(u32, Vec<f32>)> {
    let (b, p, sampler) = (&mut trainer.backend, &trainer.layout.parameters, &trainer.layout.sampler);
    let prompt = TextCodec::Bytes.encode("Once");
    let mut span = sampler.read(b, p, &prompt, 0);
    let tokens = (0..GENERATED).map(|i| {
        let mut logits = vec![0.0; Tokenizer::Bytes.vocab_size()];
        b.download(span, &mut logits);
        b.fault().unwrap_or_else(|error| panic!("{error}"));
        let token = draw(&logits, Sampling::GREEDY, 0.0);
        if i + 1 < GENERATED {
            span = sampler.read(b, p, &[token], prompt.len() + i);
        }
        (token, logits)
    });
    tokens.collect()
}

/// Checks that two texts are equal up to a tie, and says where one is.
fn same_text(what: &str, tie: f32, cpu: &[(u32, Vec<f32>)], cuda: &[(u32, Vec<f32>)]) {
    let Some(at) = cpu.iter().zip(cuda).position(|((a, _), (b, _))| a != b) else { return };
    let ((a, logits), (b, logits_there)) = (&cpu[at], &cuda[at]);
    let margin = |logits: &[f32]| (logits[*a as usize] - logits[*b as usize]).abs() / logits[*a as usize].abs().max(1.0);
    let margins = [margin(logits), margin(logits_there)];
    let message = format!("{what}: token {at} is {a} on the CPU, {b} on the GPU; margins of their logits {margins:?}");
    assert!(margins.iter().all(|margin| *margin <= tie), "{message}, which is no tie");
    println!("{message}: a tie; the text after it is not compared");
}

/// Checks that durations are equal, but for ties; whether they all are.
fn same_durations(cpu: (&[u32], &[f32]), cuda: (&[u32], &[f32])) -> bool {
    assert_eq!(cpu.0.len(), cuda.0.len(), "phones");
    let mut same = true;
    for i in (0..cpu.0.len()).filter(|&i| cpu.0[i] != cuda.0[i]) {
        let (a, b) = (cpu.1[i], cuda.1[i]);
        let message = format!("phone {i} lasts {a} frames on the CPU, {b} on the GPU");
        assert!([a, b].iter().all(|frames| (frames.fract() - 0.5).abs() <= TIE_OF_FRAMES), "{message}, which is no tie");
        println!("{message}: a tie; what is said is not compared");
        same = false;
    }
    same
}

/// Every rule: losses step by step, and greedy text before and after.
///
/// # Panics
/// If the device differs from the CPU.
pub fn losses_and_generated_text_agree<D: Device>() {
    for name in TEXT {
        let architecture = architecture(name, Family::Text).expect("an embedded configuration");
        on_text(&architecture, Agree::<D>(name, PhantomData)).expect("a text model");
    }
}

/// Compares the text model of a configuration on a device with it on the CPU.
struct Agree<D>(&'static str, PhantomData<D>);

impl<D: Device> OnText for Agree<D> {
    type Output = ();

    fn on<M: TextModel>(self) {
        agree::<D, M>(self.0);
    }
}

fn agree<D: Device, M: TextModel>(name: &str) {
    let corpus = corpus();
    let each_rule = Rule::ALL.iter().map(|&rule| (rule, 8, None, ScaleForm::Row, Act::F32, Reduce::InOrder));
    let others = [
        (Rule::Votes, 4, None, ScaleForm::Row, Act::F32, Reduce::InOrder),
        (Rule::Votes, 8, Some(&OWN), ScaleForm::Row, Act::F32, Reduce::InOrder),
        (Rule::Votes, 8, Some(&INT4), ScaleForm::Group32, Act::F16, Reduce::InOrder),
        (Rule::Votes, 8, None, ScaleForm::Row, Act::F32, Reduce::Votes),
        (Rule::Votes, 8, Some(&UINT4), ScaleForm::Group32Offset, Act::F32, Reduce::Votes),
        (Rule::Qat, 8, Some(&UINT4), ScaleForm::Group32Offset, Act::F32, Reduce::InOrder),
    ];
    for (rule, bits, grid, scales, act, reduce) in each_rule.chain(others) {
        let mut config = config::<M::Config>(name, rule, bits);
        if reduce.is_shared() {
            (config.train.reduce, config.train.batch, config.train.grad_accum) = (reduce, 1, 2);
        }
        if let Some(grid) = grid {
            *config.model.grid_mut() = grid;
        }
        *config.model.scales_mut() = scales;
        config.train.activations = act;
        // Votes of 4 bits are cast sixteen rows at a time.
        config.train.gradient_rows = (bits == 4).then_some(16);
        let trains_groups = rule == Rule::Votes && scales == ScaleForm::Group32Offset;
        config.train.group_scale_lr = if trains_groups { 0.1 } else { 0.0 };
        let (later, tie) = if trains_groups || act == Act::F16 { (HALF_LOSS_TOLERANCE, TIE_OF_HALVES) } else { (LOSS_TOLERANCE, TIE) };
        let (mut cpu, mut device) = (trainer::<Cpu, TextTask<M>>(&config), trainer::<D, TextTask<M>>(&config));
        same_text(&format!("{name}, {rule:?}, at the start"), TIE, &written(&mut cpu), &written(&mut device));
        let mut worst: f64 = 0.0;
        for step in 1..=STEPS {
            let (a, b) = (cpu.step(&corpus).expect("a step"), device.step(&corpus).expect("a step"));
            let difference = (a.loss - b.loss).abs() / a.loss;
            worst = worst.max(difference);
            let tolerance = if step > 1 { later } else { LOSS_TOLERANCE };
            assert!(difference <= tolerance, "{name}, {rule:?}, step {step}: loss {} on the CPU, {} on the device", a.loss, b.loss);
        }
        let grid = grid.map_or(String::new(), |grid| format!(" on {grid:?}"));
        let shared = if reduce.is_shared() { ", by micro-batches that share a step" } else { "" };
        let trained = if trains_groups { ", which are trained" } else { "" };
        let tiles = config.train.gradient_rows.map_or(String::new(), |rows| format!(", {rows} rows at a time"));
        let form = format!("{} scales{trained}, {} activations{shared}{tiles}", scales.name(), act.name());
        println!("{name}, {rule:?}{grid}, {bits}-bit votes, {form}: {STEPS} steps, losses differ by {worst:.1e} at most, relative");
        same_text(&format!("{name}, {rule:?}, after {STEPS} steps"), tie, &written(&mut cpu), &written(&mut device));
    }
}

/// A model that is fine-tuned: rotary positions, shared keys and values, a table on the grid, gradients by tiles.
const LLAMA: &str = "[model]\narchitecture = 'llama'\ndim = 64\nlayers = 2\nheads = 4\nkv_heads = 2\nhidden = 96\ncontext = 48\n\
    tokenizer = 'bytes'\nembeddings = 'matrix'\ntied = true\ngrid = 'uint4'\nscales = 'group32-offset'\n\
    [train]\nbatch = 3\nseq_len = 48\nsteps = 20\nwarmup = 4\nlr = 4e-3\nvotes = 4\ngroup_scale_lr = 0.1\ngradient_rows = 32\n";
const GPT: &str = "[model]\ndim = 64\nlayers = 2\nheads = 4\ncontext = 48\ntokenizer = 'bytes'\ngrid = 'uniform15'\n\
    [train]\nbatch = 3\nseq_len = 48\nsteps = 20\nwarmup = 4\nlr = 4e-3\n";

/// Documents of several lengths that do not see each other: losses step by step, and of those held back.
///
/// # Panics
/// If the device differs from the CPU.
pub fn documents_are_learnt_the_same<D: Device>() {
    of_documents::<D, Llama>(LLAMA);
    of_documents::<D, Gpt>(GPT);
}

fn of_documents<D: Device, M: TextModel>(config: &str) {
    let config = ConfigOf::<M::Config>::parse(config, "documents").expect("a configuration");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sums.jsonl");
    let line = |i: usize| format!("{{\"prompt\": \"{}\", \"completion\": \" {}\"}}\n", "12+34=".repeat(i % 4 + 1), i * 37 % 1000);
    std::fs::write(&path, (0..100).map(line).collect::<String>()).expect("a file");
    let (mut cpu, mut device) = (trainer::<Cpu, TextTask<M>>(&config), trainer::<D, TextTask<M>>(&config));
    let room = Room::of(&cpu.layout.model);
    let options = DocumentOptions { codec: &TextCodec::Bytes, template: None, room, held_out: (Split::Validation, false) };
    let documents = Documents::open(&vec![path.display().to_string()].into(), &options).expect("documents");
    let mut worst: f64 = 0.0;
    for step in 1..=config.train.steps {
        let (a, b) = (cpu.step(&documents).expect("a step").loss, device.step(&documents).expect("a step").loss);
        worst = worst.max((a - b).abs() / a);
        let tolerance = if config.train.group_scale_lr > 0.0 && step > 1 { HALF_LOSS_TOLERANCE } else { LOSS_TOLERANCE };
        assert!(worst <= tolerance, "documents, step {step}: loss {a} on the CPU, {b} on the device");
    }
    let [a, b] = [cpu.validate(&documents), device.validate(&documents)].map(|found| found.expect("a validation").terms[0]);
    assert!((a - b).abs() <= HALF_LOSS_TOLERANCE * a, "documents held back: loss {a} on the CPU, {b} on the device");
    let (steps, name) = (config.train.steps, <M::Config as ModelTable>::ARCHITECTURE);
    println!("documents, {name}: {steps} steps, losses differ by {worst:.1e} at most, relative");
}

/// The bytes that a device takes.
///
/// # Panics
/// If the device differs from the CPU.
pub fn the_arena_is_what_was_planned<D: Device>() {
    let config = config("gpt-nano", Rule::Votes, 8);
    let mut plan = Plan::default();
    let _: Layout = Layout::plan(&config, &mut plan);
    D::plan_scratch(&mut plan);
    assert_eq!(trainer::<D, TextTask>(&config).backend.arena_bytes(), plan.total_bytes(), "the arena against the plan");
    println!("{} bytes planned and allocated", plan.total_bytes());
}

/// A gradient for each weight, from small to large by columns.
fn gradient(len: usize, seed: u32) -> Vec<f32> {
    let noise = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    (0..len).map(|i| noise(i) * 1e-3 * (1 + i % 7) as f32).collect()
}

/// The terms of GhostTTS's loss in some steps, and what it then says.
fn speech<D: Device>() -> (Vec<f64>, SpokenMel) {
    let folder = tempfile::tempdir().expect("a folder");
    tones::write_corpus(folder.path());
    let mut config = SpeechConfig::load("ghost-tts-nano").expect("an embedded configuration");
    config.train.batch_frames = 150;
    let corpus = SpeechCorpus::open(folder.path(), &MelSettings::default(), None).expect("a corpus");
    let data = SpeechData::new(corpus, &config).expect("a corpus that fits");
    let mut trainer = trainer::<D, SpeechTask>(&config);
    let terms = (0..STEPS).flat_map(|_| trainer.step(&data).expect("a step").terms).collect();
    let model = &trainer.layout.model;
    let phones = ["SIL", "AA1", "M"].map(|name| Phone::from_name(name).expect("a phone"));
    let (b, p, mut batch) = (&mut trainer.backend, &trainer.layout.parameters, model.batch());
    let spoken = model.synthesise(b, p, &mut batch, &data.facts().scales(), &phones, &Controls::default());
    (terms, spoken.expect("a sentence"))
}

/// GhostTTS: all terms of its loss, and what it then says.
///
/// # Panics
/// If the device differs from the CPU.
pub fn a_voice_learns_and_speaks_the_same<D: Device>() {
    let ((cpu, said), (device, said_there)) = (speech::<Cpu>(), speech::<D>());
    for (i, (a, b)) in cpu.iter().zip(&device).enumerate() {
        let (step, term) = (i / 5, i % 5);
        assert!((a - b).abs() <= LOSS_TOLERANCE * a.abs(), "step {step}, term {term}: {a} on the CPU, {b} on the device");
    }
    if same_durations((&said.durations, &said.unrounded), (&said_there.durations, &said_there.unrounded)) {
        let worst = said.mel.iter().zip(&said_there.mel).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < SPEECH_TOLERANCE, "spectrograms differ by {worst}");
        println!("GhostTTS: {STEPS} steps, spectrograms of {} values differ by {worst:.1e} at most", said.mel.len());
    }
}

/// All that a voice says.
#[derive(Default)]
struct Heard {
    durations: Vec<u32>,
    unrounded: Vec<f32>,
    mel: Vec<f32>,
    samples: Vec<f32>,
}

impl Listener for Heard {
    fn said(&mut self, said: &Said<'_>) -> Result<(), Error> {
        self.durations.extend(said.durations);
        self.unrounded.extend(said.unrounded);
        self.mel.extend(said.mel);
        Ok(())
    }

    fn samples(&mut self, samples: &[f32]) -> Result<(), Error> {
        self.samples.extend(samples);
        Ok(())
    }
}

fn heard<D: Device>(voice: &Voice) -> Heard {
    let mut heard = Heard::default();
    let mut synthesizer = Synthesizer::<D>::new(voice).expect("a voice");
    synthesizer.speak("Oh.", &Controls::default(), &mut heard).expect("speech");
    heard
}

/// Durations, spectrogram and samples of a word.
///
/// # Panics
/// If the device differs from the CPU.
pub fn the_voices_in_the_program_say_the_same<D: Device>() {
    embedded::names().for_each(says_the_same::<D>);
}

fn says_the_same<D: Device>(name: &str) {
    let voice = Voice::find(name.as_ref()).expect("a voice");
    let (cpu, device) = (heard::<Cpu>(&voice), heard::<D>(&voice));
    if !same_durations((&cpu.durations, &cpu.unrounded), (&device.durations, &device.unrounded)) {
        return;
    }
    let differ = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let (mel, sound) = (differ(&cpu.mel, &device.mel), differ(&cpu.samples, &device.samples));
    assert_eq!((cpu.mel.len(), cpu.samples.len()), (device.mel.len(), device.samples.len()), "values");
    assert!(mel < SPEECH_TOLERANCE && sound < SOUND_TOLERANCE, "{name}: spectrograms differ by {mel}, samples by {sound}");
    println!("{name}: {} samples differ by {sound:.1e} at most, their spectrogram by {mel:.1e}", cpu.samples.len());
}

/// Codes and votes of all matrices after some steps of the same gradients.
fn codes_and_votes<D: Device>(config: &Config) -> Vec<Vec<u8>> {
    let mut plan = Plan::default();
    let layout: Layout = Layout::plan(config, &mut plan);
    let (p, optimizer) = (&layout.parameters, &layout.optimizer);
    let largest = p.matrices.iter().map(|w| w.out_features * w.in_features).max().expect("matrices");
    let gradients: Span<f32> = plan.span(Kind::Scratch, "gradients", largest);
    let b = &mut D::open(&mut plan).expect("a device: it was there a moment ago");
    optimizer.initialise(b, p, &config.train);
    let (rule, counts) = (VoteRule::new(config.train.votes, config.train.kappa), optimizer.readings.counts.slice(0, 2));
    let mut bytes = Vec::new();
    for (tensor, (weight, state)) in p.matrices.iter().zip(&optimizer.matrices).enumerate() {
        let MatrixState::Votes(Votes(state)) = state else { panic!("votes keep votes") };
        let dw = gradients.slice(0, weight.out_features * weight.in_features);
        for step in 0..8u64 {
            b.upload(dw, &gradient(dw.len(), step as u32 * 97 + tensor as u32));
            let bias_correction = 1.0 - config.train.beta2.powi(step as i32 + 1);
            let key = RandomKey { seed: 3, tensor: tensor as u32, step };
            b.run(Vote {
                weight: *weight,
                state: *state,
                dw,
                cast: VoteCast { rule, lr: 0.02, beta2: config.train.beta2, bias_correction, is_natural: step % 2 == 1, key },
                tile: None,
            });
            b.run(Flip { weight: *weight, state: *state, rule, counts });
            let mut flipped = [0u32; 2];
            b.download(counts, &mut flipped);
            bytes.push(bytemuck::cast_slice(&flipped).to_vec());
        }
        let trained = weight.grid().scales.of_rows();
        if trained.is_some() {
            b.run(RescaleRows { weight: *weight, state: *state, rule, share: 0.05, factor: 1.5 });
        }
        for span in [weight.grid().codes, state.votes] {
            let mut part = vec![0u8; span.len()];
            b.download(span, &mut part);
            bytes.push(part);
        }
        for span in [state.row, state.column].into_iter().chain(trained) {
            let mut part = vec![0f32; span.len()];
            b.download(span, &mut part);
            bytes.push(bytemuck::cast_slice(&part).to_vec());
        }
        b.fault().unwrap_or_else(|error| panic!("{error}"));
    }
    bytes
}

/// Bit for bit: codes, votes, scales and running means.
///
/// # Panics
/// If the device differs from the CPU.
pub fn the_same_gradients_give_the_same_votes_and_flips<D: Device>() {
    for (bits, grid, scales) in [(8, None, ScaleForm::Row), (4, None, ScaleForm::Row), (8, Some(&UINT4), ScaleForm::Group32Offset)] {
        let mut config: Config = config("gpt-nano", Rule::Votes, bits);
        if let Some(grid) = grid {
            *config.model.grid_mut() = grid;
        }
        *config.model.scales_mut() = scales;
        let (cpu, device) = (codes_and_votes::<Cpu>(&config), codes_and_votes::<D>(&config));
        let flips: u32 = cpu.iter().filter(|b| b.len() == 8).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).sum();
        assert!(flips > 1000, "too few flips to compare: {flips}");
        for (i, (a, b)) in cpu.iter().zip(&device).enumerate() {
            let at = a.iter().zip(b).position(|(a, b)| a != b);
            assert_eq!(at, None, "{bits}-bit votes, buffer {i} of {} bytes differs", a.len());
        }
        println!("{bits}-bit votes, {} scales: {flips} flips, all codes, votes, scales, R and C the same bits", scales.name());
    }
}
