//! Protobuf grammars against `prost-reflect`: what they let a model write is read as the message.

#![allow(clippy::print_stderr)] // says what was not tried

mod data;
mod hostile;
mod judged;
mod oracle;
#[path = "../common/soon.rs"]
mod soon;
mod support;

use std::collections::BTreeSet;

use oracle::{pool, read, sample};
use prost_reflect::prost::Message;
use prost_reflect::prost_types::FileDescriptorSet;
use support::{Dice, FORMATS, accepts, allowed, compile, samples, sources, spec, vocabulary, wander};
use understudy_grammars::{
    Constraint, GrammarError, ProtoFormat, ProtoSource, ProtobufSpec, TokenId, Whitespace,
};

const OWN: [&str; 11] = [
    "shop.Order",
    "shop.Item",
    "shop.Times",
    "shop.Loose",
    "shop.Wrapped",
    "shop.Nothing",
    "form.Form",
    "form.Person",
    "form.Scope",
    "form.Tempted",
    "google.protobuf.Struct",
];

#[test]
fn what_is_written_is_read_as_the_message() {
    let source = sources();
    let pool = pool(&source);
    for (seed, name) in OWN.into_iter().enumerate() {
        let message = pool.get_message_by_name(name).expect("is defined");
        for format in FORMATS {
            let grammar = compile(&spec(&source, name, format)).expect("compiles");
            sample(&grammar, &message, format, samples(12), seed as u64);
        }
    }
}

#[test]
fn masks_are_what_tokens_can_do() {
    let source = sources();
    for (seed, name) in OWN.into_iter().enumerate() {
        for format in FORMATS {
            let grammar = compile(&spec(&source, name, format)).expect("compiles");
            let mut dice = Dice(77 + seed as u64);
            let mut looks = Dice(99 + seed as u64);
            for _ in 0..2 {
                wander(&grammar, &mut dice, 40, &mut |matcher| {
                    if looks.below(8) > 0 {
                        return;
                    }
                    let mask: BTreeSet<_> = allowed(matcher, u32::MAX).into_iter().collect();
                    for id in 0..vocabulary().len() as TokenId {
                        let takes = matcher.fork().try_accept(id);
                        assert_eq!(mask.contains(&id), takes, "{name} {format:?} {id}");
                    }
                });
            }
        }
    }
}

#[test]
fn keys_of_a_map_run_out_without_a_dead_end() {
    let file = "syntax = \"proto3\"; message M { map<int32, bool> m = 1; map<bool, bool> b = 2; }";
    let source = ProtoSource::Files([("m.proto".to_owned(), file.to_owned())].into());
    let grammar = compile(&spec(&source, "M", ProtoFormat::Json)).expect("compiles");
    let mut matcher = grammar.matcher();
    let mut text = String::from("{\"m\":{\"214748364\":true");
    (0..8).for_each(|digit| text.push_str(&format!(",\"214748364{digit}\":true")));
    text.push_str(",\"");
    assert!(text.bytes().all(|byte| matcher.try_accept(TokenId::from(byte))));
    // Of the numbers that begin so only those above 2147483647 are left, which are too large.
    assert!("21474836".bytes().all(|byte| matcher.try_accept(TokenId::from(byte))));
    assert!(!matcher.try_accept(TokenId::from(b'4')), "nothing could follow");
    assert!(matcher.close_path().is_some());

    let many = (0..200).map(|key| format!("\"{key}\":true,")).collect::<String>();
    let mut matcher = grammar.matcher();
    let text = format!("{{\"m\":{{{many}");
    assert!(text.bytes().all(|byte| matcher.try_accept(TokenId::from(byte))));
    assert!(matcher.close_path().is_some(), "there are other numbers");

    let mut matcher = grammar.matcher();
    let text = "{\"b\":{\"true\":true,\"false\":true";
    assert!(text.bytes().all(|byte| matcher.try_accept(TokenId::from(byte))));
    assert!(!matcher.try_accept(TokenId::from(b',')), "no third key is left");
}

#[test]
fn messages_of_many_fields_are_no_exception() {
    let fields: String = (1..=300).map(|n| format!("  required int32 field_{n} = {n};\n")).collect();
    let source =
        ProtoSource::Files([("wide.proto".to_owned(), format!("message Wide {{\n{fields}}}"))].into());
    let pool = pool(&source);
    let message = pool.get_message_by_name("Wide").expect("is defined");
    for format in FORMATS {
        let grammar = compile(&spec(&source, "Wide", format)).expect("compiles");
        let plan = grammar.matcher().close_path().expect("can be complete");
        let text: Vec<u8> = plan.iter().flat_map(|id| vocabulary().token(*id).to_vec()).collect();
        let text = String::from_utf8(text).expect("UTF-8");
        read(&message, format, &text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
        let short = text.replacen("300", "299", 1);
        assert!(!accepts(&grammar, &short), "one field twice and one missing");
    }
}

/// More outcomes than a close looks at, of which one of the last is by far the shortest.
#[test]
fn a_text_is_closed_by_its_nearest_field() {
    let heavy: String = (0..80).map(|n| format!("  optional Heavy heavy_{n} = {};\n", n + 1)).collect();
    let needs: String = (1..20).map(|n| format!("  required string needed_{n} = {n};\n")).collect();
    let file = format!(
        "message Heavy {{\n{needs}}}\nmessage M {{\n{heavy}  optional bool hey = 90; optional bool a = 91; }}"
    );
    let source = ProtoSource::Files([("m.proto".to_owned(), file)].into());
    for (format, begun) in [(ProtoFormat::Text, "he"), (ProtoFormat::Json, "{\"he")] {
        let mut matcher = compile(&spec(&source, "M", format)).expect("compiles").matcher();
        assert!(begun.bytes().all(|byte| matcher.try_accept(TokenId::from(byte))));
        let plan = matcher.close_path().expect("can be complete");
        assert!(plan.len() <= 6, "{} tokens", plan.len());
    }
}

#[test]
fn thousands_of_fields_are_read() {
    let fields: String =
        (1..=3000).map(|n| format!("  optional int32 a_field_with_number_{n} = {n};\n")).collect();
    let source =
        ProtoSource::Files([("wide.proto".to_owned(), format!("message Wide {{\n{fields}}}"))].into());
    let message = pool(&source).get_message_by_name("Wide").expect("is defined");
    for format in FORMATS {
        let grammar = compile(&spec(&source, "Wide", format)).expect("compiles");
        sample(&grammar, &message, format, 1, 1);
    }
}

#[test]
fn nesting_ends_before_decoders_do() {
    let source = sources();
    let message = pool(&source).get_message_by_name("google.protobuf.Struct").expect("well known");
    let grammar = compile(&spec(&source, "google.protobuf.Struct", ProtoFormat::Json)).expect("compiles");
    let mut matcher = grammar.matcher();
    let mut text = String::new();
    while "{\"a\":".bytes().all(|byte| matcher.try_accept(TokenId::from(byte))) {
        text.push_str("{\"a\":");
        assert!(text.len() < 10_000, "nesting is bounded");
    }
    assert!(text.len() > 100);
    let mut matcher = grammar.matcher();
    assert!(text.bytes().all(|byte| matcher.try_accept(TokenId::from(byte))));
    for token in matcher.close_path().expect("can be complete") {
        text.push_str(std::str::from_utf8(vocabulary().token(token)).expect("ASCII"));
    }
    read(&message, ProtoFormat::Json, &text).expect("the deepest text is read");
}

#[test]
fn a_finished_text_is_encoded() {
    let source = sources();
    let text = spec(&source, "shop.Item", ProtoFormat::Text);
    assert_eq!(text.encode("name: \"ab\" inner {}").expect("encodes"), b"\x0a\x02ab\x12\x00");
    let json = spec(&source, "shop.Item", ProtoFormat::Json);
    assert_eq!(json.encode("{\"name\": \"ab\", \"inner\": {}}").expect("encodes"), b"\x0a\x02ab\x12\x00");
    for refused in [text.encode("nam: 1"), json.encode("{\"nam\": 1}"), json.encode("{} x")] {
        assert!(matches!(refused, Err(GrammarError::ProtobufText { .. })), "{refused:?}");
    }
}

#[test]
fn descriptor_sets_are_as_good_as_files() {
    let source = sources();
    let ProtoSource::Files(files) = &source else { unreachable!("made of files") };
    let file = files.iter().map(|(name, text)| protox_parse::parse(name, text).expect("parses")).collect();
    let set = ProtoSource::Descriptors(FileDescriptorSet { file }.encode_to_vec());
    let grammar = compile(&spec(&set, "shop.Order", ProtoFormat::Json)).expect("compiles");
    assert!(accepts(&grammar, "{\"count\": 1}"));
}

#[test]
fn whitespace_is_what_printers_write_or_none() {
    let source = sources();
    let message = pool(&source).get_message_by_name("shop.Item").expect("is defined");
    for (format, close, wide) in [
        (ProtoFormat::Text, "name:\"ab\" inner{}", "name: \"ab\"\n\t inner {}"),
        (ProtoFormat::Json, "{\"name\":\"ab\",\"inner\":{}}", "{\r\n  \"name\": \"ab\", \"inner\": {}\n}"),
    ] {
        let usual = spec(&source, "shop.Item", format);
        let none = ProtobufSpec { whitespace: Whitespace::None, ..usual.clone() };
        let (usual, none) = (compile(&usual).expect("compiles"), compile(&none).expect("compiles"));
        for text in [close, wide] {
            read(&message, format, text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
            assert!(accepts(&usual, text), "{text}");
        }
        assert!(accepts(&none, close) && !accepts(&none, wide), "{format:?}");
        for blank in ["  ", "\n\n\n"] {
            let text = wide.replacen(": ", &format!(":{blank}"), 1);
            assert!(!accepts(&usual, &text), "{text}");
        }
        let far = wide.replacen("inner", &format!("\n{}inner", " ".repeat(41)), 1);
        assert!(!accepts(&usual, &far), "{far}");
        sample(&none, &message, format, samples(12), 7);
    }
}
