use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::json::scalar::{TextMatcher, TextTest, text_automaton};

const FORMATS: [&str; 20] = [
    "date",
    "time",
    "date-time",
    "duration",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uri-template",
    "uuid",
    "json-pointer",
    "relative-json-pointer",
    "regex",
    "unheard-of",
];

fn is(format: &str) -> Logic<TextTest> {
    Logic::Is(TextTest::Format(format.into()))
}

fn matcher(logic: &Logic<TextTest>) -> TextMatcher {
    TextMatcher::new(logic, &budget()).expect("a matcher")
}

fn is_valid(format: &str, text: &str) -> bool {
    oracle(&json!({ "format": format })).is_valid(&json!(text))
}

/// Walks of all formats; ASCII is preferred, since most bytes begin other characters.
#[test]
fn what_is_accepted_is_valid() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let choices = prop::collection::vec(any::<u16>(), 0..60);
    for format in FORMATS {
        let automaton = text_automaton(&is(format), &[true; 256], &budget()).unwrap().unwrap();
        let oracle = oracle(&json!({ "format": format }));
        for _ in 0..1500 {
            let choices = choices.new_tree(&mut runner).unwrap().current();
            let text = walk(&automaton, &choices);
            let value: Value = serde_json::from_str(&text).expect("JSON");
            assert!(oracle.is_valid(&value), "{format}: {text}");
        }
    }
}

/// Valid values and ones near them are judged like by the oracle; between the bounds of a format
/// neither it nor its negation is certain.
#[test]
fn neither_a_format_nor_its_negation_is_claimed_wrongly() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let edits =
        prop::collection::vec((any::<prop::sample::Index>(), "[0-9a-zA-Z:./@%~{}\\[\\]#?é P T+-]?"), 0..3);
    for (format, values) in VALUES {
        let (positive, negative) = (matcher(&is(format)), matcher(&Logic::Not(Box::new(is(format)))));
        let oracle = oracle(&json!({ "format": format }));
        for value in values {
            for _ in 0..300 {
                let mut text: Vec<char> = value.chars().collect();
                for (place, edit) in edits.new_tree(&mut runner).unwrap().current() {
                    let place = place.index(text.len() + 1);
                    let end = (place + 1).min(text.len());
                    text.splice(place..end, edit.chars());
                }
                let text: String = text.into_iter().collect();
                let valid = oracle.is_valid(&json!(text));
                assert!(!positive.matches(&text) || valid, "{format} claimed of {text:?}");
                assert!(!negative.matches(&text) || !valid, "{format} denied of {text:?}");
                if EXACT.contains(&format) {
                    assert_eq!(positive.matches(&text), valid, "{format} of {text:?}");
                }
            }
        }
    }
}

const EXACT: [&str; 8] =
    ["date", "duration", "ipv4", "ipv6", "uri-template", "uuid", "json-pointer", "relative-json-pointer"];

/// Ordinary values of each format; all of them are to be in.
const VALUES: [(&str, &[&str]); 19] = [
    ("date", &["2024-02-29", "1900-02-28", "2000-02-29", "2023-12-31", "0004-02-29"]),
    ("time", &["12:34:56Z", "00:00:00.123456+05:30", "23:59:60Z", "08:30:06-08:00"]),
    ("date-time", &["2024-02-29T12:34:56Z", "1985-04-12T23:20:50.52z", "2018-11-13T20:20:39+00:00"]),
    ("duration", &["P4DT12H30M5S", "P3Y6M4D", "PT36H", "P2W", "P1YT1S"]),
    (
        "email",
        &[
            "joe.bloggs@example.com",
            "te~st+tag@sub-domain.example.co.uk",
            "a@b",
            "john.ronald.reuel.tolkien@middle.earth",
        ],
    ),
    ("idn-email", &["joe@example.com", "info@bücher.example"]),
    (
        "hostname",
        &[
            "www.example.com",
            "a",
            "xn-host",
            "ab-c.d-e-f",
            "0.1.2",
            "my-bucket.s3.eu-central-1.amazonaws.com",
        ],
    ),
    ("idn-hostname", &["example.com", "bücher.example", "пример", "例え"]),
    ("ipv4", &["192.168.0.1", "0.0.0.0", "255.255.255.255"]),
    (
        "ipv6",
        &[
            "::",
            "::1",
            "fe80::1ff:fe23:4567:890a",
            "1:2:3:4:5:6:7:8",
            "::ffff:192.0.2.128",
            "1::8",
            "1:2:3:4:5:6:7::",
        ],
    ),
    (
        "uri",
        &[
            "https://example.com/a/b?c=d#e",
            "urn:isbn:0451450523",
            "mailto:a@b.c",
            "http://u:p@[::1]:80/",
            "file:///etc/hosts",
            "http://localhost:8080",
        ],
    ),
    ("uri-reference", &["../a", "#frag", "?q", "//host/path", "", "a/b:c", "https://x.y/%20"]),
    ("iri", &["https://ƒøø.ßår/?∂éœ=πîx#πîüx", "http://[::1]/é"]),
    ("iri-reference", &["/âππ", "#ƒrägmênt", "é"]),
    ("uri-template", &["http://example.com/dictionary/{term:1}/{term}", "/a{?x,y*}{#z}", "plain", "{+a.b}"]),
    ("uuid", &["2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2EB8AA08-AA98-11EA-B4AA-73B441D16380"]),
    ("json-pointer", &["", "/foo/bar~0/baz~1/%a", "/", "//", "/foo\u{e9}"]),
    ("relative-json-pointer", &["1", "0/foo/bar", "2#", "120/0/x~1y"]),
    ("regex", &["^[a-z]+\\d{2,}(?:x|y)?$", "((a)b)*c", "(?=a)\\bb\\.", "[^\\]]"]),
];

#[test]
fn ordinary_values_are_in() {
    for (format, values) in VALUES {
        let matcher = matcher(&is(format));
        for value in values {
            assert!(is_valid(format, value), "the oracle refuses {format} {value:?}");
            assert!(matcher.matches(value), "{format} {value:?}");
        }
    }
}
