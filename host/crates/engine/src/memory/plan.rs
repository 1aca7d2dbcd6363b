//! The list of what a run keeps in memory.

use super::{ALIGNMENT, Span};

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
    /// Keys and values of earlier tokens.
    Cache,
    /// Reused from op to op.
    Scratch,
    /// Token ids in, metrics out.
    Io,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [Self::Parameter, Self::State, Self::Gradient, Self::Activation, Self::Cache, Self::Scratch, Self::Io];

    /// Lower-case name for tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parameter => "parameter",
            Self::State => "state",
            Self::Gradient => "gradient",
            Self::Activation => "activation",
            Self::Cache => "cache",
            Self::Scratch => "scratch",
            Self::Io => "io",
        }
    }
}

/// One line of the plan.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Unique name, e.g. `blocks.0.attention.q.codes`.
    pub name: String,
    /// What the span is for.
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
    ///
    /// # Panics
    /// If the plan would be larger than an address can tell.
    pub fn span<T>(&mut self, kind: Kind, name: impl Into<String>, len: usize) -> Span<T> {
        let span = Span::new(0, self.total, len);
        let end = span.end().and_then(|end| end.checked_next_multiple_of(ALIGNMENT));
        let name = name.into();
        self.total = end.unwrap_or_else(|| panic!("{name}: {len} values after {} bytes are more than memory can be", self.total));
        self.entries.push(Entry { name, kind, offset: span.offset, bytes: span.bytes() });
        span
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
