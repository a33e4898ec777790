//! Nothing that was released is taken back: the protos of today against `released/*.bin`, the descriptors as they were
//! last committed. `UPDATE_EXPECT=1 cargo test -p understudy-proto` commits additions; it refuses anything else.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

use std::collections::BTreeMap;
use std::{env, fs, path::Path};

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};
use understudy_proto::{FILE_DESCRIPTOR_SET, NODE_FILE_DESCRIPTOR_SET};

/// Everything that a peer of another version relies on: where it is, and what it must be.
fn promises(set: &FileDescriptorSet) -> BTreeMap<String, String> {
    let mut promises = BTreeMap::new();
    for file in &set.file {
        let package = file.package();
        for message in &file.message_type {
            of_message(package, message, &mut promises);
        }
        for words in &file.enum_type {
            of_enum(package, words, &mut promises);
        }
        for service in &file.service {
            for method in &service.method {
                let form = format!(
                    "{} {} -> {} {}",
                    method.client_streaming(),
                    method.input_type(),
                    method.server_streaming(),
                    method.output_type()
                );
                promises.insert(format!("{package}.{}/{}", service.name(), method.name()), form);
            }
        }
    }
    promises
}

fn of_message(parent: &str, message: &DescriptorProto, promises: &mut BTreeMap<String, String>) {
    let name = format!("{parent}.{}", message.name());
    for field in &message.field {
        let oneof = field.oneof_index.and_then(|at| message.oneof_decl.get(at as usize));
        // A field that becomes optional says so by a oneof of its own, which changes nothing on the wire.
        let oneof = oneof.filter(|_| !field.proto3_optional()).map_or("", |oneof| oneof.name());
        let form = format!(
            "{} {:?} {:?} {} {oneof}",
            field.name(),
            field.label(),
            field.r#type(),
            field.type_name()
        );
        promises.insert(format!("{name}#{}", field.number()), form);
    }
    message.nested_type.iter().for_each(|nested| of_message(&name, nested, promises));
    message.enum_type.iter().for_each(|words| of_enum(&name, words, promises));
}

fn of_enum(parent: &str, words: &EnumDescriptorProto, promises: &mut BTreeMap<String, String>) {
    for value in &words.value {
        promises.insert(format!("{parent}.{}#{}", words.name(), value.number()), value.name().to_owned());
    }
}

/// What `now` breaks of `before`.
fn broken(before: &FileDescriptorSet, now: &FileDescriptorSet) -> Vec<String> {
    let now = promises(now);
    let differs = |(place, form): (String, String)| match now.get(&place) {
        None => Some(format!("{place} ({form}) is gone")),
        Some(new) if *new != form => Some(format!("{place} was {form:?} and is {new:?}")),
        Some(_) => None,
    };
    promises(before).into_iter().filter_map(differs).collect()
}

#[test]
fn nothing_released_is_taken_back() {
    let sets = [("understudy.v1", FILE_DESCRIPTOR_SET), ("understudy.node.v1", NODE_FILE_DESCRIPTOR_SET)];
    sets.into_iter().for_each(|(name, now)| nothing_is_taken_back(name, now));
}

fn nothing_is_taken_back(name: &str, now: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("released/{name}.bin"));
    let mut now = FileDescriptorSet::decode(now).unwrap();
    // Comments may change.
    now.file.iter_mut().for_each(|file| file.source_code_info = None);
    let before = FileDescriptorSet::decode(fs::read(&path).unwrap_or_default().as_slice()).unwrap();
    assert_eq!(broken(&before, &now), Vec::<String>::new());
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, now.encode_to_vec()).unwrap();
    } else {
        let new = promises(&now).len() - promises(&before).len();
        assert_eq!(
            new, 0,
            "{new} additions are not in released/: UPDATE_EXPECT=1 cargo test -p understudy-proto"
        );
    }
}

#[test]
fn a_break_is_seen() {
    type Change = fn(&mut DescriptorProto);
    let now = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let message = |set: &mut FileDescriptorSet, change: Change| {
        let file = set.file.iter_mut().find(|file| file.name().ends_with("inference.proto")).unwrap();
        change(file.message_type.iter_mut().find(|message| message.name() == "GenerateRequest").unwrap());
    };
    let changes: [(&str, Change); 4] = [
        ("a field is gone", |message| drop(message.field.remove(0))),
        ("a field has another name", |message| message.field[1].name = Some("question".into())),
        ("a field has another number", |message| message.field[2].number = Some(77)),
        ("a field has another type", |message| {
            message.field[3].set_type(prost_types::field_descriptor_proto::Type::Bytes)
        }),
    ];
    for (what, change) in changes {
        let mut changed = now.clone();
        message(&mut changed, change);
        assert!(!broken(&now, &changed).is_empty(), "{what}");
    }
    assert_eq!(broken(&now, &now), Vec::<String>::new());
}
