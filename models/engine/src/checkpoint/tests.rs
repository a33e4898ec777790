//! What is wrong with a checkpoint is said by name, and no file makes the reader panic.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use safetensors::SafeTensors;
use tempfile::TempDir;

use crate::codec::Codec;
use crate::model::Model;
use crate::text::TextModel;

const NAMES: [&str; 6] =
    ["tiny-llama", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3", "tiny-qwen2-gptq", "tiny-llama-awq"];
const WEIGHTS: &str = "model.safetensors";

fn sound(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/checkpoints").join(name)
}

fn copy_of(name: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for file in fs::read_dir(sound(name)).expect("a checkpoint").flatten() {
        fs::copy(file.path(), folder.path().join(file.file_name())).expect("a copy");
    }
    folder
}

/// The error of a checkpoint with one file changed.
fn refusal(name: &str, file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let folder = copy_of(name);
    let path = folder.path().join(file);
    let bytes = fs::read(&path).expect("a file");
    fs::write(&path, change(bytes)).expect("a file");
    Model::open(folder.path()).err().map_or_else(|| "it opened".to_owned(), |error| error.to_string())
}

fn replaced<'a>(old: &'a str, new: &'a str) -> impl FnOnce(Vec<u8>) -> Vec<u8> + 'a {
    move |bytes| {
        let at = bytes.windows(old.len()).position(|window| window == old.as_bytes());
        let at = at.unwrap_or_else(|| panic!("no {old:?}"));
        [&bytes[..at], new.as_bytes(), &bytes[at + old.len()..]].concat()
    }
}

#[track_caller]
fn assert_says(error: &str, expected: &str) {
    assert!(error.contains(expected), "{error:?} does not say {expected:?}");
}

#[test]
fn settings_that_would_make_answers_wrong_are_refused_by_name() {
    let cases = [
        ("tiny-qwen2", r#""model_type":"qwen2""#, r#""model_type":"phi3""#, r#"model_type "phi3""#),
        ("tiny-qwen2", r#""hidden_act":"silu""#, r#""hidden_act":"relu""#, r#"hidden_act "relu""#),
        ("tiny-qwen2", r#""rope_type":"default""#, r#""rope_type":"yarn""#, r#"rope scaling "yarn""#),
        ("tiny-qwen2", r#""hidden_size":32"#, r#""hidden_size":-1"#, "hidden_size should be a size"),
        ("tiny-qwen2", r#""hidden_size":32"#, r#""hidden_size":64"#, "expected"),
        ("tiny-llama", r#""attention_bias":false"#, r#""attention_bias":true"#, "attention_bias true"),
        ("tiny-gemma3", r#""query_pre_attn_scalar":16"#, r#""query_pre_attn_scalar":99"#, "query_pre_attn"),
        ("tiny-gemma3", r#""rope_theta":10000.0"#, r#""rope_theta":20000.0"#, "rope base of 20000"),
        ("tiny-gemma3", r#"["sliding_attention","#, r#"["full_attention","#, "layer_types"),
        ("tiny-qwen2-gptq", r#""bits":4"#, r#""bits":8"#, "8"),
        ("tiny-qwen2-gptq", r#""group_size":32"#, r#""group_size":24"#, "group_size of 24"),
        ("tiny-qwen2-gptq", r#""group_size":32"#, r#""group_size":64"#, "do not fit together"),
        ("tiny-qwen2-gptq", r#""desc_act":false"#, r#""desc_act":true"#, "desc_act true"),
        ("tiny-qwen2-gptq", r#""gptq""#, r#""bitsandbytes""#, r#"quantization by "bitsandbytes""#),
        ("tiny-llama-awq", r#""version":"gemm""#, r#""version":"gemv""#, "gemv"),
        ("tiny-qwen2", "{", "[", "config.json"),
    ];
    for (name, old, new, expected) in cases {
        assert_says(&refusal(name, "config.json", replaced(old, new)), expected);
    }
}

#[test]
fn tokenizers_that_would_make_other_ids_are_refused_by_name() {
    let cases = [
        ("tiny-qwen2", r#""type":"BPE""#, r#""type":"Unigram""#, "Unigram"),
        ("tiny-qwen2", r#""type":"NFC""#, r#""type":"NFKC""#, r#"the step "NFKC""#),
        ("tiny-qwen2", r#""add_prefix_space":false"#, r#""add_prefix_space":true"#, "add_prefix_space"),
        ("tiny-qwen2", r#""id":281"#, r#""id":999"#, "has the id 999"),
        ("tiny-qwen2", r#""id":281"#, r#""id":280"#, "have the same id 280"),
        ("tiny-gemma3", r#""byte_fallback":true"#, r#""byte_fallback":false"#, "without bytes"),
        ("tiny-gemma3", r#""merges":[["#, r#""merges":[7,["#, "a merge is not two tokens"),
    ];
    for (name, old, new, expected) in cases {
        assert_says(&refusal(name, "tokenizer.json", replaced(old, new)), expected);
    }
}

#[test]
fn files_that_are_missing_or_lead_elsewhere() {
    let without = |name: &str, file: &str| {
        let folder = copy_of(name);
        fs::remove_file(folder.path().join(file)).expect("the file was there");
        Model::open(folder.path()).err().map(|error| error.to_string()).unwrap_or_default()
    };
    for (name, file) in [
        ("tiny-qwen2", "config.json"),
        ("tiny-qwen2", "tokenizer.json"),
        ("tiny-qwen2", WEIGHTS),
        ("tiny-llama", "model-00002-of-00002.safetensors"),
    ] {
        assert_says(&without(name, file), &format!("lacks the file {file}"));
    }
    let index = "model.safetensors.index.json";
    let (shard, outside) =
        (r#""model-00001-of-00002.safetensors""#, r#""../model-00001-of-00002.safetensors""#);
    assert_says(&refusal("tiny-llama", index, replaced(shard, outside)), "is no file name");
    let (norm, other) = (r#""model.norm.weight""#, r#""model.nose.weight""#);
    assert_says(&refusal("tiny-llama", index, replaced(norm, other)), "lacks the tensor model.nose.weight");
}

#[test]
fn weights_that_are_not_what_they_claim() {
    let whole = "no whole safetensors file";
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 1].to_vec();
    assert_says(&refusal("tiny-qwen2", WEIGHTS, cut), whole);
    assert_says(&refusal("tiny-qwen2", WEIGHTS, |_| Vec::new()), whole);
    let huge = |bytes: Vec<u8>| [&[0xFF; 8], &bytes[8..]].concat();
    assert_says(&refusal("tiny-qwen2", WEIGHTS, huge), whole);
    // Of the same length, so that the rest of the header stays where it is.
    let cases = [
        ("tiny-qwen2", r#""data_offsets":[0,"#, r#""data_offsets":[8,"#, whole),
        ("tiny-qwen2", r#""dtype":"BF16""#, r#""dtype":"U16" "#, "of type U16"),
        ("tiny-qwen2", "model.norm.weight", "model.nose.weight", "a qwen2 model has no such tensor"),
        ("tiny-qwen3", "self_attn.q_norm", "self_attn.q_nose", "a qwen3 model has no such tensor"),
        ("tiny-qwen2-gptq", "self_attn.q_proj.scales", "self_attn.q_proj.scalez", "scales"),
    ];
    for (name, old, new, expected) in cases {
        assert_says(&refusal(name, WEIGHTS, replaced(old, new)), expected);
    }
}

/// The settings may say that inputs are in order, and the tensor still say otherwise.
#[test]
fn inputs_out_of_order_are_refused() {
    let swapped = |mut bytes: Vec<u8>| {
        let (header, metadata) = SafeTensors::read_metadata(&bytes).expect("a sound file");
        let order = metadata.info("model.layers.0.mlp.down_proj.g_idx").expect("it is there").data_offsets.0;
        bytes.swap(8 + header + order, 8 + header + order + 63 * 4);
        bytes
    };
    assert_says(&refusal("tiny-qwen2-gptq", WEIGHTS, swapped), "inputs out of order");
}

/// Tables are kept by what the texts say: the weights, whose time of change counts too, stay as they are.
#[test]
fn kept_tables_follow_the_tokenizer() {
    let (folder, kept) = (copy_of("tiny-llama"), tempfile::tempdir().expect("a folder"));
    let open = || {
        let model = Model::open(folder.path()).expect("the tiny model");
        TextModel::open(model.gguf(), Some(kept.path())).expect("its tokenizer")
    };
    let first = open();
    assert_eq!(open().digest(), first.digest());
    assert_eq!(first.control_token("<|eot_id|>"), Some(281));
    let file = folder.path().join("tokenizer.json");
    let renamed = replaced(r#""id":281,"content":"<|eot_id|>""#, r#""id":281,"content":"<|other|>""#);
    fs::write(&file, renamed(fs::read(&file).expect("a file"))).expect("a file");
    let second = open();
    assert_eq!(second.control_token("<|eot_id|>"), None);
    assert_eq!(second.control_token("<|other|>"), Some(281));
    assert_ne!(second.digest(), first.digest());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_change_of_a_byte_panics(
        name in 0..NAMES.len(),
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        early in any::<bool>(),
    ) {
        let folder = copy_of(NAMES[name]);
        let mut files: Vec<_> = fs::read_dir(folder.path()).expect("files").flatten().map(|f| f.path()).collect();
        files.sort();
        let path = &files[file.index(files.len())];
        let mut bytes = fs::read(path).expect("a file");
        // Half of the changes where the structure is.
        let most = if early { bytes.len().min(1500) } else { bytes.len() };
        bytes[at.index(most)] = byte;
        fs::write(path, bytes).expect("a file");
        if let Ok(model) = Model::open(folder.path()) {
            let _ = TextModel::from_gguf(model.gguf());
        }
    }
}
