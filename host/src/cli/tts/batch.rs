//! A WAV for each line of a file, and a manifest.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::ear::Ear;
use super::output::{check_writable, output_error, write_bytes, write_whole};
use super::{Job, MANIFEST, show_warnings};
use crate::cli::text::decode;
use crate::output::{print, print_json, warn};
use crate::voice::synthesis::Synthesizer;
use crate::{Error, Result};
use primal_engine::backend::Device;
use primal_engine::files::durable::AppendFile;

/// What became of the lines.
#[derive(Default)]
struct Batch {
    entries: Vec<Value>,
    /// Lines without words.
    skipped: usize,
    failed: Vec<String>,
    samples: u64,
    took: f64,
    first_audio: Option<f64>,
}

impl Job<'_> {
    /// Speaks line after line; those that cannot be spoken stop no others.
    pub(super) fn speak_lines<D: Device>(&self, synthesizer: &mut Synthesizer<D>, bytes: &[u8]) -> Result<()> {
        let folder = self.flags.folder();
        fs::create_dir_all(folder).map_err(|error| output_error(folder, error))?;
        let manifest = folder.join(MANIFEST);
        // It grows line by line: who interrupts the command still learns what is there.
        write_bytes(&manifest, b"")?;
        let mut lines_done = AppendFile::open(manifest.clone())?;
        let mut batch = Batch::default();
        // Lines at the end that are blank are none.
        let lines = bytes.trim_ascii_end().split(|&byte| byte == b'\n');
        for (line, number) in lines.zip(1..) {
            if let Err(error) = self.speak_line(synthesizer, folder, number, line.trim_ascii(), &mut batch) {
                // What no other line would be spared.
                if matches!(error, Error::Io { .. } | Error::Ended(_)) {
                    return Err(error);
                }
                let text = String::from_utf8_lossy(line.trim_ascii());
                batch.entries.push(json!({ "line": number, "text": text, "error": error.to_string() }));
                batch.failed.push(format!("line {number}: {error}"));
            }
            if let Some(entry) = batch.entries.last() {
                lines_done.append(format!("{entry}\n").as_bytes())?;
            }
        }
        self.conclude(&manifest, synthesizer.mel().sampling_rate, batch)
    }

    fn speak_line<D: Device>(
        &self,
        synthesizer: &mut Synthesizer<D>,
        folder: &Path,
        number: usize,
        line: &[u8],
        batch: &mut Batch,
    ) -> Result<()> {
        let text = &decode(line, "the line", self.flags.markup)?;
        if synthesizer.is_silent(text) {
            batch.entries.push(json!({ "line": number, "text": text, "skipped": "no words to say" }));
            batch.skipped += 1;
            return Ok(());
        }
        let name = format!("{number:04}.wav");
        let path = folder.join(&name);
        check_writable(&path)?;
        let mel = *synthesizer.mel();
        let begun = Instant::now();
        let (speech, first_audio) = write_whole(&path, mel.sampling_rate, |sink| {
            let mut ear = Ear::new(sink, &mel, self.start, false);
            Ok((synthesizer.speak(text, &self.controls(), &mut ear)?, ear.first_audio))
        })?;
        let (took, seconds) = (begun.elapsed().as_secs_f64(), speech.samples as f64 / f64::from(mel.sampling_rate));
        batch.samples += speech.samples;
        batch.took += took;
        batch.first_audio = batch.first_audio.or(first_audio.map(|time| time.as_secs_f64()));
        show_warnings(&speech.warnings, speech.more_warnings, &format!("line {number}: "));
        warn(format!("{name}: {seconds:.2} s of speech in {took:.2} s"));
        batch.entries.push(json!({
            "line": number,
            "wav": name,
            "text": text,
            "phones": speech.phones.iter().map(|phone| phone.name()).collect::<Vec<_>>(),
            "seconds": seconds,
            "real_time_factor": took / seconds,
            "warnings": speech.warnings,
        }));
        Ok(())
    }

    /// Says what was done, and ends with an error where lines are missing.
    fn conclude(&self, manifest: &Path, sampling_rate: u32, batch: Batch) -> Result<()> {
        let seconds = batch.samples as f64 / f64::from(sampling_rate);
        let (lines, failed, skipped) = (batch.entries.len(), batch.failed.len(), batch.skipped);
        let factor = if batch.samples > 0 { batch.took / seconds } else { 0.0 };
        if self.flags.json {
            let phonemes: Vec<&Value> = batch.entries.iter().filter_map(|entry| entry["phones"].as_array()).flatten().collect();
            print_json(&json!({
                "manifest": manifest.display().to_string(),
                "lines": lines,
                "failed": failed,
                "skipped": skipped,
                "seconds": seconds,
                "real_time_factor": factor,
                "first_audio_seconds": batch.first_audio,
                "sampling_rate": sampling_rate,
                "phonemes": phonemes,
                "files": batch.entries,
            }))?;
        } else {
            let spoken = lines - failed - skipped;
            print(format!("{}: {spoken} of {lines} lines, {seconds:.2} s of speech (real-time factor {factor:.3})", manifest.display()))?;
        }
        if failed == 0 {
            return Ok(());
        }
        batch.failed.iter().for_each(warn);
        let message = format!("{failed} of {lines} lines could not be spoken; the others were");
        Err(Error::failed(message, format!("correct them; {MANIFEST} has an `error` for each")))
    }
}
