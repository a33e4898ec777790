//! The walk over a file's header: the only code that reads lengths from a file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use understudy_kernels::QuantType;

use super::TensorInfo;
use super::error::GgufError;
use super::value::{Kind, Value};

/// Arrays of arrays exist in the specification; no real file nests deeper than two.
const MAX_NESTING: usize = 4;
const MAX_DIMS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;
/// Sizes above this are lies, not truncation.
const PLAUSIBLE_BYTES: u64 = 1 << 48;

/// Everything before the tensor data.
#[derive(Default)]
pub(super) struct Index {
    pub(super) version: u32,
    /// Bytes before the table of tensors.
    pub(super) metadata_len: usize,
    /// Bytes before the tensor data and its padding.
    pub(super) header_len: usize,
    pub(super) metadata: HashMap<String, Value>,
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) tensor_at: HashMap<String, usize>,
}

pub(super) fn index(file: &[u8]) -> Result<Index, GgufError> {
    let mut cursor = Cursor { bytes: file, at: 0 };
    let version = version(&mut cursor)?;
    let tensor_count = cursor.u64("the tensor count")?;
    let key_count = cursor.u64("the key count")?;
    // A key is at least a length, a type and one byte; a tensor a length, a rank, one
    // dimension, a type and an offset.
    let key_count = cursor.claim(key_count, 13, "the keys")?;
    let metadata = metadata(&mut cursor, key_count)?;
    let metadata_len = cursor.at;
    let tensor_count = cursor.claim(tensor_count, 32, "the tensor table")?;
    let mut tensors =
        (0..tensor_count).map(|_| declared_tensor(&mut cursor)).collect::<Result<Vec<_>, _>>()?;

    let alignment = alignment(&metadata)?;
    let data_start = (cursor.at as u64)
        .checked_next_multiple_of(alignment)
        .ok_or_else(|| absurd("alignment", cursor.at, alignment, "a small power of two"))?;
    let mut tensor_at = HashMap::with_capacity(tensors.len());
    for (at, tensor) in tensors.iter_mut().enumerate() {
        place(tensor, data_start, alignment, file.len())?;
        if tensor_at.insert(tensor.info.name.clone(), at).is_some() {
            return Err(GgufError::Duplicate { what: "tensor", name: tensor.info.name.clone() });
        }
    }
    let tensors = tensors.into_iter().map(|tensor| tensor.info).collect();
    Ok(Index { version, metadata_len, header_len: cursor.at, metadata, tensors, tensor_at })
}

fn version(cursor: &mut Cursor<'_>) -> Result<u32, GgufError> {
    let magic = cursor.bytes.get(..4).unwrap_or(cursor.bytes);
    if magic != b"GGUF" {
        return Err(GgufError::NotGguf { magic: magic.to_vec() });
    }
    cursor.at = 4;
    match cursor.u32("the version")? {
        version @ (2 | 3) => Ok(version),
        version => Err(GgufError::UnsupportedVersion { version }),
    }
}

fn metadata(cursor: &mut Cursor<'_>, count: usize) -> Result<HashMap<String, Value>, GgufError> {
    // Grows with what is really there; the count is only a claim.
    let mut metadata = HashMap::new();
    for _ in 0..count {
        let key = cursor.text("a key")?;
        let id = cursor.u32(key)?;
        let kind = cursor.kind(id, key)?;
        let value = match kind {
            Kind::Text => Value::Text(cursor.text(key)?.to_owned()),
            Kind::Array => array(cursor, key)?,
            kind => cursor.scalar(kind, key)?,
        };
        match metadata.entry(key.to_owned()) {
            Entry::Vacant(entry) => entry.insert(value),
            Entry::Occupied(_) => {
                return Err(GgufError::Duplicate { what: "key", name: key.to_owned() });
            }
        };
    }
    Ok(metadata)
}

fn array(cursor: &mut Cursor<'_>, key: &str) -> Result<Value, GgufError> {
    let (element, len) = array_header(cursor, key)?;
    let start = cursor.at;
    skip_elements(cursor, element, len, key, 1)?;
    Ok(Value::Array { element, len, range: start..cursor.at })
}

fn array_header(cursor: &mut Cursor<'_>, key: &str) -> Result<(Kind, usize), GgufError> {
    let id = cursor.u32(key)?;
    let element = cursor.kind(id, key)?;
    let len = cursor.u64(key)?;
    Ok((element, cursor.claim(len, element.min_bytes(), key)?))
}

/// Validates and passes over elements; arrays are decoded later, from the same bytes.
fn skip_elements(
    cursor: &mut Cursor<'_>,
    element: Kind,
    len: usize,
    key: &str,
    depth: usize,
) -> Result<(), GgufError> {
    match element {
        Kind::Text => {
            for _ in 0..len {
                cursor.text(key)?;
            }
        }
        Kind::Array if depth == MAX_NESTING => {
            return Err(absurd(key, cursor.at, depth as u64 + 1, "arrays nest at most 4 deep"));
        }
        Kind::Array => {
            for _ in 0..len {
                let (element, len) = array_header(cursor, key)?;
                skip_elements(cursor, element, len, key, depth + 1)?;
            }
        }
        // `claim` checked that the product fits into the file.
        fixed => {
            cursor.take(fixed.min_bytes() * len, key)?;
        }
    }
    Ok(())
}

fn alignment(metadata: &HashMap<String, Value>) -> Result<u64, GgufError> {
    const KEY: &str = "general.alignment";
    let Some(value) = metadata.get(KEY) else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    match value.as_u64() {
        Some(alignment) if alignment.is_power_of_two() => Ok(alignment),
        Some(alignment) => Err(absurd(KEY, 0, alignment, "a power of two")),
        None => Err(GgufError::WrongType {
            key: KEY.to_owned(),
            expected: "a non-negative integer",
            found: value.kind(),
        }),
    }
}

/// A tensor table entry whose range is not known before the table's end is.
struct DeclaredTensor {
    info: TensorInfo,
    /// From the start of the data section.
    offset: u64,
    /// Where the entry is, for errors.
    entry_at: usize,
    bytes: u64,
}

fn declared_tensor(cursor: &mut Cursor<'_>) -> Result<DeclaredTensor, GgufError> {
    let entry_at = cursor.at;
    let name = cursor.text("a tensor name")?;
    let rank = cursor.u32(name)?;
    if rank == 0 || rank > MAX_DIMS {
        return Err(absurd(name, entry_at, rank.into(), "tensors have 1 to 4 dimensions"));
    }
    let mut dims = Vec::with_capacity(MAX_DIMS as usize);
    let mut elements = 1_u64;
    for _ in 0..rank {
        let dim = cursor.u64(name)?;
        elements = elements
            .checked_mul(dim)
            .filter(|elements| (1..PLAUSIBLE_BYTES).contains(elements))
            .ok_or_else(|| absurd(name, entry_at, dim, "dimensions whose product fits a file"))?;
        dims.push(
            usize::try_from(dim)
                .map_err(|_| absurd(name, entry_at, dim, "dimensions that fit the machine"))?,
        );
    }
    let id = cursor.u32(name)?;
    let ty = QuantType::from_ggml_id(id)
        .ok_or_else(|| GgufError::UnsupportedTensorType { tensor: name.to_owned(), name: type_name(id) })?;
    let offset = cursor.u64(name)?;
    let cols = dims.first().copied().unwrap_or(0);
    let bytes = ty
        .row_bytes(cols)
        .and_then(|row| (row as u64).checked_mul(elements / cols.max(1) as u64))
        .ok_or_else(|| GgufError::Shape {
            name: name.to_owned(),
            reason: format!("{cols} columns are not whole blocks of {ty:?}"),
        })?;
    let info = TensorInfo { name: name.to_owned(), dims, ty, range: 0..0 };
    Ok(DeclaredTensor { info, offset, entry_at, bytes })
}

fn place(
    tensor: &mut DeclaredTensor,
    data_start: u64,
    alignment: u64,
    file_len: usize,
) -> Result<(), GgufError> {
    if !tensor.offset.is_multiple_of(alignment) {
        return Err(absurd(
            &format!("offset of tensor {}", tensor.info.name),
            tensor.entry_at,
            tensor.offset,
            "a multiple of the alignment",
        ));
    }
    let start = data_start.checked_add(tensor.offset);
    let end = start.and_then(|start| start.checked_add(tensor.bytes));
    let (Some(start), Some(end)) = (start, end) else {
        return Err(absurd(
            &format!("offset of tensor {}", tensor.info.name),
            tensor.entry_at,
            tensor.offset,
            "an offset inside the file",
        ));
    };
    if end > file_len as u64 {
        return Err(GgufError::Truncated {
            what: format!("tensor {}", tensor.info.name),
            offset: start,
            needed: tensor.bytes,
            available: (file_len as u64).saturating_sub(start),
        });
    }
    // Both fit: the file is addressable and they lie inside it.
    tensor.info.range = start as usize..end as usize;
    Ok(())
}

/// Names of ggml's types, for the message about one that is not supported.
fn type_name(id: u32) -> String {
    const NAMES: [&str; 40] = [
        "F32",
        "F16",
        "Q4_0",
        "Q4_1",
        "Q4_2",
        "Q4_3",
        "Q5_0",
        "Q5_1",
        "Q8_0",
        "Q8_1",
        "Q2_K",
        "Q3_K",
        "Q4_K",
        "Q5_K",
        "Q6_K",
        "Q8_K",
        "IQ2_XXS",
        "IQ2_XS",
        "IQ3_XXS",
        "IQ1_S",
        "IQ4_NL",
        "IQ3_S",
        "IQ2_S",
        "IQ4_XS",
        "I8",
        "I16",
        "I32",
        "I64",
        "F64",
        "IQ1_M",
        "BF16",
        "Q4_0_4_4",
        "Q4_0_4_8",
        "Q4_0_8_8",
        "TQ1_0",
        "TQ2_0",
        "IQ4_NL_4_4",
        "IQ4_NL_4_8",
        "IQ4_NL_8_8",
        "MXFP4",
    ];
    let name = usize::try_from(id).ok().and_then(|id| NAMES.get(id));
    name.map_or_else(|| format!("number {id}"), |name| (*name).to_owned())
}

fn absurd(what: &str, offset: usize, found: u64, limit: &'static str) -> GgufError {
    GgufError::Absurd { what: what.to_owned(), offset: offset as u64, found, limit }
}

/// A position in the file that never passes its end.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    fn truncated(&self, what: &str, needed: u64) -> GgufError {
        GgufError::Truncated {
            what: what.to_owned(),
            offset: self.at as u64,
            needed,
            available: self.left() as u64,
        }
    }

    /// Checks that `count` things of at least `each` bytes can follow, before anything is
    /// reserved for them.
    fn claim(&self, count: u64, each: usize, what: &str) -> Result<usize, GgufError> {
        let needed = count
            .checked_mul(each as u64)
            .filter(|needed| *needed < PLAUSIBLE_BYTES)
            .ok_or_else(|| absurd(what, self.at, count, "a count that fits a file"))?;
        if needed > self.left() as u64 {
            return Err(self.truncated(what, needed));
        }
        // Fits: it is at most the number of bytes left.
        Ok(count as usize)
    }

    fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], GgufError> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.truncated(what, count as u64))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let array = *rest.first_chunk::<N>().ok_or_else(|| self.truncated(what, N as u64))?;
        self.at += N;
        Ok(array)
    }

    fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn text(&mut self, what: &str) -> Result<&'a str, GgufError> {
        let length = self.u64(what)?;
        let length = self.claim(length, 1, what)?;
        let offset = self.at as u64;
        std::str::from_utf8(self.take(length, what)?)
            .map_err(|_| GgufError::NotUtf8 { what: what.to_owned(), offset })
    }

    fn kind(&self, id: u32, what: &str) -> Result<Kind, GgufError> {
        Kind::from_id(id).ok_or_else(|| GgufError::UnknownValueType {
            what: what.to_owned(),
            id,
            offset: self.at as u64,
        })
    }

    fn scalar(&mut self, kind: Kind, what: &str) -> Result<Value, GgufError> {
        let bytes = self.take(kind.min_bytes(), what)?;
        kind.scalar(bytes).ok_or_else(|| self.truncated(what, 1))
    }
}
