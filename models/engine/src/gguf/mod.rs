//! GGUF model files, read in place from a memory map.
//!
//! Nothing in a file is trusted: every length is checked against the bytes that remain
//! before anything is allocated, so a hostile file costs at most a small multiple of its
//! own size. Format: the `gguf.md` specification of ggml, versions 2 and 3, little endian.
//!
//! Arrays stay in the map and are decoded when asked for; the two vocabulary arrays of a
//! 150 000 token model cost a walk, not 300 000 allocations.
//!
//! [`Gguf`] is also how the rest of the engine sees a checkpoint of another format: its reader
//! (`checkpoint`) says the same in GGUF's keys and tensor names.

mod assembly;
mod error;
mod head;
mod parse;
mod parts;
#[cfg(test)]
mod tests;
mod value;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use understudy_kernels::{MappedFile, Matrix, QuantType};

use assembly::Assembled;
pub(crate) use assembly::Assembly;
pub use error::GgufError;
pub(crate) use head::weights_digest;
use parse::Index;
pub(crate) use parts::{Bytes, Parts};
pub use value::Strings;
use value::Value;

/// Where one tensor lies in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Its name, unique in the file.
    pub name: String,
    /// Sizes in ggml order: `dims[0]` is the contiguous one, the columns. One to four, none 0.
    pub dims: Vec<usize>,
    /// How its numbers are stored.
    pub ty: QuantType,
    /// Its bytes, for [`Gguf::slice`]; exactly as long as type and sizes demand.
    pub range: Range<usize>,
}

impl TensorInfo {
    /// Columns: the contiguous dimension.
    pub fn cols(&self) -> usize {
        self.dims.first().copied().unwrap_or(0)
    }

    /// Rows: the product of the other dimensions, 1 for a vector.
    pub fn rows(&self) -> usize {
        self.dims.iter().skip(1).product()
    }

    /// Bytes that type and sizes demand.
    fn bytes(&self) -> Option<usize> {
        let rows = self.dims.iter().skip(1).try_fold(1_usize, |rows, dim| rows.checked_mul(*dim))?;
        self.ty.row_bytes(self.cols())?.checked_mul(rows)
    }
}

/// An open model: metadata and tensors.
pub struct Gguf {
    path: PathBuf,
    parts: Parts,
    /// What a checkpoint has in the place of a file's header.
    assembled: Option<Assembled>,
    modified: u64,
    index: Index,
}

impl Gguf {
    /// Maps a file and reads its metadata and tensor table. Tensor data is not touched.
    ///
    /// # Errors
    /// [`GgufError`] says what is wrong and at which byte.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let file =
            MappedFile::open(path).map_err(|source| GgufError::Io { path: path.to_path_buf(), source })?;
        let index = parse::index(&file)?;
        let mut parts = Parts::default();
        parts.push(Bytes::Mapped(file));
        Ok(Self { path: from_root(path), parts, assembled: None, modified: modified(path), index })
    }

    /// Where the file is, or the folder of a checkpoint, from the root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the file changed last, in nanoseconds since 1970; 0 where the system does not say.
    pub fn modified(&self) -> u64 {
        self.modified
    }

    /// Format version, 2 or 3; 0 for a model of another format.
    pub fn version(&self) -> u32 {
        self.index.version
    }

    /// Whether it was read from a checkpoint of another format.
    pub fn is_checkpoint(&self) -> bool {
        self.assembled.is_some()
    }

    /// Size in bytes of all that tensors may lie in.
    pub fn file_len(&self) -> usize {
        self.parts.len()
    }

    /// `general.architecture`, such as `llama` or `qwen2`.
    ///
    /// # Errors
    /// [`GgufError::MissingKey`] or [`GgufError::WrongType`].
    pub fn architecture(&self) -> Result<&str, GgufError> {
        self.require_str("general.architecture")
    }

    /// Whether the metadata has a key, of whatever type.
    pub fn has(&self, key: &str) -> bool {
        self.index.metadata.contains_key(key)
    }

    /// A string.
    pub fn str(&self, key: &str) -> Option<&str> {
        self.require_str(key).ok()
    }

    /// A non-negative integer of any width.
    pub fn u64(&self, key: &str) -> Option<u64> {
        self.require_u64(key).ok()
    }

    /// A floating point number of either width.
    pub fn f64(&self, key: &str) -> Option<f64> {
        self.require_f64(key).ok()
    }

    /// A boolean.
    pub fn bool(&self, key: &str) -> Option<bool> {
        self.require_bool(key).ok()
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Option<Strings<'_>> {
        self.require_strings(key).ok()
    }

    /// An array of floating point numbers, narrowed to 32 bits.
    pub fn f32s(&self, key: &str) -> Option<Vec<f32>> {
        self.require_f32s(key).ok()
    }

    /// An array of integers of any width that all fit.
    pub fn i32s(&self, key: &str) -> Option<Vec<i32>> {
        self.require_i32s(key).ok()
    }

    /// An array of integers of any width that all fit.
    pub fn u32s(&self, key: &str) -> Option<Vec<u32>> {
        self.require_u32s(key).ok()
    }

    /// [`str`](Self::str), or an error that names the key.
    pub fn require_str(&self, key: &str) -> Result<&str, GgufError> {
        self.require(key, "a string", Value::as_str)
    }

    /// [`u64`](Self::u64), or an error that names the key.
    pub fn require_u64(&self, key: &str) -> Result<u64, GgufError> {
        self.require(key, "a non-negative integer", Value::as_u64)
    }

    /// [`f64`](Self::f64), or an error that names the key.
    pub fn require_f64(&self, key: &str) -> Result<f64, GgufError> {
        self.require(key, "a floating point number", Value::as_f64)
    }

    /// [`bool`](Self::bool), or an error that names the key.
    pub fn require_bool(&self, key: &str) -> Result<bool, GgufError> {
        self.require(key, "a boolean", Value::as_bool)
    }

    /// [`strings`](Self::strings), or an error that names the key.
    pub fn require_strings(&self, key: &str) -> Result<Strings<'_>, GgufError> {
        self.require(key, "an array of strings", |value| value.strings(self.arrays()))
    }

    /// [`f32s`](Self::f32s), or an error that names the key.
    pub fn require_f32s(&self, key: &str) -> Result<Vec<f32>, GgufError> {
        self.require(key, "an array of floating point numbers", |value| value.floats(self.arrays()))
    }

    /// [`i32s`](Self::i32s), or an error that names the key.
    pub fn require_i32s(&self, key: &str) -> Result<Vec<i32>, GgufError> {
        self.require(key, "an array of 32-bit integers", |value| value.integers(self.arrays()))
    }

    /// [`u32s`](Self::u32s), or an error that names the key.
    pub fn require_u32s(&self, key: &str) -> Result<Vec<u32>, GgufError> {
        self.require(key, "an array of non-negative 32-bit integers", |value| value.integers(self.arrays()))
    }

    fn require<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, GgufError> {
        let value =
            self.index.metadata.get(key).ok_or_else(|| GgufError::MissingKey { key: key.to_owned() })?;
        read(value).ok_or_else(|| GgufError::WrongType { key: key.to_owned(), expected, found: value.kind() })
    }

    /// What the ranges of arrays index.
    fn arrays(&self) -> &[u8] {
        match &self.assembled {
            Some(assembled) => &assembled.arrays,
            None => self.slice(0..self.parts.len()),
        }
    }

    /// A tensor by name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let at = *self.index.tensor_at.get(name)?;
        self.index.tensors.get(at)
    }

    /// The bytes of a [`TensorInfo::range`] or of a part of one; nothing for a range beyond.
    pub fn slice(&self, range: Range<usize>) -> &[u8] {
        self.parts.get(range).unwrap_or_default()
    }

    /// Everything before the tensors; of a checkpoint a digest of all that its reader said.
    pub(crate) fn header(&self) -> &[u8] {
        match &self.assembled {
            Some(assembled) => &assembled.digest,
            None => self.slice(0..self.index.header_len),
        }
    }

    /// Lets go of the pages read so far: they count as this process's memory no longer. What is read
    /// again is found again.
    pub(crate) fn release(&self) {
        self.parts.release();
    }

    /// Names of all tensors, in the order of the file.
    pub fn tensor_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.index.tensors.iter().map(|tensor| tensor.name.as_str())
    }

    /// A tensor's data, viewed in place as `rows x cols`; a vector is one row, higher
    /// dimensions are flattened into rows.
    ///
    /// # Errors
    /// [`GgufError::MissingTensor`], or [`GgufError::Shape`] when the kernels refuse it.
    pub fn matrix(&self, name: &str) -> Result<Matrix<'_>, GgufError> {
        let tensor = self.tensor(name).ok_or_else(|| GgufError::MissingTensor { name: name.to_owned() })?;
        // The parser checked the range; an empty slice would be refused as a shape error.
        Matrix::new(tensor.ty, tensor.rows(), tensor.cols(), self.slice(tensor.range.clone()))
            .map_err(|error| GgufError::Shape { name: name.to_owned(), reason: error.to_string() })
    }
}

impl std::fmt::Debug for Gguf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gguf")
            .field("version", &self.index.version)
            .field("keys", &self.index.metadata.len())
            .field("tensors", &self.index.tensors.len())
            .field("bytes", &self.parts.len())
            .finish()
    }
}

/// When a file changed last, in nanoseconds since 1970; 0 where the system does not say.
pub(crate) fn modified(path: &Path) -> u64 {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |time| time.as_nanos() as u64)
}

fn from_root(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}
