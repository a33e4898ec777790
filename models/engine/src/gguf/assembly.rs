//! A model in GGUF's terms, put together by the reader of another format.

use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use understudy_kernels::QuantType;

use super::parse::Index;
use super::parts::{Bytes, Parts};
use super::value::{Kind, Value};
use super::{Gguf, GgufError, TensorInfo, from_root};

/// What stands for the header of a file where there is none.
pub(super) struct Assembled {
    /// Elements of the arrays, as a GGUF file has them.
    pub(super) arrays: Vec<u8>,
    /// Of all keys and their values.
    pub(super) digest: [u8; 32],
}

/// Keys and tensors so far.
pub(crate) struct Assembly {
    path: PathBuf,
    parts: Parts,
    modified: u64,
    index: Index,
    /// Elements of the arrays, as a GGUF file has them.
    arrays: Vec<u8>,
    /// Of the keys so far.
    said: Sha256,
}

impl Assembly {
    /// Over files of a folder that are mapped already and last changed at `modified`.
    pub(crate) fn over(folder: &Path, parts: Parts, modified: u64) -> Self {
        let path = from_root(folder);
        Self { path, parts, modified, index: Index::default(), arrays: Vec::new(), said: Sha256::new() }
    }

    /// Bytes of the files.
    pub(crate) fn slice(&self, range: Range<usize>) -> &[u8] {
        self.parts.get(range).unwrap_or_default()
    }

    pub(crate) fn text(&mut self, key: &str, text: impl Into<String>) {
        self.key(key, Value::Text(text.into()));
    }

    pub(crate) fn number(&mut self, key: &str, number: u64) {
        self.key(key, Value::Unsigned(number));
    }

    pub(crate) fn float(&mut self, key: &str, number: f64) {
        self.key(key, Value::Float(number));
    }

    pub(crate) fn flag(&mut self, key: &str, flag: bool) {
        self.key(key, Value::Bool(flag));
    }

    pub(crate) fn texts<'a>(&mut self, key: &str, texts: impl Iterator<Item = &'a str>) {
        let (start, mut len) = (self.arrays.len(), 0);
        for text in texts {
            self.arrays.extend((text.len() as u64).to_le_bytes());
            self.arrays.extend(text.as_bytes());
            len += 1;
        }
        self.key(key, Value::Array { element: Kind::Text, len, range: start..self.arrays.len() });
    }

    pub(crate) fn i32s(&mut self, key: &str, numbers: impl Iterator<Item = i32>) {
        let start = self.arrays.len();
        self.arrays.extend(numbers.flat_map(i32::to_le_bytes));
        let len = (self.arrays.len() - start) / size_of::<i32>();
        self.key(key, Value::Array { element: Kind::I32, len, range: start..self.arrays.len() });
    }

    fn key(&mut self, key: &str, value: Value) {
        // Names, texts in quotes, and places among the arrays: nothing else reads the same.
        self.said.update(format!("{key} {value:?}\n"));
        self.index.metadata.insert(key.to_owned(), value);
    }

    /// A tensor whose bytes lie in the files.
    ///
    /// # Errors
    /// [`GgufError::Duplicate`], or [`GgufError::Shape`] when the bytes are not those of the shape.
    pub(crate) fn tensor(
        &mut self,
        name: &str,
        ty: QuantType,
        dims: Vec<usize>,
        range: Range<usize>,
    ) -> Result<(), GgufError> {
        let info = TensorInfo { name: name.to_owned(), dims, ty, range };
        if info.bytes() != Some(info.range.len()) || info.range.is_empty() {
            let reason = format!("{:?} of {} do not fill {} bytes", info.dims, ty.name(), info.range.len());
            return Err(GgufError::Shape { name: name.to_owned(), reason });
        }
        if self.index.tensor_at.insert(name.to_owned(), self.index.tensors.len()).is_some() {
            return Err(GgufError::Duplicate { what: "tensor", name: name.to_owned() });
        }
        self.index.tensors.push(info);
        Ok(())
    }

    /// A tensor of bytes that were made.
    ///
    /// # Errors
    /// As [`Assembly::tensor`].
    pub(crate) fn made(
        &mut self,
        name: &str,
        ty: QuantType,
        dims: Vec<usize>,
        bytes: Vec<u8>,
    ) -> Result<(), GgufError> {
        let len = bytes.len();
        let start = self.parts.push(Bytes::Owned(bytes));
        self.tensor(name, ty, dims, start..start + len)
    }

    pub(crate) fn finish(self) -> Gguf {
        let digest = self.said.chain_update(&self.arrays).finalize().into();
        let assembled = Some(Assembled { arrays: self.arrays, digest });
        Gguf { path: self.path, parts: self.parts, assembled, modified: self.modified, index: self.index }
    }
}
