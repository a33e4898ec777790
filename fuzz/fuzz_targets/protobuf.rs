//! Any text as a `.proto` file, and texts of its message `M`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use understudy_fuzz::schema::walk;
use understudy_grammars::{Pattern, ProtoFormat, ProtoSource, ProtobufSpec, Whitespace};

fuzz_target!(|input: &[u8]| {
    walk(input, |schema| {
        let source = ProtoSource::Files([("m.proto".to_owned(), schema.to_owned())].into());
        let format = if schema.len() % 2 == 0 { ProtoFormat::Text } else { ProtoFormat::Json };
        Pattern::Protobuf(ProtobufSpec {
            source,
            message: "M".into(),
            format,
            whitespace: Whitespace::Usual,
        })
    });
});
