//! Global memory: allocations at device addresses that are never used twice, so that a stale or wild pointer is always found out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use memmap2::MmapMut;

/// Address of the first allocation. Lower addresses are the windows of the other spaces.
const FIRST: u64 = 0x10_0000_0000;
/// Unmapped bytes between two allocations.
const GAP: u64 = 1 << 16;
/// Alignment of every allocation, as of `cuMemAlloc`.
const ALIGN: u64 = 512;

/// A size that memory is accessed in.
pub trait Cell: Copy {
    /// Loads from host memory that other threads may write.
    ///
    /// # Safety
    /// `at` is valid for reads and aligned.
    unsafe fn load(at: *mut u8) -> Self;
    /// Stores to host memory that other threads may access.
    ///
    /// # Safety
    /// `at` is valid for writes and aligned.
    unsafe fn store(self, at: *mut u8);
    /// Replaces a value by `f` of it in one step; returns the old one.
    ///
    /// # Safety
    /// `at` is valid for reads and writes, and aligned.
    unsafe fn update(at: *mut u8, f: impl FnMut(Self) -> Self) -> Self;
}

macro_rules! cell {
    ($($value:ty, $atomic:ty);*) => {$(
        impl Cell for $value {
            #[inline(always)]
            unsafe fn load(at: *mut u8) -> Self {
                // SAFETY: promised by the caller.
                unsafe { <$atomic>::from_ptr(at.cast()) }.load(Relaxed)
            }
            #[inline(always)]
            unsafe fn store(self, at: *mut u8) {
                // SAFETY: promised by the caller.
                unsafe { <$atomic>::from_ptr(at.cast()) }.store(self, Relaxed)
            }
            unsafe fn update(at: *mut u8, mut f: impl FnMut(Self) -> Self) -> Self {
                // SAFETY: promised by the caller.
                let cell = unsafe { <$atomic>::from_ptr(at.cast()) };
                let mut old = cell.load(Relaxed);
                while let Err(now) = cell.compare_exchange_weak(old, f(old), Relaxed, Relaxed) {
                    old = now;
                }
                old
            }
        }
    )*};
}
cell!(u8, AtomicU8; u16, AtomicU16; u32, AtomicU32; u64, AtomicU64);

/// Zeroed host memory of a fixed size, which the system gives when it is first touched.
struct Pages {
    start: *mut u8,
    _map: MmapMut,
}

impl Pages {
    fn new(bytes: usize) -> Option<Self> {
        let mut map = MmapMut::map_anon(bytes.max(1)).ok()?;
        Some(Self { start: map.as_mut_ptr(), _map: map })
    }
}

/// A piece of global memory.
pub struct Allocation {
    /// Number of the allocation, from 1.
    pub id: u64,
    /// Device address of its first byte.
    pub start: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// What it holds, for messages: a variable's name, or how it was allocated.
    pub what: String,
    /// The context that owns it.
    pub owner: u64,
    memory: Pages,
    /// Bytes of `memory`: none on a dry device, or all.
    kept: u64,
    /// One byte for each byte of memory: whether it was written. `None` if that is not tracked.
    written: Option<Pages>,
    all_written: AtomicBool,
}

// SAFETY: kernels access the memory through relaxed atomics only; the host's copies happen while no kernel runs.
unsafe impl Send for Allocation {}
// SAFETY: as above.
unsafe impl Sync for Allocation {}

impl Allocation {
    /// Where the host has its first byte.
    pub fn host_address(&self) -> u64 {
        self.memory.start as u64
    }

    /// Whether there is memory behind its addresses.
    fn is_kept(&self) -> bool {
        self.kept == self.bytes
    }

    /// Host address of the byte at `offset`.
    #[inline(always)]
    fn at(&self, offset: u64, bytes: usize) -> *mut u8 {
        assert!(offset + bytes as u64 <= self.kept, "the access was checked before");
        // SAFETY: within the allocation.
        unsafe { self.memory.start.add(offset as usize) }
    }

    /// The cell at `offset`, which must be aligned and inside.
    #[inline(always)]
    pub fn load<T: Cell>(&self, offset: u64) -> T {
        // SAFETY: `at` checks the bounds; the base is aligned to more than a cell, and the offset was checked for alignment.
        unsafe { T::load(self.at(offset, size_of::<T>())) }
    }

    /// Writes the cell at `offset`, which must be aligned and inside.
    #[inline(always)]
    pub fn store<T: Cell>(&self, offset: u64, value: T) {
        // SAFETY: as in `load`.
        unsafe { value.store(self.at(offset, size_of::<T>())) }
    }

    /// Replaces the cell at `offset` by `f` of it in one step; returns the old value.
    pub fn update<T: Cell>(&self, offset: u64, f: impl FnMut(T) -> T) -> T {
        // SAFETY: as in `load`.
        unsafe { T::update(self.at(offset, size_of::<T>()), f) }
    }

    /// Whether it must be tracked which bytes were written.
    #[inline(always)]
    pub fn tracked(&self) -> bool {
        self.written.is_some() && !self.all_written.load(Relaxed)
    }

    /// Whether all of the `bytes` at an offset, which is aligned if they are a power of two, were written.
    pub fn is_written(&self, offset: u64, bytes: usize) -> bool {
        let Some(written) = &self.written else { return true };
        // SAFETY: the shadow is as large as the memory, and the access was checked against that.
        unsafe {
            let at = written.start.add(offset as usize);
            match bytes {
                1 => u8::load(at) == 1,
                2 => u16::load(at) == 0x0101,
                4 => u32::load(at) == 0x0101_0101,
                8 | 16 | 32 => (0..bytes).step_by(8).all(|i| u64::load(at.add(i)) == 0x0101_0101_0101_0101),
                _ => (0..bytes).all(|i| u8::load(at.add(i)) == 1),
            }
        }
    }

    /// Notes that the `bytes` at an offset, which is aligned if they are a power of two, were written.
    pub fn note_written(&self, offset: u64, bytes: usize) {
        let Some(written) = &self.written else { return };
        // SAFETY: as in `is_written`.
        unsafe {
            let at = written.start.add(offset as usize);
            match bytes {
                1 => 1u8.store(at),
                2 => 0x0101u16.store(at),
                4 => 0x0101_0101u32.store(at),
                8 | 16 | 32 => (0..bytes).step_by(8).for_each(|i| 0x0101_0101_0101_0101u64.store(at.add(i))),
                _ => (0..bytes).for_each(|i| 1u8.store(at.add(i))),
            }
        }
    }

    fn note_range_written(&self, offset: u64, bytes: u64) {
        if bytes == self.bytes {
            self.all_written.store(true, Relaxed);
        } else if let (Some(written), true) = (&self.written, self.tracked()) {
            // SAFETY: the range was checked by the caller.
            unsafe { written.start.add(offset as usize).write_bytes(1, bytes as usize) }
        }
    }
}

/// All global memory of the device.
pub struct Heap {
    live: BTreeMap<u64, Allocation>,
    freed: BTreeMap<u64, (u64, u64)>,
    next: u64,
    count: u64,
    used: u64,
    capacity: u64,
    track: bool,
    keep: bool,
}

/// A range that is not inside one allocation.
#[derive(Debug)]
pub struct OutOfBounds;

impl Heap {
    /// A device with `capacity` bytes; `track` says whether reads of unwritten memory can be found.
    pub fn new(capacity: u64, track: bool) -> Self {
        Self { live: BTreeMap::new(), freed: BTreeMap::new(), next: FIRST, count: 0, used: 0, capacity, track, keep: true }
    }

    /// A device with `capacity` bytes of addresses behind which there is no memory: what is written is lost, what is read is zero.
    pub fn without_memory(capacity: u64) -> Self {
        Self { keep: false, ..Self::new(capacity, false) }
    }

    /// Allocates device memory; `None` if there is not enough.
    pub fn allocate(&mut self, bytes: u64, what: &str, owner: u64) -> Option<u64> {
        let start = self.next;
        self.insert(start, bytes, what, owner, self.track)?;
        self.next = (start + bytes + GAP).next_multiple_of(ALIGN);
        Some(start)
    }

    /// Allocates memory that the host can access at the same address; it counts as written.
    pub fn allocate_managed(&mut self, bytes: u64, what: &str, owner: u64) -> Option<u64> {
        let memory = Pages::new(bytes as usize)?;
        let start = memory.start as u64;
        self.insert_pages(start, memory, [bytes; 2], what, owner, false)?;
        Some(start)
    }

    fn insert(&mut self, start: u64, bytes: u64, what: &str, owner: u64, track: bool) -> Option<()> {
        if bytes > self.capacity - self.used {
            return None;
        }
        let kept = if self.keep { bytes } else { 0 };
        self.insert_pages(start, Pages::new(kept as usize)?, [bytes, kept], what, owner, track)
    }

    fn insert_pages(&mut self, start: u64, memory: Pages, [bytes, kept]: [u64; 2], what: &str, owner: u64, track: bool) -> Option<()> {
        if bytes > self.capacity - self.used {
            return None;
        }
        self.used += bytes;
        self.count += 1;
        let written = if track { Some(Pages::new(bytes as usize)?) } else { None };
        let all_written = AtomicBool::new(false);
        let allocation = Allocation { id: self.count, start, bytes, what: what.to_string(), owner, memory, kept, written, all_written };
        self.live.insert(start, allocation);
        Some(())
    }

    /// Frees the allocation that begins at `start`.
    pub fn free(&mut self, start: u64) -> Result<(), OutOfBounds> {
        let old = self.live.remove(&start).ok_or(OutOfBounds)?;
        self.used -= old.bytes;
        self.freed.insert(start, (old.bytes, old.id));
        Ok(())
    }

    /// Frees all that a context owns.
    pub fn free_all(&mut self, owner: u64) {
        let starts: Vec<u64> = self.live.values().filter(|a| a.owner == owner).map(|a| a.start).collect();
        for start in starts {
            self.free(start).expect("it is live");
        }
    }

    /// (free, total) bytes.
    pub fn info(&self) -> (u64, u64) {
        (self.capacity - self.used, self.capacity)
    }

    /// The allocation that `address` lies in.
    #[inline]
    pub fn find(&self, address: u64) -> Option<&Allocation> {
        let (_, found) = self.live.range(..=address).next_back()?;
        (address - found.start < found.bytes).then_some(found)
    }

    fn range(&self, address: u64, bytes: u64) -> Result<(&Allocation, u64), OutOfBounds> {
        let found = self.find(address).ok_or(OutOfBounds)?;
        let offset = address - found.start;
        if bytes <= found.bytes - offset { Ok((found, offset)) } else { Err(OutOfBounds) }
    }

    /// Copies from the device.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), OutOfBounds> {
        if into.is_empty() {
            return Ok(());
        }
        let (from, offset) = self.range(address, into.len() as u64)?;
        if !from.is_kept() {
            into.fill(0);
            return Ok(());
        }
        // SAFETY: the range is inside the allocation, and `into` is the caller's alone.
        unsafe { from.at(offset, into.len()).copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) }
        Ok(())
    }

    /// Copies to the device.
    pub fn write(&mut self, address: u64, from: &[u8]) -> Result<(), OutOfBounds> {
        if from.is_empty() {
            return Ok(());
        }
        let (to, offset) = self.range(address, from.len() as u64)?;
        if !to.is_kept() {
            return Ok(());
        }
        // SAFETY: the range is inside the allocation; no kernel runs while the heap is borrowed mutably.
        unsafe { to.at(offset, from.len()).copy_from(from.as_ptr(), from.len()) }
        to.note_range_written(offset, from.len() as u64);
        Ok(())
    }

    /// Copies within the device, with what is known of which bytes were written.
    pub fn copy(&mut self, to: u64, from: u64, bytes: u64) -> Result<(), OutOfBounds> {
        if bytes == 0 {
            return Ok(());
        }
        let ((source, at), (target, offset)) = (self.range(from, bytes)?, self.range(to, bytes)?);
        if !target.is_kept() {
            return Ok(());
        }
        if !source.is_kept() {
            return self.fill(to, &[0], bytes);
        }
        // SAFETY: both ranges are inside their allocations; no kernel runs while the heap is borrowed mutably.
        unsafe { target.at(offset, bytes as usize).copy_from(source.at(at, bytes as usize), bytes as usize) }
        match (&source.written, &target.written) {
            (Some(known), Some(written)) if source.tracked() && target.tracked() => {
                // SAFETY: each shadow is as large as its memory.
                unsafe { written.start.add(offset as usize).copy_from(known.start.add(at as usize), bytes as usize) }
            }
            _ if source.tracked() => {}
            _ => target.note_range_written(offset, bytes),
        }
        Ok(())
    }

    /// Fills `count` times with `pattern`.
    pub fn fill(&mut self, address: u64, pattern: &[u8], count: u64) -> Result<(), OutOfBounds> {
        if count == 0 {
            return Ok(());
        }
        let bytes = count.checked_mul(pattern.len() as u64).ok_or(OutOfBounds)?;
        let (to, offset) = self.range(address, bytes)?;
        if !to.is_kept() {
            return Ok(());
        }
        to.note_range_written(offset, bytes);
        // New pages are zero, and cost nothing before they are touched.
        let is_renewed = bytes == to.bytes && to.start != to.host_address() && pattern.iter().all(|&byte| byte == 0);
        if let Some(pages) = is_renewed.then(|| Pages::new(bytes as usize)).flatten() {
            let start = to.start;
            self.live.get_mut(&start).expect("it is live").memory = pages;
            return Ok(());
        }
        // SAFETY: as in `write`.
        let target = unsafe { std::slice::from_raw_parts_mut(to.at(offset, bytes as usize), bytes as usize) };
        match pattern {
            [byte] => target.fill(*byte),
            _ => target.chunks_exact_mut(pattern.len()).for_each(|chunk| chunk.copy_from_slice(pattern)),
        }
        Ok(())
    }

    /// Says where `address` lies, for a message.
    pub fn describe(&self, address: u64) -> String {
        let freed = self.freed.range(..=address).next_back().filter(|(start, (bytes, _))| address - **start < *bytes);
        if let Some((start, (bytes, id))) = freed {
            return format!("in allocation #{id} ({bytes} bytes at {start:#x}), which was freed");
        }
        let name = |a: &Allocation| format!("allocation #{} ({}, {} bytes at {:#x})", a.id, a.what, a.bytes, a.start);
        let below = self.live.range(..=address).next_back().map(|(_, a)| a);
        let above = self.live.range(address..).next().map(|(_, a)| a);
        match (below, above) {
            (Some(a), _) if address - a.start < a.bytes => format!("in {}", name(a)),
            (Some(a), above) if above.is_none_or(|b| address - (a.start + a.bytes) < b.start - address) => {
                format!("{} bytes past the end of {}", address - (a.start + a.bytes), name(a))
            }
            (_, Some(b)) => format!("{} bytes before {}", b.start - address, name(b)),
            _ => "and there is no allocation".to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_what_was_written() {
        let mut heap = Heap::new(1 << 20, true);
        let a = heap.allocate(64, "a", 0).unwrap();
        heap.write(a + 8, &[7; 8]).unwrap();
        let found = heap.find(a + 63).unwrap();
        assert!(found.is_written(8, 8) && !found.is_written(16, 4) && !found.is_written(0, 16));
        heap.fill(a, &[1, 2], 32).unwrap();
        assert!(!heap.find(a).unwrap().tracked());
        assert_eq!(heap.find(a).unwrap().load::<u32>(4), 0x0201_0201);
    }

    #[test]
    fn fills_a_part_or_all() {
        for track in [false, true] {
            let mut heap = Heap::new(1 << 20, track);
            let a = heap.allocate(64, "a", 0).unwrap();
            heap.write(a, &[7; 64]).unwrap();
            heap.fill(a + 8, &[9], 4).unwrap();
            heap.fill(a + 16, &[0], 8).unwrap();
            let words = |heap: &Heap| [0, 8, 12, 16, 60].map(|at| heap.find(a).unwrap().load::<u32>(at));
            assert_eq!(words(&heap), [0x0707_0707, 0x0909_0909, 0x0707_0707, 0, 0x0707_0707]);
            heap.fill(a, &[0], 64).unwrap();
            assert_eq!(words(&heap), [0; 5]);
            assert!(!heap.find(a).unwrap().tracked(), "all is written");
        }
    }

    #[test]
    fn never_gives_an_address_twice() {
        let mut heap = Heap::new(1 << 20, true);
        let a = heap.allocate(100, "a", 0).unwrap();
        heap.free(a).unwrap();
        let b = heap.allocate(100, "b", 0).unwrap();
        assert!(b > a && heap.find(a).is_none() && heap.free(a).is_err());
        assert!(heap.describe(a + 4).contains("freed"));
        assert!(heap.describe(b + 100).starts_with("0 bytes past the end"));
        assert!(heap.allocate(1 << 20, "c", 0).is_none());
        assert!(heap.write(b + 99, &[0; 2]).is_err());
    }
}
