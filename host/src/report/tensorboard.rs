//! TensorBoard event files.
//!
//! The framing is TFRecord: length (u64), masked CRC-32C of the length, data, masked CRC-32C of the data,
//! all little-endian. The data is a protobuf `Event` (tensorflow/core/util/event.proto), of which we need
//! so few fields that they are written by hand.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::metrics::{LayerRecord, StepRecord};
use crate::Result;
use primal_engine::files::durable::AppendFile;

/// Writes the scalars and level histograms of [`StepRecord`]s for TensorBoard.
#[derive(Debug)]
pub struct TensorBoardWriter {
    file: AppendFile,
    levels: HashMap<String, [Option<f32>; 16]>,
}

impl TensorBoardWriter {
    /// Starts a new `events.out.tfevents.<time>.<host>` in `run_dir`, beside those of the run's earlier parts.
    ///
    /// `resumed_after` is the last step that counts, 0 for a new run: TensorBoard forgets what earlier
    /// files say about steps after it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(run_dir: &Path, resumed_after: u64) -> Result<Self> {
        let mut writer = Self { file: AppendFile::open(free_path(run_dir))?, levels: HashMap::new() };
        writer.append(0, |event| event.bytes(3, b"brain.Event:2"))?;
        if resumed_after > 0 {
            const SESSION_START: u64 = 1;
            writer.append(resumed_after + 1, |event| {
                event.message(7, |session| session.integer(1, SESSION_START));
            })?;
        }
        Ok(writer)
    }

    /// Writes what `record` has: scalars `loss/train`, `loss/validation`, `learning_rate`, `flip_rate`,
    /// `saturation`, `grad_norm`, `tokens_per_second`, `frames_per_second`; per term of a loss that has several `loss_train/<term>` and
    /// `loss_validation/<term>`; per layer `layer_flip_rate/<name>`,
    /// `layer_saturation/<name>`, `layer_scale/<name>` (the median) and the histogram `levels/<name>`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, record: &StepRecord) -> Result<()> {
        let layers = record.layers.as_deref().unwrap_or_default();
        for layer in layers {
            if let Some(levels) = layer.levels {
                self.levels.insert(layer.name.clone(), levels);
            }
        }
        let known_levels = std::mem::take(&mut self.levels);
        let written = self.append(record.step, |event| {
            event.message(5, |summary| {
                for (tag, value) in scalars(record) {
                    summary.scalar(tag, value);
                }
                for (prefix, terms) in [("loss_train", &record.losses), ("loss_validation", &record.validation_losses)] {
                    for (term, &value) in terms.iter().flatten() {
                        summary.scalar(&format!("{prefix}/{term}"), value);
                    }
                }
                for layer in layers {
                    let name = &layer.name;
                    for (prefix, value) in layer_scalars(layer) {
                        summary.scalar(&format!("{prefix}/{name}"), value);
                    }
                    if let Some(counts) = &layer.histogram {
                        let values = bin_values(known_levels.get(name));
                        summary.histogram(&format!("levels/{name}"), counts, &values);
                    }
                }
            });
        });
        self.levels = known_levels;
        written
    }

    /// The file being written.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    fn append(&mut self, step: u64, fill: impl FnOnce(&mut Message)) -> Result<()> {
        let mut event = Message::default();
        event.double(1, now());
        event.integer(2, step);
        fill(&mut event);
        Ok(self.file.append(&frame(&event.bytes))?)
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// A name that no file has yet; runs resumed within a second get a number at the end.
fn free_path(run_dir: &Path) -> PathBuf {
    let host = gethostname::gethostname();
    let host = host.to_string_lossy().replace(['/', '\\'], "_");
    let stem = format!("events.out.tfevents.{:010}.{host}", now() as u64);
    let mut path = run_dir.join(&stem);
    let mut copy = 1;
    while path.exists() {
        path = run_dir.join(format!("{stem}.{copy}"));
        copy += 1;
    }
    path
}

fn scalars(record: &StepRecord) -> impl Iterator<Item = (&'static str, f64)> {
    [
        ("loss/train", Some(record.loss)),
        ("loss/validation", record.validation_loss),
        ("learning_rate", record.learning_rate),
        ("flip_rate", record.flip_rate),
        ("saturation", record.saturation),
        ("grad_norm", record.grad_norm),
        ("tokens_per_second", record.tokens_per_second),
        ("frames_per_second", record.frames_per_second),
    ]
    .into_iter()
    .filter_map(|(tag, value)| Some((tag, value?)))
}

fn layer_scalars(layer: &LayerRecord) -> impl Iterator<Item = (&'static str, f64)> {
    [("layer_flip_rate", layer.flip_rate), ("layer_saturation", layer.saturation), ("layer_scale", layer.scale.map(|scale| scale.median))]
        .into_iter()
        .filter_map(|(prefix, value)| Some((prefix, value?)))
}

/// Value of each code's bin: its level, or `None` where the code is no level; without a grid, the code itself.
fn bin_values(levels: Option<&[Option<f32>; 16]>) -> [Option<f64>; 16] {
    match levels {
        Some(levels) => levels.map(|level| level.map(f64::from)),
        None => std::array::from_fn(|code| Some(code as f64)),
    }
}

/// TFRecord framing of one event.
fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut framed = Vec::with_capacity(data.len() + 16);
    framed.extend_from_slice(&length);
    framed.extend_from_slice(&masked_crc(&length).to_le_bytes());
    framed.extend_from_slice(data);
    framed.extend_from_slice(&masked_crc(data).to_le_bytes());
    framed
}

/// CRC-32C, rotated and shifted as TFRecord wants it so that a CRC of data holding CRCs stays strong.
fn masked_crc(data: &[u8]) -> u32 {
    const MASK_DELTA: u32 = 0xa282_ead8;
    crc32c::crc32c(data).rotate_right(15).wrapping_add(MASK_DELTA)
}

/// A protobuf message under construction (wire types: 0 varint, 1 fixed 64, 2 length-delimited, 5 fixed 32).
#[derive(Debug, Default)]
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        fill(&mut inner);
        self.bytes(field, &inner.bytes);
    }

    fn doubles(&mut self, field: u64, values: impl Iterator<Item = f64>) {
        let packed: Vec<u8> = values.flat_map(f64::to_le_bytes).collect();
        self.bytes(field, &packed);
    }

    /// `Summary.value` with a `simple_value`.
    fn scalar(&mut self, tag: &str, scalar: f64) {
        self.message(1, |value| {
            value.bytes(1, tag.as_bytes());
            value.float(2, scalar as f32);
        });
    }

    /// `Summary.value` with a `HistogramProto`: `counts[i]` weights of value `values[i]`, ascending, in bins
    /// whose borders lie half-way between neighbours. Counts of a code without a value are left out.
    fn histogram(&mut self, tag: &str, counts: &[u64; 16], values: &[Option<f64>; 16]) {
        let bins: Vec<(f64, f64)> = values.iter().zip(counts).filter_map(|(value, &count)| Some(((*value)?, count as f64))).collect();
        let (Some(&(lowest, _)), Some(&(highest, _))) = (bins.first(), bins.last()) else {
            return;
        };
        let total = |f: fn(f64) -> f64| bins.iter().map(|&(v, n)| f(v) * n).sum::<f64>();
        self.message(1, |value| {
            value.bytes(1, tag.as_bytes());
            value.message(5, |histogram| {
                histogram.double(1, lowest);
                histogram.double(2, highest);
                histogram.double(3, total(|_| 1.0));
                histogram.double(4, total(|v| v));
                histogram.double(5, total(|v| v * v));
                let inner = bins.windows(2).map(|pair| (pair[0].0 + pair[1].0) / 2.0);
                histogram.doubles(6, inner.chain([highest]));
                histogram.doubles(7, bins.iter().map(|&(_, n)| n));
            });
        });
    }
}

#[cfg(test)]
mod tests;
