//! What is computed of a speech corpus' sound: once, in parallel, kept in a file named after the content, memory-mapped afterwards.
//!
//! The file is a header of four native u64: magic with version, fingerprint of the corpus, number of values, and their xxh3; then the f32
//! values: ln F0 of each phone (NaN where unvoiced), ln energy of each phone, and the log-mel `[frames, num_mels]`, each of all utterances.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use memmap2::Mmap;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::utterance::Utterance;
use crate::{Error, Result, sound};
use primal_engine::files::durable;
use primal_engine::files::mapped;
use primal_speech::mel::{Analyser, MelSettings};
use primal_speech::pitch::PitchTracker;
use primal_speech::prosody;

/// Read in another byte order it is another number, so that no file of another machine is taken for one of this.
const MAGIC: u64 = u64::from_le_bytes(*b"PRIMSPK1");
const HEADER: usize = 32;

enum FeatureData {
    Owned(Vec<f32>),
    Mapped(Mmap),
}

/// The features of all utterances, in order.
pub(super) struct Features {
    values: FeatureData,
    phones: usize,
}

impl Features {
    /// The features of the utterances of a folder, from a cache file in `cache` if there is a sound one, else computed (and cached, where a
    /// folder is given).
    ///
    /// # Errors
    /// Bad input for a WAV that is missing, of another kind, or shorter than its frames; I/O errors of the cache.
    pub fn open(folder: &Path, utterances: &[Utterance], settings: &MelSettings, fingerprint: u64, cache: Option<&Path>) -> Result<Self> {
        let phones = utterances.iter().map(|utterance| utterance.phones.len()).sum();
        let frames: usize = utterances.iter().map(|utterance| utterance.frames).sum();
        let count = 2 * phones + frames * settings.num_mels;
        let path = cache.map(|cache| cache.join(format!("{fingerprint:016x}.speech")));
        if let Some(map) = path.as_deref().and_then(|path| load(path, fingerprint, count)) {
            return Ok(Self { values: FeatureData::Mapped(map), phones });
        }
        let values = compute(folder, utterances, settings, phones, count)?;
        if let Some(path) = &path {
            save(path, &values, fingerprint)?;
        }
        Ok(Self { values: FeatureData::Owned(values), phones })
    }

    fn values(&self) -> &[f32] {
        match &self.values {
            FeatureData::Owned(values) => values,
            FeatureData::Mapped(map) => bytemuck::cast_slice(&map[HEADER..]),
        }
    }

    /// ln F0 `[phones]`, NaN where unvoiced.
    pub fn log_f0(&self) -> &[f32] {
        &self.values()[..self.phones]
    }

    /// ln energy `[phones]`, NaN for phones without frames.
    pub fn log_energy(&self) -> &[f32] {
        &self.values()[self.phones..2 * self.phones]
    }

    /// Log-mel `[frames, num_mels]`.
    pub fn mel(&self) -> &[f32] {
        &self.values()[2 * self.phones..]
    }
}

/// Only a complete, undamaged file of exactly this corpus.
fn load(path: &Path, fingerprint: u64, count: usize) -> Option<Mmap> {
    let map = mapped::map(&File::open(path).ok()?, path).ok()?;
    let header: &[u64] = bytemuck::cast_slice(map.get(..HEADER)?);
    let sound =
        map.len() == HEADER + 4 * count && header[..3] == [MAGIC, fingerprint, count as u64] && header[3] == xxh3_64(&map[HEADER..]);
    sound.then_some(map)
}

fn save(path: &Path, values: &[f32], fingerprint: u64) -> Result<()> {
    let hint = "the features of the corpus are cached there; free some space or choose a folder that can be written to";
    let failed = |error| Error::io("writing", path, error, hint);
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    let bytes: &[u8] = bytemuck::cast_slice(values);
    let header = [MAGIC, fingerprint, values.len() as u64, xxh3_64(bytes)];
    durable::atomically(path, HEADER + bytes.len(), |file| {
        file.write_all(bytemuck::cast_slice(&header)).and_then(|()| file.write_all(bytes)).map_err(failed)
    })
}

/// Cuts the first `len` values off.
fn cut<'a>(values: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (first, rest) = std::mem::take(values).split_at_mut(len);
    *values = rest;
    first
}

fn compute(folder: &Path, utterances: &[Utterance], settings: &MelSettings, phones: usize, count: usize) -> Result<Vec<f32>> {
    let analyser = Analyser::new(*settings)?;
    let tracker = PitchTracker::new(settings.sampling_rate, settings.hop_size);
    let mut values = vec![0.0; count];
    let (mut log_f0, rest) = values.split_at_mut(phones);
    let (mut log_energy, mut mel) = rest.split_at_mut(phones);
    let tasks: Vec<_> = utterances
        .iter()
        .map(|utterance| {
            let phones = utterance.phones.len();
            (utterance, cut(&mut log_f0, phones), cut(&mut log_energy, phones), cut(&mut mel, utterance.frames * settings.num_mels))
        })
        .collect();
    tasks.into_par_iter().try_for_each(|(utterance, log_f0, log_energy, mel)| {
        let path = folder.join(&utterance.wav);
        let samples = sound::read(&path, settings.sampling_rate)?;
        let needed = utterance.frames * settings.hop_size;
        let Some(samples) = samples.get(..needed) else {
            return Err(utterance.too_short(&path, settings, format!("{} samples", samples.len())));
        };
        let analysis = analyser.analyse(samples);
        let (f0, energy) = prosody::measure(&tracker.track(samples), &analysis.energy, &utterance.durations);
        log_f0.copy_from_slice(&f0);
        log_energy.copy_from_slice(&energy);
        mel.copy_from_slice(&analysis.mel);
        Ok(())
    })?;
    Ok(values)
}
