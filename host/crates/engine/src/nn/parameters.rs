//! The parameters of a model: named matrices (on the grid or float) and float vectors.

use std::convert::Infallible;

use half::f16;
use primal_device::grid::{self, Grid, ScaleForm};
use primal_device::philox::{RandomStream, uniform};

use crate::backend::{Backend, BlockWeight, GridWeight, Scales, Storage, Weight};
use crate::files::checkpoint::Dtype;
use crate::memory::{Kind, Plan, Span};

/// The least scale of a row.
pub const MIN_SCALE: f32 = 1e-4;

/// Start values that are made and uploaded at a time, at most, but for whole rows: 8 MiB of floats.
const UPLOAD: usize = 2 << 20;

/// Index of a matrix in [`Parameters::matrices`]; also its number in the random streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixId(pub usize);

/// Index of a float tensor in [`Parameters::vectors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorId(pub usize);

/// A linear layer's weight before it has memory.
#[derive(Clone, Debug)]
pub struct MatrixSpec {
    /// e.g. `blocks.0.attention.q`.
    pub name: String,
    /// Rows.
    pub out_features: usize,
    /// Columns.
    pub in_features: usize,
    /// The weight's grid; `None` for a float weight.
    pub grid: Option<&'static Grid>,
    /// What a weight on a grid has scales for.
    pub scales: ScaleForm,
    /// The type of a weight that stays as another program left it, on no grid.
    pub blocks: Option<Dtype>,
    /// Standard deviation at the start.
    pub sigma: f32,
    /// Whether training leaves it as it is.
    pub is_frozen: bool,
    /// Whether two layers use it, so that its gradient comes at two places of a backward pass.
    pub is_shared: bool,
    /// Whether its gradient is one product, which can be made some rows at a time.
    pub is_product: bool,
}

impl MatrixSpec {
    /// The factor of levels at the start: on every grid the levels reach over 5.6 σ, on symmetric ones from −2.8 to 2.8 σ.
    pub fn initial_scale(&self) -> f32 {
        2.8 * self.sigma / self.grid.map_or(1.0, Grid::reach)
    }

    /// All scales at the start. Offsets put the middle of the levels at 0.
    fn initial_scales(&self) -> Scales<f32, f16> {
        let scale = self.initial_scale();
        let step = || f16::from_f32(scale / self.grid.map_or(1.0, Grid::steps));
        let middle = self.grid.map_or(0.0, |grid| 0.5 * (grid.range()[0] + grid.range()[1]));
        match self.scales {
            ScaleForm::Row => Scales::Row(scale),
            ScaleForm::Group32 => Scales::Group32 { step: step() },
            ScaleForm::Group32Offset => Scales::Group32Offset { step: step(), offset: f16::from_f32(-scale * middle) },
        }
    }

    /// The scales that lie where `span` says.
    fn place_scales<E>(&self, span: &mut impl FnMut(&str, Dtype, &[usize]) -> Result<Span<u8>, E>) -> Result<Scales, E> {
        let (rows, groups) = (self.out_features, grid::groups(self.in_features));
        let mut half = |part| Ok(span(&format!("{}.{part}", self.name), Dtype::F16, &[rows, groups])?.cast());
        Ok(match self.scales {
            ScaleForm::Group32 => Scales::Group32 { step: half("step")? },
            ScaleForm::Group32Offset => Scales::Group32Offset { step: half("step")?, offset: half("offset")? },
            ScaleForm::Row => Scales::Row(span(&format!("{}.scale", self.name), Dtype::F32, &[rows])?.cast()),
        })
    }

    /// Weights in it.
    pub fn weights(&self) -> usize {
        self.out_features * self.in_features
    }
}

/// How a float tensor starts.
#[derive(Clone, Copy, Debug)]
pub enum Init {
    /// Normal with this standard deviation.
    Normal(f32),
    /// All the same.
    Constant(f32),
}

/// A float tensor before it has memory.
#[derive(Clone, Debug)]
pub struct VectorSpec {
    /// e.g. `embedding.tokens`.
    pub name: String,
    /// Shape, row-major.
    pub shape: Vec<usize>,
    /// Start values.
    pub init: Init,
}

/// All parameters of a model, in the order in which the model names them.
#[derive(Clone, Debug, Default)]
pub struct Specs {
    /// Linear layers.
    pub matrices: Vec<MatrixSpec>,
    /// Float tensors.
    pub vectors: Vec<VectorSpec>,
    /// What matrices on a grid have scales for.
    scales: ScaleForm,
}

impl Specs {
    /// No parameters yet; those on a grid will have scales of this form.
    pub fn new(scales: ScaleForm) -> Self {
        Self { scales, ..Self::default() }
    }

    /// Adds a matrix.
    pub fn matrix(&mut self, name: String, [out_features, in_features]: [usize; 2], grid: Option<&'static Grid>, sigma: f32) -> MatrixId {
        self.matrices.push(MatrixSpec {
            name,
            out_features,
            in_features,
            grid,
            scales: self.scales,
            blocks: None,
            sigma,
            is_frozen: false,
            is_shared: false,
            is_product: false,
        });
        MatrixId(self.matrices.len() - 1)
    }

    /// Adds a float tensor.
    pub fn vector(&mut self, name: String, shape: &[usize], init: Init) -> VectorId {
        self.vectors.push(VectorSpec { name, shape: shape.to_vec(), init });
        VectorId(self.vectors.len() - 1)
    }

    /// Weights in all matrices.
    pub fn matrix_weights(&self) -> usize {
        self.matrices.iter().map(MatrixSpec::weights).sum()
    }
}

/// Specs with memory.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Names, shapes and starts of the parameters.
    pub specs: Specs,
    /// By [`MatrixId`].
    pub matrices: Vec<Weight>,
    /// By [`VectorId`].
    pub vectors: Vec<Span<f32>>,
}

impl Parameters {
    /// Reserves memory for all parameters.
    pub fn plan(specs: Specs, plan: &mut Plan) -> Self {
        let Ok(parameters) = Self::place(specs, |name, dtype, shape| {
            let bytes = dtype.byte_len(shape.iter().product()).expect("a plain type, and memory");
            Ok::<_, Infallible>(plan.span(Kind::Parameter, name, bytes))
        });
        parameters
    }

    /// Parameters that lie where `span` says; it gets the name, type and shape of each tensor.
    ///
    /// # Errors
    /// What `span` fails with.
    pub fn place<E>(specs: Specs, mut span: impl FnMut(&str, Dtype, &[usize]) -> Result<Span<u8>, E>) -> Result<Self, E> {
        let matrices = specs.matrices.iter().map(|spec| {
            let (name, out_features, in_features) = (&spec.name, spec.out_features, spec.in_features);
            let storage = match spec.grid {
                Some(grid) => Storage::Grid(GridWeight {
                    grid,
                    codes: span(&format!("{name}.codes"), Dtype::U8, &[out_features, grid::row_bytes(in_features)])?,
                    scales: spec.place_scales(&mut span)?,
                }),
                None => match spec.blocks {
                    Some(dtype) => {
                        let row_bytes = dtype.byte_len(in_features).expect("rows of whole blocks");
                        Storage::Blocks(BlockWeight {
                            dtype,
                            bytes: span(&format!("{name}.blocks"), Dtype::U8, &[out_features, row_bytes])?,
                        })
                    }
                    None => Storage::Float(span(&format!("{name}.weight"), Dtype::F32, &[out_features, in_features])?.cast()),
                },
            };
            Ok(Weight { out_features, in_features, storage })
        });
        let matrices = matrices.collect::<Result<_, E>>()?;
        let vectors = specs.vectors.iter().map(|spec| Ok(span(&spec.name, Dtype::F32, &spec.shape)?.cast()));
        let vectors = vectors.collect::<Result<_, E>>()?;
        Ok(Self { specs, matrices, vectors })
    }

    /// A linear layer's weight.
    pub fn weight(&self, id: MatrixId) -> &Weight {
        &self.matrices[id.0]
    }

    /// A float tensor.
    pub fn vector(&self, id: VectorId) -> Span<f32> {
        self.vectors[id.0]
    }

    /// Fills all parameters with their start values. `shadow` receives each matrix's float start values (`[out, in]`), some rows at a time, from
    /// the value of that number on.
    pub fn initialise<B: Backend>(&self, backend: &mut B, seed: u64, mut shadow: impl FnMut(&mut B, MatrixId, usize, &[f32])) {
        for (index, (spec, weight)) in self.specs.matrices.iter().zip(&self.matrices).enumerate() {
            let mut normal = Normal::new(seed, index as u32);
            // Whole matrices, if they are not too large: an upload waits for the device.
            let most = (UPLOAD / spec.in_features).clamp(1, spec.out_features);
            let mut codes = vec![grid::PADDING; grid::padded(spec.in_features)];
            let scales = spec.initial_scales();
            let (scale, offset) = spec.grid.map_or((1.0, 0.0), |grid| scale_of(scales, grid));
            for first in (0..spec.out_features).step_by(most) {
                let rows = most.min(spec.out_features - first);
                let values: Vec<f32> = (0..rows * spec.in_features).map(|_| spec.sigma * normal.draw()).collect();
                match &weight.storage {
                    Storage::Grid(target) => {
                        let (levels, row_bytes) = (target.grid, weight.row_bytes());
                        let mut packed = vec![0u8; rows * row_bytes];
                        for (row, packed) in values.chunks_exact(spec.in_features).zip(packed.chunks_exact_mut(row_bytes)) {
                            for (code, w) in codes.iter_mut().zip(row) {
                                *code = levels.nearest((w - offset) / scale);
                            }
                            grid::pack_row(&codes, packed);
                        }
                        backend.upload(target.codes.slice(first * row_bytes, packed.len()), &packed);
                    }
                    Storage::Float(target) => backend.upload(target.slice(first * spec.in_features, values.len()), &values),
                    Storage::Blocks(_) => panic!("{} comes from a file", spec.name),
                }
                shadow(backend, MatrixId(index), first * spec.in_features, &values);
            }
            if let Storage::Grid(target) = &weight.storage {
                upload_same(backend, target.scales, scales);
            }
        }
        for (index, (spec, &span)) in self.specs.vectors.iter().zip(&self.vectors).enumerate() {
            let mut normal = Normal::new(seed, u32::MAX - index as u32);
            let values: Vec<f32> = match spec.init {
                Init::Normal(sigma) => (0..span.len()).map(|_| sigma * normal.draw()).collect(),
                Init::Constant(value) => vec![value; span.len()],
            };
            backend.upload(span, &values);
        }
    }
}

/// The scale and the offset that scales amount to, `w = scale · level + offset`.
fn scale_of(scales: Scales<f32, f16>, grid: &Grid) -> (f32, f32) {
    match scales {
        Scales::Row(scale) => (scale, 0.0),
        Scales::Group32 { step } => (step.to_f32() * grid.steps(), 0.0),
        Scales::Group32Offset { step, offset } => (step.to_f32() * grid.steps(), offset.to_f32()),
    }
}

/// Sets all scales of a weight to the same ones.
fn upload_same<B: Backend>(b: &mut B, to: Scales, scales: Scales<f32, f16>) {
    match (to, scales) {
        (Scales::Row(to), Scales::Row(scale)) => b.upload(to, &vec![scale; to.len()]),
        (Scales::Group32 { step: to }, Scales::Group32 { step }) => b.upload(to, &vec![step; to.len()]),
        (Scales::Group32Offset { step: to, offset: base }, Scales::Group32Offset { step, offset }) => {
            b.upload(to, &vec![step; to.len()]);
            b.upload(base, &vec![offset; base.len()]);
        }
        _ => panic!("scales of another form"),
    }
}

/// Four standard normal numbers, those of the stream's words of `block`, by Box and Muller (1958).
pub(crate) fn normals(stream: &RandomStream, block: u32) -> [f32; 4] {
    let [a, b, c, d] = stream.words(block).map(uniform);
    let pair = |first: f32, second: f32| {
        let radius = (-2.0 * (1.0 - first).ln()).sqrt();
        let (sin, cos) = (std::f32::consts::TAU * second).sin_cos();
        [radius * cos, radius * sin]
    };
    let ([a, b], [c, d]) = (pair(a, b), pair(c, d));
    [a, b, c, d]
}

/// Standard normal numbers from a Philox stream of their own (`step` is `u64::MAX`).
struct Normal {
    stream: RandomStream,
    next: u32,
    ready: [f32; 4],
}

impl Normal {
    fn new(seed: u64, tensor: u32) -> Self {
        Self { stream: RandomStream::new(seed, tensor, u64::MAX), next: 0, ready: [0.0; 4] }
    }

    fn draw(&mut self) -> f32 {
        if self.next.is_multiple_of(4) {
            self.ready = normals(&self.stream, self.next / 4);
        }
        self.next += 1;
        self.ready[(self.next - 1) as usize % 4]
    }
}
