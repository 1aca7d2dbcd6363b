//! The shared memory of a block, with a record of the last write and the last reads of each granule:
//! they tell unwritten memory and races (two accesses, one of them a write, not ordered by a barrier).
//!
//! Order is kept as in FastTrack (Flanagan and Freund, PLDI 2009): every access is stamped with a time, and for each pair
//! of warps the latest time of one that the other has synchronised with is known.

use super::regs::{LANES, Row};

/// Bits of a record below its time: a flag, the warp, the lane.
const TIME_SHIFT: u32 = 12;
/// The last time before the records are forgotten.
const LAST_TIME: u32 = (1 << 20) - 1;
/// The flag of reads by several warps.
const MANY_WARPS: u32 = 1 << 11;
/// The lane of reads by several lanes.
const MANY_LANES: u32 = 63;
/// The lane of an atomic or volatile access.
const ATOMIC: u32 = 62;

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// It reads.
    pub reads: bool,
    /// It writes.
    pub writes: bool,
    /// It is atomic or volatile: never in a race with its like.
    pub atomic: bool,
}

/// What is wrong with an access.
#[derive(Debug, PartialEq, Eq)]
pub enum Hazard {
    /// The memory was never written.
    Unwritten,
    /// A race with an earlier access: (it was a write, its warp, its lane if one is known).
    Race(bool, u32, Option<u32>),
}

/// The shared memory of the block that a worker executes.
#[derive(Default)]
pub struct Shared {
    bytes: Vec<u64>,
    size: usize,
    shift: u32,
    writes: Vec<u32>,
    reads: Vec<u32>,
    races: bool,
    unwritten: bool,
    now: u32,
    /// `seen[w][v]`: the accesses of warp v up to this time come before what warp w does next.
    seen: Vec<Row<u32>>,
    /// What an atomic access to shared memory has seen: it orders the warps that follow.
    hub: Row<u32>,
    /// All accesses up to this time come before everything that follows.
    floor: u32,
}

impl Shared {
    /// Prepares for a block: `size` bytes, none of them written, accessed in multiples of `granule` bytes.
    pub fn reset(&mut self, size: usize, granule: usize, warps: usize, races: bool, unwritten: bool) {
        self.bytes.clear();
        self.bytes.resize(size.div_ceil(8), 0);
        self.size = size;
        self.shift = granule.trailing_zeros();
        let granules = if races || unwritten { size.div_ceil(granule) } else { 0 };
        for records in [&mut self.writes, &mut self.reads] {
            records.clear();
            records.resize(granules, 0);
        }
        (self.races, self.unwritten) = (races, unwritten);
        (self.now, self.floor) = (1, 0);
        self.seen.clear();
        self.seen.resize(warps, [0; LANES]);
        self.hub = [0; LANES];
    }

    /// Bytes of shared memory.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The bytes at `offset`, which must be inside.
    #[inline(always)]
    pub fn load<T: bytemuck::AnyBitPattern>(&self, offset: u64) -> T {
        let from = offset as usize;
        bytemuck::pod_read_unaligned(&bytemuck::cast_slice(&self.bytes)[from..from + size_of::<T>()])
    }

    /// Writes the bytes at `offset`, which must be inside.
    #[inline(always)]
    pub fn store<T: bytemuck::NoUninit>(&mut self, offset: u64, value: T) {
        let from = offset as usize;
        bytemuck::cast_slice_mut(&mut self.bytes)[from..from + size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&value));
    }

    /// Whether accesses must be noted.
    #[inline(always)]
    pub fn checked(&self) -> bool {
        !self.writes.is_empty()
    }

    /// Notes an access of `bytes` bytes and says what is wrong with it.
    #[inline]
    pub fn note(&mut self, access: Access, offset: u64, bytes: usize, warp: u32, lane: usize) -> Result<(), Hazard> {
        let from = offset as usize >> self.shift;
        let to = (offset as usize + bytes).div_ceil(1 << self.shift);
        let stamp = self.now << TIME_SHIFT | warp << 6;
        for granule in from..to {
            let write = self.writes[granule];
            if access.reads && write == 0 && self.unwritten {
                return Err(Hazard::Unwritten);
            }
            if self.races {
                self.check(access, write, true, warp, lane)?;
                if access.writes {
                    self.check(access, self.reads[granule], false, warp, lane)?;
                }
            }
            let lane = if access.atomic { ATOMIC } else { lane as u32 };
            if access.writes {
                self.writes[granule] = stamp | lane;
            } else {
                self.reads[granule] = self.merged_read(self.reads[granule], warp, lane);
            }
        }
        Ok(())
    }

    /// Whether the earlier access `record` comes before this one.
    #[inline(always)]
    fn check(&self, access: Access, record: u32, was_write: bool, warp: u32, lane: usize) -> Result<(), Hazard> {
        if record >> TIME_SHIFT <= self.floor || self.ordered(access, record, warp, lane) {
            return Ok(());
        }
        let who = record & 63;
        Err(Hazard::Race(was_write, record >> 6 & 31, (who < 32).then_some(who)))
    }

    fn ordered(&self, access: Access, record: u32, warp: u32, lane: usize) -> bool {
        let (time, by_warp, by_lane) = (record >> TIME_SHIFT, record >> 6 & 31, record & 63);
        let seen = &self.seen[warp as usize];
        if by_lane == ATOMIC && access.atomic {
            return true;
        }
        if record & MANY_WARPS != 0 {
            // Which warps read is not known any more: complain only if none of them can be meant.
            return time <= *seen.iter().max().expect("32 warps");
        }
        time <= seen[by_warp as usize] || by_warp == warp && by_lane == lane as u32
    }

    /// The record of the reads so far and this one.
    #[inline(always)]
    fn merged_read(&self, old: u32, warp: u32, lane: u32) -> u32 {
        let new = self.now << TIME_SHIFT | warp << 6 | lane;
        if old >> TIME_SHIFT <= self.floor || old == new {
            return new;
        }
        let (time, by_warp, by_lane) = (old >> TIME_SHIFT, old >> 6 & 31, old & 63);
        if old & MANY_WARPS == 0 && time <= self.seen[warp as usize][by_warp as usize] {
            return new;
        }
        let many_warps = if old & MANY_WARPS != 0 || by_warp != warp { MANY_WARPS } else { 0 };
        let lanes = if by_lane == lane && (many_warps == 0 || lane == ATOMIC) { lane } else { MANY_LANES };
        new & !63 | many_warps | lanes
    }

    /// A barrier between the warps of the mask.
    pub fn barrier(&mut self, warps: u32) {
        let mut joined = [0; LANES];
        for warp in super::regs::lanes(warps) {
            self.seen[warp][warp] = self.now;
            joined = std::array::from_fn(|v| self.seen[warp][v].max(joined[v]));
        }
        for warp in super::regs::lanes(warps) {
            self.seen[warp] = joined;
        }
        let count = self.seen.len();
        self.floor = self.seen.iter().flat_map(|seen| &seen[..count]).copied().min().unwrap_or(0);
        self.tick();
    }

    /// A barrier between the lanes of a warp.
    pub fn warp_barrier(&mut self, warp: u32) {
        self.seen[warp as usize][warp as usize] = self.now;
        self.tick();
    }

    /// An atomic or volatile access of a warp: it may be how warps wait for each other, so it orders them.
    pub fn synchronise(&mut self, warp: u32) {
        let seen = &mut self.seen[warp as usize];
        seen[warp as usize] = self.now;
        self.hub = std::array::from_fn(|v| self.hub[v].max(seen[v]));
        *seen = self.hub;
        self.tick();
    }

    fn tick(&mut self) {
        self.now += 1;
        if self.now == LAST_TIME {
            // Forget who accessed what, but not what was written.
            self.writes.iter_mut().for_each(|write| *write = u32::from(*write != 0));
            self.reads.fill(0);
            self.seen.fill([0; LANES]);
            self.hub = [0; LANES];
            (self.now, self.floor) = (1, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Access = Access { reads: true, writes: false, atomic: false };
    const WRITE: Access = Access { reads: false, writes: true, atomic: false };
    const ATOMIC: Access = Access { reads: true, writes: true, atomic: true };
    const POLL: Access = Access { atomic: true, ..READ };
    const SIGNAL: Access = Access { atomic: true, ..WRITE };

    fn shared() -> Shared {
        let mut shared = Shared::default();
        shared.reset(64, 4, 3, true, true);
        shared
    }

    #[test]
    fn a_barrier_orders_the_warps_that_took_part() {
        let mut shared = shared();
        shared.note(WRITE, 0, 4, 0, 5).unwrap();
        assert_eq!(shared.note(READ, 0, 4, 1, 0), Err(Hazard::Race(true, 0, Some(5))));
        shared.barrier(0b011);
        shared.note(READ, 0, 4, 1, 0).unwrap();
        assert!(shared.note(READ, 0, 4, 2, 0).is_err());
        assert_eq!(shared.note(WRITE, 0, 4, 0, 5), Err(Hazard::Race(false, 1, Some(0))));
        shared.barrier(0b111);
        shared.note(WRITE, 0, 4, 2, 5).unwrap();
        assert_eq!(shared.note(READ, 8, 4, 0, 0), Err(Hazard::Unwritten));
    }

    #[test]
    fn lanes_of_a_warp_are_ordered_by_its_barrier() {
        let mut shared = shared();
        shared.note(WRITE, 4, 4, 0, 1).unwrap();
        shared.note(READ, 4, 4, 0, 1).unwrap();
        assert!(shared.note(READ, 4, 4, 0, 2).is_err());
        shared.warp_barrier(0);
        shared.note(READ, 4, 4, 0, 2).unwrap();
        assert!(shared.note(READ, 4, 4, 1, 2).is_err());
    }

    #[test]
    fn atomics_do_not_race_with_each_other() {
        let mut shared = shared();
        shared.note(WRITE, 4, 4, 0, 1).unwrap();
        shared.barrier(0b111);
        shared.note(ATOMIC, 4, 4, 0, 1).unwrap();
        shared.note(ATOMIC, 4, 4, 1, 1).unwrap();
        assert!(shared.note(READ, 4, 4, 2, 1).is_err());
    }

    #[test]
    fn several_warps_may_poll_a_flag() {
        let mut shared = shared();
        shared.note(SIGNAL, 4, 4, 0, 1).unwrap();
        shared.note(POLL, 4, 4, 1, 1).unwrap();
        shared.note(POLL, 4, 4, 2, 1).unwrap();
        shared.note(SIGNAL, 4, 4, 0, 1).unwrap();
        assert_eq!(shared.note(WRITE, 4, 4, 1, 1), Err(Hazard::Race(true, 0, None)));
    }
}
