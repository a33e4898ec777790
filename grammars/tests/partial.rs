//! The value so far of a text under a constraint.

use std::sync::Arc;

use understudy_grammars::{
    Budget, Constraint, Grammar, JsonSpec, Matcher, Pattern, ProtoFormat, ProtoSource, ProtobufSpec, TokenId,
    Vocabulary, Whitespace,
};

const END: TokenId = 256;

fn matcher(pattern: &Pattern) -> Matcher {
    let mut tokens: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    tokens.push(Vec::new());
    let vocabulary = Arc::new(Vocabulary::new("bytes", tokens, vec![END]));
    Grammar::compile(pattern, &vocabulary, &Budget::default()).expect("compiles").matcher()
}

fn read(constraint: &mut dyn Constraint, text: &str) {
    for byte in text.bytes() {
        assert!(constraint.try_accept(TokenId::from(byte)), "{text}");
    }
}

fn shown(constraint: &mut dyn Constraint) -> Option<String> {
    constraint.partial().map(ToString::to_string)
}

#[test]
fn the_value_follows_tokens_forwards_backwards_and_in_forks() {
    let schema = r#"{"type": "object", "properties": {"n": {"type": "integer"}, "s": {"type": "string"}}}"#;
    let mut matcher = matcher(&Pattern::Json(JsonSpec::new(schema)));
    assert_eq!(shown(&mut matcher), None);
    read(&mut matcher, r#"{"s":"ab"#);
    assert_eq!(shown(&mut matcher).as_deref(), Some(r#"{"s":"ab"}"#));
    let mut fork = matcher.fork();
    read(fork.as_mut(), r#"c","n":1"#);
    assert_eq!(shown(fork.as_mut()).as_deref(), Some(r#"{"s":"abc"}"#), "12 may become of 1");
    matcher.rollback(1);
    assert_eq!(shown(&mut matcher).as_deref(), Some(r#"{"s":"a"}"#));
    read(&mut matcher, "\"}");
    assert!(matcher.partial().is_some_and(|value| value.is_complete()));
}

#[test]
fn a_number_is_there_once_the_text_ends() {
    let mut matcher = matcher(&Pattern::Json(JsonSpec::new("{\"type\": \"integer\"}")));
    read(&mut matcher, "12");
    assert_eq!(shown(&mut matcher), None);
    assert!(matcher.try_accept(END));
    assert_eq!(shown(&mut matcher).as_deref(), Some("12"));
    matcher.rollback(1);
    assert_eq!(shown(&mut matcher), None);
    read(&mut matcher, "3");
    assert!(matcher.try_accept(END));
    assert_eq!(shown(&mut matcher).as_deref(), Some("123"));
}

#[test]
fn messages_as_json_have_one_and_other_languages_have_none() {
    let message = |format| {
        let file = "syntax = \"proto3\"; message M { string name = 1; }";
        let source = ProtoSource::Files([("m.proto".into(), file.into())].into());
        Pattern::Protobuf(ProtobufSpec { source, message: "M".into(), format, whitespace: Whitespace::Usual })
    };
    let mut json = matcher(&message(ProtoFormat::Json));
    read(&mut json, "{\"name\":\"x");
    assert_eq!(shown(&mut json).as_deref(), Some("{\"name\":\"x\"}"));
    let mut text = matcher(&message(ProtoFormat::Text));
    read(&mut text, "name:\"x");
    assert_eq!(shown(&mut text), None);
    let mut choice = matcher(&Pattern::Choice(vec!["[1]".into()]));
    read(&mut choice, "[1");
    assert_eq!(shown(&mut choice), None);
}
