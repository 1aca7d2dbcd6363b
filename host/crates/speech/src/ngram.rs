//! N-gram probabilities with backing off, in a trie.

/// The state that knows of no symbol before.
pub const ROOT: u32 = 0;
/// The symbol before the first one of a sequence.
pub const START: u16 = 0;
/// The symbol after the last one.
pub const STOP: u16 = 1;
/// Steps of a logarithm as it is stored, per nat.
const STEPS: f32 = 12.0;
/// What a back-off weight of 1 is stored as.
const EVEN: f32 = 160.0;
/// A symbol that was never seen.
const NEVER: f32 = -25.0;

/// An n-gram: its symbols, the logarithms of its probability and of its back-off weight.
pub type Entry = (Vec<u16>, f32, f32);

/// The trie. A node is an n-gram, and also the state of having just seen its symbols; the children of a node follow each other, in the order of their
/// symbols, and so do the nodes of one length.
#[derive(Default)]
pub struct Ngrams {
    symbols: Vec<u16>,
    /// Natural logarithms of P(last symbol | the others).
    probabilities: Vec<f32>,
    /// Natural logarithms of the weight of the shorter context, where a symbol does not follow.
    backoffs: Vec<f32>,
    /// Where each node's children begin; they end where the next node's begin.
    children: Vec<u32>,
    /// The node without the first symbol.
    shorter: Vec<u32>,
}

impl Ngrams {
    /// A trie of n-grams: for each one, those without its first and without its last symbol are there as well.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| a.0.len().cmp(&b.0.len()).then_with(|| a.0.cmp(&b.0)));
        let mut all = Self { symbols: vec![0], probabilities: vec![0.0], backoffs: vec![0.0], ..Self::default() };
        for (symbols, probability, backoff) in &entries {
            all.symbols.push(symbols.last().copied().unwrap_or_default());
            all.probabilities.push(quantise(*probability, 0.0));
            all.backoffs.push(quantise(*backoff, EVEN));
        }
        // The n-grams of one length are in the order of their parents: one pass finds every first child.
        let context = |node: usize| entries.get(node).map(|(symbols, ..)| &symbols[..symbols.len() - 1]);
        let mut child = 0;
        let empty: &[u16] = &[];
        for node in 0..=entries.len() {
            let own = if node == 0 { empty } else { &entries[node - 1].0[..] };
            while context(child).is_some_and(|context| (context.len(), context) < (own.len(), own)) {
                child += 1;
            }
            all.children.push(child as u32 + 1);
        }
        all.children.push(entries.len() as u32 + 1);
        all.link();
        all
    }

    /// How many n-grams.
    pub fn len(&self) -> usize {
        self.symbols.len() - 1
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The state after a further symbol, and the logarithm of its probability.
    pub fn step(&self, mut state: u32, symbol: u16) -> (u32, f32) {
        let mut score = 0.0;
        loop {
            if let Some(child) = self.child(state, symbol) {
                return (child, score + self.probabilities[child as usize]);
            }
            if state == ROOT {
                return (ROOT, score + NEVER);
            }
            score += self.backoffs[state as usize];
            state = self.shorter[state as usize];
        }
    }

    fn child(&self, node: u32, symbol: u16) -> Option<u32> {
        let (first, end) = (self.children[node as usize], self.children[node as usize + 1]);
        self.symbols[first as usize..end as usize].binary_search(&symbol).ok().map(|at| first + at as u32)
    }

    /// Finds each node's shorter one, parents first.
    fn link(&mut self) {
        self.shorter = vec![ROOT; self.symbols.len()];
        for node in 0..self.symbols.len() as u32 {
            for child in self.children[node as usize]..self.children[node as usize + 1] {
                self.shorter[child as usize] =
                    if node == ROOT { ROOT } else { self.child(self.shorter[node as usize], self.symbols[child as usize]).unwrap_or(ROOT) };
            }
        }
    }

    /// Appends it as bytes: the number of nodes, then for all nodes the number of children, the symbols as differences among siblings, and the two
    /// logarithms. Back-off weights are left out where there are no children.
    pub fn pack(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.symbols.len() as u32).to_le_bytes());
        let nodes = 0..self.symbols.len();
        let count = |node: usize| self.children[node + 1] - self.children[node];
        nodes.clone().for_each(|node| varint(count(node), bytes));
        for node in nodes.clone() {
            let mut last = 0;
            for &symbol in &self.symbols[self.children[node] as usize..self.children[node + 1] as usize] {
                varint(u32::from(symbol - last), bytes);
                last = symbol;
            }
        }
        bytes.extend(self.probabilities.iter().map(|&value| stored(value, 0.0)));
        bytes.extend(nodes.filter(|&node| count(node) > 0).map(|node| stored(self.backoffs[node], EVEN)));
    }

    /// Reads what [`Self::pack`] gave, if all symbols are below `symbols`.
    pub fn unpack(bytes: &[u8], symbols: u16) -> Option<Self> {
        let (count, mut rest) = bytes.split_first_chunk()?;
        let count = u32::from_le_bytes(*count) as usize;
        // Every node takes at least two bytes: no more memory than the bytes deserve.
        if count == 0 || count > rest.len() {
            return None;
        }
        let mut all = Self { symbols: vec![0], ..Self::default() };
        let mut next = 1u32;
        for _ in 0..count {
            all.children.push(next);
            next = next.checked_add(read_varint(&mut rest)?)?;
        }
        all.children.push(next);
        // Children come after their parents: no circles.
        if next as usize != count || (0..count).any(|node| all.children[node] as usize <= node) {
            return None;
        }
        for node in 0..count {
            let mut last = 0u32;
            for _ in all.children[node]..all.children[node + 1] {
                last = last.checked_add(read_varint(&mut rest)?)?;
                all.symbols.push(u16::try_from(last).ok().filter(|&symbol| symbol < symbols)?);
            }
        }
        let (probabilities, mut rest) = rest.split_at_checked(count)?;
        all.probabilities = probabilities.iter().map(|&byte| loaded(byte, 0.0)).collect();
        for node in 0..count {
            let leaf = all.children[node] == all.children[node + 1];
            all.backoffs.push(if leaf { 0.0 } else { loaded(take(&mut rest)?, EVEN) });
        }
        rest.is_empty().then(|| {
            all.link();
            all
        })
    }
}

/// A logarithm as a byte: the larger the byte, the smaller the probability.
fn stored(value: f32, even: f32) -> u8 {
    (even - value * STEPS).round().clamp(0.0, 255.0) as u8
}

fn loaded(byte: u8, even: f32) -> f32 {
    (even - f32::from(byte)) / STEPS
}

fn quantise(value: f32, even: f32) -> f32 {
    loaded(stored(value, even), even)
}

fn varint(mut value: u32, bytes: &mut Vec<u8>) {
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn read_varint(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let byte = take(rest)?;
        value |= u32::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, tail) = rest.split_first()?;
    *rest = tail;
    Some(byte)
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    use super::*;

    fn small() -> Ngrams {
        let entries = [
            (&[0][..], -9.0, -0.5),
            (&[1], -2.0, 0.0),
            (&[2], -1.0, -1.0),
            (&[3], -1.5, 0.0),
            (&[0, 2], -0.5, -0.25),
            (&[2, 3], -0.75, 0.0),
            (&[0, 2, 3], -0.25, 0.0),
        ];
        Ngrams::new(entries.iter().map(|&(symbols, p, b)| (symbols.to_vec(), p, b)).collect())
    }

    #[test]
    fn steps_back_off() {
        let ngrams = small();
        let start = ngrams.step(ROOT, START).0;
        let (two, p) = ngrams.step(start, 2);
        assert_abs_diff_eq!(p, -0.5, epsilon = 0.05);
        let (three, p) = ngrams.step(two, 3);
        assert_abs_diff_eq!(p, -0.25, epsilon = 0.05);
        let (_, p) = ngrams.step(three, STOP);
        assert_abs_diff_eq!(p, -2.0, epsilon = 0.05);
        let (_, p) = ngrams.step(two, 2);
        // Two back-offs.
        assert_abs_diff_eq!(p, -0.25 - 1.0 - 1.0, epsilon = 0.1);
    }

    #[test]
    fn packed_ngrams_come_back() {
        let ngrams = small();
        let mut bytes = Vec::new();
        ngrams.pack(&mut bytes);
        let again = Ngrams::unpack(&bytes, 4).unwrap();
        assert_eq!((&again.symbols, &again.probabilities, &again.backoffs), (&ngrams.symbols, &ngrams.probabilities, &ngrams.backoffs));
        assert_eq!((&again.children, &again.shorter), (&ngrams.children, &ngrams.shorter));
        assert!(Ngrams::unpack(&bytes, 3).is_none(), "a symbol out of range");
        for end in 0..bytes.len() {
            assert!(Ngrams::unpack(&bytes[..end], 4).is_none(), "{end} of {} bytes", bytes.len());
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_no_panic(bytes in proptest::collection::vec(0u8..6, 0..60)) {
            if let Some(ngrams) = Ngrams::unpack(&bytes, 4) {
                let mut state = ROOT;
                for symbol in 0..40 {
                    state = ngrams.step(state, symbol % 4).0;
                }
            }
        }
    }
}
