//! The weights of a file of this program, for other programs.

use std::ops::Range;
use std::path::PathBuf;

use half::{bf16, f16};
use primal_device::grid::{self, GROUP, Grid, ScaleForm};

use super::attached;
use super::nibbles::to_theirs;
use super::order::row_of;
use super::table::Table;
use crate::backend::Scales;
use crate::files::dequantize::dequantizer;
use crate::files::{Dtype, TensorFile, open};
use crate::nn::fit::Fitted;
use crate::nn::kept::Kept;
use crate::nn::parameters::{MatrixSpec, Specs, VectorSpec};
use crate::nn::tensors::view;
use crate::ops::rope::RotaryPairs;
use crate::{Error, Result};

/// A model in a file of this program, open.
#[derive(Debug)]
pub struct Model {
    /// What it is.
    pub table: Table,
    /// Its parameters, as the file has them.
    pub specs: Specs,
    /// The file, whose checksums were verified.
    pub file: Box<dyn TensorFile>,
    /// Where it was opened.
    pub path: PathBuf,
}

/// Rows of a parameter.
pub enum Rows {
    /// On a grid.
    Grid(&'static Grid, Fitted),
    /// In blocks.
    Blocks(Dtype, Vec<u8>),
    /// As floats.
    Floats(Vec<f32>),
}

/// A parameter of a model.
#[derive(Clone, Copy)]
pub enum Parameter<'a> {
    #[allow(missing_docs)]
    Matrix(&'a MatrixSpec),
    #[allow(missing_docs)]
    Vector(&'a VectorSpec),
}

impl Parameter<'_> {
    /// The name here.
    pub fn name(&self) -> &str {
        match self {
            Self::Matrix(spec) => &spec.name,
            Self::Vector(spec) => &spec.name,
        }
    }

    /// Row-major.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Matrix(spec) => vec![spec.out_features, spec.in_features],
            Self::Vector(spec) => spec.shape.clone(),
        }
    }

    /// Rows, and values of each; those of a vector are single.
    pub fn lines(&self) -> [usize; 2] {
        match *self.shape() {
            [rows, cols] => [rows, cols],
            ref shape => [shape.iter().product(), 1],
        }
    }

    /// How it is kept.
    pub fn kept(&self) -> Kept {
        match self {
            Self::Matrix(spec) => spec.kept(),
            Self::Vector(_) => Kept::Float,
        }
    }
}

impl Model {
    /// Opens a file of this program, and verifies what of it the model needs.
    ///
    /// # Errors
    /// I/O errors; bad input for what is no such file, or a damaged one.
    pub fn open(path: &std::path::Path) -> Result<Self> {
        let file = open(path)?;
        let table = Table::of(&*file)?;
        let specs = table.specs_in(&*file)?;
        let model = Self { table, specs, file, path: path.into() };
        let names: Vec<String> = model.parameters().map(|parameter| parameter.name().to_owned()).collect();
        let is_used = |name: &str| {
            names.iter().any(|used| name.strip_prefix(used.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        };
        model.file.verify(&|name| is_used(name) || name.starts_with(attached::PREFIX))?;
        Ok(model)
    }

    /// All parameters.
    pub fn parameters(&self) -> impl Iterator<Item = Parameter<'_>> {
        self.specs.matrices.iter().map(Parameter::Matrix).chain(self.specs.vectors.iter().map(Parameter::Vector))
    }

    /// A parameter by its name here.
    pub fn parameter(&self, name: &str) -> Option<Parameter<'_>> {
        self.parameters().find(|parameter| parameter.name() == name)
    }

    /// An attached file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn attached(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let view = self.file.find(&attached::name_of(name));
        view.map(|view| Ok(view.bytes()?.into_owned())).transpose()
    }

    /// Heads of so many rows, whose order depends on the program; none of other parameters.
    fn width_of_heads(&self, name: &str) -> Option<(usize, RotaryPairs)> {
        let Table::Llama(config) = &self.table else { return None };
        let is_turned = |base: &str| base.ends_with(".attention.q") || base.ends_with(".attention.k");
        let is_norm = name.ends_with(".q_norm.gamma") || name.ends_with(".k_norm.gamma");
        let is_turned = is_norm || is_turned(name) || name.strip_suffix(".bias").is_some_and(is_turned);
        is_turned.then(|| (config.head_dim(), config.rotary))
    }

    /// Some rows of a parameter, where rows of queries and keys are in the order of `pairs`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn rows(&self, parameter: Parameter, rows: Range<usize>, pairs: RotaryPairs) -> Result<Rows> {
        match self.width_of_heads(parameter.name()) {
            Some((width, ours)) if ours != pairs => {
                let each = rows.map(|row| row_of(row, width, ours, pairs)).map(|row| stored_rows(&*self.file, parameter, row..row + 1));
                let mut each = each.collect::<Result<Vec<_>>>()?.into_iter();
                let first = each.next();
                first.map_or(Ok(Rows::Floats(Vec::new())), |first| Ok(each.fold(first, Rows::and)))
            }
            _ => stored_rows(&*self.file, parameter, rows),
        }
    }
}

/// Some rows of a parameter, as a file has them.
///
/// # Errors
/// A tensor that is missing or of another shape.
pub(crate) fn stored_rows(file: &dyn TensorFile, parameter: Parameter, rows: Range<usize>) -> Result<Rows> {
    let (name, [count, cols]) = (parameter.name(), parameter.lines());
    let floats = |part: &str, shape: &[usize], width: usize| {
        let view = view(file, &format!("{name}{part}"), Dtype::F32, shape)?;
        let mut out = vec![0.0; rows.len() * width];
        dequantizer(Dtype::F32).expect("floats")(&view.bytes()?[4 * rows.start * width..4 * rows.end * width], &mut out);
        Ok::<_, Error>(out)
    };
    let bytes = |part: &str, dtype: Dtype, width: usize| {
        let view = view(file, &format!("{name}.{part}"), dtype, &[count, width])?;
        let size = width * dtype.block().1;
        Ok::<_, Error>(view.bytes()?[rows.start * size..rows.end * size].to_vec())
    };
    let halves = |part: &str| {
        let bytes = bytes(part, Dtype::F16, grid::groups(cols))?;
        Ok::<_, Error>(bytes.as_chunks::<2>().0.iter().map(|&half| f16::from_le_bytes(half)).collect::<Vec<_>>())
    };
    Ok(match (parameter, parameter.kept()) {
        (Parameter::Vector(spec), _) => Rows::Floats(floats("", &spec.shape, cols)?),
        (_, Kept::Float) => Rows::Floats(floats(".weight", &[count, cols], cols)?),
        (_, Kept::Blocks(dtype)) => {
            let width = dtype.byte_len(cols).expect("rows of whole blocks");
            Rows::Blocks(dtype, bytes("blocks", Dtype::U8, width)?)
        }
        (_, Kept::Grid(grid, form)) => {
            let codes = bytes("codes", Dtype::U8, grid::row_bytes(cols))?;
            let scales = match form {
                ScaleForm::Row => Scales::Row(floats(".scale", &[count], 1)?),
                ScaleForm::Group32 => Scales::Group32 { step: halves("step")? },
                ScaleForm::Group32Offset => Scales::Group32Offset { step: halves("step")?, offset: halves("offset")? },
            };
            Rows::Grid(grid, Fitted { codes, scales })
        }
    })
}

impl Rows {
    /// More rows of the same parameter behind these.
    fn and(self, more: Self) -> Self {
        match (self, more) {
            (Self::Floats(mut a), Self::Floats(b)) => {
                a.extend(b);
                Self::Floats(a)
            }
            (Self::Blocks(dtype, mut a), Self::Blocks(_, b)) => {
                a.extend(b);
                Self::Blocks(dtype, a)
            }
            (Self::Grid(grid, mut a), Self::Grid(_, b)) => {
                a.codes.extend(b.codes);
                match (&mut a.scales, b.scales) {
                    (Scales::Row(a), Scales::Row(b)) => a.extend(b),
                    (Scales::Group32 { step: a }, Scales::Group32 { step: b }) => a.extend(b),
                    (Scales::Group32Offset { step: a, offset: c }, Scales::Group32Offset { step: b, offset: d }) => {
                        a.extend(b);
                        c.extend(d);
                    }
                    _ => unreachable!("rows of one parameter"),
                }
                Self::Grid(grid, a)
            }
            _ => unreachable!("rows of one parameter"),
        }
    }

    /// The values, in rows of so many.
    pub fn values(&self, cols: usize) -> Vec<f32> {
        match self {
            Self::Floats(values) => values.clone(),
            Self::Blocks(dtype, bytes) => {
                let (of, size) = dtype.block();
                let mut values = vec![0.0; bytes.len() / size * of];
                dequantizer(*dtype).expect("floats")(bytes, &mut values);
                values
            }
            Self::Grid(grid, fitted) => fitted.values(cols, grid),
        }
    }

    /// The bytes of these rows as elements of another type, one that [`target`] gave or plain floats.
    pub fn encode(&self, cols: usize, dtype: Dtype) -> Vec<u8> {
        match (self, dtype) {
            (Self::Blocks(own, bytes), _) if *own == dtype => bytes.clone(),
            (Self::Grid(grid, fitted), Dtype::Q4_0 | Dtype::Q4_1 | Dtype::Q8_0) => blocks(grid, fitted, cols, dtype),
            (_, Dtype::F16) => self.values(cols).iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            (_, Dtype::BF16) => self.values(cols).iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
            (_, Dtype::F32) => self.values(cols).iter().flat_map(|value| value.to_le_bytes()).collect(),
            _ => panic!("{dtype} of weights that are none"),
        }
    }
}

/// The type of GGUF that holds weights that are kept so in rows of `cols`: exactly, but for scales of rows, which become halves, and what is on a grid of
/// large numerators, which become halves themselves.
pub fn target(kept: Kept, cols: usize) -> Dtype {
    match kept {
        Kept::Blocks(dtype) => dtype,
        Kept::Float => Dtype::F32,
        Kept::Grid(grid, form) => {
            let numerators = (grid.min..=grid.max).map(|code| i32::from(grid.integers[usize::from(code)]));
            let (least, most) = (numerators.clone().min().unwrap_or(0), numerators.max().unwrap_or(0));
            let is_whole = grid.denominator().is_some() && cols.is_multiple_of(GROUP);
            match form {
                ScaleForm::Group32Offset if is_whole && least >= 0 && most <= 15 => Dtype::Q4_1,
                ScaleForm::Row | ScaleForm::Group32 if is_whole && least >= -8 && most <= 7 => Dtype::Q4_0,
                ScaleForm::Row | ScaleForm::Group32 if is_whole && least >= -127 && most <= 127 => Dtype::Q8_0,
                _ => Dtype::F16,
            }
        }
    }
}

/// Blocks of weights on a grid: a step is the scale of a block, a numerator what it multiplies.
fn blocks(grid: &Grid, fitted: &Fitted, cols: usize, dtype: Dtype) -> Vec<u8> {
    let (groups, mut out) = (grid::groups(cols), Vec::new());
    for (at, codes) in fitted.codes.chunks_exact(GROUP / 2).enumerate() {
        let (step, offset) = match &fitted.scales {
            Scales::Row(scale) => (f16::from_f32(scale[at / groups] / grid.steps()), None),
            Scales::Group32 { step } => (step[at], None),
            Scales::Group32Offset { step, offset } => (step[at], Some(offset[at])),
        };
        out.extend(step.to_le_bytes());
        out.extend(offset.map(f16::to_le_bytes).into_iter().flatten());
        let numerator = |code: u8| grid.integers[usize::from(code)];
        match dtype {
            Dtype::Q8_0 => out.extend((0..GROUP).map(|i| numerator(grid::get(codes, i)) as i8 as u8)),
            _ => {
                let above = if dtype == Dtype::Q4_0 { 8 } else { 0 };
                let mut nibbles = [0; GROUP / 2];
                for i in 0..GROUP {
                    grid::set(&mut nibbles, i, (numerator(grid::get(codes, i)) + above) as u8);
                }
                out.extend(to_theirs(&nibbles));
            }
        }
    }
    out
}
