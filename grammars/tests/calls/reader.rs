//! The reader: whole answers, pieces of them, and any cut.

use proptest::prelude::*;
use understudy_grammars::{CallPiece, CallReader};

fn call(name: &str, arguments: &str) -> String {
    format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {arguments}}}\n</tool_call>")
}

/// An answer, its text, and its calls: names and arguments.
type Told<'a> = (String, &'a str, Vec<(&'a str, &'a str)>);

#[test]
fn answers_are_told_apart() {
    let (a, b) = (call("a", "{\"x\": 1}"), call("b", "{}"));
    let deep = r#"{"s": "}{]\"</tool_call>", "l": [{"q": "\\"}, []]}"#;
    let cases: Vec<Told> = vec![
        (String::new(), "", vec![]),
        (" \n".into(), " \n", vec![]),
        ("Hello <b>you</b> <tool".into(), "Hello <b>you</b> <tool", vec![]),
        (a.clone(), "", vec![("a", "{\"x\": 1}")]),
        (format!("{a}\n{b}"), "", vec![("a", "{\"x\": 1}"), ("b", "{}")]),
        (format!("I look.\n{b}"), "I look.\n", vec![("b", "{}")]),
        (format!("\n\n{b}\n \n{b}\n"), "", vec![("b", "{}"), ("b", "{}")]),
        (format!("{b}\nDone. {b} So."), "\nDone.  So.", vec![("b", "{}"), ("b", "{}")]),
        (call("a", deep), "", vec![("a", deep)]),
        // Written otherwise, or not quite.
        ("<tool_call>{\"name\":\"a\",\"arguments\":{\"x\":1}}</tool_call>".into(), "", vec![("a", "{\"x\":1}")]),
        ("<tool_call>\n\n{ \"name\" : \"\\u0061\\\"\" , \"arguments\" :\n{ } }\n\n</tool_call>".into(), "", vec![("a\"", "{ }")]),
        (format!("{}{b}", call("a", "{}").replace("}}", "}")), "", vec![("a", "{}"), ("b", "{}")]),
        ("<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n<tool_call>\n{\"name\": \"b\", \"arguments\": {}}".into(), "", vec![("a", "{}"), ("b", "{}")]),
        ("<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\nThat is it.".into(), "\nThat is it.", vec![("a", "{}")]),
        ("<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\": [1, ".into(), "", vec![("a", "{\"x\": [1, ")]),
        ("<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_".into(), "", vec![("a", "{}")]),
        // No calls.
        (" <tool_call>\n{\"name\": \"a".into(), " <tool_call>\n{\"name\": \"a", vec![]),
        ("<tool_call>\n{\"name\": \"a\"}\n</tool_call>".into(), "<tool_call>\n{\"name\": \"a\"}\n</tool_call>", vec![]),
        ("<tool_call>\n{\"name\": \"a\", \"arguments\": \"{}\"}".into(), "<tool_call>\n{\"name\": \"a\", \"arguments\": \"{}\"}", vec![]),
        ("<tool_call>x<tool_call>".into(), "<tool_call>x<tool_call>", vec![]),
        (format!(" <tool_call>{b}"), " <tool_call>", vec![("b", "{}")]),
        (format!("<tool_call>\n{{\"name\": \"<tool_call> \", {b}"), "<tool_call>\n{\"name\": \"<tool_call> \", ", vec![("b", "{}")]),
    ];
    for (answer, text, calls) in cases {
        let calls: Vec<_> =
            calls.into_iter().map(|(name, json)| (name.to_owned(), json.to_owned())).collect();
        assert_eq!(CallReader::default().read(&answer), (text.to_owned(), calls), "{answer}");
    }
}

#[test]
fn calls_of_known_tools_need_no_marks() {
    let bare = |name: &str| format!("{{\"name\": \"{name}\", \"arguments\": {{\"x\": 1}}}}");
    let one = || vec![("a", "{\"x\": 1}")];
    let text = |text: &str| (text.to_owned(), text.to_owned(), vec![]);
    let told = |answer: String, text: &str, calls: Vec<(&'static str, &'static str)>| {
        (answer, text.to_owned(), calls)
    };
    let cases = [
        told(bare("a"), "", one()),
        told(format!("\n {}\n", bare("a")), "", one()),
        told(format!("```json\n{}\n```", bare("a")), "", one()),
        told(format!("```\n{}\n```\n", bare("a").replace(", ", ",\n  ")), "", one()),
        told(format!("{}\n{}", bare("a"), bare("b")), "", [one(), vec![("b", "{\"x\": 1}")]].concat()),
        told(format!("{} That is it.", bare("a")), " That is it.", one()),
        told(format!("{}\n{}", bare("a"), call("b", "{}")), "", [one(), vec![("b", "{}")]].concat()),
        told(call("a", "{\"x\": 1}"), "", one()),
        // Another name, another object, another place.
        text(&bare("c")),
        text("{\"name\": \"a\", \"age\": 3}"),
        text(&format!("So: {}", bare("a"))),
        text("```python\nprint()\n```"),
        text("{\"name\": \"a"),
        text(&bare("a").replace("{\"x\": 1}", "[]")),
        text(&bare("a").replace("\"a\"", "\"\\u0061\"")),
        text(&format!("{}{}", " ".repeat(17), bare("a"))),
        text(" \n"),
    ];
    for (answer, text, calls) in cases {
        let calls: Vec<_> =
            calls.into_iter().map(|(name, json)| (name.to_owned(), json.to_owned())).collect();
        let reader = CallReader::of_tools(["a".to_owned(), "b".to_owned()]);
        assert_eq!(reader.read(&answer), (text.to_owned(), calls), "{answer}");
    }
}

#[test]
fn nothing_is_held_back_longer_than_needed() {
    let text = |text: &str| vec![CallPiece::Text(text.into())];
    let json = |index, json: &str| CallPiece::Arguments { index, json: json.into() };
    let call = |index, name: &str| CallPiece::Call { index, name: name.into() };
    let mut reader = CallReader::default();
    for (piece, told) in [
        ("I ", text("I ")),
        ("look <", text("look ")),
        ("b> <tool", text("<b> ")),
        ("_call>\n{\"name\": \"fi", vec![]),
        ("nd\", \"arguments\": ", vec![]),
        ("{", vec![call(0, "find"), json(0, "{")]),
        ("\"q\": \"}", vec![json(0, "\"q\": \"}")]),
        ("\"}}\n</tool", vec![json(0, "\"}")]),
        ("_call>\n<tool_call>\n{\"name\": \"b\", \"arguments\": {}", vec![call(1, "b"), json(1, "{}")]),
        ("}\n</tool_call>", vec![]),
        ("\n", vec![]),
        ("Done", text("\nDone")),
        (" <tool_", text(" ")),
    ] {
        assert_eq!(reader.push(piece), told, "{piece}");
    }
    assert_eq!(reader.finish(), text("<tool_"));
    assert_eq!(reader.finish(), [], "nothing is left");
}

#[test]
fn little_is_held_back() {
    for endless in [
        " ".repeat(10_000),
        format!("<tool_call>{}", " ".repeat(10_000)),
        format!("<tool_call>{{\"name\": \"{}", "é\\\"".repeat(10_000)),
        format!("```{{\"name\": \"{}", "a".repeat(10_000)),
    ] {
        let mut reader = CallReader::of_tools(["a".repeat(9_000), "a".repeat(64)]);
        let told: usize = endless
            .char_indices()
            .flat_map(|(at, letter)| reader.push(&endless[at..at + letter.len_utf8()]))
            .map(|piece| match piece {
                CallPiece::Text(text) => text.len(),
                other => panic!("{other:?}"),
            })
            .sum();
        assert!(told + 4_200 > endless.len(), "{told} of {} bytes", endless.len());
    }
}

/// What pieces say in all.
fn sum(pieces: impl IntoIterator<Item = CallPiece>) -> (String, Vec<(String, String)>) {
    let (mut said, mut calls) = (String::new(), Vec::<(String, String)>::new());
    for piece in pieces {
        match piece {
            CallPiece::Text(text) => said.push_str(&text),
            CallPiece::Call { index, name } => {
                assert_eq!(index, calls.len());
                calls.push((name, String::new()));
            }
            CallPiece::Arguments { index, json } => {
                assert_eq!(index + 1, calls.len());
                calls[index].1.push_str(&json);
            }
        }
    }
    (said, calls)
}

/// Answers of parts that go together, or do not.
fn answer() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "<tool_call>",
        "</tool_call>",
        "\n",
        " ",
        "{",
        "}",
        "\"",
        "\\",
        "[",
        "]",
        "<",
        "<tool",
        "_call>",
        "é",
        "text",
        "{\"name\": \"f\", \"arguments\": ",
        "\"name\"",
        ":",
        ",",
        "\"arguments\"",
        "{\"a\": \"}\"}",
        "}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"q\": [1]}}\n</tool_call>",
    ]);
    let long = prop::sample::select(vec![" ".repeat(4_090), format!("\"{}\"", "é".repeat(2_040))]);
    let part = prop_oneof![30 => part.prop_map(str::to_owned), 1 => long];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any cut into pieces gives the same sum, and nothing is lost but what belongs to calls.
    #[test]
    fn any_cut_gives_the_same_sum(answer in answer(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8), single: bool, bare: bool) {
        let reader = || match bare {
            true => CallReader::of_tools(["a".to_owned(), "find".to_owned()]),
            false => CallReader::default(),
        };
        let whole = reader().read(&answer);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(answer.len() + 1)).collect();
        if single {
            ends = (0..answer.len()).collect();
        }
        ends.retain(|end| answer.is_char_boundary(*end));
        ends.push(answer.len());
        ends.sort_unstable();
        let (mut reader, mut pieces, mut at) = (reader(), Vec::new(), 0);
        for end in ends {
            pieces.extend(reader.push(&answer[at..end]));
            at = end;
        }
        pieces.extend(reader.finish());
        prop_assert_eq!(sum(pieces), whole.clone());
        if whole.1.is_empty() {
            prop_assert_eq!(whole.0, answer);
        }
    }
}
