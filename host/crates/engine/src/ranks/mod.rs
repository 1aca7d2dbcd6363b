//! Processes that train one model together: what they say to each other, and who makes which micro-batches of a step.
//!
//! Ranks hold the same run, and each makes a share of every step's micro-batches. What they come to is the same bytes whatever their number: integers
//! are added up exactly, and floats in an order that only the micro-batches set ([`tree`]). Nothing here knows how bytes travel: [`Alone`] needs no
//! other, [`threads`] are ranks of one process, and a program brings what it has, as MPI.

pub mod threads;
pub mod tree;

use std::ops::Range;
use std::time::Duration;

/// Integers that ranks add up, as wide as their sums need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integers {
    /// Sums of at most ±127.
    I8(Vec<i8>),
    /// Sums of at most ±32767.
    I16(Vec<i16>),
}

impl Integers {
    /// As many zeros, as wide.
    pub fn zeros(&self) -> Self {
        match self {
            Self::I8(values) => Self::I8(vec![0; values.len()]),
            Self::I16(values) => Self::I16(vec![0; values.len()]),
        }
    }

    /// Their size on the wire.
    pub fn bytes(&self) -> usize {
        match self {
            Self::I8(values) => values.len(),
            Self::I16(values) => 2 * values.len(),
        }
    }
}

/// A process among those that train one model. All of them make the same calls in the same order, each of which waits for the others unless it says
/// otherwise. A rank that fails ends all.
pub trait Ranks {
    /// Its number, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn count(&self) -> usize;

    /// Hands each rank a part of `from`, which are as many equal parts as there are ranks, and gets one from each in `to`, in their order.
    fn exchange(&mut self, from: &[f32], to: &mut [f32]);

    /// Gets the bytes of every rank in `all`, in their order, where all bring as many.
    fn gather(&mut self, own: &[u8], all: &mut [u8]);

    /// Begins to add up integers over all ranks, and waits for nobody.
    fn begin_sum(&mut self, values: Integers);

    /// The sums that were begun first of those that are not finished.
    fn finish_sum(&mut self) -> Integers;

    /// Time spent in waiting for the others, and in handing over.
    fn waited(&self) -> Duration;

    /// What the first rank has to say to all; what others bring is not heard.
    fn tell(&mut self, text: Vec<u8>) -> Vec<u8> {
        let own = if self.rank() == 0 { text } else { Vec::new() };
        let len = self.largest(i32::try_from(own.len()).expect("a short text")) as usize;
        let mut padded = own;
        padded.resize(len, 0);
        let mut all = vec![0; len * self.count()];
        self.gather(&padded, &mut all);
        all.truncate(len);
        all
    }

    /// The largest of a number that each rank brings.
    fn largest(&mut self, own: i32) -> i32 {
        let mut all = vec![0; 4 * self.count()];
        self.gather(&own.to_le_bytes(), &mut all);
        all.chunks_exact(4).map(|bytes| i32::from_le_bytes(bytes.try_into().expect("four bytes"))).max().unwrap_or(own)
    }
}

/// The only one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        1
    }

    fn exchange(&mut self, from: &[f32], to: &mut [f32]) {
        to.copy_from_slice(from);
    }

    fn gather(&mut self, own: &[u8], all: &mut [u8]) {
        all.copy_from_slice(own);
    }

    fn begin_sum(&mut self, _: Integers) {
        unreachable!("who is alone has its sums")
    }

    fn finish_sum(&mut self) -> Integers {
        unreachable!("who is alone has its sums")
    }

    fn waited(&self) -> Duration {
        Duration::ZERO
    }
}

/// Which rank of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, from 0.
    pub rank: usize,
    /// How many there are.
    pub count: usize,
}

impl Place {
    /// The only one.
    pub const ALONE: Self = Self { rank: 0, count: 1 };

    /// Where that rank stands.
    pub fn of(ranks: &dyn Ranks) -> Self {
        Self { rank: ranks.rank(), count: ranks.count() }
    }

    /// The micro-batches of a step, of so many in all, that the rank makes: as many as every other.
    ///
    /// # Panics
    /// If the number of ranks does not divide theirs.
    pub fn share(self, micro_batches: u32) -> Range<u32> {
        assert!((micro_batches as usize).is_multiple_of(self.count), "{micro_batches} micro-batches for {} ranks", self.count);
        let each = micro_batches / self.count as u32;
        each * self.rank as u32..each * (self.rank as u32 + 1)
    }
}

/// The numbers of ranks that can share so many micro-batches, for messages.
pub fn divisors(micro_batches: u32) -> Vec<u32> {
    (1..=micro_batches).filter(|&count| micro_batches.is_multiple_of(count)).collect()
}
