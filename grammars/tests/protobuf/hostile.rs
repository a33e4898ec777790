//! Definitions that cannot be used, or are made to cost much.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use prost_reflect::prost::Message;
use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};
use understudy_grammars::{GrammarError, ProtoFormat, ProtoSource};

use crate::support::{Dice, FORMATS, compile, sources, spec};

#[test]
fn what_cannot_be_is_refused_with_its_reason_and_soon() {
    let started = Instant::now();
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
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn hostile_definitions_cost_little() {
    let one = |text: String| ProtoSource::Files([("a.proto".to_owned(), text)].into());
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let chain = (0..10_000)
        .map(|n| (format!("f{n}.proto"), format!("import \"f{}.proto\"; message M{n} {{}}", n + 1)));
    let end = [("f10000.proto".to_owned(), "message A {}".to_owned())];
    let long_chain: String =
        (0..20_000).map(|n| format!("message M{n} {{ required M{} next = 1; }}\n", n + 1)).collect();
    let wide: String =
        (1..=100_000).map(|n| format!("optional string a_field_of_that_number_{n} = {n};\n")).collect();
    let harmless = ["nested options", "a chain of imports"];
    let cases: Vec<(&str, ProtoSource)> = vec![
        ("nested messages", one(deep("message A {", "}"))),
        ("nested options", one(format!("message A {{ option (x) = {}; }}", deep("{ a ", "}")))),
        ("nested groups", one(format!("message A {{ {} }}", deep("optional group B = 1 {", "}")))),
        ("a chain of imports", ProtoSource::Files(chain.chain(end).collect::<BTreeMap<_, _>>())),
        (
            "a chain of required fields",
            one(format!("{long_chain} message M20000 {{}} message A {{ required M0 m = 1; }}")),
        ),
        ("five megabytes of fields", one(format!("message A {{ {wide} }}"))),
        ("five megabytes of braces", one("{".repeat(5 << 20))),
        ("five megabytes of comment", one(format!("/*{}", "*".repeat(5 << 20)))),
        ("five megabytes of bytes", ProtoSource::Descriptors(vec![0x0A; 5 << 20])),
    ];
    for (name, source) in cases {
        for format in FORMATS {
            let started = Instant::now();
            let refused = compile(&spec(&source, "A", format));
            let took = started.elapsed();
            // A second on a free processor; others may be at work on it.
            assert!(took < Duration::from_secs(20), "{name} took {took:?}");
            match refused {
                Ok(_) => assert!(harmless.contains(&name), "{name}"),
                Err(reason) => {
                    let reason = reason.to_string();
                    assert!(reason.len() < 2_000, "{name}: a reason of {} bytes", reason.len());
                }
            }
        }
    }
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
