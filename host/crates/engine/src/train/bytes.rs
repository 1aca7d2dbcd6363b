//! A text in memory to learn from.

use primal_device::philox::RandomStream;

use super::task::Draw;
use super::text::{TextSource, windows};

/// One part in so many of a text is held back, at its end.
const HELD_OUT: usize = 20;

/// A text of bytes, each of which is a token; the last twentieth is held back.
#[derive(Clone, Debug)]
pub struct Bytes {
    text: Vec<u8>,
    /// Bytes to learn from.
    train: usize,
}

impl Bytes {
    /// A text to learn from.
    ///
    /// # Panics
    /// If it has fewer than 40 bytes: then nothing could be held back.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        assert!(text.len() >= 2 * HELD_OUT, "a text of {} bytes", text.len());
        Self { train: text.len() - text.len() / HELD_OUT, text }
    }
}

/// Copies bytes and those that follow each.
fn copy(from: &[u8], inputs: &mut [u32], targets: &mut [u32]) {
    for (values, bytes) in [(inputs, from), (targets, &from[1..])] {
        values.iter_mut().zip(bytes).for_each(|(value, &byte)| *value = byte.into());
    }
}

impl TextSource for Bytes {
    fn bytes_of(&self, _token: u32) -> usize {
        1
    }

    /// The hash FNV-1a of the text (Fowler, Noll and Vo), of 64 bits.
    fn fingerprint(&self) -> u64 {
        self.text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// # Panics
    /// If there are no `seq_len + 1` bytes to learn from.
    fn sample(&self, seed: u64, draw: Draw, seq_len: usize, inputs: &mut [u32], targets: &mut [u32], _lengths: &mut Vec<u32>) {
        let starts = self.train.checked_sub(seq_len).filter(|&starts| starts > 0).expect("a text longer than a sequence");
        let random = RandomStream::new(seed, draw.micro_batch, draw.step);
        for (row, (inputs, targets)) in inputs.chunks_exact_mut(seq_len).zip(targets.chunks_exact_mut(seq_len)).enumerate() {
            let start = ((u64::from(random.words(row as u32)[0]) * starts as u64) >> 32) as usize;
            copy(&self.text[start..=start + seq_len], inputs, targets);
        }
    }

    fn held_out(&self, index: u64, seq_len: usize, inputs: &mut [u32], targets: &mut [u32], _lengths: &mut Vec<u32>) -> usize {
        windows(index, seq_len, inputs, targets, |index, inputs, targets| {
            let rest = &self.text[self.train..];
            let start = (index as usize).saturating_mul(seq_len).min(rest.len());
            let len = (rest.len() - start).saturating_sub(1).min(seq_len);
            if len > 0 {
                copy(&rest[start..=start + len], &mut inputs[..len], &mut targets[..len]);
            }
            len
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_is_held_back_but_the_first_is_a_target_once() {
        let text: String = ('a'..='z').cycle().take(1000).collect();
        let source = Bytes::new(text.as_str());
        let (mut seen, mut index) = (Vec::new(), 0);
        loop {
            let (mut inputs, mut targets) = ([0; 16], [0; 16]);
            let len = source.held_out(index, 16, &mut inputs, &mut targets, &mut Vec::new());
            if len == 0 {
                break;
            }
            assert!(inputs[..len].iter().zip(&targets).all(|(&a, &b)| b == if a == 122 { 97 } else { a + 1 }));
            seen.extend(targets[..len].iter().map(|&target| target as u8));
            index += 1;
        }
        assert_eq!(seen, text.as_bytes()[951..]);
    }

    #[test]
    fn a_batch_is_a_function_of_its_number_and_sees_nothing_that_is_held_back() {
        let text = "a".repeat(950) + &"b".repeat(50);
        let source = Bytes::new(text.as_str());
        let batch = |step| {
            let (mut inputs, mut targets) = ([0; 64], [0; 64]);
            source.sample(1, Draw { step, micro_batch: 0, of: 1 }, 8, &mut inputs, &mut targets, &mut Vec::new());
            assert!(inputs.iter().chain(&targets).all(|&byte| byte == 97));
        };
        (0..200).for_each(batch);
        let text: String = ('a'..='z').cycle().take(1000).collect();
        let source = Bytes::new(text);
        let batch = |step| {
            let (mut inputs, mut targets) = ([0; 64], [0; 64]);
            source.sample(1, Draw { step, micro_batch: 0, of: 1 }, 8, &mut inputs, &mut targets, &mut Vec::new());
            (inputs, targets)
        };
        assert_eq!(batch(3), batch(3));
        assert_ne!(batch(3), batch(4));
    }
}
