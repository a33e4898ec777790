//! Calls of tools: texts that are taken and refused, masks against trying every token, budgets, and the reader.

#![allow(clippy::print_stderr)] // says what was not tried

mod bfcl;
mod hostile;
mod reader;
#[path = "../common/soon.rs"]
mod soon;
mod support;
mod unmarked;

use support::{END, KINDS, accepts, allowed, case, compile, judge, pattern, read, tool, vocabulary};
use understudy_grammars::measure::{complete::complete, exact::exact};
use understudy_grammars::{Budget, CallReader, CallsSpec, Constraint, Grammar, GrammarError, Pattern};

const TIME: &str = "<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>";
const ZONE: &str = "<tool_call>\n{\"name\": \"time_zone\", \"arguments\": {\"city\": \"Paris\", \"hours\": 12}}\n</tool_call>";

/// Texts with the kinds of answers that they are, of [`KINDS`].
fn texts() -> Vec<(String, [bool; 4])> {
    let (none, required, only_text) = ([false; 4], [true; 4], [false, false, true, true]);
    let (several, text_and_several) = ([false, true, false, true], [false, false, false, true]);
    let with = |arguments: &str, name: &str| {
        format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {arguments}}}\n</tool_call>")
    };
    vec![
        (String::new(), only_text),
        ("It is noon.".into(), only_text),
        ("3 < 4, <tool, <tool_call, <<tool_call é".into(), only_text),
        ("</tool_call>".into(), only_text),
        (TIME.into(), required),
        (ZONE.into(), required),
        (format!("{TIME}\n{ZONE}"), several),
        (format!("{ZONE}\n{TIME}\n{TIME}"), several),
        (format!("I look.\n\n{TIME}"), only_text),
        (format!("a <{ZONE}"), only_text),
        (format!("I look.{TIME}\n{TIME}"), text_and_several),
        (with("{\"city\":\"Oslo\"}", "time_zone"), required),
        (with("{ \"city\" : \"Oslo\" }", "time_zone"), none),
        (with("{ \"city\": \"Oslo\" }", "time_zone"), required),
        (with("{\n  \"city\": \"Oslo\"\n}", "time_zone"), none),
        (with("{\"city\":  \"Oslo\"}", "time_zone"), none),
        (with("{\"hours\": 1, \"city\": \"\"}", "time_zone"), required),
        (with("{\"hours\": 1}", "time_zone"), none),
        (with("{\"city\": \"London\"}", "time_zone"), none),
        (with("{\"city\": \"Oslo\", \"x\": 1}", "time_zone"), none),
        (with("{\"x\": 1}", "time"), none),
        (with("{}", "any"), required),
        (with("{\"a\": [1, {\"b\": null}], \"<tool_call>\": \"</tool_call>\"}", "any"), required),
        (with("[]", "any"), none),
        (with("\"x\"", "any"), none),
        (with("{}", "zone"), none),
        (with("{}", "time_"), none),
        (format!("{TIME}{TIME}"), none),
        (format!("{TIME}\n"), none),
        (format!("{TIME} I am done."), none),
        (format!("{TIME}\n\n{TIME}"), none),
        ("<tool_call>".into(), none),
        ("text <tool_call>\n{\"name\": \"time\"".into(), none),
        ("<tool_call>\n{\"arguments\": {}, \"name\": \"time\"}\n</tool_call>".into(), none),
        (TIME.replace("}}", "}"), none),
    ]
}

#[test]
fn texts_are_taken_and_refused() {
    for ((text, many), kind) in KINDS.into_iter().zip(0..) {
        let grammar = compile(&pattern(text, many));
        let spec = CallsSpec { tools: support::tools(), text, many };
        for (answer, taken) in texts() {
            assert_eq!(accepts(&grammar, &answer), taken[kind], "text {text}, many {many}: {answer}");
            // The judge of the other tests says so too, but for white space in arguments.
            assert!(!taken[kind] || judge(&spec, &answer).is_ok(), "text {text}, many {many}: {answer}");
        }
    }
}

#[test]
fn text_is_utf_8() {
    let grammar = compile(&pattern(true, true));
    for broken in [&b"\xFF"[..], b"a\x80", b"\xC3<", b"\xE2\x82<tool_call>", b"\xED\xA0\x80"] {
        assert!(read(&grammar, broken).is_none(), "{broken:?}");
    }
    let mut within = read(&grammar, b"caf\xC3").expect("may go on");
    assert!(!within.is_accepting(), "no end within a character");
}

/// INV-G1, INV-G3: at each place of each text masks are those that trying every token gives, and are there again
/// after a token is taken back.
#[test]
fn masks_equal_trying_every_token() {
    for (text, many) in KINDS {
        let grammar = compile(&pattern(text, many));
        for answer in [format!("é <<tool {TIME}\n{ZONE}"), format!("{ZONE}\n{TIME}"), "a<tool_callx".into()]
        {
            let mut matcher = grammar.matcher();
            for (at, byte) in answer.bytes().enumerate() {
                let mask = allowed(&mut matcher);
                for id in 0..vocabulary().len() as u32 {
                    let is_read = matcher.try_accept(id);
                    assert_eq!(
                        mask.contains(&id),
                        is_read,
                        "text {text}, many {many}: {id} after {at} of {answer}"
                    );
                    if is_read {
                        matcher.rollback(1);
                    }
                }
                assert_eq!(allowed(&mut matcher), mask, "after all was taken back, {at} of {answer}");
                assert_eq!(mask.contains(&END), matcher.is_accepting());
                if !matcher.try_accept(u32::from(byte)) {
                    break;
                }
            }
        }
    }
}

#[test]
fn random_texts_have_exact_masks() {
    let cases = KINDS.map(|(text, many)| case(format!("text {text}, many {many}"), pattern(text, many), &[]));
    let found = exact(&cases, &vocabulary(), 40_000, 7);
    assert_eq!((found.over, found.under), (0, 0), "{found:?}");
    assert!(found.split_characters > 100, "{found:?}");
}

/// INV-G2: cut anywhere, every text is complete within a budget that its shortest completion fits in.
#[test]
fn whatever_is_begun_is_complete_within_its_budget() {
    let (answer, calls) = (format!("I look: {ZONE}"), format!("{ZONE}\n{TIME}"));
    for (text, many) in KINDS {
        let samples = [ZONE, &answer, &calls];
        let cases = [case("calls", pattern(text, many), &samples)];
        let spec = CallsSpec { tools: support::tools(), text, many };
        let done = complete(&cases, &vocabulary(), 1_500, 11, true);
        assert_eq!(
            (done.complete, done.triples),
            (1_500, 1_500),
            "text {text}, many {many}: {:?}",
            done.failed
        );
        for (_, written) in done.texts {
            let written = String::from_utf8(written).expect("text");
            let told = judge(&spec, &written).unwrap_or_else(|wrong| panic!("{wrong}: {written}"));
            let reader = CallReader::of_tools(support::tools().into_iter().map(|tool| tool.name));
            let (prose, calls) = reader.read(&written);
            assert_eq!(calls, told.1, "{written}");
            assert_eq!(prose.trim(), told.0.trim(), "{written}");
        }
    }
}

#[test]
fn what_there_is_no_choice_about_is_known() {
    let likely = |tools: Vec<_>, text: bool, begun: &str| {
        let grammar = compile(&Pattern::Calls(CallsSpec { tools, text, many: false }));
        let likely = read(&grammar, begun.as_bytes()).expect("may begin so").likely_bytes();
        String::from_utf8(likely).expect("text")
    };
    let one = || vec![tool("time", r#"{"properties": {}}"#)];
    let head = "<tool_call>\n{\"name\": \"";
    assert_eq!(likely(support::tools(), false, ""), head);
    assert_eq!(likely(one(), false, ""), format!("{head}time\", \"arguments\": {{"));
    assert_eq!(likely(support::tools(), false, &format!("{head}time_")), "zone\", \"arguments\": {");
    assert_eq!(likely(one(), true, ""), "");
    assert_eq!(likely(one(), true, "<tool_call"), "");
    assert_eq!(likely(one(), true, "so <tool_call>"), "\n{\"name\": \"time\", \"arguments\": {");
    let arguments = format!("{head}time\", \"arguments\": {{}}");
    assert_eq!(likely(one(), false, &arguments), "}\n</tool_call>");

    // With a vocabulary of bytes no text is cut in two ways.
    let bytes = (0..=256_u32).map(|byte| u8::try_from(byte).map_or(Vec::new(), |byte| vec![byte]));
    let bytes = std::sync::Arc::new(understudy_grammars::Vocabulary::new("bytes", bytes, vec![END]));
    let mut matcher =
        Grammar::compile(&pattern(false, true), &bytes, &Budget::default()).expect("compiles").matcher();
    let forced: Vec<u8> = matcher.forced().into_iter().filter_map(|id| u8::try_from(id).ok()).collect();
    assert_eq!(String::from_utf8_lossy(&forced), head);
}

#[test]
fn an_answer_stops_where_nothing_can_follow() {
    // A text, whether it is complete, and whether only the end can follow, by kind.
    for (answer, (text, many), is_accepting, is_stopped) in [
        ("", (false, false), false, false),
        ("", (true, true), true, false),
        ("Hello <tool_call", (true, true), true, false),
        ("Hello <tool_call>", (true, true), false, false),
        (TIME, (false, false), true, true),
        (TIME, (true, false), true, true),
        (TIME, (false, true), true, false),
        (TIME, (true, true), true, false),
    ] {
        let mut matcher = read(&compile(&pattern(text, many)), answer.as_bytes()).expect("is read");
        let found = (matcher.is_accepting(), matcher.is_stopped());
        assert_eq!(found, (is_accepting, is_stopped), "text {text}, many {many}: {answer}");
    }
}

#[test]
fn text_needs_no_tokens_and_a_call_is_begun_only_if_it_fits() {
    let grammar = compile(&pattern(true, true));
    let mark = (0..vocabulary().len() as u32).find(|id| vocabulary().token(*id) == b"<tool_call>");
    let mark = mark.expect("is a token");
    // Once a key has been looked at, something is reserved for it where one may come.
    let mut known = grammar.matcher();
    for byte in TIME.replace("time", "any").replace("{}", "{\"a\": 1}").bytes() {
        assert!(allowed(&mut known).contains(&u32::from(byte)) && known.try_accept(u32::from(byte)));
    }
    let mut call = grammar.matcher();
    assert_eq!(call.min_close_tokens(), Some(0));
    assert!(call.try_accept(mark));
    let needed = call.min_close_tokens().expect("can be completed") as u32;
    let allowed_within = |left: u32| {
        let mut words = vec![0; vocabulary().len().div_ceil(32)];
        grammar.matcher().mask_within(&mut words, left);
        move |id: u32| words[id as usize / 32] >> (id % 32) & 1 == 1
    };
    for left in 1..=needed {
        let allows = allowed_within(left);
        assert!(!allows(mark), "{left} left, {needed} needed after the mark");
        assert!(allows(END) && allows(u32::from(b'x')), "text goes on or ends with {left} left");
    }
    // Whatever is left, text goes on as if there were plenty, but for what begins a call or splits a character.
    for (left, splits) in [(needed, true), (4, true), (2, false), (1, false)] {
        let (allows, all) = (allowed_within(left), allowed_within(1_000));
        for id in (0..vocabulary().len() as u32).filter(|id| all(*id)) {
            let token = String::from_utf8_lossy(vocabulary().token(id)).into_owned();
            let is_text =
                !token.contains("<tool_call>") && (splits || !token.contains(char::REPLACEMENT_CHARACTER));
            assert!(!is_text || allows(id), "{token:?} with {left} left");
            assert!(is_text || !allows(id) || left > 1, "{token:?} with {left} left");
        }
    }
    // Sums of closes, of which each is spelled by itself, tell whether it fits.
    assert!(allowed_within(needed + 8)(mark), "{needed} needed");
}

#[test]
fn unusable_tools_are_refused_with_a_reason() {
    let refused = |tools: Vec<_>| {
        let pattern = Pattern::Calls(CallsSpec { tools, text: true, many: true });
        let error = Grammar::compile(&pattern, &vocabulary(), &Budget::default()).expect_err("is refused");
        (error.to_string(), error)
    };
    for (tools, reason) in [
        (vec![], "at least one"),
        (vec![tool("", "")], "no name"),
        (vec![tool("two words", "")], "no name"),
        (vec![tool("quote\"", "")], "no name"),
        (vec![tool(&"x".repeat(65), "")], "no name"),
        (vec![tool("a", ""), tool("a", "")], "two are named"),
        ((0..129).map(|at| tool(&format!("t{at}"), "")).collect(), "at most 128"),
    ] {
        let (message, error) = refused(tools);
        assert!(matches!(error, GrammarError::Tools(_)) && message.contains(reason), "{message}");
    }
    for (parameters, reason) in [
        ("{", "not valid JSON"),
        (r#"{"type": "string"}"#, "no value"),
        (r#"{"$ref": "http://example.com/x"}"#, "$ref"),
        (r#"{"properties": {"a": {"type": "strin"}}}"#, "type"),
        (
            r##"{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a",
                "definitions": {"a": {"type": "array"}}}"##,
            "no value",
        ),
    ] {
        let (message, error) = refused(vec![tool("fine", "{}"), tool("wrong", parameters)]);
        let GrammarError::Tool { name, error } = error else { panic!("{parameters}: {message}") };
        assert!(name == "wrong" && matches!(*error, GrammarError::Schema(_)), "{message}");
        assert!(message.contains("\"wrong\"") && message.contains(reason), "{message}");
    }
}
