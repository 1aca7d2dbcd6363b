//! `primal-host vocode`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use argh::FromArgs;

use super::device::{self, DeviceName, Work};
use super::limits;
use super::paths::{require_distinct, require_extension, require_writable};
use super::threads::in_pool;
use crate::output::{print, print_json};
use crate::sound;
use crate::voice::Vocoder;
use crate::{Error, Result};
use primal_engine::backend::Device;
use primal_engine::memory::Plan;
use primal_engine::models::hifigan::CHUNK;
use primal_engine::models::hifigan::Hifigan;
use primal_speech::mel::Analyser;

/// resynthesise a sound from its mel spectrogram: how a vocoder sounds at its best
#[derive(FromArgs)]
#[argh(subcommand, name = "vocode")]
pub struct Vocode {
    /// mono WAV or FLAC of 16 bits and the vocoder's rate
    #[argh(option)]
    input: PathBuf,
    /// WAV to write
    #[argh(option)]
    output: PathBuf,
    /// vocoder: safetensors, as `primal-host import hifigan` makes it
    #[argh(option)]
    vocoder: PathBuf,
    /// device: cpu (default) or cuda
    #[argh(option, default = "DeviceName::default()")]
    device: DeviceName,
    /// threads (default: all cores)
    #[argh(option)]
    threads: Option<usize>,
    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

impl Vocode {
    /// Reads, resynthesises and writes.
    ///
    /// # Errors
    /// A sound or a vocoder that cannot be used; output that cannot be written.
    pub fn run(self) -> Result<()> {
        let output = ("--output", self.output.as_path());
        require_extension(output, "wav")?;
        require_distinct(output, &[("--input", &self.input), ("--vocoder", &self.vocoder)])?;
        require_writable(output)?;
        in_pool(self.threads, || device::run(self.device, &self))
    }
}

impl Work for Vocode {
    fn run_on<D: Device>(&self) -> Result<()> {
        let vocoder = Vocoder::open(&self.vocoder)?;
        let settings = vocoder.mel;
        let sound = sound::read(&self.input, settings.sampling_rate)?;
        if settings.frames(sound.len()) == 0 {
            let expected = format!("{} samples or more", settings.hop_size);
            return Err(Error::bad_input(self.input.display(), expected, sound.len(), "give a longer sound"));
        }
        let mel = Analyser::new(settings)?.analyse(&sound).mel;
        let mut plan = Plan::default();
        let model = Hifigan::plan(&vocoder.config, settings.num_mels, CHUNK, &mut plan);
        limits::require::<D>(&plan, "use a smaller vocoder")?;
        let mut backend = D::open(&mut plan)?;
        model.load(&mut backend, &vocoder)?;
        let (mut samples, mut first, began) = (Vec::with_capacity(sound.len()), None, Instant::now());
        model.vocode(&mut backend, &mel, |chunk| {
            first.get_or_insert_with(|| began.elapsed());
            samples.extend_from_slice(chunk);
            Ok::<_, Error>(())
        })?;
        let elapsed = began.elapsed();
        sound::write(&self.output, settings.sampling_rate, &samples)?;
        let seconds = samples.len() as f64 / f64::from(settings.sampling_rate);
        let factor = elapsed.as_secs_f64() / seconds;
        let first = first.unwrap_or(Duration::ZERO).as_secs_f64();
        if self.json {
            return print_json(&serde_json::json!({ "seconds": seconds, "real_time_factor": factor, "first_audio": first }));
        }
        let (name, elapsed) = (self.output.display(), elapsed.as_secs_f64());
        print(format!("{name}: {seconds:.2} s in {elapsed:.3} s, real-time factor {factor:.4}, first audio after {first:.3} s"))
    }
}
