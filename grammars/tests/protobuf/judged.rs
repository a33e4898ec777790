//! Texts that are to be accepted, and texts that are not.

use understudy_grammars::ProtoFormat;

use crate::oracle::{pool, read};
use crate::support::{accepts, compile, sources, spec};

/// Texts that are to be accepted, and texts that are not, by message and format.
fn judge(name: &str, format: ProtoFormat, good: &[&str], bad: &[&str]) {
    let source = sources();
    let message = pool(&source).get_message_by_name(name).expect("is defined");
    let grammar = compile(&spec(&source, name, format)).expect("compiles");
    for text in good {
        assert!(accepts(&grammar, text), "{text} is a {name}");
        read(&message, format, text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
    }
    for text in bad {
        assert!(!accepts(&grammar, text), "{text} is no {name}");
    }
}

#[test]
fn the_text_format_is_flexible_and_exact() {
    judge(
        "shop.Order",
        ProtoFormat::Text,
        &[
            "",
            "id: \"x\"",
            "count: -2147483648 id: \"a\\n\\\"\\u00e9 é\"",
            "items { name: \"a\" inner { parts {} } }\nitems: {\n  name: \"b\"\n}\ncount:3",
            "items: [{ name: \"a\" }, {}] counts: [1, -2] counts: 3 counts: []",
            "by_name { key: \"k\" value { name: \"v\" } } by_number { value: \"v\" key: -1 }",
            "card: \"1\" colour: DARK_RED colours: RED colours: [RED, COLOUR_UNKNOWN]",
            "cash: 9223372036854775807 gift: true seal: \"\\xff\\001\" weight: -inf price: nan",
            "weight: 1.5e-3 price: 1.7976931348623157e308 shift: -1 key: 18446744073709551615",
        ],
        &[
            "count: 1 count: 2",
            "count: 2147483648",
            "count: -2147483649",
            "count: 01",
            "key: -1",
            "key: 18446744073709551616",
            "card: \"1\" cash: 2",
            "barter {} barter {}",
            "colour: BLUE",
            "colour: DARK",
            "id: \"\\xff\"",
            "id: \"a",
            "id \"a\"",
            "unknown: 1",
            "items { nam: 1 }",
            "items {",
            "by_number { key: 1 }",
            "by_number { key: 1 key: 2 value: \"\" }",
            "counts: [1,]",
            "gift: truecount: 1",
            "price: 1e309",
        ],
    );
    judge(
        "form.Form",
        ProtoFormat::Text,
        &[
            "name: \"a\" year: 1",
            "year: 1 Address { town: \"t\" street: \"s\" } Child { age: 1 } Child { age: 2 } name: \"\"",
            "name: \"a\" year: 1 next { year: 2 name: \"b\" }",
            "[form.note]: 1 name: \"a\" year: 1 [form.guests] { name { first: \"x\" } } [form.Scope.inner] { x: 1 }",
        ],
        &[
            "",
            "name: \"a\"",
            "name: \"a\" year: 1 next { year: 2 }",
            "name: \"a\" year: 1 address { street: \"s\" }",
            "name: \"a\" year: 1 Address { town: \"t\" }",
            "name: \"a\" year: 1 [form.note]: 1 [form.note]: 2",
            "name: \"a\" year: 1 people {}",
        ],
    );
}

#[test]
fn json_is_flexible_and_exact() {
    judge(
        "shop.Order",
        ProtoFormat::Json,
        &[
            "{}",
            "{ }",
            r#"{"id":"x","count":-2147483648}"#,
            "{\n  \"totalCents\": \"18446744073709551615\",\n  \"items\": [\n    {\"name\": \"a\"},\n    {}\n  ]\n}",
            r#"{"total_cents": 1, "the price": 1.5e3, "weight": "NaN", "seal": "AA==", "colour": "RED"}"#,
            r#"{"byName": {"a": {}, "b": {"name": "\u00e9\ud83d\ude00"}}, "byNumber": {"-1": "", "10": ""}}"#,
            r#"{"byChoice": {"true": 1, "false": "-Infinity"}, "shades": {"0": "DARK_RED"}}"#,
            r#"{"card": "1", "gift": false, "colours": ["RED", "RED"], "counts": [1, "2"]}"#,
        ],
        &[
            "",
            r#"{"id":"x","id":"y"}"#,
            r#"{"total_cents": 1, "totalCents": 1}"#,
            r#"{"card": "1", "cash": 2}"#,
            r#"{"count": 2147483648}"#,
            r#"{"count": 1.5}"#,
            r#"{"weight": 4e38}"#,
            r#"{"price": 1}"#.replace("price", "prices").as_str(),
            r#"{"seal": "A"}"#,
            r#"{"colour": 1}"#,
            r#"{"byNumber": {"1": "", "1": ""}}"#,
            r#"{"byNumber": {"01": ""}}"#,
            r#"{"byName": {"a": {}, "a": {}}}"#,
            r#"{"byChoice": {"true": 1, "true": 2}}"#,
            r#"{"id": "x",}"#,
            r#"{"id": "\ud83d"}"#,
            r#"{"items": {}}"#,
            r#"{"items": [], "items": []}"#,
            r#"{"byName": {}, "by_name": {}}"#,
            r#"{"id": null}"#,
        ],
    );
    judge(
        "shop.Times",
        ProtoFormat::Json,
        &[
            r#"{"at": "2000-02-29T23:59:59.123456789Z", "took": "-315576000000s", "mask": "a,bC.d", "nothing": {}}"#,
            r#"{"at": "0001-01-01T00:00:00Z", "took": "1.5s", "mask": ""}"#,
            r#"{"all": ["9999-12-31T23:59:59Z", "1999-02-28T00:00:00+14:30"]}"#,
        ],
        &[
            r#"{"at": "1900-02-29T00:00:00Z"}"#,
            r#"{"at": "2001-04-31T00:00:00Z"}"#,
            r#"{"at": "2001-13-01T00:00:00Z"}"#,
            r#"{"at": "0000-01-01T00:00:00Z"}"#,
            r#"{"at": "2001-01-01T24:00:00Z"}"#,
            r#"{"at": "2001-01-01T00:00:00"}"#,
            r#"{"took": "315576000000.1s"}"#,
            r#"{"took": "315576000001s"}"#,
            r#"{"took": "1"}"#,
            r#"{"mask": "a_b"}"#,
            r#"{"nothing": {"a": 1}}"#,
        ],
    );
    judge(
        "shop.Loose",
        ProtoFormat::Json,
        &[
            r#"{"fields": {"a": null, "b": [1, {"c": "d"}], "": true}, "value": null, "null": null}"#,
            r#"{"list": [], "values": [null, [], {}, -0.5e2]}"#,
            r#"{"any": {"@type": "type.googleapis.com/form.Person", "name": {"first": "x"}}}"#,
            r#"{"any": {"@type":"type.googleapis.com/google.protobuf.Duration", "value": "1s"}}"#,
        ],
        &[
            r#"{"fields": {"a": 1, "a": 2}}"#,
            r#"{"fields": []}"#,
            r#"{"any": {}}"#,
            r#"{"any": {"@type": "type.googleapis.com/form.Person"}}"#,
            r#"{"any": {"@type": "type.googleapis.com/form.Endless"}}"#,
            r#"{"any": {"@type": "type.googleapis.com/no.Such"}}"#,
        ],
    );
    judge(
        "form.Form",
        ProtoFormat::Json,
        &[r#"{"year": 1, "[form.note]": "1", "name": "", "address": {"street": ""}, "child": [{"age": 0}]}"#],
        &[r#"{"name": ""}"#, r#"{"name": "", "year": 1, "address": {}}"#],
    );
}
