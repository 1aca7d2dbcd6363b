//! The buffers that a case starts with.

use half::f16;
use primal_device::philox::{RandomStream, uniform};

/// Initial contents of a buffer.
#[derive(Clone, Debug)]
pub enum Data {
    F32(Vec<f32>),
    F16(Vec<f16>),
    U32(Vec<u32>),
    U8(Vec<u8>),
}

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F16(x) => x.len(),
            Self::U32(x) => x.len(),
            Self::U8(x) => x.len(),
        }
    }

    /// The values of floats or halves.
    pub fn floats(&self) -> Vec<f64> {
        match self {
            Self::F32(x) => x.iter().map(|&x| f64::from(x)).collect(),
            Self::F16(x) => x.iter().map(|x| x.to_f64()).collect(),
            Self::U32(_) | Self::U8(_) => panic!("no floats"),
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(x) => bytemuck::cast_slice(x).to_vec(),
            Self::F16(x) => bytemuck::cast_slice(x).to_vec(),
            Self::U32(x) => bytemuck::cast_slice(x).to_vec(),
            Self::U8(x) => x.clone(),
        }
    }
}

fn draws(len: usize, seed: u64) -> impl Iterator<Item = [f32; 4]> {
    let stream = RandomStream::new(seed, 0, 0);
    (0..len).map(move |i| stream.words(i as u32).map(uniform))
}

/// Values with mean 0 and variance 1, within ±3.5; a sum of four uniform ones.
pub fn normal(len: usize, seed: u64) -> Vec<f32> {
    draws(len, seed).map(|u| (u.iter().sum::<f32>() - 2.0) * 3f32.sqrt()).collect()
}

/// Values between `low` and `high`.
pub fn between(low: f32, high: f32, len: usize, seed: u64) -> Vec<f32> {
    draws(len, seed).map(|u| low + (high - low) * u[0]).collect()
}

/// Integers below `end`.
pub fn below(end: usize, len: usize, seed: u64) -> Vec<u32> {
    draws(len, seed).map(|u| ((f64::from(u[0]) * end as f64) as u32).min(end as u32 - 1)).collect()
}

/// A buffer that the op must overwrite: NaN shows what it leaves out.
pub fn unset(len: usize) -> Data {
    Data::F32(vec![f32::NAN; len])
}

/// A buffer of [`normal`] values.
pub fn random(len: usize, seed: u64) -> Data {
    Data::F32(normal(len, seed))
}
