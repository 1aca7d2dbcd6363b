//! `primal-host export-voice`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use argh::FromArgs;
use half::f16;

use super::paths::{Named, require_distinct};
use crate::output::print;
use crate::voice::voice::{ACOUSTIC, Acoustic, DESCRIPTION, Description, LEXICON, VOCODER, Voice, require_pitch_range};
use crate::voice::{Vocoder, VocoderFile};
use crate::{Error, Result, input};
use primal_engine::files::checkpoint::{Checkpoint, Dtype, TensorRef, save};
use primal_engine::files::{TensorFile, durable};
use primal_engine::memory::Plan;
use primal_engine::models::hifigan::{self, weights};
use primal_engine::nn::Parameters;
use primal_engine::nn::tensors;
use primal_speech::Lexicon;

/// Weights of the vocoder with at least so many values are stored in 8 bits: the upsampling layers of V3 and the blocks of its first stage.
const LARGE: usize = 40_000;

/// make a voice of a training run and a vocoder: a folder for `tts --voice`
#[derive(FromArgs)]
#[argh(subcommand, name = "export-voice")]
pub struct ExportVoice {
    /// checkpoint of `tts-train`
    #[argh(option)]
    checkpoint: PathBuf,
    /// vocoder: safetensors, as `primal-host import` makes it
    #[argh(option)]
    vocoder: PathBuf,
    /// lexicon (default: the voice uses the one in the program)
    #[argh(option)]
    lexicon: Option<PathBuf>,
    /// folder to write
    #[argh(option)]
    out: PathBuf,
    /// name of the voice (default: that of the folder)
    #[argh(option)]
    name: Option<String>,
    /// factor of how far its pitch moves, 0 to 3: what was learnt is a mean, and so too even (default 1)
    #[argh(option)]
    pitch_range: Option<f32>,
    /// licence of the voice (default: the vocoder's)
    #[argh(option)]
    licence: Option<String>,
}

impl ExportVoice {
    /// Checks that the parts fit together, writes them without what only training needs, and opens the voice as `tts` does.
    ///
    /// # Errors
    /// Parts that cannot be used, or do not fit; a folder that cannot be written.
    pub fn run(self) -> Result<()> {
        let inputs = [("--checkpoint", Some(&self.checkpoint)), ("--vocoder", Some(&self.vocoder)), ("--lexicon", self.lexicon.as_ref())];
        let inputs: Vec<Named> = inputs.into_iter().filter_map(|(flag, path)| Some((flag, path?.as_path()))).collect();
        [ACOUSTIC, VOCODER, LEXICON].iter().try_for_each(|name| require_distinct(("--out", &self.out.join(name)), &inputs))?;
        self.pitch_range.map_or(Ok(()), |range| require_pitch_range("--pitch-range", range))?;
        let acoustic = Acoustic::new(Checkpoint::open_verified(&self.checkpoint)?)?;
        let vocoder = Vocoder::open(&self.vocoder)?;
        acoustic.require_fit(&vocoder, self.vocoder.display())?;
        let (_, specs) = acoustic.parameters();
        tensors::validate(&tensors::parameters(&Parameters::plan(specs, &mut Plan::default())), &acoustic.checkpoint)?;

        fs::create_dir_all(&self.out).map_err(|error| durable::write_error(&self.out, 0, error))?;
        save_acoustic(&acoustic, &self.out.join(ACOUSTIC))?;
        let rounding = save_vocoder(&vocoder, &self.vocoder, &self.out.join(VOCODER))?;
        if let Some(path) = &self.lexicon {
            let bytes = input::read(path, input::LEXICON, "give a lexicon's file, or leave --lexicon out")?;
            Lexicon::from_bytes(&bytes, path.display())?;
            durable::write(&self.out.join(LEXICON), &bytes)?;
        }
        let name = self.name.clone().or_else(|| Some(self.out.file_name()?.to_string_lossy().into_owned()));
        let licence = self.licence.clone().or_else(|| vocoder.metadata().get("license").cloned());
        let description = Description {
            name: name.unwrap_or_else(|| "voice".into()),
            language: "en-US".into(),
            licence: licence.unwrap_or_else(|| "not stated".into()),
            acoustic: ACOUSTIC.into(),
            vocoder: VOCODER.into(),
            pitch_range: self.pitch_range,
            lexicon: self.out.join(LEXICON).exists().then(|| LEXICON.into()),
        };
        // Last: a folder without it is no voice.
        durable::write(&self.out.join(DESCRIPTION), description.to_toml().as_bytes())?;
        Voice::open(&self.out)?;
        let mut total = 0;
        for name in [Some(ACOUSTIC), Some(VOCODER), description.lexicon.as_deref()].into_iter().flatten() {
            let path = self.out.join(name);
            let bytes = fs::metadata(&path).map_err(|error| Error::io("reading", &path, error, "export it again"))?.len();
            print(format!("{bytes:>10} bytes  {}", path.display()))?;
            total += bytes;
        }
        print(format!("{total:>10} bytes in all"))?;
        match rounding.signal_to_error() {
            Some(ratio) => print(format!("{ratio:>10.1} dB     signal to error of the vocoder's {} weights of 8 bits", rounding.weights)),
            None => Ok(()),
        }
    }
}

/// The parameters of an acoustic model, and what its run says of it; no votes, no moments.
fn save_acoustic(acoustic: &Acoustic, path: &Path) -> Result<()> {
    let (checkpoint, (_, specs)) = (&acoustic.checkpoint, acoustic.parameters());
    let parameters = tensors::parameters(&Parameters::plan(specs, &mut Plan::default()));
    let mut stored = Vec::with_capacity(parameters.len());
    for tensor in parameters {
        let bytes = tensors::view(checkpoint, &tensor.name, tensor.dtype, &tensor.shape)?.bytes()?;
        stored.push((tensor, bytes));
    }
    let tensors: Vec<_> = stored.iter().map(|(tensor, bytes)| TensorRef::new(&tensor.name, tensor.dtype, &tensor.shape, bytes)).collect();
    Ok(save(path, checkpoint.metadata(), &tensors)?)
}

/// What 8 bits made of weights.
#[derive(Default)]
struct Rounding {
    weights: usize,
    /// Sum of squares of the weights.
    signal: f64,
    /// Sum of squares of the differences.
    error: f64,
}

impl Rounding {
    fn add(&mut self, weight: f32, rounded: f32) {
        self.weights += 1;
        self.signal += f64::from(weight).powi(2);
        self.error += f64::from(weight - rounded).powi(2);
    }

    /// In decibels; none without weights.
    fn signal_to_error(&self) -> Option<f64> {
        (self.weights > 0).then(|| 10.0 * (self.signal / self.error).log10())
    }
}

/// Writes a vocoder: HiFi-GAN with large weights of 8 bits, any other as it is.
fn save_vocoder(vocoder: &Vocoder, from: &Path, path: &Path) -> Result<Rounding> {
    let mut metadata = vocoder.metadata().clone();
    metadata.retain(|key, _| !key.starts_with("primal."));
    match &vocoder.file {
        VocoderFile::Hifigan(file) => save_hifigan(file, metadata, from, path),
        VocoderFile::SourceFilter(file) => {
            save_as_it_is(file.file(), &metadata, path)?;
            Ok(Rounding::default())
        }
    }
}

/// All tensors of a file.
fn save_as_it_is(file: &dyn TensorFile, metadata: &BTreeMap<String, String>, path: &Path) -> Result<()> {
    let mut stored = Vec::new();
    for name in file.names() {
        let view = file.view(name)?;
        stored.push((name, view.dtype, view.shape.to_vec(), view.bytes()?));
    }
    let tensors: Vec<_> = stored.iter().map(|(name, dtype, shape, bytes)| TensorRef::new(*name, *dtype, shape, bytes)).collect();
    Ok(save(path, metadata, &tensors)?)
}

/// HiFi-GAN with large weights of 8 bits and the rest of 16.
fn save_hifigan(vocoder: &hifigan::VocoderFile, metadata: BTreeMap<String, String>, from: &Path, path: &Path) -> Result<Rounding> {
    let (mut stored, mut rounding) = (Vec::new(), Rounding::default());
    for layer in &vocoder.config.convolutions(vocoder.num_mels).all {
        for (name, shape) in
            [(format!("{}.weight", layer.name), layer.weight_shape().to_vec()), (format!("{}.bias", layer.name), vec![layer.outputs])]
        {
            let values = vocoder.values(&name)?;
            // The first and the last convolution see and make what is heard: their errors count most.
            if values.len() >= LARGE && !name.starts_with("conv_") {
                let (codes, scale) = to_i8(&values, shape[0], &mut rounding);
                stored.push((weights::scale_of(&name), Dtype::F32, vec![shape[0]], scale));
                stored.push((name, Dtype::I8, shape, codes));
            } else {
                let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
                if largest > f32::from(f16::MAX) {
                    let expected = format!("values of `{name}` up to {}, the largest 16-bit float", f16::MAX);
                    return Err(Error::bad_input(from.display(), expected, largest, "take another vocoder"));
                }
                let half = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
                stored.push((name, Dtype::F16, shape, half));
            }
        }
    }
    let tensors: Vec<_> = stored.iter().map(|(name, dtype, shape, bytes)| TensorRef::new(name, *dtype, shape, bytes)).collect();
    save(path, &metadata, &tensors)?;
    Ok(rounding)
}

/// Integers of 8 bits and a factor for each row, both as bytes.
fn to_i8(values: &[f32], rows: usize, rounding: &mut Rounding) -> (Vec<u8>, Vec<u8>) {
    let (mut codes, mut scales) = (Vec::with_capacity(values.len()), Vec::with_capacity(4 * rows));
    for row in values.chunks_exact(values.len() / rows) {
        let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let scale = if largest > 0.0 { largest / f32::from(i8::MAX) } else { 1.0 };
        scales.extend(scale.to_le_bytes());
        codes.extend(row.iter().map(|&value| {
            let code = (value / scale).round() as i8;
            rounding.add(value, f32::from(code) * scale);
            code as u8
        }));
    }
    (codes, scales)
}
