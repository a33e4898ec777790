//! The packed weights: made once for a model's file, kept beside others like it, then mapped.
//!
//! Where no file can be kept, the pack is made in memory.

use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use sha2::Digest;
use understudy_kernels::{ComputePool, MappedFile, is_packable, pack, packed_len};

use crate::gguf::Gguf;
use crate::kept::{self, Kept};
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

/// Names the weights: depends on the file, on shapes and places of all matrices, and on samples of
/// their bytes.
pub(super) fn digest<'a>(gguf: &Gguf, matrices: impl Iterator<Item = &'a MatrixAt>) -> String {
    let mut hash = kept::named_after(LAYOUT, gguf);
    for matrix in matrices {
        let Range { start, end } = matrix.range;
        for n in [matrix.ty.ggml_id() as usize, matrix.rows, matrix.cols, start] {
            hash.update((n as u64).to_le_bytes());
        }
        for sample in 0..4 {
            let at = start + (end - start) / 4 * sample;
            hash.update(gguf.slice(at..end.min(at + 64)));
        }
    }
    kept::digest(hash)
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
        let is_sound = |file: &MappedFile| file.len() == self.len;
        let name = format!("{}.pack", self.digest);
        Kept::of(folder, self.gguf).file(&name, is_sound, |file| self.write(file))
    }

    /// Writes all packed matrices at their places.
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut at = 0;
        let mut packed = Vec::new();
        for matrix in &self.matrices {
            let Some(place) = &matrix.packed else { continue };
            out.write_all(&vec![0; place.start - at])?;
            at = place.end;
            let stored = self.gguf.slice(matrix.range.clone());
            let row_bytes = stored.len() / matrix.rows.max(1);
            let step = (STEP / row_bytes.max(1)).next_multiple_of(16);
            for rows in stored.chunks(step * row_bytes) {
                let count = rows.len() / row_bytes;
                packed.resize(packed_len(matrix.ty, count, matrix.cols).unwrap_or(0), 0);
                pack(self.pool, matrix.ty, count, matrix.cols, rows, &mut packed)
                    .map_err(io::Error::other)?;
                out.write_all(&packed)?;
            }
            // The packed weights take their place: never two copies in memory.
            self.gguf.release();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::path::PathBuf;

    use sha2::Sha256;
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
        let mut entries = fs::read_dir(&packs).expect("packs").flatten().map(|entry| entry.path());
        let folder = entries.find(|path| path.is_dir()).expect("one model");
        let mut kept = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
        let file: PathBuf = kept
            .find(|path| path.extension().is_some_and(|extension| extension == "pack"))
            .expect("one pack");
        assert!(made.packed[..] == in_memory.packed[..]);
        let written = fs::metadata(&file).and_then(|file| file.modified()).expect("a time");
        drop(made);
        assert!(open(Some(&packs)).packed[..] == in_memory.packed[..]);
        assert_eq!(fs::metadata(&file).and_then(|file| file.modified()).expect("a time"), written);

        // Cut short, as no rename of ours leaves it, beside the part of a killed process.
        let part = file.with_extension("pack.part");
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
