//! How a run begins from the weights of a file, whatever they are kept as there.

use std::collections::BTreeMap;
use std::ops::Range;

use half::f16;
use primal_device::grid::{ScaleForm, VoteBits, set_vote};
use primal_device::rules::votes::VoteRule;

use super::state;
use super::task::Task;
use super::trainer::Trainer;
use crate::backend::{Backend, GridWeight, Scales, Storage};
use crate::config::{ConfigOf, Rule, TrainConfig, VoteStart};
use crate::convert::weights::{Parameter, stored_rows};
use crate::files::TensorFile;
use crate::files::checkpoint::{Dtype, LARGEST};
use crate::memory::Span;
use crate::models::causal::HEAD;
use crate::nn::MatrixId;
use crate::nn::embedding::TOKENS;
use crate::nn::fit::{Fitted, fit, fit_largest, remainder_rule};
use crate::nn::kept::{self, Kept};
use crate::nn::parameters::{MatrixSpec, Specs};
use crate::nn::tensors;
use crate::ops::vote::VoteState;
use crate::optim::MatrixState;
use crate::optim::votes::{Votes, constants};
use crate::{Error, Result, interrupt};

/// Values that are converted at a time, at most, but for whole rows.
const PIECE: usize = 1 << 22;

/// What a run that began from a file should be told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// Matrices that went to a grid that the file does not have them on, so that their weights were rounded.
    pub rounded: usize,
    /// Matrices whose votes should begin with what rounding left over, of which the file says nothing.
    pub without_remainders: usize,
}

/// What matrices of a run stay as they are in the file that it begins from: a table of embeddings and a head that are not trained; and all that is in
/// another form than the file's configuration says, unless linear layers are to be put on a grid.
///
/// # Errors
/// A file whose configuration or metadata do not parse.
pub fn kept<T: Task>(config: &ConfigOf<T::Config>, file: &dyn TensorFile) -> Result<BTreeMap<String, Kept>> {
    let own: ConfigOf<T::Config> = state::config_of(file)?;
    let (_, mut theirs) = T::layers(&own);
    kept::apply(&mut theirs, file)?;
    let (_, ours) = T::layers(config);
    let others = kept::of(file)?;
    let has_grids = !own.train.optimizer.is_float();
    let stays = |spec: &MatrixSpec| {
        let from = theirs.matrices.iter().find(|from| from.name == spec.name)?.kept();
        let is_other = others.contains_key(&spec.name);
        let stays = match spec.name.as_str() {
            TOKENS | HEAD => spec.is_frozen && (is_other || has_grids),
            // The float twin has floats, whatever the file has.
            _ => is_other && !config.train.regrids && !config.train.optimizer.is_float(),
        };
        let is_float = config.train.optimizer.is_float() && matches!(from, Kept::Grid(..));
        (stays && !is_float && from != spec.kept()).then(|| (spec.name.clone(), from))
    };
    Ok(ours.matrices.iter().filter_map(stays).collect())
}

impl<B: Backend, T: Task> Trainer<B, T> {
    /// Start values from a file of a model of the same shape, whose checksums were verified: weights as they are, or put on the run's grid, or as floats.
    /// Votes begin as the configuration says.
    ///
    /// # Errors
    /// A tensor that is missing, of another shape, or with a value that no run saves.
    pub fn begin_from(&mut self, file: &dyn TensorFile) -> Result<Begun> {
        let own: ConfigOf<T::Config> = state::config_of(file)?;
        let (_, mut theirs) = T::layers(&own);
        kept::apply(&mut theirs, file)?;
        let Self { config, layout, backend: b, .. } = self;
        let (p, optimizer) = (&layout.parameters, &layout.optimizer);
        optimizer.initialise_state(b, p, &config.train);
        let (known, mut begun) = (tensors::parameters(p), Begun::default());
        for (index, (spec, weight)) in p.specs.matrices.iter().zip(&p.matrices).enumerate() {
            let from = find(&theirs, file, &spec.name)?;
            let state = &optimizer.matrices[index];
            let id = MatrixId(index);
            let weights = optimizer.weights(p, id);
            let shadow: Vec<_> = weights.iter().filter(|tensor| file.find(&tensor.name).is_some()).collect();
            let is_same = matches!(from, Parameter::Matrix(_)) && from.kept() == spec.kept();
            begun.rounded += usize::from(!is_same && matches!(spec.kept(), Kept::Grid(..)));
            if is_same {
                let own = known.iter().filter(|tensor| tensor.name.strip_prefix(&spec.name).is_some_and(|rest| rest.starts_with('.')));
                own.map(std::slice::from_ref).try_for_each(|tensor| tensors::load(b, tensor, file))?;
            }
            shadow.iter().copied().map(std::slice::from_ref).try_for_each(|tensor| tensors::load(b, tensor, file))?;
            let votes = match state {
                MatrixState::Votes(Votes(votes)) if config.train.vote_start == VoteStart::Remainder => Some(votes),
                _ => None,
            };
            if let (true, Some(votes)) = (is_same, votes) {
                begun.without_remainders += usize::from(!load_votes(b, votes, &constants(&config.train), spec, file, &own.train)?);
            }
            if is_same && weights.len() == shadow.len() {
                continue;
            }
            let rows = (PIECE / spec.in_features).clamp(1, spec.out_features);
            for first in (0..spec.out_features).step_by(rows) {
                interrupt::check();
                let range = first..(first + rows).min(spec.out_features);
                let values = floats(file, from, range)?;
                if !is_same {
                    place(b, spec, &weight.storage, first, &values, votes.map(|votes| (votes, constants(&config.train))));
                }
                if shadow.is_empty() {
                    optimizer.receive_start(b, id, first * spec.in_features, &values);
                }
            }
        }
        for (spec, &span) in p.specs.vectors.iter().zip(&p.vectors) {
            match find(&theirs, file, &spec.name)? {
                Parameter::Vector(_) => {
                    let tensor = known.iter().find(|tensor| tensor.name == spec.name).expect("a tensor for each parameter");
                    tensors::load(b, std::slice::from_ref(tensor), file)?;
                }
                table => {
                    let cols = table.lines()[1];
                    let rows = (PIECE / cols).clamp(1, table.lines()[0]);
                    for first in (0..table.lines()[0]).step_by(rows) {
                        let values = floats(file, table, first..(first + rows).min(table.lines()[0]))?;
                        b.upload(span.slice(first * cols, values.len()), &values);
                    }
                }
            }
        }
        b.fault()?;
        Ok(begun)
    }
}

/// A parameter of the file.
fn find<'a>(specs: &'a Specs, file: &dyn TensorFile, name: &str) -> Result<Parameter<'a>> {
    let matrix = specs.matrices.iter().find(|spec| spec.name == name).map(Parameter::Matrix);
    let found = matrix.or_else(|| specs.vectors.iter().find(|spec| spec.name == name).map(Parameter::Vector));
    found.ok_or_else(|| {
        let hint = "start from a model of the same architecture and size";
        Error::invalid(file.path().display(), format!("a model with {name}"), "none", hint)
    })
}

/// Rows of a parameter as floats, which have to be weights.
fn floats(file: &dyn TensorFile, parameter: Parameter, rows: Range<usize>) -> Result<Vec<f32>> {
    let values = stored_rows(file, parameter, rows)?.values(parameter.lines()[1]);
    // NaN is within no range.
    match values.iter().find(|value| !(-LARGEST..=LARGEST).contains(*value)) {
        None => Ok(values),
        Some(wrong) => {
            let subject = format!("{}: {}", file.path().display(), parameter.name());
            let hint = "the file is damaged, or its model diverged: start from another one";
            Err(Error::invalid(subject, format!("finite weights up to {LARGEST}"), wrong, hint))
        }
    }
}

/// Puts rows of floats, from the `first` on, where a run has the matrix.
fn place<B: Backend>(b: &mut B, spec: &MatrixSpec, storage: &Storage, first: usize, values: &[f32], votes: Option<(&VoteState, VoteRule)>) {
    let cols = spec.in_features;
    match storage {
        Storage::Float(span) => b.upload(span.slice(first * cols, values.len()), values),
        Storage::Blocks(_) => panic!("{} stays as the file has it", spec.name),
        Storage::Grid(GridWeight { grid, codes, scales }) => {
            let fitted = if spec.scales == ScaleForm::Row { fit_largest(values, cols, grid) } else { fit(values, cols, grid, spec.scales) };
            let (rows, row_bytes) = (values.len() / cols, codes.len() / spec.out_features);
            b.upload(codes.slice(first * row_bytes, rows * row_bytes), &fitted.codes);
            let groups = |to: &Span<f16>| (first * to.len() / spec.out_features, rows * to.len() / spec.out_features);
            match (scales, &fitted.scales) {
                (Scales::Row(to), Scales::Row(scale)) => b.upload(to.slice(first, rows), scale),
                (Scales::Group32 { step: to }, Scales::Group32 { step }) => b.upload(to.slice(groups(to).0, groups(to).1), step),
                (Scales::Group32Offset { step: to, offset: base }, Scales::Group32Offset { step, offset }) => {
                    b.upload(to.slice(groups(to).0, groups(to).1), step);
                    b.upload(base.slice(groups(base).0, groups(base).1), offset);
                }
                _ => unreachable!("scales of the same form"),
            }
            if let Some((state, rule)) = votes {
                upload_votes(b, state, &rule, spec, first, &remainders(&fitted, values, spec), remainder_rule());
            }
        }
    }
}

fn remainders(fitted: &Fitted, values: &[f32], spec: &MatrixSpec) -> Vec<i8> {
    fitted.remainders(values, spec.in_features, spec.grid.expect("a grid"))
}

/// Loads the votes that the file has of a matrix, and says whether it has some: of 8 bits, in the units of the training that its configuration says.
fn load_votes<B: Backend>(
    b: &mut B,
    state: &VoteState,
    rule: &VoteRule,
    spec: &MatrixSpec,
    file: &dyn TensorFile,
    theirs: &TrainConfig,
) -> Result<bool> {
    let name = format!("{}.votes", spec.name);
    let is_wide = theirs.optimizer == Rule::Votes && theirs.votes == VoteBits::Eight && !theirs.forgets;
    let view = file.find(&name).filter(|view| is_wide && matches!(view.dtype, Dtype::I8 | Dtype::U8));
    let Some(view) = view else { return Ok(false) };
    let width = VoteState::row_bytes(VoteBits::Eight, spec.in_features);
    if view.shape != [spec.out_features, width] {
        return Ok(false);
    }
    let votes: Vec<i8> = view.bytes()?.iter().map(|&byte| byte as i8).collect();
    view.release();
    upload_votes(b, state, rule, spec, 0, &votes, constants(theirs));
    Ok(true)
}

/// Uploads votes of 8 bits of another rule in units of the run's, short of its consensus.
fn upload_votes<B: Backend>(
    b: &mut B,
    state: &VoteState,
    rule: &VoteRule,
    spec: &MatrixSpec,
    first: usize,
    votes: &[i8],
    theirs: VoteRule,
) {
    let width = VoteState::row_bytes(VoteBits::Eight, spec.in_features);
    let (row_bytes, most) = (state.votes.len() / spec.out_features, rule.threshold - 1);
    let unit = rule.quantum / theirs.quantum;
    let mut out = vec![primal_device::grid::empty_votes(state.bits); votes.len() / width * row_bytes];
    for (votes, out) in votes.chunks_exact(width).zip(out.chunks_exact_mut(row_bytes)) {
        for (column, &vote) in votes[..spec.in_features].iter().enumerate() {
            set_vote(state.bits, out, column, ((f32::from(vote) * unit).round() as i32).clamp(-most, most));
        }
    }
    b.upload(state.votes.slice(first * row_bytes, out.len()), &out);
}
