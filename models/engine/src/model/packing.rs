//! The packed weights: made once for a model's file, kept beside others like it, then mapped.
//!
//! A pack is a file of its own whose name is the digest of what it was made from, so a changed
//! model never meets an old pack. It is written under a lock to a temporary name and renamed when
//! whole. Where no file can be written, the pack is made in memory.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Seek, Write};
use std::ops::Range;
use std::path::Path;

use sha2::{Digest, Sha256};
use understudy_kernels::{ComputePool, MappedFile, is_packable, pack, packed_len};

use crate::gguf::Gguf;
use crate::model::weights::MatrixAt;

/// Part of every digest: another layout, another file. A test says when the number has to rise.
const LAYOUT: &[u8] = b"understudy packed weights 2";
/// Where matrices may start: a multiple of a cache line.
const ALIGN: usize = 64;
/// Weights interleaved at a time, in bytes.
const STEP: usize = 4 << 20;

/// Packed matrices, in a mapped file or in memory.
pub(super) enum PackedWeights {
    /// The activations stay floats: nothing is packed.
    None,
    Mapped(MappedFile),
    Memory(Vec<u8>),
}

impl std::ops::Deref for PackedWeights {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Mapped(file) => file,
            Self::Memory(bytes) => bytes,
        }
    }
}

/// Names the weights: shapes and places of all matrices and samples of their bytes, and the file's
/// size and time of change where it has them. Reading every byte would take longer than packing.
pub(super) fn digest<'a>(gguf: &Gguf, matrices: impl Iterator<Item = &'a MatrixAt>) -> String {
    let mut hash = Sha256::new_with_prefix(LAYOUT);
    let bytes = gguf.bytes();
    let number = |n: usize| (n as u64).to_le_bytes();
    hash.update(number(bytes.len()));
    hash.update(gguf.modified().to_le_bytes());
    for matrix in matrices {
        let Range { start, end } = matrix.range;
        for n in [matrix.ty.ggml_id() as usize, matrix.rows, matrix.cols, start] {
            hash.update(number(n));
        }
        for sample in 0..4 {
            let at = start + (end - start) / 4 * sample;
            hash.update(&bytes[at..end.min(at + 64)]);
        }
    }
    hash.finalize().iter().take(16).fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}"); // to a string: does not fail
        name
    })
}

/// Gives each matrix that has a packed layout its place, and returns the bytes of all.
fn lay_out<'a>(matrices: impl Iterator<Item = &'a mut MatrixAt>) -> usize {
    let mut end = 0_usize;
    for matrix in matrices.filter(|matrix| is_packable(matrix.ty)) {
        // A matrix that is in the file has a size; its padding to sixteen rows is small.
        let Some(len) = packed_len(matrix.ty, matrix.rows, matrix.cols) else { continue };
        let start = end.next_multiple_of(ALIGN);
        end = start.saturating_add(len);
        matrix.packed = Some(start..end);
    }
    end
}

/// Packs the matrices, or maps the pack that an earlier call left in `folder` under this digest.
pub(super) fn packed(
    pool: &ComputePool,
    gguf: &Gguf,
    matrices: &mut [&mut MatrixAt],
    folder: Option<&Path>,
    digest: &str,
) -> PackedWeights {
    let len = lay_out(matrices.iter_mut().map(|matrix| &mut **matrix));
    let plan = Plan { pool, gguf, matrices: matrices.iter().map(|matrix| &**matrix).collect(), len, digest };
    if let Some(folder) = folder {
        match plan.file(folder) {
            Ok(file) => return PackedWeights::Mapped(file),
            Err(error) => tracing::warn!(
                folder = %folder.display(),
                %error,
                "packed weights cannot be kept in a file; they are packed in memory at every start"
            ),
        }
    }
    let mut bytes = Vec::with_capacity(len);
    // Writing to memory does not fail.
    let _ = plan.write(&mut bytes);
    PackedWeights::Memory(bytes)
}

/// What a pack is made from.
struct Plan<'a> {
    pool: &'a ComputePool,
    gguf: &'a Gguf,
    matrices: Vec<&'a MatrixAt>,
    len: usize,
    digest: &'a str,
}

impl Plan<'_> {
    /// The pack as a file: the one that is there, or a new one.
    fn file(&self, folder: &Path) -> io::Result<MappedFile> {
        let path = folder.join(format!("{}.pack", self.digest));
        if let Some(pack) = self.existing(&path) {
            return Ok(pack);
        }
        fs::create_dir_all(folder)?;
        let part = path.with_extension("part");
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&part)?;
        file.lock()?; // another process may be at it; a killed one leaves no lock
        if let Some(pack) = self.existing(&path) {
            return Ok(pack);
        }
        file.set_len(0)?;
        file.rewind()?;
        let written = self.write(&mut file).and_then(|()| file.sync_data());
        if let Err(error) = written.and_then(|()| fs::rename(&part, &path)) {
            let _ = fs::remove_file(&part); // what it held is of no use
            return Err(error);
        }
        self.existing(&path).ok_or_else(|| io::Error::other("the packed weights vanished"))
    }

    fn existing(&self, path: &Path) -> Option<MappedFile> {
        MappedFile::open(path).ok().filter(|file| file.len() == self.len)
    }

    /// Writes all packed matrices at their places.
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut at = 0;
        let mut packed = Vec::new();
        for matrix in &self.matrices {
            let Some(place) = &matrix.packed else { continue };
            out.write_all(&vec![0; place.start - at])?;
            at = place.end;
            let stored = &self.gguf.bytes()[matrix.range.clone()];
            let row_bytes = stored.len() / matrix.rows.max(1);
            let step = (STEP / row_bytes.max(1)).next_multiple_of(16);
            for rows in stored.chunks(step * row_bytes) {
                let count = rows.len() / row_bytes;
                packed.resize(packed_len(matrix.ty, count, matrix.cols).unwrap_or(0), 0);
                pack(self.pool, matrix.ty, count, matrix.cols, rows, &mut packed)
                    .map_err(io::Error::other)?;
                out.write_all(&packed)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use understudy_kernels::QuantType;

    use super::*;
    use crate::model::{Activations, Model, ModelOptions};

    /// A pack that an older build left is mapped as it is, so no layout may change under its name.
    #[test]
    fn another_layout_has_another_name() {
        let pool = ComputePool::new(1);
        let mut hash = Sha256::new();
        for ty in QuantType::ALL.into_iter().filter(|&ty| is_packable(ty)) {
            let data: Vec<u8> = (0..17 * ty.block_bytes()).map(|i| (i * 37 + i / 251) as u8).collect();
            let mut packed = vec![0; packed_len(ty, 17, ty.block_len()).unwrap_or(0)];
            pack(&pool, ty, 17, ty.block_len(), &data, &mut packed).expect("the shape fits");
            hash.update(&packed);
        }
        let found =
            hash.finalize().iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        assert_eq!(
            (LAYOUT, found.as_str()),
            (&b"understudy packed weights 2"[..], "98619ab97807ddc1"),
            "the layout changed: raise the number in LAYOUT and put the new digest here"
        );
    }

    fn tiny() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/tiny-qwen3.gguf")
    }

    fn open(packs: Option<&Path>) -> Model {
        let options = ModelOptions { activations: Activations::Int16, packs: packs.map(Path::to_path_buf) };
        Model::open_with(&tiny(), &options, &ComputePool::new(1)).expect("the tiny model opens")
    }

    #[test]
    fn a_pack_is_made_once_and_survives_what_a_killed_process_leaves() {
        let folder = tempfile::tempdir().expect("a folder");
        let packs = folder.path().join("packs");
        let in_memory = open(None);
        fs::create_dir_all(&packs).expect("a folder");
        let made = open(Some(&packs));
        let mut files = fs::read_dir(&packs).expect("packs").flatten().map(|entry| entry.path());
        let file = files.find(|path| path.extension().is_some_and(|e| e == "pack")).expect("a pack");
        assert!(made.packed[..] == in_memory.packed[..]);
        let written = fs::metadata(&file).and_then(|file| file.modified()).expect("a time");
        drop(made);
        assert!(open(Some(&packs)).packed[..] == in_memory.packed[..]);
        assert_eq!(fs::metadata(&file).and_then(|file| file.modified()).expect("a time"), written);

        // Cut short, as no rename of ours leaves it, beside the part of a killed process.
        let part = file.with_extension("part");
        fs::write(&part, vec![7; 1 << 20]).expect("a part");
        OpenOptions::new().write(true).open(&file).and_then(|file| file.set_len(100)).expect("cut");
        assert!(open(Some(&packs)).packed[..] == in_memory.packed[..]);
        assert!(!part.exists());
    }

    #[test]
    fn where_no_file_can_be_written_the_pack_is_in_memory() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let model = open(Some(&file.path().join("packs")));
        assert!(matches!(model.packed, PackedWeights::Memory(_)));
        assert!(model.packed[..] == open(None).packed[..]);
    }
}
