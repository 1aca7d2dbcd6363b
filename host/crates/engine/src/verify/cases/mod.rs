//! The rows of the table, and how far each kind of op may be from its reference.

mod attention;
mod convolution;
mod discrete;
mod float;
mod linear;
mod llama;

use primal_device::grid::{self, GRIDS, Grid, ScaleForm};

use crate::backend::{Backend, Sequences};

use crate::verify::harness::{Case, CaseSpans, Data, Tolerance};

/// Levels far from even, none of them zero, none at the code of the padding, and no denominator.
static FEW: Grid = Grid::irrational("few", &[-0.9, -0.2, 0.1, 0.7]);
/// Integers that no half holds, the lowest of 16 bits among them.
static WIDE: Grid = Grid::fractions("wide", &[i16::MIN, -4097, 0, 5, 20_001], 20_000);

/// Operands of so many products above which not every grid takes part.
const LARGE: usize = 1 << 17;

/// The grids that an op is checked on: all there are and some that only this table knows; at large sizes one of each way through the kernels.
fn grids(size: usize) -> impl Iterator<Item = &'static Grid> + Clone {
    static OF_EACH_WAY: [&Grid; 4] = [&grid::PRIME13, &grid::PRIME15, &grid::INT4, &grid::NF4];
    static OWN: [&Grid; 2] = [&FEW, &WIDE];
    let parts = if size < LARGE { [GRIDS, &OWN] } else { [&OF_EACH_WAY[..], &[]] };
    parts.into_iter().flatten().copied()
}

/// A grid, and what its weights have scales for.
pub type Format = (&'static Grid, ScaleForm);

/// Each grid of [`grids`] with scales of rows.
fn of_rows(size: usize) -> impl Iterator<Item = Format> + Clone {
    grids(size).map(|grid| (grid, ScaleForm::Row))
}

/// Grids of each kind with the other scales.
fn of_groups(size: usize) -> impl Iterator<Item = Format> + Clone {
    static ALL: [&Grid; 4] = [&grid::INT4, &grid::NF4, &grid::UINT4, &grid::UNIFORM15];
    let some = if size < LARGE { &ALL[..] } else { &ALL[..2] };
    let forms = ScaleForm::ALL.into_iter().filter(|&form| form != ScaleForm::Row);
    some.iter().flat_map(move |&grid| forms.clone().map(move |form| (grid, form)))
}

/// Both.
fn formats(size: usize) -> impl Iterator<Item = Format> + Clone {
    of_rows(size).chain(of_groups(size))
}

/// Integers, codes and copies.
pub const EXACT: Tolerance = Tolerance { absolute: 0.0, relative: 0.0 };

/// A few roundings of 2⁻²⁴ on values near 1.
pub const ROUNDING: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-6 };

/// What `f32` makes of e^x and what is built on it: two units in the last place from the polynomial, more from its argument.
pub const EXPONENTIAL: Tolerance = Tolerance { absolute: 1e-6, relative: 4e-6 };

/// Rounding of a running sum, for each term of magnitude `size`: partial sums of n terms grow like √n, their n roundings of 2⁻²⁴ add like
/// √n, so the sum is off by 2.5e-8·n in the mean, and five times that in the worst of a few thousand sums.
const SUM_PER_TERM: f64 = 1.5e-7;

/// A sum of `terms` products near `size`.
pub fn sum_of(terms: usize, size: f64) -> Tolerance {
    Tolerance { absolute: SUM_PER_TERM * size * terms as f64 + 1e-6 * size, relative: 1e-6 }
}

/// Every row.
pub fn table<B: Backend + 'static>() -> Vec<Case<B>> {
    let mut rows = float::rows();
    rows.extend(linear::rows());
    rows.extend(attention::rows());
    rows.extend(llama::rows());
    rows.extend(convolution::rows());
    rows.extend(discrete::rows());
    rows
}

/// What the reference gave, as a buffer for an op that comes after it.
fn narrow(x: &[f64]) -> Data {
    Data::F32(x.iter().map(|&x| x as f32).collect())
}

fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// How the rows of a case are cut into sequences.
#[derive(Clone)]
pub struct CaseSequences {
    offsets: Vec<u32>,
    ragged: bool,
}

impl CaseSequences {
    /// `count` sequences of `len` rows.
    pub fn equal(count: usize, len: usize) -> Self {
        Self { offsets: (0..=count).map(|i| (i * len) as u32).collect(), ragged: false }
    }

    /// Sequences of these lengths.
    pub fn ragged(lengths: &[usize]) -> Self {
        let ends = lengths.iter().scan(0, |end, len| {
            *end += *len as u32;
            Some(*end)
        });
        Self { offsets: [0].into_iter().chain(ends).collect(), ragged: true }
    }

    /// First row of each sequence, and the number of all rows: a buffer of the case.
    pub fn offsets(&self) -> Vec<u32> {
        self.offsets.clone()
    }

    /// All rows.
    pub fn rows(&self) -> usize {
        self.offsets[self.offsets.len() - 1] as usize
    }

    fn lengths(&self) -> Vec<usize> {
        self.offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize).collect()
    }

    /// For the back end, the offsets in buffer `at`.
    pub fn at(&self, s: &CaseSpans, at: usize) -> Sequences {
        let lengths = self.lengths();
        if self.ragged {
            // Longer than the longest, as the trait allows.
            let longest = lengths.iter().max().expect("a sequence") + 1;
            Sequences::Ragged { offsets: s.u(at), positions: s.u(at).slice(0, 0), rows: self.rows(), longest }
        } else {
            Sequences::Equal { count: lengths.len(), len: lengths[0] }
        }
    }
}

impl std::fmt::Display for CaseSequences {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let lengths = self.lengths();
        match self.ragged {
            true if lengths.len() > 8 => write!(f, "{} rows of {} sequences", self.rows(), lengths.len()),
            true => write!(f, "{lengths:?}"),
            false => write!(f, "{} × {}", lengths.len(), lengths[0]),
        }
    }
}
