//! What ops need to launch kernels: sizes, and where operands are.

use bytemuck::Pod;
use primal_device::launch::Call;

use super::Cuda;
use crate::backend::operands::{Sequences, Weight};
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

    /// Where a bias is, or null.
    pub fn bias(&self, bias: Option<Span<f32>>) -> *const f32 {
        bias.map_or(std::ptr::null(), |bias| self.read(bias))
    }

    /// Whether products of two float operands go through tensor cores.
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
    /// [`Cuda::scratch`] are for their spans.
    pub unsafe fn launch_unchecked<const N: usize>(&self, items: [usize; 2], call: Call<N>) {
        self.launch(items, call);
    }
}
