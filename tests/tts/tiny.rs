//! A voice that knows nothing, made in a moment: its phones last about eight frames and its vocoder hums.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use primal_engine::backend::Backend;
use primal_engine::backend::cpu::Cpu;
use primal_engine::config::SpeechConfig;
use primal_engine::files::checkpoint::{TensorRef, save};
use primal_engine::memory::Plan;
use primal_engine::models::ghost_tts::{FACTS_KEY, GhostTtsIds};
use primal_engine::models::hifigan::HifiganConfig;
use primal_engine::nn::Parameters;
use primal_engine::nn::tensors;
use primal_host::configurations::Load;
use primal_host::data::VoiceFacts;
use primal_speech::mel::MelSettings;
use primal_speech::prosody::{Normal, Statistics};

/// Frames of most phones.
const FRAMES: f32 = 8.0;

/// The parts of a voice, and the folder that `export-voice` makes of them.
pub struct Tiny {
    pub folder: tempfile::TempDir,
    pub checkpoint: PathBuf,
    pub vocoder: PathBuf,
    pub voice: PathBuf,
}

impl Tiny {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [checkpoint, vocoder, voice] = ["step.safetensors", "hifigan.safetensors", "voice"].map(|name| folder.path().join(name));
        write_checkpoint(&checkpoint);
        write_vocoder(&vocoder, &MelSettings::default(), 16);
        let tiny = Self { folder, checkpoint, vocoder, voice };
        let (code, _, error) = tiny.export(&tiny.vocoder, &tiny.voice);
        assert_eq!(code, Some(0), "{error}");
        tiny
    }

    /// Runs `export-voice` with a vocoder into a folder: exit code, output, errors.
    pub fn export(&self, vocoder: &Path, out: &Path) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primal-host"));
        command.arg("export-voice").arg("--checkpoint").arg(&self.checkpoint).arg("--vocoder").arg(vocoder).arg("--out").arg(out);
        let output = command.output().expect("primal-host runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

/// An untrained acoustic model with the metadata of a training run.
fn write_checkpoint(path: &Path) {
    let config = SpeechConfig::load("ghost-tts-nano").expect("an embedded configuration");
    let mut plan = Plan::default();
    let (_, specs) = GhostTtsIds::new(&config.model, false);
    let parameters = Parameters::plan(specs, &mut plan);
    let mut backend = Cpu::new(&mut plan);
    parameters.initialise(&mut backend, 3, |_, _, _, _| {});
    let bias = parameters.specs.vectors.iter().position(|spec| spec.name == "predictors.duration.out.bias").expect("a bias");
    backend.upload(parameters.vectors[bias], &[(1.0 + FRAMES).ln()]);
    let copies = tensors::parameters(&parameters).into_iter().map(|tensor| {
        let mut bytes = vec![0; tensor.bytes.len()];
        backend.download(tensor.bytes, &mut bytes);
        (tensor, bytes)
    });
    let copies: Vec<_> = copies.collect();
    let mut tensors: Vec<_> = copies.iter().map(|(t, bytes)| TensorRef::new(t.name.clone(), t.dtype, &t.shape, bytes)).collect();
    // What training keeps besides, and a voice has no use for.
    let votes = vec![0u8; 1000];
    tensors.push(TensorRef::u8("mel.votes", &[1000], &votes));
    let scale = |mean, std| Normal { mean, std };
    let statistics = Statistics { log_f0: scale(5.2, 0.2), log_energy: scale(3.0, 1.0), mel: vec![scale(-6.0, 2.0); config.model.mels] };
    let facts = VoiceFacts::new(MelSettings::default(), statistics);
    let metadata = BTreeMap::from([
        ("config".to_string(), config.to_toml()),
        ("step".to_string(), "0".to_string()),
        (FACTS_KEY.to_string(), facts.to_json()),
    ]);
    save(path, &metadata, &tensors).expect("a checkpoint");
}

/// A V3 generator of so many channels with some weights or other.
pub fn write_vocoder(path: &Path, mel: &MelSettings, channels: usize) {
    let config = serde_json::json!({
        "resblock": "2", "upsample_rates": [8, 8, 4], "upsample_kernel_sizes": [16, 16, 8], "upsample_initial_channel": channels,
        "resblock_kernel_sizes": [3, 5, 7], "resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]]
    });
    let shape: HifiganConfig = serde_json::from_value(config).expect("a configuration");
    let convolutions = shape.convolutions(mel.num_mels);
    let mut values = Vec::new();
    for layer in &convolutions.all {
        let weight = layer.weight_shape();
        let gain = 2.0 / (weight.iter().product::<usize>() as f32 / layer.outputs as f32).sqrt();
        let count = weight.iter().product();
        values.push((format!("{}.weight", layer.name), weight.to_vec(), (0..count).map(|i| gain * ((i * i) as f32 * 0.7).sin()).collect()));
        values.push((format!("{}.bias", layer.name), vec![layer.outputs], vec![0.0f32; layer.outputs]));
    }
    let tensors: Vec<_> = values.iter().map(|(name, shape, values): &(_, _, Vec<f32>)| TensorRef::f32(name, shape, values)).collect();
    let metadata = BTreeMap::from([
        ("architecture".to_string(), "hifigan".to_string()),
        ("config".to_string(), serde_json::to_string(&shape).expect("JSON")),
        ("mel".to_string(), serde_json::to_string(mel).expect("JSON")),
        ("license".to_string(), "free".to_string()),
    ]);
    save(path, &metadata, &tensors).expect("a vocoder");
}
