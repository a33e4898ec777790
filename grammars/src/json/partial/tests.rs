use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6).prop_map(Value::from),
        "[a-cé😀\"\\\\/\n\u{1}]{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-cé\"]{0,3}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// A complete value as the oracle has it.
fn complete(value: &PartialValue) -> Value {
    assert!(value.is_complete(), "{value:?}");
    match value {
        PartialValue::Null => Value::Null,
        PartialValue::Bool(bool) => Value::from(*bool),
        PartialValue::Number(text) => serde_json::from_str(text).unwrap(),
        PartialValue::Text { text, .. } => Value::from(text.clone()),
        PartialValue::List { items, .. } => items.iter().map(complete).collect(),
        PartialValue::Object { members, .. } => {
            members.iter().map(|(name, value)| (name.clone(), complete(value))).collect()
        }
    }
}

/// Whether `after` is `before` with more at its end, or the same.
fn extends(before: &PartialValue, after: &PartialValue) -> bool {
    let open = !before.is_complete();
    match (before, after) {
        (PartialValue::Text { text: a, .. }, PartialValue::Text { text: b, .. }) if open => b.starts_with(a),
        (PartialValue::List { items: a, .. }, PartialValue::List { items: b, .. }) if open => {
            a.len() <= b.len() && a.iter().zip(b).all(|(a, b)| extends(a, b))
        }
        (PartialValue::Object { members: a, .. }, PartialValue::Object { members: b, .. }) if open => {
            a.len() <= b.len() && a.iter().zip(b).all(|((name, a), (same, b))| name == same && extends(a, b))
        }
        _ => before == after,
    }
}

/// Every character as an escape.
fn escaped_throughout(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_value_only_grows_and_ends_as_the_text_says(value in value(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let mut partial = Partial::default();
        let mut before: Option<PartialValue> = None;
        for byte in text.bytes() {
            prop_assert!(partial.push(&[byte]).is_ok(), "{text}");
            let now = partial.value().cloned();
            if let Some(before) = &before {
                prop_assert!(now.as_ref().is_some_and(|now| extends(before, now)), "{before:?} became {now:?}");
            }
            before = now;
        }
        prop_assert!(partial.is_complete() && partial.finish().is_ok());
        prop_assert_eq!(complete(partial.value().unwrap()), value);
    }

    #[test]
    fn pieces_make_no_difference(value in value(), cut in any::<prop::sample::Index>()) {
        let text = serde_json::to_string(&value).unwrap();
        let (first, second) = text.as_bytes().split_at(cut.index(text.len()));
        let mut partial = Partial::default();
        partial.push(first).unwrap();
        partial.push(second).unwrap();
        partial.finish().unwrap();
        prop_assert_eq!(complete(partial.value().unwrap()), value);
    }

    #[test]
    fn exactly_json_is_read(text in "[\\[\\]{}:,\"a\\\\u0-9eE.+ tn-]{0,12}") {
        let mut partial = Partial::default();
        let taken = partial.push(text.as_bytes()).and_then(|()| partial.finish()).is_ok();
        // The oracle refuses numbers that no float holds, which is another matter.
        let theirs = serde_json::from_str::<Value>(&text);
        let too_large = theirs.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range"));
        prop_assert!(too_large || taken == theirs.is_ok(), "{text:?} {theirs:?}");
    }

    #[test]
    fn characters_come_whole(text in "[a😀é\\n\"]{1,4}") {
        let mut partial = Partial::default();
        partial.push(b"\"").unwrap();
        for byte in escaped_throughout(&text).bytes() {
            partial.push(&[byte]).unwrap();
            let Some(PartialValue::Text { text: so_far, complete: false }) = partial.value() else { panic!("a text") };
            prop_assert!(text.starts_with(so_far.as_str()));
        }
        partial.push(b"\"").unwrap();
        prop_assert_eq!(partial.value(), Some(&PartialValue::Text { text, complete: true }));
    }
}

#[test]
fn a_number_counts_once_it_is_complete() {
    let mut partial = Partial::default();
    partial.push(b"{\"a\": 1").unwrap();
    assert_eq!(partial.value(), Some(&PartialValue::Object { members: vec![], complete: false }));
    partial.push(b"2").unwrap();
    assert_eq!(partial.value().unwrap().get("a"), None);
    partial.push(b",").unwrap();
    assert_eq!(partial.value().unwrap().get("a"), Some(&PartialValue::Number("12".into())));

    let mut alone = Partial::default();
    alone.push(b"12").unwrap();
    assert!(alone.value().is_none() && alone.is_complete());
    alone.finish().unwrap();
    assert_eq!(alone.value(), Some(&PartialValue::Number("12".into())));
}

#[test]
fn what_is_no_json_keeps_what_it_had_and_says_where_it_went_wrong() {
    let mut partial = Partial::default();
    assert_eq!(partial.push(b"[1, tru!"), Err(PartialError::Malformed(7)));
    assert_eq!(partial.push(b"e]"), Err(PartialError::Malformed(7)));
    let PartialValue::List { items, complete: false } = partial.value().unwrap() else { panic!("a list") };
    assert_eq!(items, &[PartialValue::Number("1".into())]);
    for lone in [&b"\"\\ud800x"[..], b"\"\\ud800\\u0041", b"\"\\udc00", b"\"\xff", b"\"\xc3\""] {
        assert!(Partial::default().push(lone).is_err(), "{lone:?}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| Partial::default().push("[".repeat(depth).as_bytes());
    assert_eq!(nested(Partial::DEEPEST), Ok(()));
    assert_eq!(nested(1_000_000), Err(PartialError::TooDeep));
}

#[test]
fn a_value_so_far_is_a_text_of_its_own_that_says_where_it_is_open() {
    let text = r#"{"a/b~": [1.50, {"c": "x\"é"}], "d": {}, "e": [tru"#;
    let mut partial = Partial::default();
    let expected = [
        ("{\"a/b~\": ", "{}", Some("")),
        ("[1.5", r#"{"a/b~":[]}"#, Some("/a~1b~0")),
        ("0, ", r#"{"a/b~":[1.50]}"#, Some("/a~1b~0")),
        ("{\"c\": \"x\\", r#"{"a/b~":[1.50,{"c":"x"}]}"#, Some("/a~1b~0/1/c")),
        ("\"é\"", r#"{"a/b~":[1.50,{"c":"x\"é"}]}"#, Some("/a~1b~0/1")),
        ("}], \"d\": {}", r#"{"a/b~":[1.50,{"c":"x\"é"}],"d":{}}"#, Some("")),
        (", \"e\": [tru", r#"{"a/b~":[1.50,{"c":"x\"é"}],"d":{},"e":[]}"#, Some("/e")),
        ("e]}", r#"{"a/b~":[1.50,{"c":"x\"é"}],"d":{},"e":[true]}"#, None),
    ];
    for (piece, whole, open) in expected {
        partial.push(piece.as_bytes()).unwrap();
        let value = partial.value().unwrap();
        assert_eq!((value.to_string().as_str(), value.open_at().as_deref()), (whole, open), "{text}");
    }
    let value = partial.value().unwrap();
    let indented = serde_json::to_string_pretty(&complete(value)).unwrap();
    assert_eq!(format!("{value:#}"), indented.replace("1.5,", "1.50,"));
}

proptest! {
    #[test]
    fn whatever_is_open_the_text_of_it_is_whole(value in value(), cut in any::<prop::sample::Index>()) {
        let text = serde_json::to_string(&value).unwrap();
        let mut partial = Partial::default();
        partial.push(&text.as_bytes()[..cut.index(text.len() + 1)]).unwrap();
        let Some(so_far) = partial.value() else { return Ok(()) };
        for shown in [format!("{so_far}"), format!("{so_far:#}")] {
            let read: Value = serde_json::from_str(&shown).unwrap();
            let mut again = Partial::default();
            again.push(shown.as_bytes()).and_then(|()| again.finish()).unwrap();
            prop_assert_eq!(complete(again.value().unwrap()), read.clone());
            if let Some(pointer) = so_far.open_at() {
                prop_assert!(read.pointer(&pointer).is_some(), "{} in {}", pointer, shown);
            }
        }
        if so_far.is_complete() {
            prop_assert_eq!(so_far.to_string(), text);
        }
    }
}
