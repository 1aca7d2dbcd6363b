//! The largest absolute values of tensors, which products on tensor cores scale by. One that is known is not looked for again until its tensor is
//! written: q, k and v share their input, and a weight's gradient takes what the forward pass found of the activations.

use std::cell::{Cell, RefCell};

use crate::memory::Span;

/// A tensor, and where its largest value is.
struct Known {
    tensor: Span<u8>,
    slot: usize,
}

/// Which are known, and the words that hold them.
pub(super) struct Largest {
    words: Span<u32>,
    known: RefCell<Vec<Known>>,
    /// Words in use; those behind them are zero, once the first was taken.
    used: Cell<usize>,
}

impl Largest {
    /// Of no tensor, in words of any content.
    pub(super) fn new(words: Span<u32>) -> Self {
        Self { words, known: RefCell::default(), used: Cell::new(words.len()) }
    }

    /// The word of a tensor, if it is known.
    pub(super) fn find<T>(&self, tensor: Span<T>) -> Option<Span<u32>> {
        let tensor = tensor.to_bytes();
        self.known.borrow().iter().find(|known| known.tensor == tensor).map(|known| self.words.slice(known.slot, 1))
    }

    /// Sees that there are words for so many tensors, before an op finds or takes the first of them: when too few are left, `clear` sets all to
    /// zero, and nothing is known any more.
    pub(super) fn reserve(&self, tensors: usize, clear: impl FnOnce(Span<u32>)) {
        if self.used.get() + tensors > self.words.len() {
            self.known.borrow_mut().clear();
            self.used.set(0);
            clear(self.words);
        }
    }

    /// A zero word for a tensor that will be known.
    pub(super) fn take<T>(&self, tensor: Span<T>) -> Span<u32> {
        let tensor = tensor.to_bytes();
        let slot = self.used.replace(self.used.get() + 1);
        self.known.borrow_mut().push(Known { tensor, slot });
        self.words.slice(slot, 1)
    }

    /// Something is written to these bytes: what they were part of is not known any more.
    pub(super) fn forget<T>(&self, written: Span<T>) {
        self.known.borrow_mut().retain(|Known { tensor, .. }| {
            tensor.segment != written.segment
                || tensor.offset + tensor.bytes() <= written.offset
                || written.offset + written.bytes() <= tensor.offset
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_forgotten_and_no_more() {
        let largest = Largest::new(Span::new(0, 0, 2));
        let (a, b, of_file) = (Span::<f32>::new(0, 64, 16), Span::<f32>::new(0, 128, 16), Span::<f32>::new(1, 64, 16));
        let mut cleared = 0;
        largest.reserve(2, |_| cleared += 1);
        let at = [largest.take(a), largest.take(b)];
        assert_eq!(cleared, 1);
        assert_eq!([largest.find(a), largest.find(b), largest.find(of_file)], [Some(at[0]), Some(at[1]), None]);
        // Next to both, then the last byte of one.
        largest.forget(Span::<u8>::new(0, 192, 4));
        assert!(largest.find(a).is_some() && largest.find(b).is_some());
        largest.forget(Span::<u8>::new(0, 127, 1));
        assert_eq!((largest.find(a), largest.find(b)), (None, Some(at[1])));
        // No word is left: all are cleared, before anything of the op is found.
        largest.reserve(1, |words| assert_eq!(words.len(), 2));
        assert_eq!(largest.find(b), None);
        let at = largest.take(of_file);
        largest.reserve(1, |_| panic!("a word is left"));
        // One is too few for two operands, of which one may be known: it must not be cleared between them.
        largest.reserve(2, |words| assert_eq!(words.slice(0, 1), at));
        assert_eq!(largest.find(of_file), None);
    }
}
