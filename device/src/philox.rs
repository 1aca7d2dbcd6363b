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
    philox4x32_lanes(counter.map(|word| [word]), key).map(|[word]| word)
}

/// Four random words for each of N counters, word by word: a loop over lanes, which vectorises.
#[inline(always)]
fn philox4x32_lanes<const N: usize>(counter: [[u32; N]; 4], key: [u32; 2]) -> [[u32; N]; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], mut k) = (counter, key);
    for _ in 0..ROUNDS {
        for i in 0..N {
            let product0 = MULTIPLIERS[0] as u64 * c0[i] as u64;
            let product1 = MULTIPLIERS[1] as u64 * c2[i] as u64;
            (c0[i], c1[i]) = ((product1 >> 32) as u32 ^ c1[i] ^ k[0], product1 as u32);
            (c2[i], c3[i]) = ((product0 >> 32) as u32 ^ c3[i] ^ k[1], product0 as u32);
        }
        k = [k[0].wrapping_add(KEY_STEPS[0]), k[1].wrapping_add(KEY_STEPS[1])];
    }
    [c0, c1, c2, c3]
}

/// The random numbers of one tensor at one step: the key is the seed, the counter (block, tensor, step).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomStream {
    key: [u32; 2],
    tensor: u32,
    step: [u32; 2],
}

impl RandomStream {
    /// The stream of `tensor` at `step`; different arguments give disjoint counters or another key.
    pub fn new(seed: u64, tensor: u32, step: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], tensor, step: [step as u32, (step >> 32) as u32] }
    }

    /// The random bytes of weights `16·block .. 16·block + 16`: the words of the block, little end first.
    #[inline(always)]
    pub fn bytes(&self, block: u32) -> [u8; 16] {
        let [bytes] = self.bytes_of::<1>(block);
        bytes
    }

    /// The random bytes of N blocks from `block`, as [`RandomStream::bytes`] gives them one by one.
    #[inline(always)]
    pub fn bytes_of<const N: usize>(&self, block: u32) -> [[u8; 16]; N] {
        let blocks = core::array::from_fn(|i| block.wrapping_add(i as u32));
        let words = philox4x32_lanes([blocks, [self.tensor; N], [self.step[0]; N], [self.step[1]; N]], self.key);
        core::array::from_fn(|i| {
            let mut bytes = [0; 16];
            for (four, word) in bytes.chunks_exact_mut(4).zip(&words) {
                four.copy_from_slice(&word[i].to_le_bytes());
            }
            bytes
        })
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
