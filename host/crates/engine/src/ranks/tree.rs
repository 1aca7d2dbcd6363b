//! In which order floats of micro-batches are added up: by a tree over their numbers, so that neither threads nor ranks change a bit of a sum.
//!
//! A node of the tree is a dyadic interval, `k·2ʲ..(k + 1)·2ʲ`, and is the sum of its two halves. Whoever makes a range of micro-batches knows the
//! largest nodes inside it, its blocks; the blocks of all ranks, from left to right, make the rest of the tree.

use std::ops::Range;

/// The node of two neighbours, if they are its halves.
fn parent(left: &Range<u32>, right: &Range<u32>) -> Option<Range<u32>> {
    let size = left.end - left.start;
    let are_halves = left.end == right.start && right.end - right.start == size && left.start.is_multiple_of(2 * size);
    are_halves.then_some(left.start..right.end)
}

/// The blocks so far, from left to right.
#[derive(Clone, Debug, Default)]
pub struct Blocks(Vec<Range<u32>>);

impl Blocks {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Adds the node right of all so far, in the place behind the last one unless `merge` says otherwise: `merge(into, from)` adds what is at the one
    /// place to another, where `None` is what comes in. Whether it was merged so.
    pub fn push(&mut self, node: Range<u32>, mut merge: impl FnMut(usize, Option<usize>)) -> bool {
        let Some(first) = self.0.last().and_then(|last| parent(last, &node)) else {
            self.0.push(node);
            return false;
        };
        let mut at = self.0.len() - 1;
        merge(at, None);
        self.0[at] = first;
        while at > 0
            && let Some(node) = parent(&self.0[at - 1], &self.0[at])
        {
            merge(at - 1, Some(at));
            self.0.pop();
            at -= 1;
            self.0[at] = node;
        }
        true
    }

    /// Adds up what no node has in common, from the right: into the first place.
    pub fn fold(&mut self, mut merge: impl FnMut(usize, usize)) {
        while self.0.len() > 1 {
            let last = self.0.len() - 1;
            merge(last - 1, last);
            self.0.pop();
        }
    }
}

/// The blocks of a range.
pub fn blocks(range: Range<u32>) -> Vec<Range<u32>> {
    let mut blocks = Blocks::default();
    range.for_each(|at| _ = blocks.push(at..at + 1, |_, _| {}));
    blocks.0
}

/// The most blocks at a time while those of a range are made one after another.
pub fn most_blocks(range: Range<u32>) -> usize {
    let (mut blocks, mut most) = (Blocks::default(), 0);
    for at in range {
        blocks.push(at..at + 1, |_, _| {});
        most = most.max(blocks.count());
    }
    most
}

/// Adds up the blocks of all ranks, which are those of the ranges from left to right.
///
/// `parts`: for each range its blocks, each as many values, in one slice.
pub fn total(ranges: &[Range<u32>], parts: &[&[f32]], sum: &mut [f32]) {
    let len = sum.len();
    let (mut all, mut places): (Blocks, Vec<Vec<f32>>) = Default::default();
    let add = |to: &mut [f32], from: &[f32]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
    for (range, part) in ranges.iter().zip(parts) {
        for (node, values) in blocks(range.clone()).into_iter().zip(part.chunks_exact(len)) {
            let is_merged = all.push(node, |into, from| match from {
                None => add(&mut places[into], values),
                Some(from) => {
                    let right = places.pop().expect("a place");
                    debug_assert_eq!(places.len(), from);
                    add(&mut places[into], &right);
                }
            });
            if !is_merged {
                places.push(values.to_vec());
            }
        }
    }
    all.fold(|into, _| {
        let right = places.pop().expect("a place");
        add(&mut places[into], &right);
    });
    sum.copy_from_slice(&places[0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::{Place, divisors};

    #[test]
    fn blocks_are_the_largest_nodes_inside_of_a_range() {
        assert_eq!(blocks(2..8), [2..4, 4..8]);
        assert_eq!(blocks(0..6), [0..4, 4..6]);
        assert_eq!(blocks(3..6), [3..4, 4..6]);
        assert_eq!(blocks(5..12), [5..6, 6..8, 8..12]);
        assert_eq!([1, 2, 4, 8, 7].map(|end| most_blocks(0..end)), [1, 1, 2, 3, 3]);
    }

    /// What the whole tree over leaves gives, by its definition: nodes of halves, and what no node has in common from the right.
    fn by_definition(values: &[f32]) -> f32 {
        fn node(values: &[f32]) -> f32 {
            let half = values.len() / 2;
            if half == 0 { values[0] } else { node(&values[..half]) + node(&values[half..]) }
        }
        let nodes = blocks(0..values.len() as u32).into_iter().map(|block| node(&values[block.start as usize..block.end as usize]));
        nodes.rev().reduce(|right, left| left + right).expect("a value")
    }

    #[test]
    fn any_number_of_ranks_comes_to_the_same_bits() {
        for micro_batches in 1..=24u32 {
            let values: Vec<f32> = (0..micro_batches).map(|i| 1.0 / (1.0 + i as f32) * if i % 3 == 0 { 1e4 } else { -1.0 }).collect();
            let expected = by_definition(&values);
            for count in divisors(micro_batches) {
                let ranges: Vec<_> = (0..count as usize).map(|rank| Place { rank, count: count as usize }.share(micro_batches)).collect();
                let parts: Vec<Vec<f32>> = ranges
                    .iter()
                    .map(|range| {
                        let nodes = blocks(range.clone());
                        nodes.iter().map(|node| by_definition(&values[node.start as usize..node.end as usize])).collect()
                    })
                    .collect();
                let mut sum = [0.0];
                total(&ranges, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut sum);
                assert_eq!(sum[0].to_bits(), expected.to_bits(), "{micro_batches} micro-batches, {count} ranks");
            }
        }
    }
}
