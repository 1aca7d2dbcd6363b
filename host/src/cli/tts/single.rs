//! A text into one WAV.

use std::time::Instant;

use serde_json::json;

use super::ear::Ear;
use super::output::{Target, write_bytes};
use super::{Job, show_warnings};
use crate::output::{print, print_json, warn};
use crate::voice::draw;
use crate::voice::synthesis::Synthesizer;
use crate::voice::voice::Voice;
use crate::{Error, Result};
use primal_engine::backend::Device;

impl Job<'_> {
    /// Speaks a text and says where it is.
    pub(super) fn speak_text<D: Device>(&self, voice: &Voice, text: &str) -> Result<()> {
        let flags = self.flags;
        let target = Target::new(flags.output.as_deref(), flags.stream)?;
        if flags.json && matches!(target, Target::Standard) {
            let hint = "give a file with --output, or leave --json out";
            return Err(Error::bad_input("--json", "standard output for itself", "sound on standard output", hint));
        }
        let mut synthesizer = Synthesizer::<D>::new(voice)?;
        let mel = *voice.mel();
        let begun = Instant::now();
        let spoken = target.write(mel.sampling_rate, |sink| {
            let mut ear = Ear::new(sink, &mel, self.start, flags.mel.is_some());
            let speech = synthesizer.speak(text, &self.controls(), &mut ear)?;
            Ok((speech, ear.first_audio, ear.picture))
        })?;
        let took = begun.elapsed().as_secs_f64();
        // Whoever heard enough wants to know no more.
        let Some((speech, first_audio, picture)) = spoken else { return Ok(()) };
        show_warnings(&speech.warnings, speech.more_warnings, "");
        if let (Some(path), Some(picture)) = (&flags.mel, picture) {
            write_bytes(path, &draw::mel_png(&picture.mel, mel.num_mels, &picture.phones)?)?;
            if picture.is_cut {
                warn(format!("{}: only the first minute is drawn", path.display()));
            }
        }
        let seconds = speech.samples as f64 / f64::from(mel.sampling_rate);
        let (factor, first) = (took / seconds, first_audio.unwrap_or_default().as_secs_f64());
        if flags.json {
            return print_json(&json!({
                "output": target.name(),
                "seconds": seconds,
                "real_time_factor": factor,
                "first_audio_seconds": first,
                "sampling_rate": mel.sampling_rate,
                "samples": speech.samples,
                "phonemes": speech.phones.iter().map(|phone| phone.name()).collect::<Vec<_>>(),
                "warnings": speech.warnings,
            }));
        }
        let line = format!(
            "{}: {seconds:.2} s of speech in {took:.2} s (real-time factor {factor:.3}), the first after {first:.2} s",
            target.name()
        );
        if matches!(target, Target::Standard) {
            warn(line);
            return Ok(());
        }
        print(line)
    }
}
