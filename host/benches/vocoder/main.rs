//! `cargo xtask bench vocoder`: seconds of work for a second of audio on one core, beside ONNX Runtime with the same weights.
//!
//! The two take turns in one run, after their samples were compared. `--vocoder FILE` takes its weights; without it they are random ones of
//! HiFi-GAN V3's size, which cost the same. On a machine that does other work besides, the time on the processor says more than that on the clock.

mod peer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use peer::Peer;
use primal_device::philox::{RandomStream, uniform};
use primal_engine::backend::cpu::Cpu;
use primal_engine::files::checkpoint::{TensorRef, save};
use primal_engine::memory::Plan;
use primal_engine::models::hifigan::Hifigan;
use primal_engine::models::hifigan::config::Step;
use primal_engine::models::hifigan::{CHUNK, HifiganConfig};
use primal_host::voice::Vocoder;
use primal_speech::mel::MelSettings;

const V3: &str = r#"{"resblock": "2", "upsample_rates": [8, 8, 4], "upsample_kernel_sizes": [16, 16, 8], "upsample_initial_channel": 256,
    "resblock_kernel_sizes": [3, 5, 7], "resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]]}"#;
/// Frames of mel: ten seconds at the usual rate and hop.
const FRAMES: usize = 861;
/// Runs of each.
const ROUNDS: usize = 21;
/// Samples of two implementations in 32-bit floats may differ by this.
const TOLERANCE: f32 = 1e-3;

/// Values with mean 0 and variance 1; a sum of four uniform ones.
fn normal(len: usize, tensor: u32) -> Vec<f32> {
    let stream = RandomStream::new(1, tensor, 0);
    (0..len).map(|i| (stream.words(i as u32).map(uniform).iter().sum::<f32>() - 2.0) * 3f32.sqrt()).collect()
}

/// Writes a V3 generator with random weights.
fn random_vocoder(path: &Path) -> Result<(), String> {
    let (config, mel): (HifiganConfig, _) = (serde_json::from_str(V3).map_err(|e| e.to_string())?, MelSettings::default());
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for (i, layer) in config.convolutions(mel.num_mels).all.iter().enumerate() {
        let shape = layer.weight_shape();
        let taps = match layer.step {
            Step::Dilation(_) => layer.inputs * layer.kernel,
            Step::Stride(stride) => layer.inputs * layer.kernel / stride,
        };
        let sigma = (taps as f32).sqrt().recip();
        let values = normal(shape.iter().product(), i as u32).into_iter().map(|value| sigma * value).collect();
        tensors.push((format!("{}.weight", layer.name), shape.to_vec(), values));
        tensors.push((format!("{}.bias", layer.name), vec![layer.outputs], vec![0.0; layer.outputs]));
    }
    let json = |value: serde_json::Result<String>| value.map_err(|e| e.to_string());
    let metadata = BTreeMap::from([
        ("architecture".to_string(), "hifigan".to_string()),
        ("config".into(), json(serde_json::to_string(&config))?),
        ("mel".into(), json(serde_json::to_string(&mel))?),
    ]);
    let tensors: Vec<TensorRef> = tensors.iter().map(|(name, shape, values)| TensorRef::f32(name, shape, values)).collect();
    save(path, &metadata, &tensors).map_err(|e| e.to_string())
}

/// Seconds that this thread had a processor; none where the system does not say.
fn busy() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).map_or(f64::NAN, |nanoseconds| nanoseconds * 1e-9)
}

/// Multiply-adds of a frame.
fn work(vocoder: &Vocoder) -> usize {
    let (mut rate, mut sum) = (1, 0);
    for layer in &vocoder.config.convolutions(vocoder.mel.num_mels).all {
        sum += rate * layer.inputs * layer.outputs * layer.kernel;
        if let Step::Stride(stride) = layer.step {
            rate *= stride;
        }
    }
    sum
}

fn run(folder: &Path, vocoder: Option<PathBuf>) -> Result<(), String> {
    let path = match vocoder {
        Some(path) => path,
        None => {
            let path = folder.join("random.safetensors");
            random_vocoder(&path)?;
            path
        }
    };
    let vocoder = Vocoder::open(&path).map_err(|e| e.to_string())?;
    let num_mels = vocoder.mel.num_mels;
    let mel: Vec<f32> = normal(FRAMES * num_mels, u32::MAX).into_iter().map(|value| value - 5.0).collect();
    let mut plan = Plan::default();
    let model = Hifigan::plan(&vocoder.config, num_mels, CHUNK, &mut plan);
    let mut backend = Cpu::new(&mut plan);
    model.load(&mut backend, &vocoder).map_err(|e| e.to_string())?;
    let samples = model.vocode_all(&mut backend, &mel).expect("the CPU does not fail");
    let peer = Peer::start(&path, &mel, FRAMES, folder);
    let mut names = vec![format!("ours, chunks of {CHUNK} frames")];
    let mut peer = match peer {
        Ok(peer) => {
            let off = samples.iter().zip(&peer.samples).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
            println!("{}: samples differ by at most {off:.1e}", peer.name);
            if samples.len() != peer.samples.len() || off.is_nan() || off > TOLERANCE {
                return Err(format!("{}: {} samples off by {off}, tolerance {TOLERANCE}", peer.name, peer.samples.len()));
            }
            names.push(peer.name.clone());
            Some(peer)
        }
        Err(reason) => {
            println!("there is no peer, so these figures stand alone: {reason}");
            None
        }
    };
    let mut times = vec![[Vec::new(), Vec::new()]; names.len()];
    let mut first = Vec::new();
    for _ in 0..ROUNDS {
        let (began, busy_before) = (Instant::now(), busy());
        let mut heard = None;
        let done = model.vocode(&mut backend, &mel, |_| {
            heard.get_or_insert_with(|| began.elapsed());
            Ok::<_, primal_engine::Error>(())
        });
        done.map_err(|error| error.to_string())?;
        let elapsed = [began.elapsed().as_secs_f64(), busy() - busy_before];
        times[0].iter_mut().zip(elapsed).for_each(|(times, time)| times.push(time));
        first.extend(heard.map(|time| time.as_secs_f64()));
        if let Some(peer) = &mut peer {
            times[1].iter_mut().zip(peer.run()?).for_each(|(times, time)| times.push(time));
        }
    }
    let seconds = samples.len() as f64 / f64::from(vocoder.mel.sampling_rate);
    let operations = 2.0 * (work(&vocoder) * FRAMES) as f64;
    let arena = plan.total_bytes() as f64 / f64::from(1 << 20);
    first.sort_by(f64::total_cmp);
    println!("{seconds:.2} s of audio, {:.2} GFLOP, one thread, {ROUNDS} runs each in turn", operations / 1e9);
    println!("ours: {arena:.1} MiB in all, first audio after {:.3} s (median)", first[ROUNDS / 2]);
    println!("{:<28} {:>18} {:>18} {:>9}", "real-time factor", "clock, min / median", "processor", "GFLOP/s");
    for (name, times) in names.iter().zip(&mut times) {
        let [clock, processor] = times.each_mut().map(|times| {
            times.sort_by(f64::total_cmp);
            format!("{:.4} / {:.4}", times[0] / seconds, times[ROUNDS / 2] / seconds)
        });
        println!("{name:<28} {clock:>18} {processor:>18} {:>9.1}", operations / times[1][ROUNDS / 2] / 1e9);
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
