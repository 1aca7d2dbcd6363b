//! The seam between models and devices: buffers in an arena, and the ops on them.
//!
//! A model plans its [`Span`]s, asks the back end to allocate the plan, and runs [`ops`](crate::ops). No op takes or returns a host pointer: only
//! [`Backend::upload`], [`Backend::download`] and [`Backend::map`] do, so a back end may keep its arena on a device and queue the ops.
//! All matrices are row-major; all activations are `f32`.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod cuda_plan;
mod operands;

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;

pub use crate::ops::{AdamWStep, ConvolutionShape, RandomKey, VoteCast, VoteState, by_id};
pub use operands::{AttentionShape, GridWeight, Sequences, Storage, Weight};

use crate::Result;
use crate::memory::{Plan, Span};
use cpu::Cpu;
#[cfg(feature = "cuda")]
use cuda::Cuda;

/// What an op does on one device.
///
/// On the CPU it takes the slices of its spans by [`Cpu::split`], on CUDA it queues launches.
pub trait RunOn<D>: Copy {
    /// Does it.
    ///
    /// # Panics
    /// If operands do not fit together.
    fn run_on(self, device: &mut D);
}

/// A struct of named operands that every device of this build can run, in the tree or outside of it.
///
/// ```
/// use primal_engine::backend::cpu::Cpu;
/// use primal_engine::backend::{Backend, RunOn};
/// use primal_engine::memory::{Kind, Plan, Span};
///
/// /// `y = y · y`.
/// #[derive(Clone, Copy)]
/// struct Square {
///     y: Span<f32>,
/// }
///
/// impl RunOn<Cpu> for Square {
///     fn run_on(self, cpu: &mut Cpu) {
///         cpu.write(self.y).iter_mut().for_each(|y| *y *= *y);
///     }
/// }
/// # #[cfg(feature = "cuda")]
/// # impl RunOn<primal_engine::backend::cuda::Cuda> for Square {
/// #     fn run_on(self, _: &mut primal_engine::backend::cuda::Cuda) {
/// #         unimplemented!("an example of the CPU")
/// #     }
/// # }
///
/// impl primal_engine::backend::Op for Square {
///     const NAME: &'static str = "square";
/// }
///
/// let mut plan = Plan::default();
/// let y = plan.span(Kind::Activation, "y", 3);
/// let mut cpu = Cpu::new(&mut plan);
/// cpu.upload(y, &[1.0, 2.0, 3.0]);
/// cpu.run(Square { y });
/// let mut squares = [0.0; 3];
/// cpu.download(y, &mut squares);
/// assert_eq!(squares, [1.0, 4.0, 9.0]);
/// ```
#[cfg(not(feature = "cuda"))]
pub trait Op: RunOn<Cpu> {
    /// What tables and messages call it.
    const NAME: &'static str;
}

/// A struct of named operands that every device of this build can run, in the tree or outside of it.
#[cfg(feature = "cuda")]
pub trait Op: RunOn<Cpu> + RunOn<Cuda> {
    /// What tables and messages call it.
    const NAME: &'static str;
}

/// Memory for one plan, and the ops on it.
pub trait Backend {
    /// Runs an op, or queues it. Written spans must not overlap other spans of the same op unless it says so.
    fn run(&mut self, op: impl Op);
    /// Copies from the host.
    fn upload<T: Pod>(&mut self, to: Span<T>, from: &[T]);
    /// Copies to the host, after all queued ops; zeros if the device failed.
    fn download<T: Pod>(&mut self, from: Span<T>, to: &mut [T]);
    /// Whether all ops so far did what they had to. Who goes by what it downloaded asks first: a device that failed runs no op any more.
    ///
    /// # Errors
    /// What failed first. The CPU does not fail.
    fn fault(&self) -> Result<()> {
        Ok(())
    }
    /// Makes a read-only file part available to ops as a span; on the CPU without a copy.
    fn map(&mut self, file: &Arc<Mmap>, range: Range<usize>) -> Span<u8>;
    /// `to = from`.
    fn copy<T: Pod>(&mut self, to: Span<T>, from: Span<T>);
    /// `to = 0`.
    fn zero<T: Pod>(&mut self, to: Span<T>);

    // Until call sites are converted.
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn embedding(&mut self, y: Span<f32>, table: Span<f32>, positions: Span<f32>, ids: Span<u32>, seq: usize, dim: usize) {
        self.run(crate::ops::Embedding { y, table, positions, ids, seq, dim });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn embedding_backward(
        &mut self,
        d_table: Span<f32>,
        d_positions: Span<f32>,
        dy: Span<f32>,
        ids: Span<u32>,
        order: Span<u32>,
        seq: usize,
        dim: usize,
    ) {
        self.run(crate::ops::EmbeddingBackward { d_table, d_positions, dy, ids, order, seq, dim });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn layer_norm(&mut self, y: Span<f32>, mean: Span<f32>, rstd: Span<f32>, x: Span<f32>, gamma: Span<f32>, beta: Span<f32>, dim: usize) {
        self.run(crate::ops::LayerNorm { y, mean, rstd, x, gamma, beta, dim });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn layer_norm_backward(
        &mut self,
        dx: Span<f32>,
        d_gamma: Span<f32>,
        d_beta: Span<f32>,
        dy: Span<f32>,
        x: Span<f32>,
        mean: Span<f32>,
        rstd: Span<f32>,
        gamma: Span<f32>,
        dim: usize,
    ) {
        self.run(crate::ops::LayerNormBackward { dx, d_gamma, d_beta, dy, x, mean, rstd, gamma, dim });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn linear(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, rows: usize) {
        self.run(crate::ops::Linear { y, x, weight: *weight, rows });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn linear_backward_input(&mut self, dx: Span<f32>, dy: Span<f32>, weight: &Weight, rows: usize, accumulate: bool) {
        self.run(crate::ops::LinearBackwardInput { dx, dy, weight: *weight, rows, accumulate });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn linear_backward_weight(&mut self, dw: Span<f32>, dy: Span<f32>, x: Span<f32>, rows: usize, accumulate: bool) {
        self.run(crate::ops::LinearBackwardWeight { dw, dy, x, rows, accumulate });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn attention(&mut self, out: Span<f32>, lse: Span<f32>, q: Span<f32>, k: Span<f32>, v: Span<f32>, shape: AttentionShape) {
        self.run(crate::ops::Attention { out, lse, q, k, v, shape });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn attention_backward(
        &mut self,
        dq: Span<f32>,
        dk: Span<f32>,
        dv: Span<f32>,
        d_out: Span<f32>,
        out: Span<f32>,
        lse: Span<f32>,
        q: Span<f32>,
        k: Span<f32>,
        v: Span<f32>,
        shape: AttentionShape,
    ) {
        self.run(crate::ops::AttentionBackward { dq, dk, dv, d_out, out, lse, q, k, v, shape });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn cached_attention(&mut self, out: Span<f32>, q: Span<f32>, k: Span<f32>, v: Span<f32>, heads: usize) {
        self.run(crate::ops::CachedAttention { out, q, k, v, heads });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn gelu(&mut self, y: Span<f32>, x: Span<f32>) {
        self.run(crate::ops::Gelu { y, x });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn gelu_backward(&mut self, dx: Span<f32>, dy: Span<f32>, x: Span<f32>) {
        self.run(crate::ops::GeluBackward { dx, dy, x });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn add(&mut self, y: Span<f32>, a: Span<f32>, b: Span<f32>) {
        self.run(crate::ops::Add { y, a, b });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn leaky_relu(&mut self, y: Span<f32>, x: Span<f32>, slope: f32) {
        self.run(crate::ops::LeakyRelu { y, x, slope });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn leaky_relu_backward(&mut self, dx: Span<f32>, dy: Span<f32>, x: Span<f32>, slope: f32) {
        self.run(crate::ops::LeakyReluBackward { dx, dy, x, slope });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn tanh(&mut self, y: Span<f32>, x: Span<f32>) {
        self.run(crate::ops::Tanh { y, x });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn tanh_backward(&mut self, dx: Span<f32>, dy: Span<f32>, y: Span<f32>) {
        self.run(crate::ops::TanhBackward { dx, dy, y });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn gather(&mut self, y: Span<f32>, table: Span<f32>, ids: Span<u32>, dim: usize, accumulate: bool) {
        self.run(crate::ops::Gather { y, table, ids, dim, accumulate });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn gather_backward(&mut self, d_table: Span<f32>, dy: Span<f32>, ids: Span<u32>, dim: usize) {
        self.run(crate::ops::GatherBackward { d_table, dy, ids, dim });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn conv1d(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, bias: Option<Span<f32>>, shape: ConvolutionShape, accumulate: bool) {
        self.run(crate::ops::Conv1d { y, x, weight: *weight, bias, shape, accumulate });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn conv1d_backward_input(&mut self, dx: Span<f32>, dy: Span<f32>, weight: &Weight, shape: ConvolutionShape, accumulate: bool) {
        self.run(crate::ops::Conv1dBackwardInput { dx, dy, weight: *weight, shape, accumulate });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn conv1d_backward_weight(&mut self, dw: Span<f32>, dy: Span<f32>, x: Span<f32>, shape: ConvolutionShape, accumulate: bool) {
        self.run(crate::ops::Conv1dBackwardWeight { dw, dy, x, shape, accumulate });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn bias_backward(&mut self, d_bias: Span<f32>, dy: Span<f32>) {
        self.run(crate::ops::BiasBackward { d_bias, dy });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn conv_transpose1d(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, bias: Option<Span<f32>>, stride: usize) {
        self.run(crate::ops::ConvTranspose1d { y, x, weight: *weight, bias, stride });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn absolute_error(&mut self, losses: Span<f32>, dx: Span<f32>, x: Span<f32>, target: Span<f32>, gradient_scale: f32) {
        self.run(crate::ops::AbsoluteError { losses, dx, x, target, gradient_scale });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn squared_error(&mut self, losses: Span<f32>, dx: Span<f32>, x: Span<f32>, target: Span<f32>, gradient_scale: f32) {
        self.run(crate::ops::SquaredError { losses, dx, x, target, gradient_scale });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn cross_entropy(&mut self, logits: Span<f32>, losses: Span<f32>, targets: Span<u32>, vocab: usize, gradient_scale: f32) {
        self.run(crate::ops::CrossEntropy { logits, losses, targets, vocab, gradient_scale });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn sum(&mut self, sum: Span<f32>, x: Span<f32>) {
        self.run(crate::ops::Sum { sum, x });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn sum_squares(&mut self, sum: Span<f32>, x: Span<f32>) {
        self.run(crate::ops::SumSquares { sum, x });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn adamw(&mut self, value: Span<f32>, gradient: Span<f32>, moments: [Span<f32>; 2], norm_squared: Span<f32>, step: &AdamWStep) {
        self.run(crate::ops::AdamW { value, gradient, m: moments[0], v: moments[1], norm_squared, step: *step });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn scale_gradient(&mut self, d_scale: Span<f32>, dw: Span<f32>, weight: &Weight) {
        self.run(crate::ops::ScaleGradient { d_scale, dw, weight: *weight });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn vote(&mut self, weight: &Weight, state: &VoteState, dw: Span<f32>, cast: &VoteCast) {
        self.run(crate::ops::Vote { weight: *weight, state: *state, dw, cast: *cast });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn flip(&mut self, weight: &Weight, state: &VoteState, rule: &primal_device::rules::votes::VoteRule, counts: Span<u32>) {
        self.run(crate::ops::Flip { weight: *weight, state: *state, rule: *rule, counts });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn rescale_rows(&mut self, weight: &Weight, state: &VoteState, rule: &primal_device::rules::votes::VoteRule, share: f32, factor: f32) {
        self.run(crate::ops::RescaleRows { weight: *weight, state: *state, rule: *rule, share, factor });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn poltergeist_vote(&mut self, weight: &Weight, votes: Span<u8>, dw: Span<f32>, z: f32) {
        self.run(crate::ops::PoltergeistVote { weight: *weight, votes, dw, z });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn poltergeist_flip(&mut self, weight: &Weight, votes: Span<u8>, consensus: u32, key: RandomKey, counts: Span<u32>) {
        self.run(crate::ops::PoltergeistFlip { weight: *weight, votes, consensus, key, counts });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn quantize(&mut self, weight: &Weight, shadow: Span<f32>, counts: Span<u32>) {
        self.run(crate::ops::Quantize { weight: *weight, shadow, counts });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn straight_through(&mut self, d_shadow: Span<f32>, d_scale: Span<f32>, dw: Span<f32>, shadow: Span<f32>, weight: &Weight) {
        self.run(crate::ops::StraightThrough { d_shadow, d_scale, dw, shadow, weight: *weight });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn level_histogram(&mut self, counts: Span<u32>, weight: &Weight) {
        self.run(crate::ops::LevelHistogram { counts, weight: *weight });
    }
    #[allow(missing_docs, clippy::too_many_arguments)]
    fn lut_gemv(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight) {
        self.run(crate::ops::LutGemv { y, x, weight: *weight });
    }
}

/// A back end that commands can be run on.
pub trait Device: Backend + Sized + 'static {
    /// Adds what the ops need for themselves to the plan.
    fn plan_scratch(plan: &mut Plan);

    /// Whether its ops can run attention of that shape, and others over as many rows.
    ///
    /// # Errors
    /// Bad input that names the limit.
    fn require(_attention: &AttentionShape) -> Result<()> {
        Ok(())
    }

    /// Bytes that an arena could have now, if that is known.
    ///
    /// # Errors
    /// There is no such device.
    fn available_memory() -> Result<Option<usize>>;

    /// Plans the scratch and allocates the arena.
    ///
    /// # Errors
    /// The device cannot be used.
    fn open(plan: &mut Plan) -> Result<Self>;

    /// Bytes of the arena.
    fn arena_bytes(&self) -> usize;

    /// What the device is: names and facts.
    ///
    /// # Errors
    /// There is no such device, or it cannot be used.
    fn describe() -> Result<Vec<(&'static str, String)>>;
}

impl Backend for Cpu {
    fn run(&mut self, op: impl Op) {
        op.run_on(self);
    }

    fn upload<T: Pod>(&mut self, to: Span<T>, from: &[T]) {
        self.write(to).copy_from_slice(from);
    }

    fn download<T: Pod>(&mut self, from: Span<T>, to: &mut [T]) {
        to.copy_from_slice(self.read(from));
    }

    fn map(&mut self, file: &Arc<Mmap>, range: Range<usize>) -> Span<u8> {
        Self::map(self, file, range)
    }

    fn copy<T: Pod>(&mut self, to: Span<T>, from: Span<T>) {
        let ((to,), (from,)) = self.split((to,), (from,));
        to.copy_from_slice(from);
    }

    fn zero<T: Pod>(&mut self, to: Span<T>) {
        self.write(to).fill(T::zeroed());
    }
}

impl Device for Cpu {
    fn plan_scratch(plan: &mut Plan) {
        Self::plan_scratch(plan);
    }

    fn available_memory() -> Result<Option<usize>> {
        Ok(cpu::memory::available())
    }

    fn open(plan: &mut Plan) -> Result<Self> {
        Ok(Self::new(plan))
    }

    fn arena_bytes(&self) -> usize {
        Self::arena_bytes(self)
    }

    fn describe() -> Result<Vec<(&'static str, String)>> {
        let memory = cpu::memory::available().map_or("unknown".to_owned(), |bytes| format!("{} MiB free", bytes >> 20));
        Ok(vec![("device", "CPU".to_owned()), ("threads", rayon::current_num_threads().to_string()), ("memory", memory)])
    }
}

#[cfg(feature = "cuda")]
impl Backend for Cuda {
    fn run(&mut self, op: impl Op) {
        op.run_on(self);
    }

    fn upload<T: Pod>(&mut self, to: Span<T>, from: &[T]) {
        Self::upload(self, to, from);
    }

    fn download<T: Pod>(&mut self, from: Span<T>, to: &mut [T]) {
        Self::download(self, from, to);
    }

    fn fault(&self) -> Result<()> {
        Self::fault(self)
    }

    fn map(&mut self, file: &Arc<Mmap>, range: Range<usize>) -> Span<u8> {
        Self::map(self, file, range)
    }

    fn copy<T: Pod>(&mut self, to: Span<T>, from: Span<T>) {
        Self::copy(self, to, from);
    }

    fn zero<T: Pod>(&mut self, to: Span<T>) {
        Self::zero(self, to);
    }
}

#[cfg(feature = "cuda")]
impl Device for Cuda {
    fn plan_scratch(plan: &mut Plan) {
        cuda_plan::plan(plan);
    }

    fn require(attention: &AttentionShape) -> Result<()> {
        cuda_plan::require(attention)
    }

    fn available_memory() -> Result<Option<usize>> {
        Self::available_memory()
    }

    fn open(plan: &mut Plan) -> Result<Self> {
        Self::open(plan)
    }

    fn arena_bytes(&self) -> usize {
        Self::arena_bytes(self)
    }

    fn describe() -> Result<Vec<(&'static str, String)>> {
        Self::describe()
    }
}
