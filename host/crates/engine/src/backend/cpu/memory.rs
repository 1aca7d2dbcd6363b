//! The arena of the CPU back end: the one place where spans become slices.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fs;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytemuck::Pod;
use half::f16;
use memmap2::Mmap;

use crate::backend::Scales;
use crate::memory::{ALIGNMENT, Span};

/// One zeroed allocation and the files mapped beside it.
pub struct Memory {
    base: *mut u8,
    layout: Layout,
    mapped: Vec<Arc<Mmap>>,
}

// SAFETY: `Memory` owns its allocation; shared access only reads, writes need `&mut self`.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: `base` came from `alloc_zeroed` with this layout.
        unsafe { dealloc(self.base, self.layout) }
    }
}

impl Memory {
    /// Allocates `bytes` zeroed bytes; the system gives pages when they are first touched.
    pub fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes.max(ALIGNMENT), ALIGNMENT).expect("arena size overflows");
        // SAFETY: the size is not zero.
        let base = unsafe { alloc_zeroed(layout) };
        if base.is_null() {
            handle_alloc_error(layout);
        }
        Self { base, layout, mapped: Vec::new() }
    }

    /// Bytes of the allocation.
    pub fn arena_bytes(&self) -> usize {
        self.layout.size()
    }

    /// Adds a mapped file part as a read-only segment.
    pub fn map(&mut self, file: &Arc<Mmap>, range: Range<usize>) -> Span<u8> {
        assert!(range.start <= range.end && range.end <= file.len());
        let segment = self.mapped.iter().position(|m| Arc::ptr_eq(m, file)).unwrap_or_else(|| {
            self.mapped.push(file.clone());
            self.mapped.len() - 1
        });
        Span::new(segment as u32 + 1, range.start, range.len())
    }

    fn pointer<T: Pod>(&self, span: Span<T>) -> *const T {
        let (base, size) = match span.segment {
            0 => (self.base.cast_const(), self.layout.size()),
            n => {
                let map = &self.mapped[n as usize - 1];
                (map.as_ptr(), map.len())
            }
        };
        let inside = span.end().is_some_and(|end| end <= size);
        assert!(inside, "span of {} values at {} outside of a segment of {size} bytes", span.len, span.offset);
        // SAFETY: inside the segment, as just asserted.
        let pointer = unsafe { base.add(span.offset) }.cast::<T>();
        assert!(pointer.is_aligned(), "span at {} is misaligned", span.offset);
        pointer
    }

    /// The values of a span.
    pub fn read<T: Pod>(&self, span: Span<T>) -> &[T] {
        // SAFETY: in bounds and aligned; `&self` excludes writers; any bytes are a valid `Pod`.
        unsafe { std::slice::from_raw_parts(self.pointer(span), span.len) }
    }

    /// The values of a span, to write.
    pub fn write<T: Pod>(&mut self, span: Span<T>) -> &mut [T] {
        self.split((span,), ()).0.0
    }

    /// Slices of disjoint written spans and of read spans at the same time.
    ///
    /// # Panics
    /// If a written span overlaps another one, or lies in a mapped file.
    pub fn split<W: Spans, R: Spans>(&mut self, writes: W, reads: R) -> (W::Mut<'_>, R::Ref<'_>) {
        let (mut written, mut read): (Ranges, Ranges) = Default::default();
        let (w, r) = (writes.ranges(&mut written), reads.ranges(&mut read));
        for i in 0..w {
            assert_eq!(written[i].0, 0, "a mapped file is read-only");
            for other in written[i + 1..w].iter().chain(&read[..r]) {
                let (segment, range) = other;
                let apart = *segment != 0 || range.end <= written[i].1.start || written[i].1.end <= range.start || range.is_empty();
                assert!(apart || written[i].1.is_empty(), "written span {:?} overlaps {range:?}", written[i].1);
            }
        }
        // SAFETY: written spans are disjoint from each other and from the read ones, and `&mut self` is held by the results.
        unsafe { (writes.slices_mut(self), reads.slices(self)) }
    }
}

/// `(segment, byte range)` of up to eight spans.
pub type Ranges = [(u32, Range<usize>); 8];

/// A span, or several together.
///
/// # Safety
/// `ranges` are the bytes of `slices` and `slices_mut`, all of them: what overlaps is told by them.
pub unsafe trait Spans: Copy {
    /// The slices.
    type Ref<'a>;
    /// The mutable slices.
    type Mut<'a>;
    /// Writes `(segment, byte range)` of each span; returns how many.
    fn ranges(&self, out: &mut [(u32, Range<usize>)]) -> usize;
    /// # Safety
    /// No written slice of these spans may be alive.
    unsafe fn slices<'a>(&self, memory: *const Memory) -> Self::Ref<'a>;
    /// # Safety
    /// No other slice of these spans may be alive, and they must be disjoint.
    unsafe fn slices_mut<'a>(&self, memory: *const Memory) -> Self::Mut<'a>;
}

// SAFETY: range and slice are of the same span.
unsafe impl<T: Pod> Spans for Span<T> {
    type Ref<'a> = &'a [T];
    type Mut<'a> = &'a mut [T];
    fn ranges(&self, out: &mut [(u32, Range<usize>)]) -> usize {
        out[0] = (self.segment, self.offset..self.end().unwrap_or(usize::MAX));
        1
    }
    unsafe fn slices<'a>(&self, memory: *const Memory) -> Self::Ref<'a> {
        // SAFETY: the caller keeps the memory alive for 'a; `pointer` checks bounds and alignment.
        unsafe { std::slice::from_raw_parts((*memory).pointer(*self), self.len) }
    }
    unsafe fn slices_mut<'a>(&self, memory: *const Memory) -> Self::Mut<'a> {
        // SAFETY: as above, and the caller guarantees that this is the only slice.
        unsafe { std::slice::from_raw_parts_mut((*memory).pointer(*self).cast_mut(), self.len) }
    }
}

// SAFETY: ranges and slices are of the same spans, one by one.
unsafe impl Spans for Scales {
    type Ref<'a> = Scales<&'a [f32], &'a [f16]>;
    type Mut<'a> = Scales<&'a mut [f32], &'a mut [f16]>;
    fn ranges(&self, out: &mut [(u32, Range<usize>)]) -> usize {
        match self {
            Self::Row(scale) => scale.ranges(out),
            Self::Group32 { step } => step.ranges(out),
            Self::Group32Offset { step, offset } => (*step, *offset).ranges(out),
        }
    }
    unsafe fn slices<'a>(&self, memory: *const Memory) -> Self::Ref<'a> {
        // SAFETY: by the caller's contract.
        self.map(|scale| unsafe { scale.slices(memory) }, |half| unsafe { half.slices(memory) })
    }
    unsafe fn slices_mut<'a>(&self, memory: *const Memory) -> Self::Mut<'a> {
        // SAFETY: by the caller's contract.
        self.map(|scale| unsafe { scale.slices_mut(memory) }, |half| unsafe { half.slices_mut(memory) })
    }
}

macro_rules! spans {
    ($($t:ident $i:tt),*) => {
        // SAFETY: ranges and slices are of the same spans, one by one.
        unsafe impl<$($t: Spans),*> Spans for ($($t,)*) {
            type Ref<'a> = ($($t::Ref<'a>,)*);
            type Mut<'a> = ($($t::Mut<'a>,)*);
            fn ranges(&self, out: &mut [(u32, Range<usize>)]) -> usize {
                let count = 0usize;
                $(let count = count + self.$i.ranges(&mut out[count..]);)*
                count
            }
            unsafe fn slices<'a>(&self, memory: *const Memory) -> Self::Ref<'a> {
                // SAFETY: by the caller's contract.
                unsafe { ($(self.$i.slices(memory),)*) }
            }
            unsafe fn slices_mut<'a>(&self, memory: *const Memory) -> Self::Mut<'a> {
                // SAFETY: by the caller's contract.
                unsafe { ($(self.$i.slices_mut(memory),)*) }
            }
        }
    };
}

// SAFETY: there is nothing.
unsafe impl Spans for () {
    type Ref<'a> = ();
    type Mut<'a> = ();
    fn ranges(&self, _: &mut [(u32, Range<usize>)]) -> usize {
        0
    }
    unsafe fn slices<'a>(&self, _: *const Memory) -> Self::Ref<'a> {}
    unsafe fn slices_mut<'a>(&self, _: *const Memory) -> Self::Mut<'a> {}
}

spans!(A 0);
spans!(A 0, B 1);
spans!(A 0, B 1, C 2);
spans!(A 0, B 1, C 2, D 3);
spans!(A 0, B 1, C 2, D 3, E 4);
spans!(A 0, B 1, C 2, D 3, E 4, F 5);
spans!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);

/// A slice cut into disjoint parts that tasks on several threads take by index.
pub struct Parts<'a, T> {
    base: *mut T,
    len: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: parts are handed out under the contract of `part`.
unsafe impl<T: Send> Send for Parts<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    /// Takes the slice apart.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { base: slice.as_mut_ptr(), len: slice.len(), life: PhantomData }
    }

    /// The part `start..start + len`.
    ///
    /// # Safety
    /// Parts alive at the same time must not overlap.
    ///
    /// # Panics
    /// If the part is not inside the slice.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's contract")]
    pub unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start, "part {start}+{len} of {}", self.len);
        // SAFETY: in bounds; disjoint by contract.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(start), len) }
    }

    /// The whole slice's start; for tiles of a matrix, whose rows interleave with those of other tiles.
    pub fn base(&self) -> *mut T {
        self.base
    }
}

/// Memory that this process could still take without swapping, in bytes; `None` where the system does not say.
pub fn available() -> Option<usize> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some((kib * 1024).min(control_group_limit()))
}

/// The smallest memory limit of this process's control groups (version 2).
fn control_group_limit() -> usize {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(group) = text.lines().find_map(|line| line.strip_prefix("0::/")) else { return usize::MAX };
    let limits = Path::new(group).ancestors().filter_map(|group| {
        let limit = fs::read_to_string(Path::new("/sys/fs/cgroup").join(group).join("memory.max")).ok()?;
        limit.trim().parse().ok()
    });
    limits.min().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::Memory;
    use crate::memory::Span;

    #[test]
    fn a_span_outside_of_the_arena_is_refused() {
        let mut memory = Memory::new(4096);
        assert_eq!(memory.read(Span::<f32>::new(0, 4092, 1)), [0.0]);
        // The last one's end is 4096 if it wraps.
        for (offset, len) in [(4096, 1), (0, 1025), (0, usize::MAX / 2), (usize::MAX - 4095, 2048)] {
            let span = Span::<f32>::new(0, offset, len);
            assert!(catch_unwind(|| memory.read(span).len()).is_err(), "{len} values at {offset} were read");
            assert!(catch_unwind(AssertUnwindSafe(|| memory.write(span).len())).is_err(), "{len} values at {offset} were written");
        }
    }
}
