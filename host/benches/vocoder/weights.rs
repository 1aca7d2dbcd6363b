//! Random weights of the usual sizes, which cost the same as any.

use std::collections::BTreeMap;
use std::path::Path;

use primal_device::philox::{RandomStream, uniform};
use primal_engine::files::checkpoint::{TensorRef, save};
use primal_engine::models::hifigan::HifiganConfig;
use primal_engine::models::hifigan::config::Step;
use primal_engine::models::source_filter::SourceFilterConfig;
use primal_speech::mel::MelSettings;

const V3: &str = r#"{"resblock": "2", "upsample_rates": [8, 8, 4], "upsample_kernel_sizes": [16, 16, 8], "upsample_initial_channel": 256,
    "resblock_kernel_sizes": [3, 5, 7], "resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]]}"#;
/// As train_vocoder.py has it.
const SOURCE_FILTER: &str = r#"{"channels": 256, "hidden": 768, "blocks": 6, "kernel": 3}"#;

type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// Values with mean 0 and variance 1; a sum of four uniform ones.
pub fn normal(len: usize, tensor: u32) -> Vec<f32> {
    let stream = RandomStream::new(1, tensor, 0);
    (0..len).map(|i| (stream.words(i as u32).map(uniform).iter().sum::<f32>() - 2.0) * 3f32.sqrt()).collect()
}

fn write(
    path: &Path,
    architecture: &str,
    config: serde_json::Result<String>,
    mel: serde_json::Result<String>,
    tensors: &Tensors,
) -> Result<(), String> {
    let json = |value: serde_json::Result<String>| value.map_err(|e| e.to_string());
    let metadata = BTreeMap::from([
        ("architecture".to_string(), architecture.to_string()),
        ("config".into(), json(config)?),
        ("mel".into(), json(mel)?),
    ]);
    let tensors: Vec<TensorRef> = tensors.iter().map(|(name, shape, values)| TensorRef::f32(name, shape, values)).collect();
    save(path, &metadata, &tensors).map_err(|e| e.to_string())
}

/// Writes a HiFi-GAN V3.
pub fn hifigan(path: &Path) -> Result<(), String> {
    let (config, mel): (HifiganConfig, _) = (serde_json::from_str(V3).map_err(|e| e.to_string())?, MelSettings::default());
    let mut tensors = Tensors::new();
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
    write(path, "hifigan", serde_json::to_string(&config), serde_json::to_string(&mel), &tensors)
}

/// Writes a source-filter vocoder as its training exports it.
pub fn source_filter(path: &Path) -> Result<(), String> {
    let config: SourceFilterConfig = serde_json::from_str(SOURCE_FILTER).map_err(|e| e.to_string())?;
    let mut tensors = Tensors::new();
    let SourceFilterConfig { channels, hidden, kernel, pitch_channels, .. } = config;
    let mut layer = |name: String, shape: &[usize], gain: f32| {
        let sigma = gain / (shape[1..].iter().product::<usize>() as f32).sqrt();
        let values = normal(shape.iter().product(), tensors.len() as u32).into_iter().map(|value| sigma * value).collect();
        tensors.push((format!("{name}.weight"), shape.to_vec(), values));
        tensors.push((format!("{name}.bias"), vec![shape[0]], vec![0.0; shape[0]]));
    };
    for i in 0..config.pitch_layers {
        layer(format!("pitch.convs.{i}"), &[pitch_channels, if i == 0 { 80 } else { pitch_channels }, 5], 0.5);
    }
    layer("pitch.out".into(), &[2, pitch_channels, 1], 0.1);
    layer("pre".into(), &[channels, 81, kernel], 1.0);
    for block in 0..config.blocks {
        layer(format!("blocks.{block}.depth"), &[channels, 1, kernel], 1.0);
        layer(format!("blocks.{block}.up"), &[hidden, channels], 1.0);
        layer(format!("blocks.{block}.down"), &[channels, hidden], 1.0);
    }
    layer("head".into(), &[2 * 3 * 257, channels], 0.1);
    let mut constant = |name: String, value: f32| tensors.push((name, vec![channels], vec![value; channels]));
    for block in 0..config.blocks {
        constant(format!("blocks.{block}.norm.weight"), 1.0);
        constant(format!("blocks.{block}.norm.bias"), 0.0);
        constant(format!("blocks.{block}.scale"), 0.5);
    }
    constant("norm.weight".into(), 1.0);
    constant("norm.bias".into(), 0.0);
    write(path, "source_filter", serde_json::to_string(&config), serde_json::to_string(&MelSettings::default()), &tensors)
}
