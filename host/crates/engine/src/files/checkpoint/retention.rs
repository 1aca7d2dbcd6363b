//! The folder of a run's checkpoints: which there are, which is the last good one, which is the best, and which can go.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::reader::Checkpoint;
use super::writer::{TensorRef, save};
use crate::files::durable::{self, sync_folder, write_error};
use crate::{Error, Result};

const BEST: &str = "best.json";
/// The file by which a process has the folder.
pub const LOCK: &str = ".lock";
/// The metadata key by which a checkpoint names its run.
pub const RUN_KEY: &str = "run";
/// The metadata key of the validation loss, for checkpoints that were validated.
pub const LOSS_KEY: &str = "validation_loss";
/// How often a lock is tried whose file goes away.
const LOCK_TRIES: u32 = 3;

/// A checkpoint in the folder; not opened, so not known to be good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Saved {
    /// Steps of training that the checkpoint has behind it.
    pub step: u64,
    /// The file.
    pub path: PathBuf,
}

/// The checkpoint with the lowest validation loss, as `best.json` names it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Steps of training that the checkpoint has behind it.
    pub step: u64,
    /// Validation loss of the checkpoint.
    pub validation_loss: f64,
}

/// The newest undamaged checkpoint.
#[derive(Debug)]
pub struct Latest {
    /// Step of the checkpoint, from the file name.
    pub step: u64,
    /// The checkpoint, open and verified.
    pub checkpoint: Checkpoint,
    /// Why newer ones were passed over, newest first: to be shown as warnings.
    pub skipped: Vec<Error>,
}

/// The file of a step: `step-<N>.safetensors`, padded so that names sort as steps do.
pub fn step_file(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("step-{step:08}.safetensors"))
}

/// The checkpoints of the folder by rising step; none where there is no folder.
///
/// # Errors
/// I/O errors.
pub fn list(folder: &Path) -> Result<Vec<Saved>> {
    let mut saved: Vec<Saved> = names(folder)?
        .into_iter()
        .filter_map(|name| {
            let digits = name.strip_prefix("step-")?.strip_suffix(".safetensors")?;
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let (step, path) = (digits.parse().ok()?, folder.join(&name));
            Some(Saved { step, path })
        })
        .collect();
    saved.sort();
    Ok(saved)
}

/// Opens and verifies the newest checkpoint, or where that is damaged the one before, and so on; `None` where there is none.
///
/// # Errors
/// I/O errors of the folder; the newest checkpoint's error where all are damaged.
pub fn latest_good(folder: &Path) -> Result<Option<Latest>> {
    let mut skipped = Vec::new();
    for Saved { step, path } in list(folder)?.into_iter().rev() {
        match Checkpoint::open_verified(path) {
            Ok(checkpoint) => {
                return Ok(Some(Latest { step, checkpoint, skipped }));
            }
            Err(error) => skipped.push(error),
        }
    }
    let all = skipped.len();
    match skipped.into_iter().next() {
        None => Ok(None),
        Some(newest) => Err(Error::invalid(
            folder.display(),
            "at least one undamaged checkpoint",
            format!("{all} that cannot be used; the newest: {newest}"),
            "restore one from a backup, or start a new run",
        )),
    }
}

/// The best checkpoint so far; `None` where none was recorded or its file is gone.
///
/// # Errors
/// I/O errors; bad input where `best.json` cannot be understood.
pub fn best(folder: &Path) -> Result<Option<Best>> {
    let path = folder.join(BEST);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(reading(&path, error)),
    };
    let best: Best = serde_json::from_slice(&bytes).map_err(|error| {
        Error::invalid(
            path.display(),
            "an object with `step` and `validation_loss`",
            error,
            "delete it: the next validated checkpoint writes it anew",
        )
    })?;
    Ok(list(folder)?.iter().any(|saved| saved.step == best.step).then_some(best))
}

/// The folder of checkpoints of the run that this process trains; no other process can have it meanwhile.
#[derive(Debug)]
pub struct Retention {
    folder: PathBuf,
    keep_last: usize,
    keep_steps: Vec<u64>,
    run: Option<String>,
    best: Option<Best>,
    _lock: File,
}

impl Retention {
    /// Takes the folder, creating it where it is missing, and removes unfinished files of a killed process. Of the checkpoints it will keep the best and
    /// the last `keep_last` (at least one).
    ///
    /// # Errors
    /// Bad input where another process trains this run or `best.json` cannot be understood; I/O errors.
    pub fn open(folder: impl Into<PathBuf>, keep_last: usize) -> Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|error| write_error(&folder, 0, error))?;
        let lock = lock(&folder)?;
        durable::sweep_all(&folder);
        let best = best(&folder)?;
        Ok(Self { folder, keep_last: keep_last.max(1), keep_steps: Vec::new(), run: None, best, _lock: lock })
    }

    /// From now on keeps the last `last` checkpoints, and those of `steps` for good.
    pub fn keep(&mut self, last: usize, steps: &[u64]) {
        (self.keep_last, self.keep_steps) = (last.max(1), steps.to_vec());
    }

    /// From now on checkpoints say that they are of `run`. Offers those as the best which a killed process had saved, but not yet offered.
    ///
    /// # Errors
    /// I/O errors.
    pub fn belong_to(&mut self, run: &str) -> Result<()> {
        self.run = Some(run.to_owned());
        for Saved { step, path } in list(&self.folder)? {
            let Ok(checkpoint) = Checkpoint::open(path) else { continue };
            if let (true, Ok(validation_loss)) = (checkpoint.metadata().get(RUN_KEY) == self.run.as_ref(), checkpoint.parse_meta(LOSS_KEY))
            {
                self.offer(Best { step, validation_loss })?;
            }
        }
        Ok(())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The best checkpoint so far.
    pub fn best(&self) -> Option<Best> {
        self.best
    }

    /// Saves the checkpoint of `step`; once it is durable, records it as the best if `validation_loss` is lower than ever, then deletes the older ones that
    /// are neither the best nor among the last. Returns its path.
    ///
    /// # Errors
    /// Those of [`save`]; then nothing is deleted. I/O errors of the rest; then the new checkpoint is there.
    pub fn save(
        &mut self,
        step: u64,
        validation_loss: Option<f64>,
        metadata: &BTreeMap<String, String>,
        tensors: &[TensorRef],
    ) -> Result<PathBuf> {
        let path = step_file(&self.folder, step);
        let mut metadata = metadata.clone();
        metadata.extend(self.run.iter().map(|run| (RUN_KEY.to_owned(), run.clone())));
        metadata.extend(validation_loss.map(|loss| (LOSS_KEY.to_owned(), format!("{loss:?}"))));
        save(&path, &metadata, tensors)?;
        if let Some(validation_loss) = validation_loss {
            self.offer(Best { step, validation_loss })?;
        }
        self.prune(step)?;
        Ok(path)
    }

    /// Records `new` if it beats the best so far. A tie keeps the earlier one, and what is no number never wins.
    fn offer(&mut self, new: Best) -> Result<()> {
        let beats = |old: &Best| new.validation_loss < old.validation_loss || (old.step == new.step && *old != new);
        if !new.validation_loss.is_finite() || !self.best.as_ref().is_none_or(beats) {
            return Ok(());
        }
        let path = self.folder.join(BEST);
        let mut text = serde_json::to_vec(&new).map_err(|error| Error::failed(error, "give a finite validation loss"))?;
        text.push(b'\n');
        durable::write(&path, &text)?;
        self.best = Some(new);
        Ok(())
    }

    /// Deletes all but the best and the last few up to `step`. Later ones, left by a run that went back to an earlier checkpoint because they were damaged,
    /// count for nothing and stay until they are overwritten: counting them could delete the only good one.
    fn prune(&self, step: u64) -> Result<()> {
        let mut older = list(&self.folder)?;
        older.retain(|saved| saved.step <= step);
        let count = older.len().saturating_sub(self.keep_last);
        let best = self.best.map(|best| best.step);
        let mut removed = false;
        for saved in &older[..count] {
            if Some(saved.step) != best && saved.step != step && !self.keep_steps.contains(&saved.step) {
                remove(&saved.path)?;
                removed = true;
            }
        }
        if removed {
            sync_folder(&self.folder).map_err(|error| write_error(&self.folder, 0, error))?;
        }
        Ok(())
    }
}

/// Locks the folder for this process.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let fail = |error| write_error(&path, 0, error);
    for _ in 0..LOCK_TRIES {
        // Held open for reading only, so that it does not keep a disk from being made read-only.
        File::create(&path).map_err(fail)?;
        let file = match File::open(&path) {
            // A run that did not begin took it away.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(fail)?,
        };
        if durable::lock(&file, &path).map_err(fail)? {
            return Ok(file);
        }
    }
    Err(Error::invalid(
        folder.display(),
        "a run that no other process is training",
        "a running one",
        "wait for it or stop it; a new run can have another folder",
    ))
}

/// Names in the folder that are text; none where there is no folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(reading(folder, error)),
    };
    entries
        .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
        .collect::<io::Result<_>>()
        .map_err(|error| reading(folder, error))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("removing", path, error, "remove it by hand; the checkpoints that are kept are untouched"))
        }
        _ => Ok(()),
    }
}

fn reading(path: &Path, error: io::Error) -> Error {
    Error::io("reading", path, error, "give the folder of a run's checkpoints, RUN/checkpoints, and see that it can be read")
}
