//! The style of the protos, by rules of the Buf style guide (`STANDARD`), whose names stand beside them.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use understudy_proto::{FILE_DESCRIPTOR_SET, NODE_FILE_DESCRIPTOR_SET};

/// The public files, then those between nodes.
fn files() -> Vec<FileDescriptorProto> {
    let sets = [FILE_DESCRIPTOR_SET, NODE_FILE_DESCRIPTOR_SET];
    sets.into_iter().flat_map(|set| FileDescriptorSet::decode(set).unwrap().file).collect()
}

fn is_snake(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') && !name.starts_with('_')
}

fn is_camel(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// `GenerateRequest` as `GENERATE_REQUEST`.
fn upper_snake(name: &str) -> String {
    let mut upper = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !upper.is_empty() {
            upper.push('_');
        }
        upper.push(letter.to_ascii_uppercase());
    }
    upper
}

fn check_message(message: &DescriptorProto, wrong: &mut Vec<String>) {
    let name = message.name();
    let mut expect = |rule: &str, what: &str, holds: bool| {
        if !holds {
            wrong.push(format!("{rule}: {name}.{what}"));
        }
    };
    let is_map = message.options.as_ref().is_some_and(|options| options.map_entry());
    expect("MESSAGE_PASCAL_CASE", "", is_camel(name));
    for field in &message.field {
        expect("FIELD_LOWER_SNAKE_CASE", field.name(), is_snake(field.name()));
        expect(
            "FIELD_NOT_REQUIRED",
            field.name(),
            field.label() != prost_types::field_descriptor_proto::Label::Required,
        );
    }
    for oneof in &message.oneof_decl {
        // The compiler makes one of each optional field.
        expect("ONEOF_LOWER_SNAKE_CASE", oneof.name(), is_snake(oneof.name().trim_start_matches('_')));
    }
    if !is_map {
        message.nested_type.iter().filter(|nested| !nested.name().ends_with("Entry")).for_each(|nested| {
            check_message(nested, wrong);
        });
    }
    message.enum_type.iter().for_each(|words| check_enum(words, wrong));
}

fn check_enum(words: &EnumDescriptorProto, wrong: &mut Vec<String>) {
    let prefix = format!("{}_", upper_snake(words.name()));
    let mut expect = |rule: &str, what: &str, holds: bool| {
        if !holds {
            wrong.push(format!("{rule}: {}.{what}", words.name()));
        }
    };
    expect("ENUM_PASCAL_CASE", "", is_camel(words.name()));
    let aliases = words.options.as_ref().is_some_and(|options| options.allow_alias());
    expect("ENUM_NO_ALLOW_ALIAS", "", !aliases);
    for value in &words.value {
        expect("ENUM_VALUE_PREFIX", value.name(), value.name().starts_with(&prefix));
        let upper = value.name().bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        expect("ENUM_VALUE_UPPER_SNAKE_CASE", value.name(), upper);
    }
    let first = words.value.first().unwrap();
    let is_unspecified = first.number() == 0 && first.name() == format!("{prefix}UNSPECIFIED");
    expect("ENUM_ZERO_VALUE_SUFFIX", first.name(), is_unspecified);
}

#[test]
fn protos_keep_to_the_style_guide() {
    let mut wrong = Vec::new();
    for file in files() {
        let mut expect = |rule: &str, holds: bool| {
            if !holds {
                wrong.push(format!("{rule}: {}", file.name()));
            }
        };
        let folder = file.package().replace('.', "/");
        expect("PACKAGE_DIRECTORY_MATCH", file.name().starts_with(&format!("{folder}/")));
        expect("PACKAGE_VERSION_SUFFIX", file.package().ends_with(".v1"));
        expect(
            "FILE_LOWER_SNAKE_CASE",
            is_snake(file.name().rsplit('/').next().unwrap().trim_end_matches(".proto")),
        );
        expect(
            "IMPORT_NO_PUBLIC, IMPORT_NO_WEAK",
            file.public_dependency.is_empty() && file.weak_dependency.is_empty(),
        );
        expect("SYNTAX_SPECIFIED", file.syntax() == "proto3");
        file.message_type.iter().for_each(|message| check_message(message, &mut wrong));
        file.enum_type.iter().for_each(|words| check_enum(words, &mut wrong));
        for service in &file.service {
            for method in &service.method {
                if !is_camel(service.name()) || !is_camel(method.name()) {
                    wrong.push(format!("RPC_PASCAL_CASE: {}.{}", service.name(), method.name()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// `RPC_REQUEST_RESPONSE_UNIQUE` for what goes in: calls that share a request cannot grow apart. What comes out may be
/// one type: the events of an answer are the same over `Generate` and `GenerateBidi`, and a model's status is one thing.
#[test]
fn no_two_calls_share_a_request() {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files() {
        for service in &file.service {
            for method in &service.method {
                let call = format!("{}.{}", service.name(), method.name());
                users.entry(method.input_type().to_owned()).or_default().push(call);
            }
        }
    }
    let shared: Vec<_> = users.into_iter().filter(|(_, calls)| calls.len() > 1).collect();
    assert!(shared.is_empty(), "{shared:?}");
}
