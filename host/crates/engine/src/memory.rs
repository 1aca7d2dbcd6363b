//! All memory of a run, planned before the first step: named spans in one allocation.
//!
//! A [`Plan`] hands out [`Span`]s; a back end allocates `plan.total_bytes()` once and resolves spans to its memory.

use std::marker::PhantomData;

/// Every span starts on a cache line.
pub const ALIGNMENT: usize = 64;

/// What a span is for; `primal-host plan` sums by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Codes and scales of grid weights, float parameters.
    Parameter,
    /// Votes, optimizer moments.
    State,
    /// Gradients of float parameters.
    Gradient,
    /// Activations and their gradients.
    Activation,
    /// Reused from op to op.
    Scratch,
    /// Token ids in, metrics out.
    Io,
}

impl Kind {
    /// Lower-case name for tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parameter => "parameter",
            Self::State => "state",
            Self::Gradient => "gradient",
            Self::Activation => "activation",
            Self::Scratch => "scratch",
            Self::Io => "io",
        }
    }
}

/// `len` values of `T` at a byte offset of a segment: 0 is the arena, others are mapped files.
#[derive(Debug, PartialEq, Eq)]
pub struct Span<T> {
    pub(crate) segment: u32,
    pub(crate) offset: usize,
    pub(crate) len: usize,
    element: PhantomData<fn() -> T>,
}

impl<T> Clone for Span<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Span<T> {}

impl Span<u8> {
    /// The same bytes as values of `T`.
    ///
    /// # Panics
    /// If they are not a whole number of values.
    pub fn cast<T>(self) -> Span<T> {
        assert!(self.len.is_multiple_of(size_of::<T>()), "{} bytes as values of {}", self.len, size_of::<T>());
        Span::new(self.segment, self.offset, self.len / size_of::<T>())
    }
}

impl<T> Span<T> {
    /// A span of a segment; back ends use it for mapped files.
    pub fn new(segment: u32, offset: usize, len: usize) -> Self {
        Self { segment, offset, len, element: PhantomData }
    }

    /// Number of elements.
    #[expect(clippy::len_without_is_empty, reason = "a span is a size, not a collection")]
    pub fn len(self) -> usize {
        self.len
    }

    /// Size in bytes.
    pub fn bytes(self) -> usize {
        self.len * size_of::<T>()
    }

    /// The `len` elements from `start`.
    ///
    /// # Panics
    /// If they are not inside the span.
    pub fn slice(self, start: usize, len: usize) -> Self {
        assert!(start + len <= self.len, "span slice {start}+{len} of {} elements", self.len);
        Self::new(self.segment, self.offset + start * size_of::<T>(), len)
    }
}

/// One line of the plan.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Unique name, e.g. `blocks.0.attention.q.codes`.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// Byte offset in the arena.
    pub offset: usize,
    /// Size in bytes, without alignment padding.
    pub bytes: usize,
}

/// The list of all spans of a run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    entries: Vec<Entry>,
    total: usize,
}

impl Plan {
    /// Reserves `len` values of `T`, aligned to a cache line. What they hold before something is written is anybody's guess.
    pub fn span<T>(&mut self, kind: Kind, name: impl Into<String>, len: usize) -> Span<T> {
        let bytes = len * size_of::<T>();
        let offset = self.total;
        self.total = (offset + bytes).next_multiple_of(ALIGNMENT);
        self.entries.push(Entry { name: name.into(), kind, offset, bytes });
        Span::new(0, offset, len)
    }

    /// The spans in the order of their offsets.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Size of the arena in bytes.
    pub fn total_bytes(&self) -> usize {
        self.total
    }

    /// Sum of the spans of one kind, in bytes.
    pub fn bytes_of(&self, kind: Kind) -> usize {
        self.entries.iter().filter(|e| e.kind == kind).map(|e| e.bytes).sum()
    }
}
