//! Values of metadata. Those of an open file lie in its mapping; arrays stay as they are written until they are walked.

use std::borrow::Cow;
use std::fmt;

use super::cursor::Cursor;

/// Arrays in arrays, so deep at most; no model has any.
const MAX_DEPTH: usize = 4;

/// The type of a value (`enum gguf_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Kind {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl Kind {
    const ALL: [(Self, &'static str); 13] = [
        (Self::U8, "u8"),
        (Self::I8, "i8"),
        (Self::U16, "u16"),
        (Self::I16, "i16"),
        (Self::U32, "u32"),
        (Self::I32, "i32"),
        (Self::F32, "f32"),
        (Self::Bool, "bool"),
        (Self::String, "string"),
        (Self::Array, "array"),
        (Self::U64, "u64"),
        (Self::I64, "i64"),
        (Self::F64, "f64"),
    ];

    fn read(cursor: &mut Cursor) -> Result<Self, String> {
        let (at, number) = (cursor.at(), cursor.u32()?);
        let known = Self::ALL.get(number as usize).map(|(kind, _)| *kind);
        known.ok_or_else(|| format!("a value of the unknown type {number} at byte {at}"))
    }

    /// The fewest bytes that a value takes, which numbers have exactly.
    fn min_len(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::String => 8,
            Self::Array => 12,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(Self::ALL[*self as usize].1)
    }
}

/// A value of metadata.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(Cow<'a, str>),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl<'a> Value<'a> {
    /// A string.
    pub fn string(text: impl Into<Cow<'a, str>>) -> Self {
        Self::String(text.into())
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::U8(_) => Kind::U8,
            Self::I8(_) => Kind::I8,
            Self::U16(_) => Kind::U16,
            Self::I16(_) => Kind::I16,
            Self::U32(_) => Kind::U32,
            Self::I32(_) => Kind::I32,
            Self::F32(_) => Kind::F32,
            Self::Bool(_) => Kind::Bool,
            Self::String(_) => Kind::String,
            Self::Array(_) => Kind::Array,
            Self::U64(_) => Kind::U64,
            Self::I64(_) => Kind::I64,
            Self::F64(_) => Kind::F64,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The array, if it is one.
    pub fn as_array(&self) -> Option<&Array<'a>> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// A whole number that is not negative, of any width: writers do not agree on it.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(n) => Some(n.into()),
            Self::U16(n) => Some(n.into()),
            Self::U32(n) => Some(n.into()),
            Self::U64(n) => Some(n),
            Self::I8(n) => n.try_into().ok(),
            Self::I16(n) => n.try_into().ok(),
            Self::I32(n) => n.try_into().ok(),
            Self::I64(n) => n.try_into().ok(),
            _ => None,
        }
    }

    /// A number with a point, of either width.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(x) => Some(x.into()),
            Self::F64(x) => Some(x),
            _ => None,
        }
    }

    /// Reads a type and a value of it, checked in depth.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, String> {
        let kind = Kind::read(cursor)?;
        Self::read_as(kind, cursor, MAX_DEPTH)
    }

    /// A value with no more than `depth` arrays in one another.
    fn read_as(kind: Kind, cursor: &mut Cursor<'a>, depth: usize) -> Result<Self, String> {
        Ok(match kind {
            Kind::U8 => Self::U8(u8::from_le_bytes(cursor.chunk()?)),
            Kind::I8 => Self::I8(i8::from_le_bytes(cursor.chunk()?)),
            Kind::U16 => Self::U16(u16::from_le_bytes(cursor.chunk()?)),
            Kind::I16 => Self::I16(i16::from_le_bytes(cursor.chunk()?)),
            Kind::U32 => Self::U32(cursor.u32()?),
            Kind::I32 => Self::I32(i32::from_le_bytes(cursor.chunk()?)),
            Kind::U64 => Self::U64(cursor.u64()?),
            Kind::I64 => Self::I64(i64::from_le_bytes(cursor.chunk()?)),
            Kind::F32 => Self::F32(f32::from_le_bytes(cursor.chunk()?)),
            Kind::F64 => Self::F64(f64::from_le_bytes(cursor.chunk()?)),
            Kind::Bool => match cursor.chunk()? {
                [0] => Self::Bool(false),
                [1] => Self::Bool(true),
                [other] => return Err(format!("a boolean of value {other} at byte {}", cursor.at() - 1)),
            },
            Kind::String => Self::String(cursor.string()?.into()),
            Kind::Array => Self::Array(Array::read(cursor, depth)?),
        })
    }

    /// Appends the value as a file has it, without its type.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(n) => out.extend(n.to_le_bytes()),
            Self::I8(n) => out.extend(n.to_le_bytes()),
            Self::U16(n) => out.extend(n.to_le_bytes()),
            Self::I16(n) => out.extend(n.to_le_bytes()),
            Self::U32(n) => out.extend(n.to_le_bytes()),
            Self::I32(n) => out.extend(n.to_le_bytes()),
            Self::U64(n) => out.extend(n.to_le_bytes()),
            Self::I64(n) => out.extend(n.to_le_bytes()),
            Self::F32(x) => out.extend(x.to_le_bytes()),
            Self::F64(x) => out.extend(x.to_le_bytes()),
            Self::Bool(x) => out.push((*x).into()),
            Self::String(text) => encode_string(text, out),
            Self::Array(array) => {
                out.extend((array.kind as u32).to_le_bytes());
                out.extend((array.len as u64).to_le_bytes());
                out.extend_from_slice(&array.bytes);
            }
        }
    }
}

/// Numbers and strings as they are, arrays by type and length: `[string; 49152]`.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::U8(n) => n.fmt(f),
            Self::I8(n) => n.fmt(f),
            Self::U16(n) => n.fmt(f),
            Self::I16(n) => n.fmt(f),
            Self::U32(n) => n.fmt(f),
            Self::I32(n) => n.fmt(f),
            Self::U64(n) => n.fmt(f),
            Self::I64(n) => n.fmt(f),
            Self::F32(x) => x.fmt(f),
            Self::F64(x) => x.fmt(f),
            Self::Bool(x) => x.fmt(f),
            Self::String(text) => f.write_str(text),
            Self::Array(array) => write!(f, "[{}; {}]", array.kind, array.len),
        }
    }
}

/// Values of one type, one after another as a file has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<'a> {
    kind: Kind,
    len: usize,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Array<'a> {
    fn read(cursor: &mut Cursor<'a>, depth: usize) -> Result<Self, String> {
        let within =
            depth.checked_sub(1).ok_or_else(|| format!("arrays in arrays, more than {MAX_DEPTH} deep, at byte {}", cursor.at()))?;
        let kind = Kind::read(cursor)?;
        let len = cursor.count("values of an array", kind.min_len())?;
        let start = cursor.at();
        if matches!(kind, Kind::Bool | Kind::String | Kind::Array) {
            for _ in 0..len {
                Value::read_as(kind, cursor, within)?;
            }
        } else {
            cursor.take(len * kind.min_len())?;
        }
        Ok(Self { kind, len, bytes: cursor.since(start).into() })
    }

    /// Strings, such as tokens.
    pub fn of_strings<T: AsRef<str>>(strings: impl IntoIterator<Item = T>) -> Array<'static> {
        Array::of_values(Kind::String, strings, |text, out| encode_string(text.as_ref(), out))
    }

    /// `i32`, such as types of tokens.
    pub fn of_i32(numbers: impl IntoIterator<Item = i32>) -> Array<'static> {
        Array::of_values(Kind::I32, numbers, |n, out| out.extend(n.to_le_bytes()))
    }

    /// `f32`, such as scores of tokens.
    pub fn of_f32(numbers: impl IntoIterator<Item = f32>) -> Array<'static> {
        Array::of_values(Kind::F32, numbers, |x, out| out.extend(x.to_le_bytes()))
    }

    fn of_values<T>(kind: Kind, values: impl IntoIterator<Item = T>, encode: impl Fn(T, &mut Vec<u8>)) -> Array<'static> {
        let (mut len, mut bytes) = (0, Vec::new());
        for value in values {
            encode(value, &mut bytes);
            len += 1;
        }
        Array { kind, len, bytes: bytes.into() }
    }

    /// The type of the values.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values, first to last.
    pub fn iter(&self) -> impl Iterator<Item = Value<'_>> {
        let mut cursor = Cursor::new(&self.bytes, 0);
        (0..self.len).map(move |_| Value::read_as(self.kind, &mut cursor, MAX_DEPTH).expect("values that were checked, or encoded here"))
    }

    /// The values as text; none where they are of another type.
    pub fn strings(&self) -> Option<impl Iterator<Item = Cow<'_, str>>> {
        let text = |value| match value {
            Value::String(text) => text,
            _ => unreachable!("an array has one type"),
        };
        (self.kind == Kind::String).then(|| self.iter().map(text))
    }
}

pub(super) fn encode_string(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
