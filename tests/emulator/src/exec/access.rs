//! Memory accesses of a warp: each lane's address is located, checked, and read or written.

use bytemuck::Pod;

use super::fault::{FaultKind, Outcome, fault};
use super::regs::{LANES, Lane, Row, lanes};
use super::run::Exec;
use super::shared::{Access, Hazard};
use crate::exec::program::Inst;
use crate::memory::{Allocation, Cell};
use crate::ptx::Space;

/// Generic addresses of shared memory begin here.
pub const SHARED_WINDOW: u64 = 0x0100_0000;
/// Generic addresses of local memory begin here.
pub const LOCAL_WINDOW: u64 = 0x0200_0000;
/// Generic addresses of kernel parameters begin here.
pub const PARAM_WINDOW: u64 = 0x0300_0000;
/// Size of each window.
pub const WINDOW_BYTES: u64 = 0x0100_0000;

/// A type that memory is accessed in.
pub trait Elements: Cell + Pod {}
impl<T: Cell + Pod> Elements for T {}

/// Where an address lies.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// In global memory.
    Global(&'a Allocation),
    /// In the block's shared memory.
    Shared,
    /// In the thread's local memory.
    Local,
    /// In the parameter block.
    Param,
}

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads.
    Load,
    /// Writes.
    Store,
    /// Reads and writes in one step.
    Atomic,
}

/// The lanes of an access that lie in one place.
struct Part<'a> {
    place: Place<'a>,
    mask: u32,
    /// Offset in the place; inactive lanes repeat an active one's.
    offsets: Row<u64>,
}

impl<'a> Exec<'a> {
    /// The addresses that a memory instruction names.
    #[inline(always)]
    pub fn addresses(&self, inst: &Inst) -> Row<u64> {
        if inst.narrow {
            self.warp.regs.get::<u32>(inst.a).map(|address| u64::from(address).wrapping_add(inst.imm))
        } else {
            self.warp.regs.get::<u64>(inst.a).map(|address| address.wrapping_add(inst.imm))
        }
    }

    /// The place that an address lies in: (place, its first address, its size).
    #[inline]
    pub fn place(&self, space: Space, address: u64) -> Option<(Place<'a>, u64, u64)> {
        let shared = self.shared.size() as u64;
        let local = self.launch.program.local_bytes as u64;
        let params = self.launch.params.len() as u64;
        match space {
            Space::Shared => Some((Place::Shared, 0, shared)),
            Space::Local => Some((Place::Local, 0, local)),
            Space::Param => Some((Place::Param, 0, params)),
            Space::Global | Space::Const => {
                let launch = self.launch;
                launch.heap.find(address).map(|found| (Place::Global(found), found.start, found.bytes))
            }
            Space::Generic => match address & !(WINDOW_BYTES - 1) {
                SHARED_WINDOW => Some((Place::Shared, SHARED_WINDOW, shared)),
                LOCAL_WINDOW => Some((Place::Local, LOCAL_WINDOW, local)),
                PARAM_WINDOW => Some((Place::Param, PARAM_WINDOW, params)),
                _ => self.place(Space::Global, address),
            },
        }
    }

    /// The part of the lanes of `rest` that lie in the place of the first of them.
    #[inline(always)]
    fn part(&self, space: Space, at: &Row<u64>, rest: u32, bytes: u64, kind: Kind) -> Outcome<Part<'a>> {
        let first = rest.trailing_zeros() as usize;
        let Some((place, base, size)) = self.place(space, at[first]) else {
            return self.out_of_bounds(space, at[first], first, bytes, kind);
        };
        let limit = size.wrapping_sub(bytes);
        let inside = (0..LANES).fold(0, |mask, lane| mask | u32::from(at[lane].wrapping_sub(base) <= limit) << lane);
        let mask = inside & rest;
        if bytes > size || mask >> first & 1 == 0 {
            return self.out_of_bounds(space, at[first], first, bytes, kind);
        }
        let safe = at[first] - base;
        let offsets = std::array::from_fn(|lane| if mask >> lane & 1 != 0 { at[lane] - base } else { safe });
        Ok(Part { place, mask, offsets })
    }

    #[cold]
    fn out_of_bounds<T>(&self, space: Space, address: u64, lane: usize, bytes: u64, kind: Kind) -> Outcome<T> {
        let place = match self.place(space, address) {
            Some((Place::Shared, base, size)) => format!("{} bytes into shared memory, which has {size}", address - base),
            Some((Place::Local, base, size)) => format!("{} bytes into the thread's local memory, which has {size}", address - base),
            Some((Place::Param, base, size)) => format!("{} bytes into the parameters, which have {size}", address - base),
            _ => self.launch.heap.describe(address),
        };
        fault(FaultKind::IllegalAddress, lane, format!("{kind:?} of {bytes} bytes at {address:#x} is out of bounds: {place}"))
    }

    #[inline(always)]
    fn check_aligned(&self, at: &Row<u64>, mask: u32, bytes: u64) -> Outcome<()> {
        let low = bytes - 1;
        if at.iter().fold(0, |bits, address| bits | address & low) == 0 {
            return Ok(());
        }
        match lanes(mask).find(|&lane| at[lane] & low != 0) {
            None => Ok(()),
            Some(lane) => {
                fault(FaultKind::Misaligned, lane, format!("access of {bytes} bytes at {:#x}, which is no multiple of {bytes}", at[lane]))
            }
        }
    }

    /// Counts an access, and checks for unwritten memory and races. Plain stores to shared memory are checked when they are done.
    #[inline(always)]
    fn note(&mut self, part: &Part, kind: Kind, volatile: bool, bytes: usize) -> Outcome<()> {
        if self.launch.profile {
            self.count(part, bytes);
        }
        match part.place {
            Place::Global(allocation) if allocation.tracked() => self.note_global(allocation, part, kind, bytes),
            Place::Shared if self.shared.checked() => {
                let access = Access { reads: kind != Kind::Store, writes: kind != Kind::Load, atomic: volatile || kind == Kind::Atomic };
                if access.atomic || access.reads {
                    for lane in lanes(part.mask) {
                        if let Err(hazard) = self.shared.note(access, part.offsets[lane], bytes, self.warp.index, lane) {
                            return self.hazard(hazard, lane, part.offsets[lane]);
                        }
                    }
                }
                if volatile {
                    self.shared.synchronise(self.warp.index);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Checks a lane's plain store to shared memory; writing what is there already is no race.
    #[inline(always)]
    fn note_shared_store(&mut self, lane: usize, offset: u64, bytes: usize, changes: impl Fn(&Self) -> bool) -> Outcome<()> {
        if !self.shared.checked() {
            return Ok(());
        }
        let access = Access { reads: false, writes: true, atomic: false };
        match self.shared.note(access, offset, bytes, self.warp.index, lane) {
            Ok(()) => Ok(()),
            Err(Hazard::Race(true, ..)) if !changes(self) => Ok(()),
            Err(hazard) => self.hazard(hazard, lane, offset),
        }
    }

    fn count(&mut self, part: &Part, bytes: usize) {
        let active = lanes(part.mask).map(|lane| (lane, part.offsets[lane]));
        match part.place {
            Place::Global(_) => self.counters.global_request(active.map(|(_, offset)| offset)),
            Place::Shared => self.counters.shared_request(active, bytes),
            Place::Local | Place::Param => {}
        }
    }

    fn note_global(&mut self, allocation: &Allocation, part: &Part, kind: Kind, bytes: usize) -> Outcome<()> {
        for lane in lanes(part.mask) {
            let offset = part.offsets[lane];
            if kind == Kind::Store {
                allocation.note_written(offset, bytes);
            } else if !allocation.is_written(offset, bytes) {
                let address = allocation.start + offset;
                let place = self.launch.heap.describe(address);
                let message = format!("{kind:?} of {bytes} bytes at {address:#x}, {offset} bytes {place}, which were never written");
                return fault(FaultKind::LaunchFailed, lane, message);
            }
        }
        Ok(())
    }

    #[cold]
    fn hazard<T>(&self, hazard: Hazard, lane: usize, offset: u64) -> Outcome<T> {
        let message = match hazard {
            Hazard::Unwritten => format!("read of shared memory at {offset:#x}, which was never written"),
            Hazard::Race(written, warp, by_lane) => {
                let what = if written { "written" } else { "read" };
                let who = by_lane.map_or(String::new(), |lane| format!(" lane {lane}"));
                format!("race in shared memory at {offset:#x}: warp {warp}{who} has {what} it, and no barrier lies between")
            }
        };
        fault(FaultKind::LaunchFailed, lane, message)
    }

    /// Loads `inst.more.len()` elements of each lane into the registers `inst.more`.
    #[inline(always)]
    pub fn load<E: Elements, R: Lane>(&mut self, inst: &Inst, mask: u32, widen: impl Fn(E) -> R) -> Outcome<()>
    where
        Row<R>: Pod,
    {
        let at = self.addresses(inst);
        let bytes = size_of::<E>() * inst.more.len();
        self.check_aligned(&at, mask, bytes as u64)?;
        let mut rest = mask;
        while rest != 0 {
            let part = self.part(inst.space, &at, rest, bytes as u64, Kind::Load)?;
            rest &= !part.mask;
            self.note(&part, Kind::Load, inst.variant == Inst::VOLATILE, bytes)?;
            for (k, &slot) in inst.more.iter().enumerate() {
                let skip = (k * size_of::<E>()) as u64;
                let values = self.fetch::<E>(part.place, &part.offsets, skip).map(&widen);
                self.warp.regs.set(slot, part.mask, &values);
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn fetch<E: Elements>(&self, place: Place, offsets: &Row<u64>, skip: u64) -> Row<E> {
        match place {
            Place::Global(allocation) => offsets.map(|offset| allocation.load(offset + skip)),
            Place::Shared => offsets.map(|offset| self.shared.load(offset + skip)),
            Place::Local => {
                let bytes = self.launch.program.local_bytes;
                std::array::from_fn(|lane| read(&self.warp.local[lane * bytes..], offsets[lane] + skip))
            }
            Place::Param => offsets.map(|offset| read(self.launch.params, offset + skip)),
        }
    }

    /// Stores the registers `inst.more` of each lane.
    #[inline(always)]
    pub fn store<E: Elements + PartialEq, R: Lane>(&mut self, inst: &Inst, mask: u32, narrow: impl Fn(R) -> E) -> Outcome<()>
    where
        Row<R>: Pod,
    {
        let at = self.addresses(inst);
        let size = size_of::<E>();
        let bytes = size * inst.more.len();
        self.check_aligned(&at, mask, bytes as u64)?;
        let mut rest = mask;
        while rest != 0 {
            let part = self.part(inst.space, &at, rest, bytes as u64, Kind::Store)?;
            rest &= !part.mask;
            let volatile = inst.variant == Inst::VOLATILE;
            self.note(&part, Kind::Store, volatile, bytes)?;
            if let (Place::Shared, false) = (part.place, volatile) {
                self.store_shared::<E, R>(inst, &part, &narrow)?;
                continue;
            }
            for (k, &slot) in inst.more.iter().enumerate() {
                let values = self.warp.regs.get::<R>(slot).map(&narrow);
                self.put(&part, (k * size) as u64, &values)?;
            }
        }
        Ok(())
    }

    /// Stores to shared memory lane after lane, so that lanes which write different values to one place are found.
    #[inline(always)]
    fn store_shared<E: Elements + PartialEq, R: Lane>(&mut self, inst: &Inst, part: &Part, narrow: impl Fn(R) -> E) -> Outcome<()>
    where
        Row<R>: Pod,
    {
        let size = size_of::<E>();
        for lane in lanes(part.mask) {
            let at = |k: usize| part.offsets[lane] + (k * size) as u64;
            let value = |x: &Self, k: usize| narrow(x.warp.regs.get::<R>(inst.more[k])[lane]);
            let changes = |x: &Self| (0..inst.more.len()).any(|k| x.shared.load::<E>(at(k)) != value(x, k));
            self.note_shared_store(lane, part.offsets[lane], size * inst.more.len(), changes)?;
            for k in 0..inst.more.len() {
                let value = value(self, k);
                self.shared.store(at(k), value);
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn put<E: Elements>(&mut self, part: &Part, skip: u64, values: &Row<E>) -> Outcome<()> {
        match part.place {
            Place::Global(allocation) => lanes(part.mask).for_each(|lane| allocation.store(part.offsets[lane] + skip, values[lane])),
            Place::Shared => lanes(part.mask).for_each(|lane| self.shared.store(part.offsets[lane] + skip, values[lane])),
            Place::Local => {
                let bytes = self.launch.program.local_bytes;
                for lane in lanes(part.mask) {
                    let from = lane * bytes + (part.offsets[lane] + skip) as usize;
                    self.warp.local[from..from + size_of::<E>()].copy_from_slice(bytemuck::bytes_of(&values[lane]));
                }
            }
            Place::Param => {
                return fault(FaultKind::IllegalAddress, part.mask.trailing_zeros() as usize, "store to the kernel's parameters");
            }
        }
        Ok(())
    }

    /// Loads the 16 bytes of shared memory that each lane of a mask points to, as four words, in one request.
    pub fn load_rows(&mut self, inst: &Inst, mask: u32) -> Outcome<[Row<u32>; 4]> {
        let at = self.addresses(inst);
        self.check_aligned(&at, mask, 16)?;
        let part = self.part(inst.space, &at, mask, 16, Kind::Load)?;
        let outside = mask & !part.mask;
        if outside != 0 {
            let lane = outside.trailing_zeros() as usize;
            return self.out_of_bounds(inst.space, at[lane], lane, 16, Kind::Load);
        }
        self.note(&part, Kind::Load, false, 16)?;
        Ok(std::array::from_fn(|word| self.fetch(part.place, &part.offsets, 4 * word as u64)))
    }

    /// Reads bytes for one lane, with all checks.
    pub fn read_bytes(&mut self, lane: usize, space: Space, from: u64, into: &mut [u8]) -> Outcome<()> {
        if into.is_empty() {
            return Ok(());
        }
        let part = self.part(space, &[from; LANES], 1 << lane, into.len() as u64, Kind::Load)?;
        self.note(&part, Kind::Load, false, into.len())?;
        let offset = part.offsets[lane];
        match part.place {
            Place::Global(allocation) if offset % 4 == 0 => {
                for (k, chunk) in into.chunks_mut(4).enumerate() {
                    let at = offset + 4 * k as u64;
                    match <&mut [u8; 4]>::try_from(&mut *chunk) {
                        Ok(word) => *word = allocation.load::<u32>(at).to_le_bytes(),
                        Err(_) => chunk.iter_mut().zip(at..).for_each(|(byte, at)| *byte = allocation.load(at)),
                    }
                }
            }
            place => into.iter_mut().zip(0..).for_each(|(byte, skip)| *byte = self.fetch::<u8>(place, &part.offsets, skip)[lane]),
        }
        Ok(())
    }

    /// Writes bytes to shared memory for one lane, with all checks.
    pub fn write_shared(&mut self, lane: usize, to: u64, from: &[u8]) -> Outcome<()> {
        let part = self.part(Space::Shared, &[to; LANES], 1 << lane, from.len() as u64, Kind::Store)?;
        self.note(&part, Kind::Store, false, from.len())?;
        let changes = |x: &Self| (0..from.len()).any(|k| x.shared.load::<u8>(to + k as u64) != from[k]);
        self.note_shared_store(lane, to, from.len(), changes)?;
        (0..from.len()).for_each(|k| self.shared.store(to + k as u64, from[k]));
        Ok(())
    }

    /// Replaces an element of each lane by `f(is it global, old, b, c)`, one lane after the other; the old ones go to `d` if it is wanted.
    pub fn atomic<E: Elements + Lane>(&mut self, inst: &Inst, mask: u32, f: impl Fn(bool, E, E, E) -> E) -> Outcome<()>
    where
        Row<E>: Pod,
    {
        let at = self.addresses(inst);
        let bytes = size_of::<E>();
        self.check_aligned(&at, mask, bytes as u64)?;
        let (b, c) = (*self.warp.regs.get::<E>(inst.b), *self.warp.regs.get::<E>(inst.c));
        let mut old = [E::zeroed(); LANES];
        let mut rest = mask;
        while rest != 0 {
            let part = self.part(inst.space, &at, rest, bytes as u64, Kind::Atomic)?;
            rest &= !part.mask;
            let volatile = inst.variant == Inst::VOLATILE;
            self.note(&part, Kind::Atomic, volatile, bytes)?;
            for lane in lanes(part.mask) {
                let offset = part.offsets[lane];
                old[lane] = match part.place {
                    Place::Global(allocation) => allocation.update(offset, |old| f(true, old, b[lane], c[lane])),
                    Place::Shared => {
                        let old = self.shared.load(offset);
                        self.shared.store(offset, f(false, old, b[lane], c[lane]));
                        old
                    }
                    Place::Local | Place::Param => {
                        return fault(FaultKind::IllegalAddress, lane, "atomic operation outside of global and shared memory");
                    }
                };
            }
        }
        if inst.d != Inst::UNUSED {
            self.warp.regs.set(inst.d, mask, &old);
        }
        Ok(())
    }
}

impl Inst {
    /// The variant of accesses that may be used to wait for other threads.
    pub const VOLATILE: u8 = 1;
    /// The slot of a result that is not wanted.
    pub const UNUSED: u32 = u32::MAX;
}

fn read<E: Pod>(bytes: &[u8], offset: u64) -> E {
    bytemuck::pod_read_unaligned(&bytes[offset as usize..offset as usize + size_of::<E>()])
}
