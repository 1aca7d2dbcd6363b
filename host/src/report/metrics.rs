//! `RUN/metrics.jsonl`: what every training step measured, one JSON object a line.
//!
//! Each line is on disk (handed to the operating system) before the next step begins. A killed process can
//! leave a torn last line; readers ignore it and [`MetricsWriter::resume`] removes it. JSON has no
//! NaN or infinity: they are written as `null`, and a `null` loss reads back as NaN.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

pub use primal_engine::train::LayerRecord;

use crate::{Error, Result};
use primal_engine::files::durable::{self, AppendFile, write_error};

/// The file's name inside a run folder.
pub const FILE_NAME: &str = "metrics.jsonl";

/// What one training step measured.
///
/// Optional members are left out of the file when they are `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Number of the step, from 1.
    pub step: u64,
    /// Mean training loss over the tokens that the step learns, in nats per token; of speech, the weighted sum of `losses`. NaN when it was not finite.
    #[serde(deserialize_with = "nan_if_null")]
    pub loss: f64,
    /// Tokens trained on per second of wall clock in this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// Share of grid weights (0 to 1) whose code changed in this step. `None` where none is trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flip_rate: Option<f64>,
    /// Learning rate the schedule gave to this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Tokens trained on since the start of the run, this step included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Euclidean norm of the float parameters' gradient before clipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Share of grid weights (0 to 1) on the lowest or highest level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturation: Option<f64>,
    /// Share of grid weights (0 to 1) whose votes were cut when the sum of what micro-batches cast was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes_cut: Option<f64>,
    /// Share of the step (0 to 1) in which a rank waited for the others, on average. `None` of a single process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<f64>,
    /// Seconds of training since the start of the run, resumed parts added up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Mean loss over the validation split on the steps that measured it, in nats per token; of speech, the mean absolute error of the
    /// spectrogram in natural logarithms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// The same loss in nats per byte of text, whatever the tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_nats_per_byte: Option<f64>,
    /// Frames of speech trained on per second of wall clock in this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames_per_second: Option<f64>,
    /// The terms of the loss, where it has several: errors of spectrograms in natural logarithms, others squared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub losses: Option<BTreeMap<String, f64>>,
    /// The terms of the loss over the validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_losses: Option<BTreeMap<String, f64>>,
    /// State of every grid matrix, on the steps that recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<LayerRecord>>,
}

fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Appends records to `RUN/metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsWriter {
    file: AppendFile,
    line: Vec<u8>,
}

impl MetricsWriter {
    /// Starts the file of a new run, and makes the run folder if need be.
    ///
    /// # Errors
    /// Refuses a folder whose `metrics.jsonl` already has records: they belong to another run.
    pub fn create(run_dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(run_dir).map_err(|e| Error::io("creating", run_dir, e, "choose a writable folder with --out RUN"))?;
        let path = run_dir.join(FILE_NAME);
        if let Ok(metadata) = std::fs::metadata(&path)
            && metadata.len() > 0
        {
            return Err(Error::bad_input(
                path.display(),
                "a folder without an earlier run",
                format!("{} bytes of metrics", metadata.len()),
                "continue that run with --resume RUN, or choose another folder with --out RUN",
            ));
        }
        Self::append_to(path)
    }

    /// Continues the file of a run whose last good step is `step`: drops records after it and a torn last
    /// line, in one atomic replacement, then appends. A missing file is started.
    ///
    /// # Errors
    /// A line in the middle that is no record, with its number.
    pub fn resume(run_dir: &Path, step: u64) -> Result<Self> {
        let path = run_dir.join(FILE_NAME);
        if !path.exists() {
            return Self::create(run_dir);
        }
        let len = std::fs::metadata(&path).map_or(0, |metadata| metadata.len() as usize);
        let io = |e| write_error(&path, len, e);
        durable::atomically(&path, len, |file| {
            let mut kept = BufWriter::new(file);
            for_each_line(&path, |line, StepOnly { step: found }| {
                if found <= step {
                    kept.write_all(line).and_then(|()| kept.write_all(b"\n")).map_err(io)?;
                }
                Ok(())
            })?;
            Ok::<_, Error>(kept.flush().map_err(io)?)
        })?;
        Self::append_to(path)
    }

    fn append_to(path: PathBuf) -> Result<Self> {
        Ok(Self { file: AppendFile::open(path)?, line: Vec::with_capacity(1024) })
    }

    /// Appends one record and hands it to the operating system.
    ///
    /// # Errors
    /// When the file cannot be written (a full disk). What was written of the line is taken back, so a
    /// later record still lands on a line of its own.
    pub fn write(&mut self, record: &StepRecord) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record).map_err(|e| write_error(self.file.path(), self.line.len(), e.into()))?;
        self.line.push(b'\n');
        Ok(self.file.append(&self.line)?)
    }

    /// The file being written.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

/// All records of a `metrics.jsonl`, in file order. A torn last line and empty lines are passed over.
///
/// # Errors
/// A missing file, or a line before the last that is no record, with its number.
pub fn read(path: &Path) -> Result<Vec<StepRecord>> {
    let mut records = Vec::new();
    for_each_line(path, |_, record| {
        records.push(record);
        Ok(())
    })?;
    Ok(records)
}

/// Just enough of a record to decide whether to keep its line.
#[derive(Deserialize)]
struct StepOnly {
    step: u64,
}

/// Bytes of a line, at most: a record of the largest models with all their layers has a tenth of it.
const LONGEST: u64 = 1 << 24;

/// Calls `visit` with every line (newline removed) and its parsed form.
///
/// A line that does not parse is an error only once another line follows it.
fn for_each_line<T: for<'de> Deserialize<'de>>(path: &Path, mut visit: impl FnMut(&[u8], T) -> Result<()>) -> Result<()> {
    let io = |e| Error::io("reading", path, e, "give the folder of a run that `train` made");
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let mut bytes = Vec::new();
    let mut number = 0u64;
    let mut broken: Option<(u64, serde_json::Error)> = None;
    loop {
        bytes.clear();
        if reader.by_ref().take(LONGEST).read_until(b'\n', &mut bytes).map_err(io)? == 0 {
            return Ok(());
        }
        if bytes.len() as u64 == LONGEST {
            let expected = format!("lines of less than {} MiB", LONGEST >> 20);
            return Err(Error::bad_input(path.display(), expected, "a longer one", "give the folder of a run that `train` made"));
        }
        number += 1;
        let line = bytes.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if let Some((at, cause)) = broken {
            return Err(Error::bad_input(
                format!("{} line {at}", path.display()),
                "one JSON object with `step` and `loss`",
                cause,
                "remove that line; checkpoints do not depend on it",
            ));
        }
        // serde also reads a struct from an array; a record is an object.
        let parsed = match line[0] {
            b'{' => serde_json::from_slice(line),
            _ => Err(serde::de::Error::custom("something else")),
        };
        match parsed {
            Ok(parsed) => visit(line, parsed)?,
            Err(cause) => broken = Some((number, cause)),
        }
    }
}

#[cfg(test)]
mod tests;
