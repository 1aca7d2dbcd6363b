//! The tables of grids on the device, each uploaded when an op first needs it.

use std::cell::RefCell;

use primal_device::grid::Grid;

use crate::memory::Span;

/// Words of a table.
pub const WORDS: usize = size_of::<Grid>() / size_of::<u32>();

/// The tables that are there, in words of the arena.
pub(super) struct Grids {
    words: Span<u32>,
    known: RefCell<Vec<&'static Grid>>,
}

impl Grids {
    /// No table yet.
    pub(super) fn new(words: Span<u32>) -> Self {
        Self { words, known: RefCell::default() }
    }

    /// Where a grid's table is, after `upload` brought it there if it was not. When there is no room, all others go: what is queued has read them by
    /// the time that an upload overwrites them.
    pub(super) fn find(&self, grid: &'static Grid, upload: impl FnOnce(Span<u32>, &[u32])) -> Span<u32> {
        let mut known = self.known.borrow_mut();
        let slot = |index: usize| self.words.slice(index * WORDS, WORDS);
        if let Some(index) = known.iter().position(|other| *other == grid) {
            return slot(index);
        }
        if (known.len() + 1) * WORDS > self.words.len() {
            known.clear();
        }
        known.push(grid);
        let to = slot(known.len() - 1);
        upload(to, &words(grid));
        to
    }
}

/// The table as kernels read it.
fn words(grid: &Grid) -> [u32; WORDS] {
    // SAFETY: a grid has neither padding nor pointers, so its bytes are words.
    unsafe { std::mem::transmute::<Grid, [u32; WORDS]>(*grid) }
}

#[cfg(test)]
mod tests {
    use primal_device::grid::{FINE15, INT4, NF4};

    use super::*;

    #[test]
    fn a_table_is_uploaded_once_while_there_is_room() {
        let grids = Grids::new(Span::new(0, 0, 2 * WORDS));
        let mut uploaded = Vec::new();
        let mut find = |grid: &'static Grid| {
            let span = grids.find(grid, |to, words| {
                assert_eq!(words[0], grid.levels[0].to_bits());
                uploaded.push((grid.name(), to.offset));
            });
            assert_eq!(span.len(), WORDS);
            span.offset
        };
        let second = WORDS * size_of::<u32>();
        assert_eq!([&NF4, &INT4, &NF4, &INT4, &FINE15, &NF4].map(&mut find), [0, second, 0, second, 0, second]);
        assert_eq!(uploaded, [("nf4", 0), ("int4", second), ("fine15", 0), ("nf4", second)]);
    }
}
