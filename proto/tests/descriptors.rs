//! The protos as a reader of reflection sees them.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
use understudy_proto::{FILE_DESCRIPTOR_SET, NODE_FILE_DESCRIPTOR_SET, names};

/// The public files, then those between nodes.
fn files() -> Vec<FileDescriptorProto> {
    let sets = [FILE_DESCRIPTOR_SET, NODE_FILE_DESCRIPTOR_SET];
    sets.into_iter().flat_map(|set| FileDescriptorSet::decode(set).unwrap().file).collect()
}

#[test]
fn descriptor_set_lists_the_services() {
    let mut services = Vec::new();
    for file in files() {
        for service in &file.service {
            let methods: Vec<_> = service.method.iter().map(|m| m.name().to_owned()).collect();
            services.push((format!("{}.{}", file.package(), service.name()), methods.join(" ")));
        }
    }
    services.sort();
    let verbs = "Find Codec Open Extend Run Propose Verify Truncate Fork Score Embed Close";
    let expected = [
        (names::PEERS_SERVICE, "Link Prepare Renew"),
        ("understudy.node.v1.Shadows", "Note Recall"),
        (names::VERBS_SERVICE, verbs),
        (names::CLUSTER_SERVICE, "Status Watch Invite"),
        (names::INFERENCE_SERVICE, "Generate GenerateBidi Embed Score Tokenize Feedback Resume"),
        (names::MODELS_SERVICE, "List Load Unload Watch"),
    ];
    assert_eq!(services, expected.map(|(name, methods)| (name.to_owned(), methods.to_owned())));
}

/// Comments by descriptor path, as `google.protobuf.SourceCodeInfo` numbers them.
fn comments(file: &FileDescriptorProto) -> BTreeMap<Vec<i32>, String> {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations.map(|at| (at.path.clone(), at.leading_comments().trim().to_owned())).collect()
}

/// Every named thing with its path: messages 4, fields 2, oneofs 8, services 6, methods 2.
fn named(file: &FileDescriptorProto) -> Vec<(Vec<i32>, String)> {
    let index = |i: usize| i32::try_from(i).unwrap();
    let mut found = Vec::new();
    for (s, service) in file.service.iter().enumerate() {
        found.push((vec![6, index(s)], service.name().to_owned()));
        for (m, method) in service.method.iter().enumerate() {
            found.push((vec![6, index(s), 2, index(m)], format!("{}.{}", service.name(), method.name())));
        }
    }
    for (m, message) in file.message_type.iter().enumerate() {
        found.push((vec![4, index(m)], message.name().to_owned()));
        for (f, field) in message.field.iter().enumerate() {
            found.push((vec![4, index(m), 2, index(f)], format!("{}.{}", message.name(), field.name())));
        }
    }
    found
}

#[test]
fn every_message_field_and_method_is_documented() {
    for file in files() {
        let comments = comments(&file);
        for (path, name) in named(&file) {
            let comment = comments.get(&path).map(String::as_str).unwrap_or_default();
            assert!(!comment.is_empty(), "{} lacks a comment in {}", name, file.name());
            assert!(comment.ends_with('.'), "the comment of {name} is no sentence: {comment:?}");
        }
    }
}

/// Strings that stand for an enumeration list their words: a reader has nothing else.
#[test]
fn word_fields_list_their_words() {
    let listed = [
        ("Message", "role", "`assistant`"),
        ("Finished", "finish_reason", "`cancelled`"),
        ("Decision", "kind", "`escalate`"),
        ("ModelStatus", "state", "`ready`"),
        ("Started", "policy", "`cascade`"),
        ("Validation", "verdict", "`unknown`"),
    ];
    for (message, field, word) in listed {
        let comment = comment_of(message, field);
        assert!(comment.contains(word), "{message}.{field} does not list {word}: {comment:?}");
    }
}

fn comment_of(message: &str, field: &str) -> String {
    let at = |list: &[DescriptorProto]| list.iter().position(|m| m.name() == message);
    let file = files().into_iter().find(|file| at(&file.message_type).is_some()).unwrap();
    let name = format!("{message}.{field}");
    let (path, _) = named(&file).into_iter().find(|(_, found)| *found == name).unwrap();
    comments(&file).remove(&path).unwrap_or_default()
}
