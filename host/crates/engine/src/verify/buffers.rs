//! The buffers of a case: what they hold at first, as the reference sees them, and on the back end.

use half::f16;
use primal_device::philox::{RandomStream, uniform};

use crate::memory::{Act, Activation, Span};

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

/// A buffer as the reference sees it.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Float(Vec<f64>),
    Word(Vec<u32>),
    Byte(Vec<u8>),
    /// Either cell is right: rounding decides. The mask is that of the lowest cell: a byte or a nibble.
    Either(Vec<u8>, Vec<u8>, u8),
}

/// The buffers of a case in the order of its rows, floats widened to `f64`.
#[derive(Clone, Debug)]
pub struct CaseBuffers {
    pub(super) values: Vec<Value>,
    pub(super) written: Vec<bool>,
}

impl CaseBuffers {
    pub(super) fn new(buffers: &[Data]) -> Self {
        let widen = |data: &Data| match data {
            Data::F32(_) | Data::F16(_) => Value::Float(data.floats()),
            Data::U32(x) => Value::Word(x.clone()),
            Data::U8(x) => Value::Byte(x.clone()),
        };
        Self { values: buffers.iter().map(widen).collect(), written: vec![false; buffers.len()] }
    }

    /// Floats of buffer `i`.
    pub fn f(&self, i: usize) -> &[f64] {
        match &self.values[i] {
            Value::Float(x) => x,
            other => panic!("buffer {i} is {other:?}"),
        }
    }

    /// Words of buffer `i`.
    pub fn u(&self, i: usize) -> &[u32] {
        match &self.values[i] {
            Value::Word(x) => x,
            other => panic!("buffer {i} is {other:?}"),
        }
    }

    /// Bytes of buffer `i`.
    pub fn b(&self, i: usize) -> &[u8] {
        match &self.values[i] {
            Value::Byte(x) => x,
            other => panic!("buffer {i} is {other:?}"),
        }
    }

    fn put(&mut self, i: usize, value: Value) {
        self.values[i] = value;
        self.written[i] = true;
    }

    /// What buffer `i` must hold.
    pub fn set(&mut self, i: usize, x: Vec<f64>) {
        assert_eq!(self.f(i).len(), x.len(), "reference of buffer {i}");
        self.put(i, Value::Float(x));
    }

    /// What must have been added to buffer `i`.
    pub fn add(&mut self, i: usize, x: Vec<f64>) {
        let sum = self.f(i).iter().zip(&x).map(|(a, b)| a + b).collect();
        self.set(i, sum);
    }

    /// What buffer `i` must hold after the op, of words.
    pub fn set_u(&mut self, i: usize, x: Vec<u32>) {
        self.put(i, Value::Word(x));
    }

    /// What buffer `i` must hold after the op, of bytes.
    pub fn set_b(&mut self, i: usize, x: Vec<u8>) {
        self.put(i, Value::Byte(x));
    }

    /// Each cell of buffer `i`, 8 or 4 bits wide, must be one of two.
    pub fn set_either(&mut self, i: usize, x: Vec<u8>, y: Vec<u8>, bits: u32) {
        self.put(i, Value::Either(x, y, u8::MAX >> (8 - bits)));
    }
}

pub(super) enum Handle {
    F32(Span<f32>),
    F16(Span<f16>),
    U32(Span<u32>),
    U8(Span<u8>),
}

/// The buffers of a case on the back end.
pub struct CaseSpans(pub(super) Vec<Handle>);

impl CaseSpans {
    /// Floats of buffer `i`.
    pub fn f(&self, i: usize) -> Span<f32> {
        match self.0[i] {
            Handle::F32(span) => span,
            _ => panic!("buffer {i} does not hold floats"),
        }
    }

    /// Halves of buffer `i`.
    pub fn h(&self, i: usize) -> Span<f16> {
        match self.0[i] {
            Handle::F16(span) => span,
            _ => panic!("buffer {i} does not hold halves"),
        }
    }

    /// Activations of buffer `i`, in whatever form they are.
    pub fn a(&self, i: usize) -> Activation {
        match self.0[i] {
            Handle::F32(span) => Activation::F32(span),
            Handle::F16(span) => Activation::F16(span),
            _ => panic!("buffer {i} does not hold activations"),
        }
    }

    /// Words of buffer `i`.
    pub fn u(&self, i: usize) -> Span<u32> {
        match self.0[i] {
            Handle::U32(span) => span,
            _ => panic!("buffer {i} does not hold words"),
        }
    }

    /// Bytes of buffer `i`.
    pub fn b(&self, i: usize) -> Span<u8> {
        match self.0[i] {
            Handle::U8(span) => span,
            _ => panic!("buffer {i} does not hold bytes"),
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

/// The values as such a form has them.
pub fn stored(act: Act, mut values: Vec<f32>) -> Vec<f32> {
    if act == Act::F16 {
        values.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
    }
    values
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
