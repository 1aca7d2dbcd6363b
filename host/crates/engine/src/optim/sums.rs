//! Floats that the micro-batches of a step add up, in the order of a tree over their numbers, whichever rank makes them.

use std::ops::Range;

use crate::backend::Backend;
use crate::memory::{Kind, Plan, Span};
use crate::ops::Add;
use crate::ranks::tree::{self, Blocks};
use crate::ranks::{Place, Ranks};

/// Values that ranks exchange at a time, about.
const PIECE: usize = 1 << 20;

/// Tensors whose values micro-batches add up, and places for partial sums.
pub struct Sums {
    /// Each micro-batch writes its own; in the end they hold the sums of all.
    tensors: Vec<Span<f32>>,
    /// The values of all tensors, one after another, of each block of micro-batches.
    places: Vec<Span<f32>>,
}

/// What of a step is added up so far.
#[derive(Default)]
pub struct Added(Blocks);

/// `y += b`.
fn add<B: Backend>(b: &mut B, y: Span<f32>, more: Span<f32>) {
    b.run(Add { y: y.into(), a: y.into(), b: more.into() });
}

impl Sums {
    /// Reserves the places for who makes such a share of a step.
    pub fn plan(tensors: Vec<Span<f32>>, share: Range<u32>, plan: &mut Plan) -> Self {
        let len = tensors.iter().map(|tensor| tensor.len()).sum();
        let places = (0..tree::most_blocks(share)).map(|place| plan.span(Kind::Gradient, format!("micro_batches.{place}"), len)).collect();
        Self { tensors, places }
    }

    /// Each tensor with its part of a place.
    fn parts(&self, place: usize) -> impl Iterator<Item = (Span<f32>, Span<f32>)> {
        let mut start = 0;
        self.tensors.iter().map(move |tensor| {
            start += tensor.len();
            (*tensor, self.places[place].slice(start - tensor.len(), tensor.len()))
        })
    }

    /// Adds what the tensors hold of a micro-batch, the next one of the share.
    pub fn add<B: Backend>(&self, b: &mut B, added: &mut Added, micro_batch: u32) {
        let is_merged = added.0.push(micro_batch..micro_batch + 1, |into, from| match from {
            None => self.parts(into).for_each(|(tensor, part)| add(b, part, tensor)),
            Some(from) => add(b, self.places[into], self.places[from]),
        });
        if !is_merged {
            self.parts(added.0.count() - 1).for_each(|(tensor, part)| b.copy(part, tensor));
        }
    }

    /// Writes to the tensors what the micro-batches of all ranks come to.
    pub fn finish<B: Backend>(&self, b: &mut B, mut added: Added, micro_batches: u32, ranks: &mut dyn Ranks) {
        if ranks.count() == 1 {
            added.0.fold(|into, from| add(b, self.places[into], self.places[from]));
        } else {
            self.finish_among(b, micro_batches, ranks);
        }
        self.parts(0).for_each(|(tensor, part)| b.copy(tensor, part));
    }

    /// Each rank adds up a part of the values for all: it gets their blocks of that part, and the sums are gathered.
    fn finish_among<B: Backend>(&self, b: &mut B, micro_batches: u32, ranks: &mut dyn Ranks) {
        let count = ranks.count();
        let shares: Vec<_> = (0..count).map(|rank| Place { rank, count }.share(micro_batches)).collect();
        let blocks: Vec<usize> = shares.iter().map(|share| tree::blocks(share.clone()).len()).collect();
        let (own, most) = (blocks[ranks.rank()], blocks.iter().copied().max().unwrap_or(1));
        let len = self.places[0].len();
        let part = len.min(PIECE).div_ceil(count);
        let piece = part * count;
        let (mut values, mut from, mut to) = (vec![0.0f32; piece], vec![0.0f32; most * piece], vec![0.0f32; most * piece]);
        let mut sum = vec![0.0f32; part];
        for start in (0..len).step_by(piece) {
            let filled = piece.min(len - start);
            for (block, place) in self.places[..own].iter().enumerate() {
                b.download(place.slice(start, filled), &mut values[..filled]);
                for (rank, values) in values.chunks_exact(part).enumerate() {
                    from[(rank * most + block) * part..][..part].copy_from_slice(values);
                }
            }
            ranks.exchange(&from, &mut to);
            let parts: Vec<_> = to.chunks_exact(most * part).zip(&blocks).map(|(of_rank, &blocks)| &of_rank[..blocks * part]).collect();
            tree::total(&shares, &parts, &mut sum);
            ranks.gather(bytemuck::cast_slice(&sum), bytemuck::cast_slice_mut(&mut values));
            b.upload(self.places[0].slice(start, filled), &values[..filled]);
        }
    }

    /// Bytes of the values.
    pub fn bytes(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.bytes()).sum()
    }
}
