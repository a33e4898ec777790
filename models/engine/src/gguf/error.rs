//! What can be wrong with a model file.

use std::path::PathBuf;

/// Why a GGUF file cannot be used. Offsets are bytes from the start of the file.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The operating system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// The file does not begin with `GGUF`.
    #[error("not a GGUF file: it begins with {magic:02x?} instead of \"GGUF\"")]
    NotGguf {
        /// The first bytes, at most four.
        magic: Vec<u8>,
    },
    /// Another version, or a big-endian file.
    #[error("GGUF version {version} is not supported (2 and 3, little endian, are)")]
    UnsupportedVersion {
        /// As read, little endian.
        version: u32,
    },
    /// The file ends too early: an interrupted download, most often.
    #[error("the file is truncated: {what} at byte {offset} needs {needed} bytes, {available} are left")]
    Truncated {
        /// What was being read.
        what: String,
        /// Where it starts.
        offset: u64,
        /// What it needs.
        needed: u64,
        /// What is there.
        available: u64,
    },
    /// A number that no real file has.
    #[error("absurd {what} at byte {offset}: {found} ({limit})")]
    Absurd {
        /// What was being read.
        what: String,
        /// Where it is.
        offset: u64,
        /// The number.
        found: u64,
        /// What would be sensible.
        limit: &'static str,
    },
    /// A string is not UTF-8.
    #[error("{what} at byte {offset} is not valid UTF-8")]
    NotUtf8 {
        /// What was being read.
        what: String,
        /// Where it is.
        offset: u64,
    },
    /// A value type that the specification does not have.
    #[error("unknown value type {id} of {what} at byte {offset}")]
    UnknownValueType {
        /// What was being read.
        what: String,
        /// The type's number.
        id: u32,
        /// Where it is.
        offset: u64,
    },
    /// A tensor in a format that the kernels cannot multiply.
    #[error("tensor {tensor} has the type {name}, which is not supported")]
    UnsupportedTensorType {
        /// The tensor.
        tensor: String,
        /// The type's name, or its number when it has none.
        name: String,
    },
    /// The same key or tensor name twice.
    #[error("duplicate {what} {name:?}")]
    Duplicate {
        /// `key` or `tensor`.
        what: &'static str,
        /// Which.
        name: String,
    },
    /// A key that the model needs is absent.
    #[error("the file lacks the key {key}")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A key holds another type than the model needs.
    #[error("the key {key} should be {expected} but is {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A tensor that the model needs is absent.
    #[error("the file lacks the tensor {name}")]
    MissingTensor {
        /// The tensor.
        name: String,
    },
    /// A tensor whose shape does not fit its type.
    #[error("tensor {name}: {reason}")]
    Shape {
        /// The tensor.
        name: String,
        /// What does not fit.
        reason: String,
    },
}
