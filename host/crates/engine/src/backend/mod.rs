//! The seam between models and devices: buffers in an arena, and the ops on them.
//!
//! A model plans its [`Span`]s, asks the back end to allocate the plan, and runs [`ops`](crate::ops). No op takes or returns a host pointer: only
//! [`Backend::upload`], [`Backend::download`] and [`Backend::map`] do, so a back end may keep its arena on a device and queue the ops.
//! All matrices are row-major; activations that a backward pass needs are kept in one of the forms of [`Act`](crate::memory::Act), all others are `f32`.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod cuda_plan;
mod operands;
pub mod profile;

use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;

pub use operands::{AttentionShape, BlockWeight, GridWeight, ScaleGradients, Scales, Sequences, Storage, Weight};

use crate::Result;
use crate::files::Dtype;
use crate::memory::{Plan, Span};
use cpu::Cpu;
#[cfg(feature = "cuda")]
use cuda::Cuda;

/// What an op does on one device.
///
/// On the CPU it takes the slices of its spans by [`Cpu::split`], on CUDA it queues launches.
pub trait RunOn<D>: Copy {
    /// Does the op on the device.
    ///
    /// # Panics
    /// If operands do not fit together.
    fn run_on(self, device: &mut D);
}

/// A struct of named operands that every device of this build can run, in the tree or outside of it. A crate with ops of its own passes this crate's
/// feature `cuda` on as one of its own, since with it an op has to run on both devices.
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
/// #         panic!("this example runs on the CPU")
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
    /// The name of the op in tables and messages.
    const NAME: &'static str;

    /// Floating-point operations of its matrix products, two for each multiplication and addition; of an op without such products 0.
    fn flops(&self) -> usize {
        0
    }
}

/// A struct of named operands that every device of this build can run, in the tree or outside of it: the CPU and CUDA.
#[cfg(feature = "cuda")]
pub trait Op: RunOn<Cpu> + RunOn<Cuda> {
    /// The name of the op in tables and messages.
    const NAME: &'static str;

    /// Floating-point operations of its matrix products, two for each multiplication and addition; of an op without such products 0.
    fn flops(&self) -> usize {
        0
    }
}

/// Memory for one plan, and the ops on it.
pub trait Backend {
    /// Of types of blocks that stay as they are, those that the table of cases checks its ops on; none where they take no such weight.
    const BLOCKS: &'static [Dtype] = &[];

    /// Runs an op, or queues it. Written spans must not overlap other spans of the same op unless it says so.
    fn run<O: Op>(&mut self, op: O);
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

    /// Who shares the memory of a device, of so many processes on one machine.
    fn sharers(processes: usize) -> usize {
        processes
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
    const BLOCKS: &'static [Dtype] = &[Dtype::F16, Dtype::BF16, Dtype::Q8_0, Dtype::Q6_K];

    fn run<O: Op>(&mut self, op: O) {
        self.timed(O::NAME, || op.flops(), |cpu| op.run_on(cpu));
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
        self.timed(
            "copy",
            || 0,
            |cpu| {
                let ((to,), (from,)) = cpu.split((to,), (from,));
                to.copy_from_slice(from);
            },
        );
    }

    fn zero<T: Pod>(&mut self, to: Span<T>) {
        self.timed("zero", || 0, |cpu| cpu.write(to).fill(T::zeroed()));
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
    fn run<O: Op>(&mut self, op: O) {
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
    /// Each has a GPU of its own.
    fn sharers(_processes: usize) -> usize {
        1
    }

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
