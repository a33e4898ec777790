//! Definitions that cannot be used, or are made to cost much.

use prost_reflect::prost::Message;
use prost_reflect::prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;
use understudy_grammars::{Constraint, GrammarError, ProtoFormat, ProtoSource};

use crate::soon::all_end_soon;
use crate::support::{Dice, END, FORMATS, allowed, compile, sources, spec, vocabulary};

#[test]
fn what_cannot_be_is_refused_with_its_reason_and_soon() {
    let files = |files: &[(&str, &str)]| {
        ProtoSource::Files(
            files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
        )
    };
    let refusal = |source: &ProtoSource, message: &str| {
        compile(&spec(source, message, ProtoFormat::Json)).expect_err("is refused")
    };
    let missing = files(&[("a.proto", "import \"b/c.proto\"; message A {}")]);
    let expected =
        GrammarError::ProtobufImport { file: "a.proto".to_owned(), import: "b/c.proto".to_owned() };
    assert_eq!(refusal(&missing, "A"), expected);
    let cycle = files(&[("a.proto", "import \"b.proto\";"), ("b.proto", "import \"a.proto\"; message A {}")]);
    assert!(refusal(&cycle, "A").to_string().contains("a.proto -> b.proto -> a.proto"));
    let itself = files(&[("a.proto", "import \"a.proto\"; message A {}")]);
    assert!(refusal(&itself, "A").to_string().contains("a.proto -> a.proto"));
    let broken = files(&[("a.proto", "message A {\n  int32 = 1;\n}")]);
    assert!(refusal(&broken, "A").to_string().contains("a.proto:2"));
    let unresolved = files(&[("a.proto", "message A { optional B b = 1; }")]);
    assert!(refusal(&unresolved, "A").to_string().contains("'B'"));
    assert_eq!(refusal(&sources(), "Order"), GrammarError::ProtobufMessage("Order".to_owned()));
    assert!(matches!(refusal(&sources(), "form.Endless"), GrammarError::ProtobufEndless(..)));
    let garbage = ProtoSource::Descriptors(vec![0xFF; 100]);
    assert!(matches!(refusal(&garbage, "A"), GrammarError::Protobuf(_)));
}

fn one(text: String) -> ProtoSource {
    ProtoSource::Files([("a.proto".to_owned(), text)].into())
}

fn each(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect()
}

/// Texts of `.proto` files that define a message `A`, or seem to.
fn texts() -> Vec<(&'static str, ProtoSource)> {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let chain = (0..10_000)
        .map(|n| (format!("f{n}.proto"), format!("import \"f{}.proto\"; message M{n} {{}}", n + 1)));
    let end = [("f10000.proto".to_owned(), "message A {}".to_owned())];
    let circle = (0..10_000).map(|n| {
        (format!("f{n}.proto"), format!("import \"f{}.proto\"; message M{n} {{}}", (n + 1) % 10_000))
    });
    let row = |label: &str| {
        let links = each(20_000, |n| format!("message M{n} {{ {label} M{} next = 1; }}\n", n + 1));
        format!("{links} message M20000 {{}} message A {{ {label} M0 m = 1; }}")
    };
    vec![
        ("a missing import", one("import \"b/c.proto\"; message A {}".into())),
        ("nested messages", one(deep("message A {", "}"))),
        ("nested options", one(format!("message A {{ option (x) = {}; }}", deep("{ a ", "}")))),
        ("nested groups", one(format!("message A {{ {} }}", deep("optional group B = 1 {", "}")))),
        ("a chain of imports", ProtoSource::Files(chain.chain(end).collect::<BTreeMap<_, _>>())),
        ("a circle of imports", ProtoSource::Files(circle.collect::<BTreeMap<_, _>>())),
        ("a chain of required fields", one(row("required"))),
        ("a chain of fields", one(row("optional"))),
        (
            "many fields",
            one(format!(
                "message A {{ {} }}",
                each(70_000, |n| format!("optional string a_field_of_that_number_{n} = {};\n", n + 20_000))
            )),
        ),
        (
            "many maps",
            one(format!(
                "message A {{ {} }}",
                each(60_000, |n| format!("map<string, string> a_map_of_that_number_{n} = {};\n", n + 20_000))
            )),
        ),
        (
            "many alternatives",
            one(format!(
                "message A {{ oneof o {{ {} }} }}",
                each(100_000, |n| format!("string a_field_number_{n} = {};\n", n + 20_000))
            )),
        ),
        (
            "many values of an enum",
            one(format!(
                "message A {{ optional E e = 1; }} enum E {{ {} }}",
                each(180_000, |n| format!("A_VALUE_{n}={n};\n"))
            )),
        ),
        (
            "many messages",
            one(format!("message A {{}} {}", each(100_000, |n| format!("message AnotherMessage{n} {{}}\n")))),
        ),
        (
            "many types of an Any",
            one(format!(
                "import \"google/protobuf/any.proto\"; message A {{ optional google.protobuf.Any a = 1; }} {}",
                each(20_000, |n| format!("message M{n} {{ optional int32 a = 1; }}\n"))
            )),
        ),
        (
            "many extensions",
            one(format!(
                "message A {{ extensions 1 to max; }} extend A {{ {} }}",
                each(100_000, |n| format!("optional int32 an_extension_{n} = {};\n", n + 20_000))
            )),
        ),
        (
            "many reserved numbers",
            one(format!(
                "message A {{ reserved {}; }}",
                each(500_000, |n| format!("{},", 2 * n + 1)).trim_end_matches(',')
            )),
        ),
        ("a long name", one(format!("message A {{ optional int32 {} = 1; }}", "a".repeat(5 << 20)))),
        ("braces", one("{".repeat(5 << 20))),
        ("a comment that does not end", one(format!("/*{}", "*".repeat(5 << 20)))),
        ("a string that does not end", one(format!("message A {{ option x = \"{}", "x".repeat(5 << 20)))),
        ("a long comment", one(format!("/*{}*/ message A {{}}", "*".repeat(5 << 20)))),
    ]
}

fn encoded(file: FileDescriptorProto) -> ProtoSource {
    ProtoSource::Descriptors(FileDescriptorSet { file: vec![file] }.encode_to_vec())
}

/// Descriptor sets.
fn descriptors() -> Vec<(&'static str, ProtoSource)> {
    let message = |name: String| DescriptorProto { name: Some(name), ..DescriptorProto::default() };
    let file = |messages: Vec<DescriptorProto>| FileDescriptorProto {
        name: Some("a.proto".into()),
        message_type: messages,
        ..FileDescriptorProto::default()
    };
    let nested = (0..10_000).fold(Vec::new(), |within: Vec<u8>, _| {
        // A message `A` in a message `A`: fields 1 and 3.
        let mut bytes = b"\x0a\x01A\x1a".to_vec();
        let mut length = within.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(within);
        bytes
    });
    let itself =
        FileDescriptorProto { dependency: vec!["a.proto".into()], ..file(vec![message("A".into())]) };
    let missing =
        FileDescriptorProto { dependency: vec!["b.proto".into()], ..file(vec![message("A".into())]) };
    let same = (0..500_000).map(|_| message("A".into())).collect();
    let many = std::iter::once("A".to_owned()).chain((0..300_000).map(|n| format!("Message{n}")));
    vec![
        ("five megabytes of bytes", ProtoSource::Descriptors(vec![0x0A; 5 << 20])),
        ("five megabytes of empty files", ProtoSource::Descriptors(b"\x0a\0".repeat(5 << 19))),
        ("descriptors: nested messages", ProtoSource::Descriptors(nested)),
        ("descriptors: a file that imports itself", encoded(itself)),
        ("descriptors: a missing import", encoded(missing)),
        ("descriptors: one name for all", encoded(file(same))),
        ("descriptors: many messages", encoded(file(many.map(message).collect()))),
    ]
}

fn compile_and_write((source, format): (ProtoSource, ProtoFormat)) -> Result<(), GrammarError> {
    let mut matcher = compile(&spec(&source, "A", format))?.matcher();
    for _ in 0..3 {
        let token = allowed(&mut matcher, 1_000).into_iter().find(|token| *token != END);
        assert!(token.is_none_or(|token| matcher.try_accept(token)));
    }
    assert!(matcher.min_close_tokens().is_some(), "cannot be completed");
    Ok(())
}

#[test]
fn hostile_definitions_cost_little() {
    let _ = vocabulary();
    let in_both = |(name, source): (&'static str, ProtoSource)| {
        FORMATS.map(|format| (format!("{name}, {format:?}"), (source.clone(), format)))
    };
    all_end_soon(texts().into_iter().chain(descriptors()).flat_map(in_both), compile_and_write);
}

/// Descriptor sets that were tampered with are refused or usable, but nothing panics.
#[test]
fn tampered_descriptors_do_no_harm() {
    let ProtoSource::Files(files) = sources() else { unreachable!("made of files") };
    let file: Vec<FileDescriptorProto> =
        files.iter().map(|(name, text)| protox_parse::parse(name, text).expect("parses")).collect();
    let bytes = FileDescriptorSet { file }.encode_to_vec();
    let mut dice = Dice(4711);
    for _ in 0..500 {
        let mut bytes = bytes.clone();
        for _ in 0..1 + dice.below(4) {
            let at = dice.below(bytes.len());
            bytes[at] = dice.below(256) as u8;
        }
        for message in ["shop.Order", "form.Form"] {
            let _ = compile(&spec(&ProtoSource::Descriptors(bytes.clone()), message, ProtoFormat::Json));
        }
    }
}
