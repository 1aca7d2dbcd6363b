//! `primal-host import hifigan`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use argh::FromArgs;
use half::f16;

use crate::cli::paths::{Named, require_distinct, require_extension, require_writable};
use crate::output::print;
use crate::voice::require_fit;
use crate::{Error, Result, input};
use primal_engine::files::checkpoint::{Dtype, TensorRef, save};
use primal_engine::models::hifigan::generator::{self, Generator, Tensors};
use primal_engine::models::hifigan::{HifiganConfig, weights};
use primal_speech::mel::MelSettings;

/// make a vocoder of a HiFi-GAN generator, in a PyTorch checkpoint or safetensors: generator_v1 or g_02500000 of jik876/hifi-gan, generator.ckpt of
/// SpeechBrain. Nothing in the file is executed
#[derive(FromArgs)]
#[argh(subcommand, name = "hifigan")]
pub(super) struct ImportHifigan {
    /// the PyTorch checkpoint or safetensors file
    #[argh(positional)]
    file: PathBuf,
    /// safetensors file to write
    #[argh(option)]
    out: PathBuf,
    /// the key of the checkpoint's dictionary that has the generator, such as model_g (default: generator, or the dictionary itself)
    #[argh(option)]
    key: Option<String>,
    /// the config.json that it was trained with (default: what the file says, or that of the published V1, V2 or V3, where the shapes are theirs)
    #[argh(option)]
    config: Option<PathBuf>,
    /// store 16-bit floats
    #[argh(switch)]
    half: bool,
    /// licence of the weights, to be kept in the file (default: what the file says)
    #[argh(option)]
    license: Option<String>,
}

impl ImportHifigan {
    /// Reads, checks and writes.
    ///
    /// # Errors
    /// A file that is no such checkpoint, or does not fit its configuration; output that cannot be written.
    pub(super) fn run(self) -> Result<()> {
        let out = ("--out", self.out.as_path());
        require_extension(out, "safetensors")?;
        let inputs = [("FILE", Some(&self.file)), ("--config", self.config.as_ref())];
        let inputs: Vec<Named> = inputs.into_iter().filter_map(|(flag, path)| Some((flag, path?.as_path()))).collect();
        require_distinct(out, &inputs)?;
        require_writable(out)?;
        let generator = generator::open(&self.file, self.key.as_deref()).map_err(|error| match Error::from(error) {
            Error::BadInput { subject, expected, found, hint } if subject == generator::KEY => {
                Error::bad_input("--key", expected, found, hint)
            }
            other => other,
        })?;
        let subject = self.file.display().to_string();
        let (config, mel, origin) = match &self.config {
            Some(path) => {
                let (config, mel) = read_config(path, &generator)?;
                (config, mel, path.display().to_string())
            }
            None if generator.metadata().contains_key("config") => {
                let metadata = generator.metadata();
                let config = weights::parse(&subject, metadata, "config")?;
                (config, weights::parse(&subject, metadata, "mel")?, format!("that of {subject}"))
            }
            None => {
                let (config, mel) = published(&subject, &generator)?;
                (config, mel, "its shapes, which are those of a published model, and that model's mel settings".into())
            }
        };
        let blame = self.config.as_deref().map_or(subject.clone(), |path| path.display().to_string());
        mel.validate(&blame)?;
        config.validate(&blame)?;
        require_fit(&config, &mel, &blame)?;
        let hint = "give the configuration that it was trained with (--config config.json)";
        weights::compare(&subject, &config.convolutions(mel.num_mels), generator.shapes(), hint)?;
        let tensors = generator.values()?;
        self.write(&subject, generator.metadata(), &tensors, &config, &mel)?;
        let values: usize = tensors.values().map(|(_, values)| values.len()).sum();
        let (stages, rate) = (&config.upsample_rates, mel.sampling_rate);
        let padding = serde_json::to_string(&config.padding).unwrap_or_default();
        print(format!(
            "{}: {values} weights, {} channels, stages of {stages:?} samples, padded with {padding}, {} mels of {rate} Hz audio\nconfiguration: {origin}",
            self.out.display(),
            config.upsample_initial_channel,
            mel.num_mels,
        ))
    }

    /// Writes the vocoder; `from` is what the file it comes from says of itself.
    fn write(
        &self,
        subject: &str,
        from: &BTreeMap<String, String>,
        generator: &Tensors,
        config: &HifiganConfig,
        mel: &MelSettings,
    ) -> Result<()> {
        let json = |value: serde_json::Result<String>| value.map_err(|error| Error::failed(format!("{subject}: {error}"), "report this"));
        let mut metadata = BTreeMap::from([
            ("architecture".into(), weights::ARCHITECTURE.into()),
            ("config".into(), json(serde_json::to_string(config))?),
            ("mel".into(), json(serde_json::to_string(mel))?),
        ]);
        let license = self.license.as_ref().or_else(|| from.get("license"));
        metadata.extend(license.map(|license| ("license".into(), license.clone())));
        metadata.extend(self.file.file_name().map(|name| ("imported_from".into(), name.to_string_lossy().into_owned())));
        let dtype = if self.half { Dtype::F16 } else { Dtype::F32 };
        let mut stored = Vec::with_capacity(generator.len());
        for (name, (shape, values)) in generator {
            let bytes: Vec<u8> = match self.half {
                true => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
                false => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            };
            let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            if self.half && !f16::from_f32(largest).is_finite() {
                let expected = format!("values of `{name}` up to {}, the largest 16-bit float", f16::MAX);
                return Err(Error::bad_input(subject, expected, largest, "leave out --half"));
            }
            stored.push((name, shape, bytes));
        }
        let tensors: Vec<TensorRef> = stored.iter().map(|(name, shape, bytes)| TensorRef::new(*name, dtype, shape, bytes)).collect();
        Ok(save(&self.out, &metadata, &tensors)?)
    }
}

/// A configuration file, whose missing mel settings are those of the published models.
fn read_config(path: &Path, generator: &Generator) -> Result<(HifiganConfig, MelSettings)> {
    const HINT: &str = "give the config.json of the model, as in jik876/hifi-gan";
    let text = input::read_text(path, input::CONFIGURATION, HINT)?;
    let bad = |error: serde_json::Error| Error::bad_input(path.display(), "the configuration of a HiFi-GAN in JSON", error, HINT);
    let given: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).map_err(bad)?;
    let mut mel = serde_json::to_value(MelSettings::default()).map_err(bad)?;
    for (key, value) in mel.as_object_mut().into_iter().flatten() {
        if let Some(given) = given.get(key) {
            *value = given.clone();
        }
    }
    let mut config: HifiganConfig = serde_json::from_str(&text).map_err(bad)?;
    if !given.contains_key("padding") {
        config.padding = generator.padding;
    }
    Ok((config, serde_json::from_value(mel).map_err(bad)?))
}

/// The configuration and mel settings of a published model.
fn published(subject: &str, generator: &Generator) -> Result<(HifiganConfig, MelSettings)> {
    let config = generator.infer().ok_or_else(|| {
        let found = "others, which do not tell rates and dilations";
        Error::bad_input(subject, "the shapes of HiFi-GAN V1, V2 or V3", found, "give its configuration with --config config.json")
    })?;
    let mel = MelSettings { num_mels: generator.num_mels(), ..MelSettings::default() };
    Ok((HifiganConfig { padding: generator.padding, ..config }, mel))
}
