//! Messages at hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;
use understudy_grammars::{GrammarError, ProtoSource};

use crate::oracle::{pool, sample};
use crate::support::{Dice, FORMATS, compile, samples, spec, wander};

/// All message types of the files that `UNDERSTUDY_DATA` points to.
#[test]
fn all_messages_at_hand_are_written_and_read() {
    let Some(data) = std::env::var_os("UNDERSTUDY_DATA") else {
        eprintln!("UNDERSTUDY_DATA is not set: the messages at hand were not tried");
        return;
    };
    let root = PathBuf::from(data).join("grammar/protobuf");
    let mut files = BTreeMap::new();
    collect(&root.join("googleapis"), "", &mut files);
    collect(&root, "google/protobuf/", &mut files);
    loop {
        let missing: Vec<String> = files
            .iter()
            .filter(|(_, text)| imports(text).any(|name| !is_there(&files, name)))
            .map(|(name, _)| name.clone())
            .collect();
        if missing.is_empty() {
            break;
        }
        missing.iter().for_each(|name| {
            files.remove(name);
        });
    }
    let count = samples(2);
    // The parser that the oracle is given knows no editions: of those files `encode` is the judge.
    let plain =
        files.iter().filter(|(_, text)| !text.contains("\nedition =") && !text.contains("unittest.proto\""));
    let pool = pool(&ProtoSource::Files(plain.map(|(name, text)| (name.clone(), text.clone())).collect()));
    let source = ProtoSource::Files(files);
    let (mut messages, mut texts) = (0, 0);
    for (seed, name) in source.messages().expect("compiles").into_iter().enumerate() {
        for format in FORMATS {
            let spec = spec(&source, &name, format);
            let grammar = match compile(&spec) {
                Ok(grammar) => grammar,
                Err(GrammarError::ProtobufEndless(..)) => continue,
                Err(error) => panic!("{name}: {error}"),
            };
            match pool.get_message_by_name(&name) {
                Some(message) => sample(&grammar, &message, format, count, seed as u64),
                None => {
                    let mut dice = Dice(seed as u64 + 1);
                    for _ in 0..count {
                        let text = wander(&grammar, &mut dice, 60, &mut |_| {});
                        spec.encode(&text).unwrap_or_else(|error| panic!("{name}: {text}: {error}"));
                    }
                }
            }
            texts += count;
        }
        messages += 1;
    }
    eprintln!("{texts} texts of {messages} messages");
    assert!(messages > 100);
}

fn imports(text: &str) -> impl Iterator<Item = &str> {
    let import = |line: &str| line.starts_with("import ");
    text.lines().filter(move |line| import(line)).filter_map(|line| line.split('"').nth(1))
}

fn is_there(files: &BTreeMap<String, String>, name: &str) -> bool {
    files.contains_key(name) || DescriptorPool::global().get_file_by_name(name).is_some()
}

/// `.proto` files of a folder by the names that they are imported by.
fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && prefix != "google/protobuf/" {
            collect(&path, &format!("{prefix}{name}/"), files);
        } else if name.ends_with(".proto") {
            let text = std::fs::read_to_string(&path).expect("is readable");
            files.insert(format!("{prefix}{name}"), text);
        }
    }
}
