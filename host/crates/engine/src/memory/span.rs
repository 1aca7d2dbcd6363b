//! A place in memory that a back end resolves.

use std::marker::PhantomData;

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
    /// The span's bytes as values of `T`.
    ///
    /// # Panics
    /// If they are not a whole number of values.
    pub fn cast<T>(self) -> Span<T> {
        assert!(self.len.is_multiple_of(size_of::<T>()), "{} bytes as values of {}", self.len, size_of::<T>());
        Span::new(self.segment, self.offset, self.len / size_of::<T>())
    }
}

impl<T> Span<T> {
    /// A span of a segment. Only a plan and back ends make one: what it covers is theirs to know.
    pub(crate) fn new(segment: u32, offset: usize, len: usize) -> Self {
        Self { segment, offset, len, element: PhantomData }
    }

    /// Number of elements.
    #[expect(clippy::len_without_is_empty, reason = "a span is a size, not a collection")]
    pub fn len(self) -> usize {
        self.len
    }

    /// Size in bytes.
    ///
    /// # Panics
    /// If no memory is that large.
    pub fn bytes(self) -> usize {
        self.len.checked_mul(size_of::<T>()).unwrap_or_else(|| panic!("{} values of {} bytes", self.len, size_of::<T>()))
    }

    /// Its bytes.
    #[cfg(feature = "cuda")]
    pub(crate) fn to_bytes(self) -> Span<u8> {
        Span::new(self.segment, self.offset, self.bytes())
    }

    /// The byte after the last one, if an address can tell it.
    pub(crate) fn end(self) -> Option<usize> {
        self.len.checked_mul(size_of::<T>())?.checked_add(self.offset)
    }

    /// The `len` elements from `start`.
    ///
    /// # Panics
    /// If they are not inside the span.
    pub fn slice(self, start: usize, len: usize) -> Self {
        assert!(start <= self.len && len <= self.len - start, "span slice {start}+{len} of {} elements", self.len);
        Self::new(self.segment, self.offset + start * size_of::<T>(), len)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::Span;

    #[test]
    fn a_slice_is_inside_of_its_span() {
        let span = Span::<f32>::new(0, 64, 8);
        assert_eq!(span.slice(3, 5), Span::new(0, 76, 5));
        assert_eq!(span.slice(8, 0).len(), 0);
        for (start, len) in [(4, 5), (9, 0), (usize::MAX, 2), (2, usize::MAX)] {
            assert!(catch_unwind(|| span.slice(start, len)).is_err(), "{start}+{len} of 8");
        }
    }

    #[test]
    fn sizes_do_not_wrap() {
        assert_eq!(Span::<f32>::new(0, 64, 8).end(), Some(96));
        assert_eq!(Span::<f32>::new(0, usize::MAX - 4095, 2048).end(), None);
        assert!(catch_unwind(|| Span::<f32>::new(0, 0, usize::MAX / 2).bytes()).is_err());
    }
}
