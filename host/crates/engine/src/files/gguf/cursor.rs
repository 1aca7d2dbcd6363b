//! Reading numbers, strings and values of bytes that nobody vouches for: nothing is taken that is not there.

use std::borrow::Cow;

use super::value::{Array, Kind, Value};

/// Arrays in arrays, so deep at most; no model has any.
const MAX_DEPTH: usize = 4;

/// A place in bytes. Errors are what was found, in words.
#[derive(Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        let end =
            end.ok_or_else(|| format!("one that ends at byte {}, where {len} more from byte {} on were due", self.bytes.len(), self.at))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(*self.take(N)?.first_chunk().expect("as many bytes as were taken"))
    }

    pub fn u32(&mut self) -> Result<u32, String> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, String> {
        self.chunk().map(u64::from_le_bytes)
    }

    /// A number of things that take `each` bytes at least, so that there cannot be more of them than fit into what is left.
    pub fn count(&mut self, of: &str, each: usize) -> Result<usize, String> {
        let count = self.u64()?;
        let fits = usize::try_from(count).ok().filter(|count| count.checked_mul(each).is_some_and(|bytes| bytes <= self.left()));
        fits.ok_or_else(|| format!("one that claims {count} {of} in the {} bytes that are left of it", self.left()))
    }

    pub fn string(&mut self) -> Result<&'a str, String> {
        let (at, len) = (self.at, self.count("bytes of a string", 1)?);
        str::from_utf8(self.take(len)?).map_err(|_| format!("a string at byte {at} that is not UTF-8"))
    }

    pub fn kind(&mut self) -> Result<Kind, String> {
        let (at, number) = (self.at, self.u32()?);
        Kind::of(number).ok_or_else(|| format!("a value of the unknown type {number} at byte {at}"))
    }

    /// A value, checked in depth.
    pub fn value(&mut self, kind: Kind) -> Result<Value<'a>, String> {
        self.value_within(kind, MAX_DEPTH)
    }

    fn value_within(&mut self, kind: Kind, depth: usize) -> Result<Value<'a>, String> {
        Ok(match kind {
            Kind::U8 => Value::U8(u8::from_le_bytes(self.chunk()?)),
            Kind::I8 => Value::I8(i8::from_le_bytes(self.chunk()?)),
            Kind::U16 => Value::U16(u16::from_le_bytes(self.chunk()?)),
            Kind::I16 => Value::I16(i16::from_le_bytes(self.chunk()?)),
            Kind::U32 => Value::U32(self.u32()?),
            Kind::I32 => Value::I32(i32::from_le_bytes(self.chunk()?)),
            Kind::U64 => Value::U64(self.u64()?),
            Kind::I64 => Value::I64(i64::from_le_bytes(self.chunk()?)),
            Kind::F32 => Value::F32(f32::from_le_bytes(self.chunk()?)),
            Kind::F64 => Value::F64(f64::from_le_bytes(self.chunk()?)),
            Kind::Bool => match self.chunk()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(format!("a boolean of value {other} at byte {}", self.at - 1)),
            },
            Kind::String => Value::String(self.string()?.into()),
            Kind::Array => Value::Array(self.array(depth)?),
        })
    }

    fn array(&mut self, depth: usize) -> Result<Array<'a>, String> {
        let within = depth.checked_sub(1).ok_or_else(|| format!("arrays in arrays, more than {MAX_DEPTH} deep, at byte {}", self.at))?;
        let kind = self.kind()?;
        let len = self.count("values of an array", kind.min_len())?;
        let start = self.at;
        if matches!(kind, Kind::Bool | Kind::String | Kind::Array) {
            for _ in 0..len {
                self.value_within(kind, within)?;
            }
        } else {
            self.take(len * kind.min_len())?;
        }
        Ok(Array::of_bytes(kind, len, Cow::Borrowed(&self.bytes[start..self.at])))
    }
}
