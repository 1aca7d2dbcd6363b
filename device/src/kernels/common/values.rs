//! Activations in memory: floats, or halves that stand for them.
//!
//! Products know which when they are compiled ([`Element`]); other kernels are told, by a parameter `halves` that has a bit for each operand of
//! activations, in their order.

use crate::gpu::float16::{float_of_half, half_of_float};
use crate::gpu::memory::{self, load_words2, load_words2_constant, load4_constant, store_words2};

/// A float, or the bits of a half.
pub trait Element: Copy {
    /// The value.
    unsafe fn get(from: *const Self) -> f32;
    /// Four adjacent values that no one writes while the kernel runs. The first is on a multiple of four, from an address that is one of 16 bytes.
    unsafe fn load4_constant(from: *const Self) -> [f32; 4];
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn get(from: *const f32) -> f32 {
        *from
    }

    #[inline(always)]
    unsafe fn load4_constant(from: *const f32) -> [f32; 4] {
        load4_constant(from)
    }
}

impl Element for u16 {
    #[inline(always)]
    unsafe fn get(from: *const u16) -> f32 {
        float_of_half(*from)
    }

    #[inline(always)]
    unsafe fn load4_constant(from: *const u16) -> [f32; 4] {
        floats(load_words2_constant(from.cast()))
    }
}

/// Four halves as floats.
#[inline(always)]
fn floats([a, b]: [u32; 2]) -> [f32; 4] {
    [a as u16, (a >> 16) as u16, b as u16, (b >> 16) as u16].map(float_of_half)
}

/// Where activations are, to read.
#[derive(Clone, Copy)]
pub struct Values {
    data: *const u8,
    half: bool,
}

impl From<*const f32> for Values {
    #[inline(always)]
    fn from(data: *const f32) -> Self {
        Self { data: data.cast(), half: false }
    }
}

impl From<*mut f32> for Values {
    #[inline(always)]
    fn from(data: *mut f32) -> Self {
        data.cast_const().into()
    }
}

impl Values {
    /// Operand `operand` of those that `halves` tells of.
    #[inline(always)]
    pub fn of(data: *const u8, halves: u32, operand: u32) -> Self {
        Self { data, half: halves >> operand & 1 == 1 }
    }

    /// The values from `count` on.
    #[inline(always)]
    pub fn skip(self, count: usize) -> Self {
        Self { data: self.data.wrapping_add(count * if self.half { 2 } else { 4 }), half: self.half }
    }

    /// Whether four at a time may be loaded there.
    #[inline(always)]
    pub fn aligned(self) -> bool {
        (self.data as usize).is_multiple_of(if self.half { 8 } else { 16 })
    }

    /// Value `index`.
    #[inline(always)]
    pub unsafe fn get(self, index: usize) -> f32 {
        if self.half { Element::get(self.data.cast::<u16>().add(index)) } else { *self.data.cast::<f32>().add(index) }
    }

    /// `V` adjacent values from `index` on, as vectors where V is a multiple of four.
    #[inline(always)]
    pub unsafe fn load<const V: usize>(self, index: usize) -> [f32; V] {
        if !self.half {
            return memory::load(self.data.cast::<f32>().add(index));
        }
        let (from, mut values) = (self.data.cast::<u16>().add(index), [0.0; V]);
        if V.is_multiple_of(4) {
            for (i, four) in values.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&floats(load_words2(from.add(4 * i).cast())));
            }
        } else {
            for i in 0..V {
                values[i] = Element::get(from.add(i));
            }
        }
        values
    }
}

/// Where activations are, to write.
#[derive(Clone, Copy)]
pub struct ValuesMut {
    data: *mut u8,
    half: bool,
}

impl From<*mut f32> for ValuesMut {
    #[inline(always)]
    fn from(data: *mut f32) -> Self {
        Self { data: data.cast(), half: false }
    }
}

impl ValuesMut {
    /// Operand `operand` of those that `halves` tells of.
    #[inline(always)]
    pub fn of(data: *mut u8, halves: u32, operand: u32) -> Self {
        Self { data, half: halves >> operand & 1 == 1 }
    }

    /// To read what is there.
    #[inline(always)]
    pub fn values(self) -> Values {
        Values { data: self.data, half: self.half }
    }

    /// The values from `count` on.
    #[inline(always)]
    pub fn skip(self, count: usize) -> Self {
        Self { data: self.values().skip(count).data.cast_mut(), half: self.half }
    }

    /// Whether four at a time may be stored there.
    #[inline(always)]
    pub fn aligned(self) -> bool {
        self.values().aligned()
    }

    /// Where floats are, if these are floats.
    #[inline(always)]
    pub fn floats(self) -> Option<*mut f32> {
        if self.half { None } else { Some(self.data.cast()) }
    }

    /// Stores value `index`.
    #[inline(always)]
    pub unsafe fn set(self, index: usize, value: f32) {
        if self.half {
            *self.data.cast::<u16>().add(index) = half_of_float(value);
        } else {
            *self.data.cast::<f32>().add(index) = value;
        }
    }

    /// Stores `V` adjacent values from `index` on, as vectors where V is a multiple of four.
    #[inline(always)]
    pub unsafe fn store<const V: usize>(self, index: usize, values: [f32; V]) {
        if !self.half {
            return memory::store(self.data.cast::<f32>().add(index), values);
        }
        let to = self.data.cast::<u16>().add(index);
        if V.is_multiple_of(4) {
            let word = |i: usize| u32::from(half_of_float(values[i])) | u32::from(half_of_float(values[i + 1])) << 16;
            for i in 0..V / 4 {
                store_words2(to.add(4 * i).cast(), [word(4 * i), word(4 * i + 2)]);
            }
        } else {
            for i in 0..V {
                *to.add(i) = half_of_float(values[i]);
            }
        }
    }
}
