//! Philox4x32-10: random numbers as a pure function of a counter and a key.
//!
//! J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A draw depends
//! on (seed, tensor, step, index) alone, so it is the same for any number of threads, devices or ranks.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Four random words for `counter` under `key`.
#[inline(always)]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..ROUNDS {
        let product0 = MULTIPLIERS[0] as u64 * c[0] as u64;
        let product1 = MULTIPLIERS[1] as u64 * c[2] as u64;
        c = [
            (product1 >> 32) as u32 ^ c[1] ^ k[0],
            product1 as u32,
            (product0 >> 32) as u32 ^ c[3] ^ k[1],
            product0 as u32,
        ];
        k = [
            k[0].wrapping_add(KEY_STEPS[0]),
            k[1].wrapping_add(KEY_STEPS[1]),
        ];
    }
    c
}

/// The random numbers of one tensor at one step: the key is the seed, the counter (block, tensor, step).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
    tensor: u32,
    step: [u32; 2],
}

impl Stream {
    /// The stream of `tensor` at `step`; different arguments give disjoint counters or another key.
    pub fn new(seed: u64, tensor: u32, step: u64) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            tensor,
            step: [step as u32, (step >> 32) as u32],
        }
    }

    /// The random bytes of weights `16·block .. 16·block + 16`: the words of the block, little end first.
    #[inline(always)]
    pub fn bytes(&self, block: u32) -> [u8; 16] {
        let words = self.words(block).map(u32::to_le_bytes);
        let mut bytes = [0; 16];
        for (four, word) in bytes.chunks_exact_mut(4).zip(&words) {
            four.copy_from_slice(word);
        }
        bytes
    }

    /// The four random words of `block`.
    #[inline(always)]
    pub fn words(&self, block: u32) -> [u32; 4] {
        philox4x32([block, self.tensor, self.step[0], self.step[1]], self.key)
    }
}

/// The centre of the byte's 256th of [0, 1): (r + ½) / 256, whose mean over all bytes is exactly ½.
#[inline(always)]
pub fn uniform_byte(r: u8) -> f32 {
    (r as f32 + 0.5) * (1.0 / 256.0)
}

/// Uniform on [0, 1) in steps of 2⁻²⁴, from the top 24 bits, which f32 holds exactly.
#[inline(always)]
pub fn uniform(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}
