//! What ops need to launch kernels: sizes, and where operands are.

use bytemuck::Pod;
use half::f16;
use primal_device::grid::Grid;
use primal_device::kernels;
use primal_device::launch::Call;

use super::Cuda;
use crate::backend::operands::{GridWeight, Scales, Sequences, Weight};
use crate::memory::Span;

/// A size as kernels take it.
pub fn size(n: usize) -> u32 {
    u32::try_from(n).expect("a dimension fits 32 bits")
}

/// `[outputs, inputs]`.
pub fn sizes(weight: &Weight) -> [u32; 2] {
    [weight.out_features, weight.in_features].map(size)
}

/// The items of kernels that take blocks of so many adjacent weights of a row.
pub fn blocks(weight: &Weight, len: usize) -> [usize; 2] {
    [weight.out_features * weight.in_features.div_ceil(len), 1]
}

/// The scales of rows, for ops on nothing else.
pub fn row_scales(weight: &GridWeight) -> Span<f32> {
    weight.scales.trained().expect("scales of rows: those of groups are not trained")
}

/// The codes that count as rails, as kernels take them.
pub fn rails(weight: &GridWeight) -> u32 {
    u16::from_le_bytes(weight.rails()).into()
}

/// Where scales of any form are: null where a weight has none of the kind.
#[derive(Clone, Copy)]
pub struct ScalesAt {
    /// Of rows.
    pub scale: *const f32,
    /// Of groups, bits of halves.
    pub step: *const u16,
    /// Of groups, bits of halves.
    pub offset: *const u16,
}

impl Cuda {
    /// Where a span to read is.
    pub fn read<T: Pod>(&self, span: Span<T>) -> *const T {
        self.memory.read(span)
    }

    /// Where a span to write is.
    pub fn write<T: Pod>(&self, span: Span<T>) -> *mut T {
        self.largest.forget(span);
        self.memory.write(span)
    }

    /// `len` values of scratch: what they hold is anybody's guess.
    pub fn scratch_span(&self, len: usize) -> Span<f32> {
        assert!(len <= self.scratch.len(), "{len} values of scratch, {} planned", self.scratch.len());
        self.scratch.slice(0, len)
    }

    /// Where `len` values of scratch are.
    pub fn scratch(&self, len: usize) -> *mut f32 {
        self.memory.write(self.scratch_span(len))
    }

    /// Where the sequences' first rows are; null where sequences are equal.
    pub fn offsets(&self, sequences: Sequences) -> *const u32 {
        match sequences {
            Sequences::Equal { .. } => std::ptr::null(),
            Sequences::Ragged { offsets, .. } => self.read(offsets),
        }
    }

    /// Where the table of a grid is.
    pub fn grid(&self, grid: &'static Grid) -> *const Grid {
        self.memory.read(self.grids.find(grid, |to, words| self.memory.upload(to, words, self.kernels.queue()))).cast()
    }

    /// Where a weight's scales are.
    pub fn scales(&self, weight: &GridWeight) -> ScalesAt {
        let (none, no_half) = (std::ptr::null(), std::ptr::null());
        let half = |span: Span<f16>| self.read(span).cast();
        match weight.scales {
            Scales::Row(scale) => ScalesAt { scale: self.read(scale), step: no_half, offset: no_half },
            Scales::Group32 { step } => ScalesAt { scale: none, step: half(step), offset: no_half },
            Scales::Group32Offset { step, offset } => ScalesAt { scale: none, step: half(step), offset: half(offset) },
        }
    }

    /// Where a bias is, or null.
    pub fn bias(&self, bias: Option<Span<f32>>) -> *const f32 {
        bias.map_or(std::ptr::null(), |bias| self.read(bias))
    }

    /// Whether products of two float operands go through tensor cores, and those with weights whose groups have scales.
    pub fn have_float_tensor_cores(&self) -> bool {
        self.kernels.have_float_tensor_cores()
    }

    /// Queues one launch with as many blocks as cover `items`. Pointers among the arguments are those of spans, valid for the kernel's shapes.
    pub(crate) fn launch<const N: usize>(&self, items: [usize; 2], call: Call<N>) {
        self.kernels.launch(items, call);
    }

    /// Queues one launch with as many blocks as cover `items`, for an op outside of this crate.
    ///
    /// # Safety
    /// Pointers among the arguments are valid for the shapes in the kernel's doc, as those of [`Cuda::read`], [`Cuda::write`] and
    /// [`Cuda::scratch`] are for their spans. The call is as a kernel's function in `primal_device` returned it: as many arguments as the kernel has
    /// parameters, and its own numbers of threads and shared bytes. What it writes was asked for by [`Cuda::write`], which forgets what is known of it.
    pub unsafe fn launch_unchecked<const N: usize>(&self, items: [usize; 2], call: Call<N>) {
        self.launch(items, call);
    }
}

/// Products of halves: see `device/src/kernels/common/half_gemm.rs`.
impl Cuda {
    /// Whether they are as good as those of floats, and the device has them.
    pub fn on_tensor_cores(&self, weight: &GridWeight) -> bool {
        match weight.scales {
            Scales::Row(_) => self.kernels.have_tensor_cores() && weight.grid.fits_half(),
            Scales::Group32 { .. } | Scales::Group32Offset { .. } => self.have_float_tensor_cores(),
        }
    }

    /// Where the bits of the largest absolute values of an op's operands are, each of the first `columns` of its rows of `stride` values.
    pub fn largest<const N: usize>(&self, operands: [(Span<f32>, usize, usize); N]) -> [*const u32; N] {
        self.reserve_largest(N);
        operands.map(|(x, columns, stride)| self.largest_of(x, columns, stride))
    }

    /// As [`largest`](Self::largest) of an operand that a weight with scales of groups is multiplied by; then those of steps and offsets, null where
    /// there are none.
    pub fn largest_with_groups(&self, (x, columns, stride): (Span<f32>, usize, usize), scales: Scales) -> [*const u32; 3] {
        self.reserve_largest(3);
        let [step, offset] = match scales {
            Scales::Row(_) => [None; 2],
            Scales::Group32 { step } => [Some(step), None],
            Scales::Group32Offset { step, offset } => [Some(step), Some(offset)],
        };
        let of = |halves: Option<Span<f16>>| halves.map_or(std::ptr::null(), |halves| self.largest_of_halves(halves));
        [self.largest_of(x, columns, stride), of(step), of(offset)]
    }

    fn reserve_largest(&self, tensors: usize) {
        self.largest.reserve(tensors, |words| self.memory.zero(words, self.kernels.queue()));
    }

    fn largest_of(&self, x: Span<f32>, columns: usize, stride: usize) -> *const u32 {
        let n = size(x.len());
        self.find_largest(x, |word| kernels::largest::largest(word, self.read(x), size(columns), size(stride), n))
    }

    fn largest_of_halves(&self, x: Span<f16>) -> *const u32 {
        self.find_largest(x, |word| kernels::largest::largest_of_halves(word, self.read(x).cast(), size(x.len())))
    }

    /// The word of a tensor, which `call` computes if it is not known.
    fn find_largest<T, const N: usize>(&self, x: Span<T>, call: impl FnOnce(*mut u32) -> Call<N>) -> *const u32 {
        let word = self.largest.find(x).unwrap_or_else(|| {
            let word = self.largest.take(x);
            self.kernels.launch([x.len(), 1], call(self.memory.write(word)));
            word
        });
        self.read(word)
    }
}
