//! A model of another program as a file of this one.
//!
//! The file is written tensor by tensor, and no more of the model is in memory than a piece of a weight. Codes and scales that are fitted wait in a
//! file without a name, as the format asks for all scales before all codes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use bytemuck::cast_slice;
use primal_device::grid::{self, Grid, INT4, ScaleForm, VoteBits};
use rayon::prelude::*;

use super::attached;
use super::lines::Lines;
use super::nibbles::{exact, unpack};
use super::source::Source;
use crate::backend::Scales;
use crate::files::Dtype;
use crate::files::checkpoint::{LARGEST, TensorRef, TensorSource, save_in};
use crate::files::durable::{Unfinished, folder_of, write_error};
use crate::nn::embedding::TOKENS;
use crate::nn::fit::{Fitted, fit, fit_largest};
use crate::nn::kept::{self, Kept};
use crate::nn::parameters::MatrixSpec;
use crate::ops::VoteState;
use crate::{Error, Result, interrupt};

/// Values that are worked on at a time, but for whole rows.
const PIECE: usize = 1 << 21;
/// The metadata key of the names and types of tensors of a GGUF file, in its order.
pub const TENSORS_KEY: &str = "gguf_tensors";

/// How weights are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// As they are: blocks of 4 bits on the grid that holds them exactly, all others as they came.
    AsIs,
    /// On a grid.
    Grid {
        /// Which.
        grid: &'static Grid,
        /// What they have scales for. Those of groups are fitted by least squares; those of rows reach the largest weight.
        scales: ScaleForm,
        /// Whether the table of embeddings stays as it is, and with it a head that is the same.
        keeps_embeddings: bool,
        /// Whether what rounding leaves over is kept, as votes of 8 bits: the tensors that a checkpoint of a run has them in, `NAME.votes`.
        keeps_remainders: bool,
    },
}

/// What became of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Its name here.
    pub name: String,
    /// How it is kept.
    pub kept: Kept,
    /// Root of the mean square of what it lost, relative to that of its weights; 0 where nothing was lost.
    pub error: f64,
    /// Weights.
    pub weights: usize,
}

/// Progress of an import.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The parameter that is worked on.
    pub name: &'a str,
    /// Weights that are done.
    pub done: usize,
    /// Weights in all.
    pub total: usize,
}

/// What became of a model.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Matrices, in the order of the model.
    pub matrices: Vec<Told>,
}

impl Report {
    /// Root of the mean square of what all matrices lost, relative to that of their weights, each matrix counting by its weights.
    pub fn error(&self) -> f64 {
        let (sum, weights) = self
            .matrices
            .iter()
            .fold((0.0, 0), |(sum, weights), told| (sum + told.error * told.error * told.weights as f64, weights + told.weights));
        if weights == 0 { 0.0 } else { (sum / weights as f64).sqrt() }
    }
}

/// Writes the model to `out`; `observe` is told of progress.
///
/// # Errors
/// Weights that cannot be kept so, or are not finite; I/O errors.
pub fn import(source: &Source, choice: Choice, out: &Path, observe: &mut dyn FnMut(Event)) -> Result<Report> {
    let mut unfinished = Unfinished::of(out, 0)?;
    let report = import_into(source, choice, &mut unfinished, observe)?;
    unfinished.finish()?;
    Ok(report)
}

/// As [`import`], for a file that can be judged before it has its name.
///
/// # Errors
/// As [`import`].
pub fn import_into(source: &Source, choice: Choice, out: &mut Unfinished, observe: &mut dyn FnMut(Event)) -> Result<Report> {
    let mut table = source.table.clone();
    let (grid, scales) = match choice {
        Choice::Grid { grid, scales, .. } => (grid, scales),
        Choice::AsIs => commonest(source).unwrap_or((&INT4, ScaleForm::Group32)),
    };
    table.set_grid(grid, scales);
    let specs = table.specs();
    let total = specs.matrix_weights() + specs.vectors.iter().map(|spec| spec.shape.iter().product::<usize>()).sum::<usize>();
    let keeps_remainders = matches!(choice, Choice::Grid { keeps_remainders: true, .. });
    let mut spill = Spill::new(out)?;
    let (mut items, mut others, mut report, mut done) = (Vec::new(), BTreeMap::new(), Report::default(), 0);
    for spec in &specs.matrices {
        let shape = [spec.out_features, spec.in_features];
        let lines = source.lines(&spec.name, &shape)?;
        let kept = kept_as(&lines, spec, choice);
        if kept != spec.kept() {
            others.insert(spec.name.as_str(), kept);
        }
        let mut error = 0.0;
        match kept {
            // What is on this grid already stays where it is.
            Kept::Grid(grid, scales) if exact(lines.dtype) == Some((grid, scales)) => {
                items.extend(parts(spec, scales, false).map(|part| Item { source, part: part.clone(), from: From::Unpacked(part.kind) }));
            }
            Kept::Grid(grid, scales) => {
                let mut losses = Losses::default();
                let mut places = [const { Vec::new() }; 4];
                for rows in lines.pieces(PIECE) {
                    interrupt::check();
                    observe(Event { name: &spec.name, done: done + rows.start * spec.in_features, total });
                    let weights = lines.floats(rows);
                    require_finite(source, &spec.name, &weights)?;
                    let fitted = match scales {
                        ScaleForm::Row => fit_largest(&weights, spec.in_features, grid),
                        _ => fit(&weights, spec.in_features, grid, scales),
                    };
                    losses.add(&weights, &fitted.values(spec.in_features, grid));
                    let votes = if keeps_remainders { fitted.remainders(&weights, spec.in_features, grid) } else { Vec::new() };
                    for (places, bytes) in places.iter_mut().zip(bytes_of(&fitted, &votes)) {
                        places.extend(spill.push(bytes)?);
                    }
                }
                error = losses.relative();
                let places = places.into_iter().filter(|places| !places.is_empty());
                let parts = parts(spec, scales, keeps_remainders);
                items.extend(parts.zip(places).map(|(part, places)| Item { source, part, from: From::Spilled(places) }));
            }
            Kept::Blocks(_) => {
                let part = Part::new(spec, "blocks", Dtype::U8, vec![spec.out_features, lines.row_bytes()], Kind::Blocks);
                items.push(Item { source, part, from: From::Raw });
            }
            Kept::Float => {
                let part = Part::new(spec, "weight", Dtype::F32, shape.to_vec(), Kind::Blocks);
                items.push(Item { source, part, from: From::Floats });
            }
        }
        done += spec.weights();
        report.matrices.push(Told { name: spec.name.clone(), kept, error, weights: spec.weights() });
    }
    for spec in &specs.vectors {
        let part = Part {
            parameter: spec.name.clone(),
            name: spec.name.clone(),
            dtype: Dtype::F32,
            shape: spec.shape.clone(),
            from: spec.shape.clone(),
            kind: Kind::Blocks,
        };
        items.push(Item { source, part, from: From::Floats });
    }
    observe(Event { name: "the file", done: total, total });
    let mut metadata = source.about.clone();
    metadata.extend([("config".into(), table.to_toml(&source.path.display().to_string())?), ("step".into(), "0".into())]);
    metadata.extend(source.path.file_name().map(|name| (FROM.into(), name.to_string_lossy().into_owned())));
    if !others.is_empty() {
        metadata.insert(kept::KEY.into(), kept::to_json(others));
    }
    let mut files: Vec<(String, &[u8])> = source.attached.iter().map(|(name, bytes)| (attached::name_of(name), &bytes[..])).collect();
    if let Some(gguf) = &source.gguf {
        let list: Vec<[&str; 2]> = gguf.tensors().iter().map(|tensor| [tensor.name.as_str(), tensor.dtype.name()]).collect();
        metadata.insert(TENSORS_KEY.into(), serde_json::to_string(&list).expect("plain data"));
        let idle = gguf.tensors().iter().filter(|tensor| source.is_idle(&tensor.name));
        files.extend(idle.map(|tensor| (attached::name_of(&tensor.name), gguf.bytes(tensor))));
    }
    let streams: Vec<_> = items.iter().map(|item| Stream { item, spill: &spill }).collect();
    let tensors = streams.iter().map(|stream| {
        let part = &stream.item.part;
        TensorRef::streamed(part.name.clone(), part.dtype, &part.shape, stream)
    });
    let files = files.iter().map(|(name, bytes)| TensorRef::u8(name, &[bytes.len()], bytes));
    save_in(out, &metadata, &tensors.chain(files).collect::<Vec<_>>())?;
    Ok(report)
}

/// The metadata key of the name of the file that a model came from.
pub const FROM: &str = "imported_from";

/// The grid and scales of most of the weights that a grid holds exactly.
fn commonest(source: &Source) -> Option<(&'static Grid, ScaleForm)> {
    let mut counts: Vec<((&'static Grid, ScaleForm), usize)> = Vec::new();
    for spec in &source.table.specs().matrices {
        let view = source.file.find(&source.place(&spec.name).name)?;
        let Some(found) = exact(view.dtype) else { continue };
        match counts.iter_mut().find(|(known, _)| *known == found) {
            Some((_, count)) => *count += spec.weights(),
            None => counts.push((found, spec.weights())),
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(found, _)| found)
}

/// How a matrix is kept.
fn kept_as(lines: &Lines, spec: &MatrixSpec, choice: Choice) -> Kept {
    let as_it_is = match (lines.dtype, exact(lines.dtype)) {
        (Dtype::F32 | Dtype::F64, _) => Kept::Float,
        (_, Some((grid, scales))) => Kept::Grid(grid, scales),
        (dtype, None) => Kept::Blocks(dtype),
    };
    match choice {
        Choice::Grid { grid, scales, keeps_embeddings, .. } if !(keeps_embeddings && spec.name == TOKENS) => Kept::Grid(grid, scales),
        _ => as_it_is,
    }
}

/// What it cost to put weights on a grid.
#[derive(Default)]
struct Losses {
    of: f64,
    lost: f64,
}

impl Losses {
    fn add(&mut self, weights: &[f32], values: &[f32]) {
        // In pieces that are summed in order, whatever the number of threads.
        let sums = weights.par_chunks(1 << 14).zip(values.par_chunks(1 << 14)).map(|(weights, values)| {
            let lost = |(&weight, &value): (&f32, &f32)| (f64::from(weight) - f64::from(value)).powi(2);
            [weights.iter().map(|&weight| f64::from(weight).powi(2)).sum::<f64>(), weights.iter().zip(values).map(lost).sum()]
        });
        for [of, lost] in sums.collect::<Vec<_>>() {
            (self.of, self.lost) = (self.of + of, self.lost + lost);
        }
    }

    fn relative(&self) -> f64 {
        if self.of == 0.0 { self.lost.sqrt() } else { (self.lost / self.of).sqrt() }
    }
}

fn require_finite(source: &Source, ours: &str, values: &[f32]) -> Result<()> {
    // NaN is within no range.
    let wrong = values.iter().find(|value| !(-LARGEST..=LARGEST).contains(*value));
    wrong.map_or(Ok(()), |value| {
        let subject = format!("{}: tensor {}", source.path.display(), source.place(ours).name);
        let hint = "the file is damaged, or its model diverged: get it again from where it came";
        Err(Error::invalid(subject, format!("finite weights up to {LARGEST}"), value, hint))
    })
}

/// A tensor of the file to be.
#[derive(Clone)]
struct Part {
    /// Of which parameter it is.
    parameter: String,
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    /// The shape of the parameter.
    from: Vec<usize>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Codes,
    Steps,
    Offsets,
    Votes,
    Blocks,
}

impl Part {
    fn new(spec: &MatrixSpec, part: &str, dtype: Dtype, shape: Vec<usize>, kind: Kind) -> Self {
        let from = vec![spec.out_features, spec.in_features];
        Self { parameter: spec.name.clone(), name: format!("{}.{part}", spec.name), dtype, shape, from, kind }
    }
}

/// The tensors of a matrix on a grid, in the order of [`bytes_of`].
fn parts(spec: &MatrixSpec, scales: ScaleForm, has_votes: bool) -> impl Iterator<Item = Part> + use<> {
    let (rows, row_bytes, groups) = (spec.out_features, grid::row_bytes(spec.in_features), grid::groups(spec.in_features));
    let mut parts = vec![Part::new(spec, "codes", Dtype::U8, vec![rows, row_bytes], Kind::Codes)];
    let half = |part, kind| Part::new(spec, part, Dtype::F16, vec![rows, groups], kind);
    match scales {
        ScaleForm::Row => parts.push(Part::new(spec, "scale", Dtype::F32, vec![rows], Kind::Steps)),
        ScaleForm::Group32 => parts.push(half("step", Kind::Steps)),
        ScaleForm::Group32Offset => parts.extend([half("step", Kind::Steps), half("offset", Kind::Offsets)]),
    }
    if has_votes {
        parts.push(Part::new(spec, "votes", Dtype::U8, vec![rows, VoteState::row_bytes(VoteBits::Eight, spec.in_features)], Kind::Votes));
    }
    parts.into_iter()
}

/// Codes, scales or steps, offsets, votes: what of these there is.
fn bytes_of<'a>(fitted: &'a Fitted, votes: &'a [i8]) -> [&'a [u8]; 4] {
    let [scale, offset] = match &fitted.scales {
        Scales::Row(scale) => [cast_slice(scale), &[]],
        Scales::Group32 { step } => [bytes_of_halves(step), &[]],
        Scales::Group32Offset { step, offset } => [bytes_of_halves(step), bytes_of_halves(offset)],
    };
    [&fitted.codes, scale, offset, cast_slice(votes)]
}

fn bytes_of_halves(halves: &[half::f16]) -> &[u8] {
    use half::slice::HalfFloatSliceExt;

    cast_slice(halves.reinterpret_cast())
}

/// A tensor of the file to be, and where it comes from.
struct Item<'a> {
    source: &'a Source,
    part: Part,
    from: From,
}

enum From {
    /// The bytes of rows.
    Raw,
    /// The values of rows.
    Floats,
    /// Blocks of 4 bits.
    Unpacked(Kind),
    /// What was fitted before.
    Spilled(Vec<Range<u64>>),
}

struct Stream<'a> {
    item: &'a Item<'a>,
    spill: &'a Spill,
}

impl TensorSource for Stream<'_> {
    fn for_each_chunk(&self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let Item { source, part, from } = self.item;
        if let From::Spilled(places) = from {
            return places.iter().try_for_each(|place| sink(&self.spill.read(place)?));
        }
        let lines = source.lines(&part.parameter, &part.from)?;
        lines.pieces(PIECE).try_for_each(|rows| {
            interrupt::check();
            match from {
                From::Raw => sink(&lines.raw(rows)),
                From::Floats => {
                    let values = lines.floats(rows);
                    require_finite(source, &part.parameter, &values)?;
                    sink(cast_slice(&values))
                }
                From::Unpacked(kind) => {
                    let fitted = unpack(lines.dtype, &lines.raw(rows));
                    let [codes, steps, offsets, _] = bytes_of(&fitted, &[]);
                    let halves = [steps, offsets].map(cast_slice::<u8, [u8; 2]>).concat();
                    if halves.iter().any(|&half| !half::f16::from_le_bytes(half).is_finite()) {
                        require_finite(source, &part.parameter, &[f32::NAN])?;
                    }
                    sink(match kind {
                        Kind::Steps => steps,
                        Kind::Offsets => offsets,
                        _ => codes,
                    })
                }
                From::Spilled(_) => unreachable!("done above"),
            }
        })
    }
}

/// What waits to be written, in a file without a name in the folder of the output.
struct Spill {
    file: RefCell<File>,
    len: u64,
    out: std::path::PathBuf,
}

impl Spill {
    fn new(out: &Unfinished) -> Result<Self> {
        let file = tempfile::tempfile_in(folder_of(out.path()));
        let file = file.map_err(|error| write_error(out.destination(), 0, error))?;
        Ok(Self { file: RefCell::new(file), len: 0, out: out.destination().into() })
    }

    /// Appends bytes; where they are, if there are any.
    fn push(&mut self, bytes: &[u8]) -> Result<Option<Range<u64>>> {
        let start = self.len;
        self.file.get_mut().write_all(bytes).map_err(|error| write_error(&self.out, bytes.len(), error))?;
        self.len += bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(start..self.len))
    }

    fn read(&self, place: &Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; (place.end - place.start) as usize];
        let mut file = self.file.borrow_mut();
        let read = file.seek(SeekFrom::Start(place.start)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|error| write_error(&self.out, bytes.len(), error))?;
        Ok(bytes)
    }
}
