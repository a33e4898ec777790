//! What can be wrong with the shape of stored weights.

use crate::QuantType;

/// Stored bytes and the shape claimed for them do not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A row is not a whole number of blocks.
    #[error("{cols} columns are not a whole number of {} blocks", ty.name())]
    PartialBlock {
        /// The storage type.
        ty: QuantType,
        /// The number of elements asked for.
        cols: usize,
    },
    /// The byte count is not the one that the shape needs.
    #[error("{} data holds {found} bytes where the shape needs {needed}", ty.name())]
    Bytes {
        /// The storage type.
        ty: QuantType,
        /// Bytes given.
        found: usize,
        /// Bytes that the shape needs.
        needed: usize,
    },
    /// The shape's size does not fit this machine's address space.
    #[error("a matrix of {rows} x {cols} is too large for this machine")]
    TooLarge {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
    },
    /// The type has no packed layout, or the shape none of this type.
    #[error("{} of {rows} x {cols} cannot be packed", ty.name())]
    NotPacked {
        /// The storage type.
        ty: QuantType,
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
    },
}
