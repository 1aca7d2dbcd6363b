//! What ops need to launch kernels: sizes, and where operands are.

use bytemuck::Pod;
use half::f16;
use primal_device::grid::Grid;
use primal_device::kernels;
use primal_device::kernels::sizes::tiles;
use primal_device::launch::Call;

use super::Cuda;
use crate::backend::cuda_plan;
use crate::backend::operands::{GridWeight, Scales, Sequences, Weight};
use crate::memory::{Act, Activation, Span};

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
    weight.scales.of_rows().expect("scales of rows")
}

/// A bit for each operand that is stored in half precision, in their order.
pub fn halves<const N: usize>(operands: [Activation; N]) -> u32 {
    operands.into_iter().enumerate().map(|(i, values)| u32::from(values.act() == Act::F16) << i).sum()
}

/// The codes that count as rails, as kernels take them.
pub fn rails(weight: &GridWeight) -> u32 {
    u16::from_le_bytes(weight.rails()).into()
}

/// Where a weight's scales are.
#[derive(Clone, Copy)]
pub enum ScalesAt {
    /// Those of rows.
    Rows(*const f32),
    /// Those of groups, bits of halves.
    Groups {
        /// Factors.
        step: *const u16,
        /// What is added, or null.
        offset: *const u16,
    },
}

impl ScalesAt {
    /// Scale, step and offset as kernels take scales of any form: null where a weight has none of the kind.
    pub fn of_any_form(self) -> (*const f32, *const u16, *const u16) {
        match self {
            Self::Rows(scale) => (scale, std::ptr::null(), std::ptr::null()),
            Self::Groups { step, offset } => (std::ptr::null(), step, offset),
        }
    }
}

/// The end of an op on a weight in blocks, which no kernel reads.
pub fn no_blocks() -> ! {
    unreachable!("weights in blocks were refused when the model was opened")
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

    /// Where activations to read are; what form they have, [`halves`] tells the kernel.
    pub fn read_values(&self, values: Activation) -> *const u8 {
        match values {
            Activation::F32(span) => self.read(span).cast(),
            Activation::F16(span) => self.read(span).cast(),
        }
    }

    /// Where activations to write are.
    pub fn write_values(&self, values: Activation) -> *mut u8 {
        match values {
            Activation::F32(span) => self.write(span).cast(),
            Activation::F16(span) => self.write(span).cast(),
        }
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
        let half = |span: Span<f16>| self.read(span).cast();
        match weight.scales {
            Scales::Row(scale) => ScalesAt::Rows(self.read(scale)),
            Scales::Group32 { step } => ScalesAt::Groups { step: half(step), offset: std::ptr::null() },
            Scales::Group32Offset { step, offset } => ScalesAt::Groups { step: half(step), offset: half(offset) },
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

    /// Where the bits of the largest absolute values of an op's operands are, each of the first `columns` of its rows of `stride` values; of halves all
    /// count.
    pub fn largest<const N: usize>(&self, operands: [(Activation, usize, usize); N]) -> [*const u32; N] {
        self.reserve_largest(N);
        operands.map(|operand| self.largest_of_values(operand))
    }

    /// As [`largest`](Self::largest) of an operand that a weight with scales of groups is multiplied by; then those of steps and offsets, null where
    /// there are none.
    pub fn largest_with_groups(&self, operand: (Activation, usize, usize), weight: &GridWeight) -> [*const u32; 3] {
        self.reserve_largest(3);
        let [step, offset] = match weight.scales {
            Scales::Row(_) => [None; 2],
            Scales::Group32 { step } => [Some(step), None],
            Scales::Group32Offset { step, offset } => [Some(step), Some(offset)],
        };
        let of = |halves: Option<Span<f16>>| halves.map_or(std::ptr::null(), |halves| self.largest_of_halves(halves));
        [self.largest_of_values(operand), of(step), of(offset)]
    }

    /// Queues a product with sums over `depth` into `c`, of `items` columns and rows, or added to it if the second is 1. One of few tiles is divided
    /// into parts of its depth, so that it fills the device.
    pub(crate) fn launch_parts<const N: usize>(
        &self,
        (c, accumulate): (*mut f32, u32),
        items @ [columns, rows]: [usize; 2],
        depth: usize,
        call: impl FnOnce((*mut f32, u32), u32) -> Call<N>,
    ) {
        let parts = cuda_plan::parts(items, depth);
        if parts == 1 {
            return self.launch(items, call((c, accumulate), 1));
        }
        let values = columns * rows;
        let sums = self.scratch(parts * values);
        self.launch([columns, rows.next_multiple_of(tiles::ROWS as usize) * parts], call((sums, 0), size(parts)));
        self.launch([values, 1], kernels::linear_half::add_parts(c, sums, size(parts), accumulate, size(values)));
    }

    fn reserve_largest(&self, tensors: usize) {
        self.largest.reserve(tensors, |words| self.memory.zero(words, self.kernels.queue()));
    }

    fn largest_of_values(&self, (x, columns, stride): (Activation, usize, usize)) -> *const u32 {
        match x {
            Activation::F32(x) => self.largest_of(x, columns, stride),
            Activation::F16(x) => {
                assert_eq!(columns, stride, "halves without padding");
                self.largest_of_halves(x)
            }
        }
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
