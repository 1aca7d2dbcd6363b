//! The registers of a warp: one row of 32 lanes for each register, and one bit per lane for a predicate.

use bytemuck::{Pod, Zeroable};

use crate::exec::program::Inst;

/// Lanes of a warp.
pub const LANES: usize = 32;
/// The mask of a warp with all lanes active.
pub const FULL: u32 = u32::MAX;

/// One value for each lane.
pub type Row<T> = [T; LANES];

/// A type that a register can hold.
pub trait Lane: Pod + Default {}
impl<T: Pod + Default> Lane for T {}

/// A cache line of the register file; rows begin at a multiple of it.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Unit([u8; 64]);

/// Units that a row of registers of `bytes` bytes takes.
pub fn units(bytes: usize) -> u32 {
    (LANES * bytes).div_ceil(size_of::<Unit>()) as u32
}

/// The register file of a warp. A slot is the index of a row's first unit, or of a predicate.
#[derive(Default)]
pub struct Regs {
    file: Vec<Unit>,
    preds: Vec<u32>,
    /// The carry flag of `add.cc` and its kin, one bit per lane.
    pub carry: u32,
}

impl Regs {
    /// Sets all registers to zero, but copies `constants` to the first units.
    pub fn reset(&mut self, constants: &[Unit], units: usize, preds: usize) {
        self.file.clear();
        self.file.extend_from_slice(constants);
        self.file.resize(units, Unit::zeroed());
        self.preds.clear();
        self.preds.resize(preds, 0);
        self.carry = 0;
    }

    /// The row at `slot`.
    #[inline(always)]
    pub fn get<T: Lane>(&self, slot: u32) -> &Row<T>
    where
        Row<T>: Pod,
    {
        row(&self.file, slot)
    }

    /// Writes the lanes of `mask` at `slot`.
    #[inline(always)]
    pub fn set<T: Lane>(&mut self, slot: u32, mask: u32, values: &Row<T>)
    where
        Row<T>: Pod,
    {
        let row = row_mut(&mut self.file, slot);
        if mask == FULL {
            *row = *values;
        } else {
            for lane in 0..LANES {
                row[lane] = if mask >> lane & 1 != 0 { values[lane] } else { row[lane] };
            }
        }
    }

    /// The row at `slot` of registers of `bytes` bytes, with zeros above.
    #[inline(always)]
    pub fn get_wide(&self, slot: u32, bytes: usize) -> Row<u64> {
        match bytes {
            1 => self.get::<u8>(slot).map(u64::from),
            2 => self.get::<u16>(slot).map(u64::from),
            4 => self.get::<u32>(slot).map(u64::from),
            _ => *self.get::<u64>(slot),
        }
    }

    /// Writes the low `bytes` bytes of each value to the lanes of `mask`.
    #[inline(always)]
    pub fn set_wide(&mut self, slot: u32, mask: u32, bytes: usize, values: &Row<u64>) {
        match bytes {
            1 => self.set(slot, mask, &values.map(|value| value as u8)),
            2 => self.set(slot, mask, &values.map(|value| value as u16)),
            4 => self.set(slot, mask, &values.map(|value| value as u32)),
            _ => self.set(slot, mask, values),
        }
    }

    /// The lanes where a predicate holds.
    #[inline(always)]
    pub fn pred(&self, slot: u32) -> u32 {
        self.preds[slot as usize]
    }

    /// Sets a predicate in the lanes of `mask`.
    #[inline(always)]
    pub fn set_pred(&mut self, slot: u32, mask: u32, value: u32) {
        let pred = &mut self.preds[slot as usize];
        *pred = *pred & !mask | value & mask;
    }

    /// `d = f(a)` in each lane of `mask`.
    #[inline(always)]
    pub fn map1<A: Lane, D: Lane>(&mut self, inst: &Inst, mask: u32, f: impl Fn(A) -> D)
    where
        Row<A>: Pod,
        Row<D>: Pod,
    {
        let a = self.get::<A>(inst.a);
        let values = std::array::from_fn(|lane| f(a[lane]));
        self.set(inst.d, mask, &values);
    }

    /// `d = f(a, b)` in each lane of `mask`.
    #[inline(always)]
    pub fn map2<A: Lane, B: Lane, D: Lane>(&mut self, inst: &Inst, mask: u32, f: impl Fn(A, B) -> D)
    where
        Row<A>: Pod,
        Row<B>: Pod,
        Row<D>: Pod,
    {
        let (a, b) = (self.get::<A>(inst.a), self.get::<B>(inst.b));
        let values = std::array::from_fn(|lane| f(a[lane], b[lane]));
        self.set(inst.d, mask, &values);
    }

    /// `d = f(a, b, c)` in each lane of `mask`.
    #[inline(always)]
    pub fn map3<A: Lane, B: Lane, C: Lane, D: Lane>(&mut self, inst: &Inst, mask: u32, f: impl Fn(A, B, C) -> D)
    where
        Row<A>: Pod,
        Row<B>: Pod,
        Row<C>: Pod,
        Row<D>: Pod,
    {
        let (a, b, c) = (self.get::<A>(inst.a), self.get::<B>(inst.b), self.get::<C>(inst.c));
        let values = std::array::from_fn(|lane| f(a[lane], b[lane], c[lane]));
        self.set(inst.d, mask, &values);
    }

    /// The lanes where `f(a, b)` holds.
    #[inline(always)]
    pub fn compare<A: Lane>(&self, a: u32, b: u32, f: impl Fn(A, A) -> bool) -> u32
    where
        Row<A>: Pod,
    {
        let (a, b) = (self.get::<A>(a), self.get::<A>(b));
        (0..LANES).fold(0, |mask, lane| mask | u32::from(f(a[lane], b[lane])) << lane)
    }
}

/// Writes `value` to all lanes of the row at `slot` of a register file.
pub fn broadcast<T: Lane>(file: &mut [Unit], slot: u32, value: T)
where
    Row<T>: Pod,
{
    *row_mut(file, slot) = [value; LANES];
}

#[inline(always)]
fn row<T: Lane>(file: &[Unit], slot: u32) -> &Row<T>
where
    Row<T>: Pod,
{
    let from = slot as usize * size_of::<Unit>();
    bytemuck::from_bytes(&bytemuck::cast_slice(file)[from..from + size_of::<Row<T>>()])
}

#[inline(always)]
fn row_mut<T: Lane>(file: &mut [Unit], slot: u32) -> &mut Row<T>
where
    Row<T>: Pod,
{
    let from = slot as usize * size_of::<Unit>();
    bytemuck::from_bytes_mut(&mut bytemuck::cast_slice_mut(file)[from..from + size_of::<Row<T>>()])
}

/// The set bits of a mask, from the lowest.
#[inline(always)]
pub fn lanes(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let lane = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            lane
        })
    })
}
