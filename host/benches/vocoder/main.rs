//! `cargo xtask bench vocoder`: seconds of work for a second of audio on one core, of both vocoders, each beside ONNX Runtime with the same weights.
//!
//! All take turns in one run, after what they make was compared. Of the source-filter vocoder ONNX Runtime has the networks alone, as an export would have
//! them: its transform and its source are no part of ONNX. Weights are random ones of the usual sizes, which cost the same as any; `--vocoder FILE` takes
//! others, of a HiFi-GAN or as the training of a source-filter vocoder exports them, alone. On a machine that does other work besides, the time on the
//! processor says more than that on the clock.

mod peer;
mod weights;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use peer::Peer;
use primal_device::grid::{Grid, UNIFORM15};
use primal_engine::backend::cpu::Cpu;
use primal_engine::files;
use primal_engine::files::checkpoint::{TensorRef, save};
use primal_engine::memory::Plan;
use primal_engine::models::hifigan::config::Step;
use primal_engine::models::hifigan::{self, Hifigan};
use primal_engine::models::source_filter::export::{Exported, is_export};
use primal_engine::models::source_filter::{self, Given, SourceFilter};
use weights::normal;

/// Frames of mel: ten seconds at the usual rate and hop.
const FRAMES: usize = 861;
/// Bands of a frame, samples of one, and samples of a second.
const BANDS: usize = 80;
const HOP: usize = 256;
const RATE: f64 = 22_050.0;
/// Runs of each.
const ROUNDS: usize = 21;
/// What two implementations make in 32-bit floats may differ by this.
const TOLERANCE: f32 = 1e-3;

/// What takes turns.
struct Contender {
    name: String,
    run: Box<dyn FnMut() -> Result<[f64; 2], String>>,
    /// Multiply-adds of a frame in its networks.
    work: usize,
    /// Seconds on the clock and on the processor, a pair for each run.
    times: [Vec<f64>; 2],
}

impl Contender {
    fn new(name: impl Into<String>, work: usize, run: impl FnMut() -> Result<[f64; 2], String> + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run), work, times: Default::default() }
    }

    /// One of ours, timed.
    fn ours(name: impl Into<String>, work: usize, mut run: impl FnMut() -> Result<(), String> + 'static) -> Self {
        Self::new(name, work, move || {
            let (began, busy_before) = (Instant::now(), busy());
            run()?;
            Ok([began.elapsed().as_secs_f64(), busy() - busy_before])
        })
    }

    /// The same network in ONNX Runtime, once it was compared with `ours`; none where there is none.
    fn peer(path: &Path, ours: &[f32], work: usize, folder: &Path, mel: &[f32]) -> Result<Option<Self>, String> {
        let mut peer = match Peer::start(path, mel, FRAMES, folder) {
            Ok(peer) => peer,
            Err(reason) => {
                println!("there is no peer, so these figures stand alone: {reason}");
                return Ok(None);
            }
        };
        let off = ours.iter().zip(&peer.output).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
        println!("{}: what it makes differs by at most {off:.1e}", peer.name);
        if ours.len() != peer.output.len() || off.is_nan() || off > TOLERANCE {
            return Err(format!("{}: {} values off by {off}, tolerance {TOLERANCE}", peer.name, peer.output.len()));
        }
        Ok(Some(Self::new(peer.name.clone(), work, move || peer.run())))
    }
}

/// Seconds that this thread had a processor; none where the system does not say.
fn busy() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).map_or(f64::NAN, |nanoseconds| nanoseconds * 1e-9)
}

/// Adds HiFi-GAN, and its peer.
fn hifigan(path: &Path, folder: &Path, mel: &[f32], all: &mut Vec<Contender>) -> Result<(), String> {
    let file = hifigan::VocoderFile::open(path).map_err(|e| e.to_string())?;
    if (file.num_mels, file.config.hop_size()) != (BANDS, HOP) {
        return Err(format!("{}: expected {BANDS} bands and {HOP} samples a frame", path.display()));
    }
    let mut plan = Plan::default();
    let model = Hifigan::plan(&file.config, BANDS, hifigan::CHUNK, &mut plan);
    let mut backend = Cpu::new(&mut plan);
    model.load(&mut backend, &file).map_err(|e| e.to_string())?;
    let samples = model.vocode_all(&mut backend, mel).map_err(|e| e.to_string())?;
    let (mut rate, mut work) = (1, 0);
    for layer in &file.config.convolutions(BANDS).all {
        work += rate * layer.inputs * layer.outputs * layer.kernel;
        if let Step::Stride(stride) = layer.step {
            rate *= stride;
        }
    }
    println!("HiFi-GAN: {:.1} MiB in all", plan.total_bytes() as f64 / f64::from(1 << 20));
    let own = mel.to_vec();
    all.push(Contender::ours(format!("HiFi-GAN, chunks of {}", hifigan::CHUNK), work, move || {
        model.vocode(&mut backend, &own, |_| Ok::<_, primal_engine::Error>(())).map_err(|e| e.to_string())
    }));
    all.extend(Contender::peer(path, &samples, work, folder, mel)?);
    Ok(())
}

/// What was exported, on a grid.
fn import(path: &Path, grid: Option<&'static Grid>, folder: &Path) -> primal_engine::Result<source_filter::VocoderFile> {
    let file = files::open(path)?;
    let exported = Exported::new(&*file)?;
    let converted = exported.convert(grid)?;
    let mut metadata = file.metadata().clone();
    metadata.retain(|key, _| !key.starts_with("primal."));
    metadata.insert(primal_engine::nn::kept::KEY.into(), converted.kept);
    let tensors: Vec<_> =
        converted.tensors.iter().map(|tensor| TensorRef::new(&tensor.name, tensor.dtype, &tensor.shape, &tensor.bytes)).collect();
    let path = folder.join(format!("{}.safetensors", grid.map_or("float", Grid::name)));
    save(&path, &metadata, &tensors)?;
    source_filter::VocoderFile::new(files::open(&path)?)
}

/// A model in memory.
fn load(file: &source_filter::VocoderFile) -> primal_engine::Result<(SourceFilter, Cpu, usize)> {
    let mut plan = Plan::default();
    let model = SourceFilter::plan(file, source_filter::CHUNK, &mut plan)?;
    let mut backend = Cpu::new(&mut plan);
    model.load(&mut backend, file)?;
    Ok((model, backend, plan.total_bytes()))
}

/// Adds the source-filter vocoder, its networks alone, and their peer.
fn source_filter(path: &Path, folder: &Path, mel: &[f32], all: &mut Vec<Contender>) -> Result<(), String> {
    let told = |error: primal_engine::Error| error.to_string();
    let float = import(path, None, folder).map_err(told)?;
    let config = &float.config;
    let pitch = config.pitch_channels * 5 * (BANDS + (config.pitch_layers - 1) * config.pitch_channels) + 2 * config.pitch_channels;
    let block = 2 * config.channels * config.hidden + config.kernel * config.channels;
    let work = pitch + config.channels * (config.kernel * (BANDS + 1) + 2 * source_filter::config::HALF_FRAME) + config.blocks * block;
    let (model, mut backend, _) = load(&float).map_err(told)?;
    let corrections = model.corrections(&mut backend, mel).map_err(told)?;
    let grid = import(path, Some(&UNIFORM15), folder).map_err(told)?;
    let (model, mut backend, bytes) = load(&grid).map_err(told)?;
    println!("source-filter: {:.1} MiB in all", bytes as f64 / f64::from(1 << 20));
    let own = mel.to_vec();
    all.push(Contender::ours(format!("source-filter, chunks of {}", source_filter::CHUNK), work, move || {
        model.vocode_with(&mut backend, &own, Given::default(), |_| Ok::<_, primal_engine::Error>(())).map_err(told)
    }));
    let (model, mut backend, _) = load(&grid).map_err(told)?;
    let own = mel.to_vec();
    all.push(Contender::ours("its networks alone", work, move || model.corrections(&mut backend, &own).map(|_| ()).map_err(told)));
    all.extend(Contender::peer(path, &corrections, work, folder, mel)?);
    Ok(())
}

fn run(folder: &Path, vocoder: Option<PathBuf>) -> Result<(), String> {
    let mel: Vec<f32> = normal(FRAMES * BANDS, u32::MAX).into_iter().map(|value| value - 5.0).collect();
    let mut all = Vec::new();
    match vocoder {
        Some(path) if is_export(&*files::open(&path).map_err(|e| e.to_string())?) => source_filter(&path, folder, &mel, &mut all)?,
        Some(path) => hifigan(&path, folder, &mel, &mut all)?,
        None => {
            let [gan, filter] = ["gan.safetensors", "filter.safetensors"].map(|name| folder.join(name));
            weights::hifigan(&gan)?;
            weights::source_filter(&filter)?;
            hifigan(&gan, folder, &mel, &mut all)?;
            source_filter(&filter, folder, &mel, &mut all)?;
        }
    }
    for _ in 0..ROUNDS {
        for contender in &mut all {
            let times = (contender.run)()?;
            contender.times.iter_mut().zip(times).for_each(|(times, time)| times.push(time));
        }
    }
    let seconds = (FRAMES * HOP) as f64 / RATE;
    println!("{seconds:.2} s of audio, one thread, {ROUNDS} runs each in turn");
    println!("{:<28} {:>18} {:>18} {:>8} {:>9}", "real-time factor", "clock, min / median", "processor", "GFLOP", "GFLOP/s");
    for Contender { name, work, times, .. } in &mut all {
        let [clock, processor] = times.each_mut().map(|times| {
            times.sort_by(f64::total_cmp);
            format!("{:.4} / {:.4}", times[0] / seconds, times[ROUNDS / 2] / seconds)
        });
        let operations = 2e-9 * (*work * FRAMES) as f64;
        println!("{name:<28} {clock:>18} {processor:>18} {operations:>8.2} {:>9.1}", operations / times[1][ROUNDS / 2]);
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let vocoder = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--vocoder", path] => Some(PathBuf::from(path)),
        _ => {
            eprintln!("vocoder: expected nothing or --vocoder FILE, found {arguments:?}");
            return ExitCode::from(2);
        }
    };
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| e.to_string());
    let folder = tempfile::tempdir().map_err(|e| e.to_string());
    match one.and_then(|pool| folder.and_then(|folder| pool.install(|| run(folder.path(), vocoder)))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("vocoder: {message}");
            ExitCode::FAILURE
        }
    }
}
