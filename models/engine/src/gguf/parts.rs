//! Several files and buffers in one address space, so that a range says where a tensor is
//! whichever of them holds it.

use std::ops::{Deref, Range};

use understudy_kernels::MappedFile;

/// Bytes that stay where they are.
pub(crate) enum Bytes {
    Mapped(MappedFile),
    /// What had to be converted.
    Owned(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Parts laid one after another. A range that crosses from one to the next holds nothing.
#[derive(Default)]
pub(crate) struct Parts {
    /// Each with the address of its first byte, ascending.
    parts: Vec<(usize, Bytes)>,
    len: usize,
}

impl Parts {
    /// Adds a part; the address of its first byte.
    pub(crate) fn push(&mut self, bytes: Bytes) -> usize {
        let start = self.len;
        // All parts are in memory or mapped, so their sizes add up to less than the address space.
        self.len += bytes.len();
        self.parts.push((start, bytes));
        start
    }

    /// Bytes of all parts.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Lets go of the pages of all mapped parts, as [`MappedFile::release`] does.
    pub(crate) fn release(&self) {
        for (_, bytes) in &self.parts {
            if let Bytes::Mapped(file) = bytes {
                file.release();
            }
        }
    }

    /// The bytes of a range that lies in one part.
    pub(crate) fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        let after = self.parts.partition_point(|(start, _)| *start <= range.start);
        let (start, bytes) = self.parts.get(after.checked_sub(1)?)?;
        bytes.get(range.start - start..range.end.checked_sub(*start)?)
    }
}
