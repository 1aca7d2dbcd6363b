//! What a report is made of.

use std::path::Path;

use crate::report::metrics::{self, StepRecord};
use crate::{Result, input};

/// A run's records and configuration.
#[derive(Clone, Debug, Default)]
pub struct RunData {
    /// What to call the run.
    pub name: String,
    /// The configuration's text, as in `config.toml`; empty if unknown.
    pub config: String,
    /// Records of the run, in order of their steps.
    pub records: Vec<StepRecord>,
}

impl RunData {
    /// Reads `metrics.jsonl` and, if it is there, `config.toml` of a run folder.
    ///
    /// # Errors
    /// When the metrics are missing or broken before their last line.
    pub fn load(run_dir: &Path) -> Result<Self> {
        let records = metrics::read(&run_dir.join(metrics::FILE_NAME))?;
        let config = input::read(&run_dir.join("config.toml"), input::CONFIGURATION, "").unwrap_or_default();
        // A folder given as `.` or `runs/..` has no name until it is resolved.
        let resolved = run_dir.canonicalize().unwrap_or_else(|_| run_dir.to_path_buf());
        let name = resolved.file_name().unwrap_or(resolved.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, config: String::from_utf8_lossy(&config).into_owned(), records })
    }

    /// Whether it trained on speech.
    pub(super) fn is_speech(&self) -> bool {
        self.records.iter().any(|record| record.frames_per_second.is_some())
    }

    /// The terms of the loss, where it has several.
    pub(super) fn terms(&self) -> impl Iterator<Item = &str> {
        self.records.first().and_then(|record| record.losses.as_ref()).into_iter().flat_map(|terms| terms.keys().map(String::as_str))
    }

    /// (step, value) of the records that have the value.
    pub(super) fn curve(&self, value: impl Fn(&StepRecord) -> Option<f64>) -> Vec<(f64, f64)> {
        self.records.iter().filter_map(|r| Some((r.step as f64, value(r)?))).collect()
    }
}
