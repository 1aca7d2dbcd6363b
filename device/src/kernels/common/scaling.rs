//! The scales of a grid weight: the one place where kernels read them.
//!
//! Products multiply by them where they unpack codes, in a form that is known when they are compiled ([`Scaling`]); ops of single weights
//! ask which form it is ([`AnyScales`]).

use crate::gpu::float16::float_of_half;
use crate::grid::{GROUP, Grid};

/// Scales by which a product multiplies what it looks up for codes.
pub trait Scaling: Copy {
    /// What a thread holds of a scale on its way; the default is that of no weight.
    type Held: Copy + Default;
    /// Whether the scale changes along a row.
    const OF_GROUPS: bool;
    /// What the scale is a factor of.
    fn entry(grid: &Grid, code: u8) -> f32;
    /// The scale of a weight.
    unsafe fn load(&self, row: u32, column: u32) -> Self::Held;
    /// The weights of entries that share a scale.
    fn weights<const N: usize>(held: Self::Held, entries: [f32; N]) -> [f32; N];
}

/// The weights of eight codes that share a scale; `entries` has what is looked up for each code.
#[inline(always)]
pub unsafe fn eight_weights<S: Scaling>(codes: u32, scale: S::Held, entries: *const f32) -> [f32; 8] {
    S::weights(scale, core::array::from_fn(|i| *entries.add((codes >> (4 * i) & 15) as usize)))
}

/// None: what is looked up are levels, and their rows' scales multiply the sums.
#[derive(Clone, Copy)]
pub struct Levels;

impl Scaling for Levels {
    type Held = ();
    const OF_GROUPS: bool = false;

    #[inline(always)]
    fn entry(grid: &Grid, code: u8) -> f32 {
        grid.level(code)
    }

    #[inline(always)]
    unsafe fn load(&self, _: u32, _: u32) {}

    #[inline(always)]
    fn weights<const N: usize>((): (), entries: [f32; N]) -> [f32; N] {
        entries
    }
}

/// One for each row.
#[derive(Clone, Copy)]
pub struct RowScales {
    /// `[outputs]`.
    pub scale: *const f32,
}

impl Scaling for RowScales {
    type Held = f32;
    const OF_GROUPS: bool = false;

    #[inline(always)]
    fn entry(grid: &Grid, code: u8) -> f32 {
        grid.level(code)
    }

    #[inline(always)]
    unsafe fn load(&self, row: u32, _: u32) -> f32 {
        *self.scale.add(row as usize)
    }

    #[inline(always)]
    fn weights<const N: usize>(scale: f32, entries: [f32; N]) -> [f32; N] {
        entries.map(|level| level * scale)
    }
}

/// A step, and perhaps an offset, for each group of a row.
#[derive(Clone, Copy)]
pub struct GroupScales {
    /// Bits of halves, `[outputs, groups]`.
    pub step: *const u16,
    /// As steps, or null.
    pub offset: *const u16,
    /// Groups of a row.
    pub groups: u32,
}

impl GroupScales {
    /// Of rows of so many weights.
    #[inline(always)]
    pub fn new(step: *const u16, offset: *const u16, inputs: u32) -> Self {
        Self { step, offset, groups: inputs.div_ceil(GROUP as u32) }
    }

    /// Step and offset of what [`load`](Scaling::load) gave.
    #[inline(always)]
    pub fn values(held: u32) -> [f32; 2] {
        [float_of_half(held as u16), float_of_half((held >> 16) as u16)]
    }
}

impl Scaling for GroupScales {
    /// The bits of the step, and above them those of the offset.
    type Held = u32;
    const OF_GROUPS: bool = true;

    #[inline(always)]
    fn entry(grid: &Grid, code: u8) -> f32 {
        match grid.denominator() {
            Some(_) => f32::from(grid.integers[(code & 15) as usize]),
            None => grid.level(code),
        }
    }

    #[inline(always)]
    unsafe fn load(&self, row: u32, column: u32) -> u32 {
        let at = row as usize * self.groups as usize + (column / GROUP as u32) as usize;
        let offset = if self.offset.is_null() { 0 } else { *self.offset.add(at) };
        u32::from(*self.step.add(at)) | u32::from(offset) << 16
    }

    #[inline(always)]
    fn weights<const N: usize>(held: u32, entries: [f32; N]) -> [f32; N] {
        let [step, offset] = Self::values(held);
        entries.map(|numerator| numerator * step + offset)
    }
}

/// Scales of any form: those of rows, or where they are null, those of groups.
#[derive(Clone, Copy)]
pub struct AnyScales {
    rows: RowScales,
    groups: GroupScales,
    /// Steps that make a scale.
    steps: f32,
}

impl AnyScales {
    /// Of a weight on `grid` with rows of so many inputs.
    #[inline(always)]
    pub fn new(scale: *const f32, step: *const u16, offset: *const u16, grid: &Grid, inputs: u32) -> Self {
        Self { rows: RowScales { scale }, groups: GroupScales::new(step, offset, inputs), steps: grid.steps() }
    }

    /// Whether the scale changes along a row.
    #[inline(always)]
    pub fn of_groups(&self) -> bool {
        self.rows.scale.is_null()
    }

    /// The scale of a weight and what is added, `w = scale · level + offset`.
    #[inline(always)]
    pub unsafe fn at(&self, row: usize, column: usize) -> [f32; 2] {
        if !self.of_groups() {
            return [self.rows.load(row as u32, column as u32), 0.0];
        }
        let [step, offset] = GroupScales::values(self.groups.load(row as u32, column as u32));
        [step * self.steps, offset]
    }
}
