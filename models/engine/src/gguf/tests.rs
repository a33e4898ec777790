//! Behaviour of the reader on good, broken and hostile files.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// Builds the bytes of a small file.
#[derive(Clone)]
struct Writer {
    version: u32,
    keys: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    key_count: Option<u64>,
    data: usize,
}

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text].concat()
}

fn texts(items: &[&str]) -> Vec<u8> {
    let header = [8_u32.to_le_bytes().as_slice(), &(items.len() as u64).to_le_bytes()].concat();
    items.iter().fold(header, |all, item| [all, text(item.as_bytes())].concat())
}

impl Writer {
    fn new() -> Self {
        Self { version: 3, keys: Vec::new(), tensors: Vec::new(), key_count: None, data: 0 }
    }

    fn key(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        let entry = [&text(key.as_bytes()), kind.to_le_bytes().as_slice(), value].concat();
        self.keys.push(entry);
        self
    }

    fn tensor(mut self, name: &str, dims: &[u64], kind: u32, offset: u64) -> Self {
        let mut entry = [&text(name.as_bytes()), (dims.len() as u32).to_le_bytes().as_slice()].concat();
        dims.iter().for_each(|dim| entry.extend(dim.to_le_bytes()));
        entry.extend(kind.to_le_bytes());
        entry.extend(offset.to_le_bytes());
        self.tensors.push(entry);
        self
    }

    fn data(mut self, bytes: usize) -> Self {
        self.data = bytes;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend(self.key_count.unwrap_or(self.keys.len() as u64).to_le_bytes());
        bytes.extend(self.keys.concat());
        bytes.extend(self.tensors.concat());
        let start = bytes.len().next_multiple_of(32);
        bytes.resize(start, 0);
        bytes.extend((0..self.data).map(|at| at as u8));
        bytes
    }

    fn open(&self) -> Result<Gguf, GgufError> {
        open(&self.bytes())
    }
}

fn open(bytes: &[u8]) -> Result<Gguf, GgufError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).expect("a file");
    Gguf::open(&path)
}

fn good() -> Writer {
    Writer::new()
        .key("general.architecture", 8, &text(b"llama"))
        .key("a.count", 4, &7_u32.to_le_bytes())
        .key("a.signed", 11, &(-7_i64).to_le_bytes())
        .key("a.eps", 6, &0.5_f32.to_le_bytes())
        .key("a.flag", 7, &[1])
        .key("a.words", 9, &texts(&["one", "", "zwölf"]))
        .key(
            "a.scores",
            9,
            &[
                6_u32.to_le_bytes().as_slice(),
                &2_u64.to_le_bytes(),
                &1_f32.to_le_bytes(),
                &(-2_f32).to_le_bytes(),
            ]
            .concat(),
        )
        .key(
            "a.kinds",
            9,
            &[
                5_u32.to_le_bytes().as_slice(),
                &2_u64.to_le_bytes(),
                &3_i32.to_le_bytes(),
                &(-4_i32).to_le_bytes(),
            ]
            .concat(),
        )
        .tensor("norm", &[4], 0, 0)
        .tensor("weight", &[32, 3], 8, 32)
        .data(32 + 3 * 34)
}

#[test]
fn a_head_is_a_file_without_tensors() {
    let file = good().open().expect("a good file");
    let head = Gguf::from_bytes(file.head().expect("a file has one")).expect("a head is a file");
    assert_eq!(head.tensor_names().len(), 0);
    assert_eq!((head.architecture().ok(), head.u64("a.count")), (Some("llama"), Some(7)));
    let words =
        |file: &Gguf| file.strings("a.words").map(|words| words.map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(words(&head), words(&file));
    assert_eq!(head.head().as_deref(), file.head().as_deref(), "a head's head is itself");
    for len in 0..file.head().map_or(0, |head| head.len()) {
        let cut = file.head().unwrap_or_default().get(..len).unwrap_or_default().to_vec();
        assert!(Gguf::from_bytes(cut).is_err(), "cut at {len}");
    }
}

#[test]
fn weights_are_told_apart_by_every_tensor_and_by_what_is_said_of_them() {
    let digest = |bytes: &[u8]| open(bytes).expect("a good file").digest();
    let bytes = good().bytes();
    assert_eq!(digest(&bytes), digest(&bytes), "wherever the file is");
    let data = bytes.len() - (32 + 3 * 34);
    // The first tensor takes 16 bytes of its 32.
    for at in [data, data + 15, data + 32, bytes.len() - 1] {
        let mut other = bytes.clone();
        other[at] ^= 1;
        assert_ne!(digest(&other), digest(&bytes), "byte {at}");
    }
    assert_ne!(digest(&good().key("a.other", 7, &[1]).bytes()), digest(&bytes));
}

#[test]
fn values_and_tensors_come_back_as_written() {
    let file = good().open().expect("a good file");
    assert_eq!(file.architecture().expect("present"), "llama");
    assert_eq!(file.u64("a.count"), Some(7));
    assert_eq!(file.u64("a.signed"), None);
    assert_eq!(file.f64("a.eps"), Some(0.5));
    assert_eq!(file.bool("a.flag"), Some(true));
    let words: Vec<_> = file.strings("a.words").expect("present").collect();
    assert_eq!(words, ["one", "", "zwölf"]);
    assert_eq!(file.f32s("a.scores"), Some(vec![1.0, -2.0]));
    assert_eq!(file.i32s("a.kinds"), Some(vec![3, -4]));
    assert_eq!(file.u32s("a.kinds"), None, "a negative number is no u32");
    assert_eq!(file.tensor_names().collect::<Vec<_>>(), ["norm", "weight"]);
    let weight = file.matrix("weight").expect("present");
    assert_eq!((weight.rows, weight.cols, weight.data.len()), (3, 32, 102));
    assert_eq!(weight.data.first(), Some(&32), "data starts at the tensor's offset");
    let norm = file.matrix("norm").expect("present");
    assert_eq!((norm.rows, norm.cols), (1, 4));
    assert_eq!(file.file_len(), good().bytes().len());
}

#[test]
fn what_is_missing_or_of_another_type_is_named() {
    let file = good().open().expect("a good file");
    let missing = file.require_u64("a.none").expect_err("missing").to_string();
    assert_eq!(missing, "the file lacks the key a.none");
    let wrong = file.require_str("a.words").expect_err("wrong").to_string();
    assert_eq!(wrong, "the key a.words should be a string but is an array of strings");
    let tensor = file.matrix("b").expect_err("missing").to_string();
    assert_eq!(tensor, "the file lacks the tensor b");
}

#[test]
fn broken_files_are_told_apart() {
    let nested = |depth: usize| -> Vec<u8> {
        let level = [9_u32.to_le_bytes().as_slice(), &1_u64.to_le_bytes()].concat();
        let inner = [0_u32.to_le_bytes().as_slice(), &1_u64.to_le_bytes(), &[5]].concat();
        [level.repeat(depth - 1), inner].concat()
    };
    assert!(Writer::new().key("n", 9, &nested(4)).open().is_ok());

    let version = |version| Writer { version, ..good() };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("wrong magic", b"PK\x03\x04 and so on".to_vec(), "not a GGUF file: it begins with [50, 4b, 03, 04]"),
        ("two bytes", b"GG".to_vec(), "not a GGUF file: it begins with [47, 47]"),
        ("version 1", version(1).bytes(), "GGUF version 1 is not supported"),
        ("big endian", version(3_u32.swap_bytes()).bytes(), "GGUF version 50331648 is not supported"),
        ("cut in the header", good().bytes()[..100].to_vec(), "the file is truncated"),
        ("cut in the data", good().bytes()[..good().bytes().len() - 1].to_vec(), "truncated: tensor weight"),
        ("key count", Writer { key_count: Some(u64::MAX), ..good() }.bytes(), "absurd the keys at byte 24"),
        ("key twice", good().key("a.flag", 7, &[0]).bytes(), "duplicate key \"a.flag\""),
        ("tensor twice", good().tensor("norm", &[4], 0, 0).bytes(), "duplicate tensor \"norm\""),
        ("not UTF-8", good().key("x", 8, &text(b"\xff")).bytes(), "x at byte"),
        ("value type", good().key("x", 13, &[0]).bytes(), "unknown value type 13 of x"),
        ("nesting", good().key("n", 9, &nested(5)).bytes(), "arrays nest at most 4 deep"),
        ("long string", good().key("x", 8, &u64::MAX.to_le_bytes()).bytes(), "absurd x"),
        ("alignment", good().key("general.alignment", 4, &48_u32.to_le_bytes()).bytes(), "a power of two"),
        ("rank", good().tensor("t", &[1; 5], 0, 0).bytes(), "1 to 4 dimensions"),
        (
            "dims",
            good().tensor("t", &[1 << 40, 1 << 40], 0, 0).bytes(),
            "dimensions whose product fits a file",
        ),
        ("no columns", good().tensor("t", &[0], 0, 0).bytes(), "dimensions whose product fits a file"),
        (
            "type",
            good().tensor("t", &[256], 23, 0).bytes(),
            "tensor t has the type IQ4_XS, which is not supported",
        ),
        ("block", good().tensor("t", &[33], 8, 0).bytes(), "33 columns are not whole blocks"),
        ("offset", good().tensor("t", &[4], 0, 4).bytes(), "a multiple of the alignment"),
        ("far offset", good().tensor("t", &[4], 0, u64::MAX - 31).bytes(), "offset of tensor t"),
    ];
    for (name, bytes, expected) in cases {
        let message = open(&bytes).expect_err(name).to_string();
        assert!(message.contains(expected), "{name}: {message}");
    }
    let absent = Gguf::open(&PathBuf::from("no/such/model.gguf"));
    assert!(matches!(absent, Err(GgufError::Io { .. })));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = good().bytes();
    for length in 0..bytes.len() {
        assert!(parse::index(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
}

/// The tiny model of the repository's test vectors, or the small file above.
fn seed_file() -> Vec<u8> {
    let tiny = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/tiny-qwen3.gguf");
    std::fs::read(tiny).unwrap_or_else(|_| good().bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_files_never_panic_and_what_opens_stays_inside(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        early in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        thread_local!(static SEED: Vec<u8> = seed_file());
        let mut bytes = SEED.with(Clone::clone);
        // Half of the runs hit the counts and lengths near the start.
        let reach = if early { bytes.len().min(400) } else { bytes.len() };
        for (at, byte) in changes {
            bytes[at.index(reach)] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(index) = parse::index(&bytes) {
            for tensor in &index.tensors {
                prop_assert!(tensor.range.end <= bytes.len());
                prop_assert_eq!(
                    Some(tensor.range.len()),
                    tensor.ty.row_bytes(tensor.cols()).map(|row| row * tensor.rows())
                );
            }
            for value in index.metadata.values() {
                value.strings(&bytes).map(Iterator::count);
                value.floats(&bytes);
                value.integers::<i32>(&bytes);
            }
        }
    }
}
