//! Everything that a tokenizer looks up, as one block of bytes that needs no preparation: made once
//! from a model's file, kept beside its packed weights, and mapped by every later start.
//!
//! The block is a checksum, the ends of its sections, and the sections. Numbers are 32 bits wide,
//! little endian. A block whose checksum is wrong is made anew.

use std::cmp::Ordering;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use understudy_kernels::MappedFile;

use super::{Spelling, TextError, bpe, digest, spm, vocabulary};
use crate::gguf::Gguf;
use crate::kept::{self, Kept};

/// Part of a block's name: another layout, another file. Raise the number with every change of what
/// sections hold.
const LAYOUT: &[u8] = b"understudy tokenizer tables 2";

/// What a block holds. Sections that a tokenizer has no use for are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// The digest of the tokenizer.
    Digest,
    /// Of each token, a byte: its kind.
    Kinds,
    /// Of each token, a number: where its bytes end.
    Ends,
    /// The bytes of all tokens.
    Bytes,
    /// Ids of the tokens that texts spell out, ascending.
    VerbatimIds,
    /// Where the text of each ends.
    VerbatimEnds,
    /// Their texts.
    VerbatimTexts,
    /// Of each byte, a number: the token that is this byte alone, or [`NONE`].
    Letters,
    /// Of each token, a number: where the merges begin that it is the left side of.
    MergeFirsts,
    /// Merges in the order of left and right side: the right one, the rank, what they become.
    Merges,
    /// Of each token, a float: its score.
    Scores,
    /// Of each bucket of pieces, a number: where it begins.
    PieceFirsts,
    /// Tokens that text can become, by bucket and in it by their bytes.
    Pieces,
}

const SECTIONS: usize = Section::Pieces as usize + 1;
const CHECKSUM: usize = size_of::<u64>();
const HEADER: usize = CHECKSUM + SECTIONS * size_of::<u64>();

/// No token.
pub(super) const NONE: u32 = u32::MAX;

/// A block, in memory or in a mapped file.
pub(super) struct Tables {
    data: Data,
    sections: [Range<usize>; SECTIONS],
}

enum Data {
    Mapped(MappedFile),
    Memory(Vec<u8>),
}

impl std::ops::Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file,
            Self::Memory(bytes) => bytes,
        }
    }
}

impl Tables {
    /// The tables of a model: those kept in `folder`, or new ones.
    pub(super) fn open(file: &Gguf, spelling: Spelling, folder: Option<&Path>) -> Result<Self, TextError> {
        let Some(folder) = folder else { return Self::in_memory(file, spelling) };
        let mut refused = None;
        let name = format!("{}.tokens", kept::digest(kept::named_after(LAYOUT, file)));
        let mapped = Kept::of(folder, file).file(
            &name,
            |block| is_whole(block),
            |out| match build(file, spelling) {
                Ok(block) => out.write_all(&block),
                Err(error) => {
                    refused = Some(error);
                    Err(std::io::Error::other("the tokenizer is refused"))
                }
            },
        );
        match (mapped, refused) {
            (_, Some(error)) => Err(error),
            (Ok(mapped), None) => {
                mapped.release(); // checking read all of it, encoding reads little
                Self::over(Data::Mapped(mapped))
            }
            (Err(error), None) => {
                tracing::warn!(
                    folder = %folder.display(),
                    %error,
                    "tokenizer tables cannot be kept in a file; they are made at every start"
                );
                Self::in_memory(file, spelling)
            }
        }
    }

    fn in_memory(file: &Gguf, spelling: Spelling) -> Result<Self, TextError> {
        Self::over(Data::Memory(build(file, spelling)?))
    }

    fn over(data: Data) -> Result<Self, TextError> {
        let sections = sections(&data);
        let sections =
            sections.ok_or_else(|| TextError::Inconsistent("its tables are damaged".to_owned()))?;
        Ok(Self { data, sections })
    }

    pub(super) fn bytes(&self, section: Section) -> &[u8] {
        self.data.get(self.sections[section as usize].clone()).unwrap_or_default()
    }

    pub(super) fn numbers(&self, section: Section) -> Numbers<'_> {
        Numbers(self.bytes(section))
    }

    /// The part of `section` that belongs to `at`, where another section says at which number each
    /// begins and the last one ends.
    pub(super) fn bucket(&self, firsts: Section, at: usize) -> Range<usize> {
        let firsts = self.numbers(firsts);
        match (firsts.get(at), firsts.get(at + 1)) {
            (Some(first), Some(end)) => first as usize..end as usize,
            _ => 0..0,
        }
    }
}

/// The numbers of a section.
#[derive(Clone, Copy)]
pub(super) struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    pub(super) fn len(self) -> usize {
        self.0.len() / size_of::<u32>()
    }

    pub(super) fn get(self, at: usize) -> Option<u32> {
        let start = at.checked_mul(size_of::<u32>())?;
        let bytes = self.0.get(start..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }
}

/// The place among ascending ones where `order` finds what it looks for.
pub(super) fn search(mut among: Range<usize>, order: impl Fn(usize) -> Ordering) -> Option<usize> {
    while among.start < among.end {
        let middle = among.start + (among.end - among.start) / 2;
        match order(middle) {
            Ordering::Less => among.start = middle + 1,
            Ordering::Equal => return Some(middle),
            Ordering::Greater => among.end = middle,
        }
    }
    None
}

/// A block under construction.
pub(super) struct Block {
    sections: [Vec<u8>; SECTIONS],
}

impl Block {
    pub(super) fn put(&mut self, section: Section, bytes: Vec<u8>) {
        self.sections[section as usize] = bytes;
    }

    pub(super) fn put_numbers(&mut self, section: Section, numbers: impl IntoIterator<Item = u32>) {
        self.put(section, numbers.into_iter().flat_map(u32::to_le_bytes).collect());
    }

    fn finish(self) -> Vec<u8> {
        let mut block = vec![0; CHECKSUM];
        let mut end = HEADER as u64;
        for section in &self.sections {
            end += section.len() as u64;
            block.extend(end.to_le_bytes());
        }
        self.sections.iter().for_each(|section| block.extend(section));
        let sum = checksum(&block[CHECKSUM..]).to_le_bytes();
        block[..CHECKSUM].copy_from_slice(&sum);
        block
    }
}

fn build(file: &Gguf, spelling: Spelling) -> Result<Vec<u8>, TextError> {
    let mut block = Block { sections: Default::default() };
    let tokens = vocabulary::Tokens::from_gguf(file, spelling)?;
    match spelling {
        _ if file.is_checkpoint() => {} // it is encoded by its own pipeline
        Spelling::ByteLevel => bpe::tabulate(file, &tokens, &mut block)?,
        Spelling::SentencePiece => spm::tabulate(file, &tokens, &mut block)?,
    }
    tokens.tabulate(&mut block);
    block.put(Section::Digest, digest::of(file).into_bytes());
    Ok(block.finish())
}

fn is_whole(block: &[u8]) -> bool {
    let sum = block.split_first_chunk();
    sum.is_some_and(|(sum, rest)| checksum(rest) == u64::from_le_bytes(*sum))
}

/// Where the sections of a block are.
fn sections(block: &[u8]) -> Option<[Range<usize>; SECTIONS]> {
    let rest = block.get(CHECKSUM..)?;
    let mut sections: [Range<usize>; SECTIONS] = Default::default();
    let (mut start, mut ends) = (HEADER, rest);
    for section in &mut sections {
        let (end, rest) = ends.split_first_chunk()?;
        ends = rest;
        let end = usize::try_from(u64::from_le_bytes(*end)).ok()?;
        if end < start || end > block.len() {
            return None;
        }
        *section = start..end;
        start = end;
    }
    Some(sections)
}

/// Tells a block from a damaged one; eight bytes at a time, since every start pays for it.
fn checksum(bytes: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(bytes.len() as u64, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::codec::Codec;
    use crate::text::TextModel;

    fn tiny() -> Gguf {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/tiny-qwen3.gguf");
        Gguf::open(&path).expect("the tiny model is in the repository")
    }

    fn kept_in(folder: &Path) -> PathBuf {
        let model = fs::read_dir(folder).expect("a folder").flatten().next().expect("one model").path();
        let mut files = fs::read_dir(model).expect("a folder").flatten().map(|entry| entry.path());
        files.find(|path| path.extension().is_some_and(|kind| kind == "tokens")).expect("tables")
    }

    #[test]
    fn kept_tables_are_those_of_the_file_and_damaged_ones_are_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "Grüße, 2 + 2?\n <|im_end|>";
        let expected = TextModel::from_gguf(&tiny()).expect("the tiny model").encode_prompt(text);
        let open = || TextModel::open(&tiny(), Some(folder.path())).expect("the tiny model");
        assert_eq!(open().encode_prompt(text), expected, "made");
        let file = kept_in(folder.path());
        let sound = fs::read(&file).expect("tables");
        assert_eq!(open().encode_prompt(text), expected, "mapped");
        for damage in [0, CHECKSUM, HEADER + 40, sound.len() - 1] {
            let mut damaged = sound.clone();
            damaged[damage] ^= 0x10;
            fs::remove_file(&file).expect("removed");
            fs::write(&file, &damaged).expect("written");
            assert_eq!(open().encode_prompt(text), expected, "damaged at {damage}");
            assert!(fs::read(&file).expect("tables") == sound, "damaged at {damage}");
        }
        fs::write(&file, &sound[..sound.len() / 2]).expect("written");
        assert_eq!(open().encode_prompt(text), expected, "cut");
    }

    #[test]
    fn where_nothing_can_be_kept_the_tables_are_in_memory() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let model = TextModel::open(&tiny(), Some(&file.path().join("packs"))).expect("the tiny model");
        assert!(model.encode_prompt("a").is_ok());
    }
}
