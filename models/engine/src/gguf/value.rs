//! Metadata values. Arrays are ranges of the file, decoded on demand.

use std::ops::Range;

/// The scalar types of the specification, and what their numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    pub(super) fn from_id(id: u32) -> Option<Self> {
        const KINDS: [Kind; 13] = [
            Kind::U8,
            Kind::I8,
            Kind::U16,
            Kind::I16,
            Kind::U32,
            Kind::I32,
            Kind::F32,
            Kind::Bool,
            Kind::Text,
            Kind::Array,
            Kind::U64,
            Kind::I64,
            Kind::F64,
        ];
        KINDS.get(usize::try_from(id).ok()?).copied()
    }

    /// Bytes of one value; for the two of variable length, of the shortest.
    pub(super) fn min_bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
            Self::Array => 12,
        }
    }

    /// Reads one value of a fixed size; `None` for text, arrays and a wrong length.
    pub(super) fn scalar(self, bytes: &[u8]) -> Option<Value> {
        Some(match self {
            Self::U8 => Value::Unsigned(u8::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::I8 => Value::Signed(i8::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::U16 => Value::Unsigned(u16::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::I16 => Value::Signed(i16::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::U32 => Value::Unsigned(u32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::I32 => Value::Signed(i32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::U64 => Value::Unsigned(u64::from_le_bytes(bytes.try_into().ok()?)),
            Self::I64 => Value::Signed(i64::from_le_bytes(bytes.try_into().ok()?)),
            Self::F32 => Value::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::F64 => Value::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
            Self::Bool => Value::Bool(*bytes.first()? != 0),
            Self::Text | Self::Array => return None,
        })
    }
}

/// One metadata value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    /// `range` covers exactly `len` elements, already validated.
    Array {
        element: Kind,
        len: usize,
        range: Range<usize>,
    },
}

impl Value {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Unsigned(_) | Self::Signed(_) => "an integer",
            Self::Float(_) => "a floating point number",
            Self::Bool(_) => "a boolean",
            Self::Text(_) => "a string",
            Self::Array { element, .. } => match element {
                Kind::Text => "an array of strings",
                Kind::F32 | Kind::F64 => "an array of floating point numbers",
                Kind::Bool => "an array of booleans",
                Kind::Array => "an array of arrays",
                _ => "an array of integers",
            },
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn strings<'a>(&self, file: &'a [u8]) -> Option<Strings<'a>> {
        match self {
            Self::Array { element: Kind::Text, len, range } => {
                Some(Strings { left: *len, bytes: file.get(range.clone())? })
            }
            _ => None,
        }
    }

    pub(super) fn floats(&self, file: &[u8]) -> Option<Vec<f32>> {
        self.scalars(file, |value| match value {
            // Narrowing is the point: every consumer computes in 32 bits.
            Value::Float(number) => Some(number as f32),
            _ => None,
        })
    }

    pub(super) fn integers<T: TryFrom<i128>>(&self, file: &[u8]) -> Option<Vec<T>> {
        self.scalars(file, |value| match value {
            Value::Unsigned(number) => T::try_from(number.into()).ok(),
            Value::Signed(number) => T::try_from(number.into()).ok(),
            _ => None,
        })
    }

    fn scalars<T>(&self, file: &[u8], read: impl Fn(Value) -> Option<T>) -> Option<Vec<T>> {
        let Self::Array { element, range, .. } = self else {
            return None;
        };
        file.get(range.clone())?
            .chunks_exact(element.min_bytes())
            .map(|bytes| element.scalar(bytes).and_then(&read))
            .collect()
    }
}

/// The strings of an array, in order, borrowed from the file.
#[derive(Debug, Clone)]
pub struct Strings<'a> {
    left: usize,
    bytes: &'a [u8],
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.left = self.left.checked_sub(1)?;
        let (length, rest) = self.bytes.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (text, rest) = rest.split_at_checked(length)?;
        self.bytes = rest;
        std::str::from_utf8(text).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// Exact because the parser walked and validated the same bytes.
impl ExactSizeIterator for Strings<'_> {}
