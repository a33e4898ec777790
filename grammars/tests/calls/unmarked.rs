//! Calls without marks: what is one, that it is held to its schema, and that the rest is free text.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use understudy_grammars::measure::{complete::complete, exact::exact};
use understudy_grammars::{CallReader, CallsSpec, Constraint, Grammar, Pattern};

use crate::support::{END, accepts, allowed, case, compile, judge, pattern, read, tool, tools, vocabulary};

const ZONE: &str = "{\"name\": \"time_zone\", \"arguments\": {\"city\": \"Paris\", \"hours\": 12}}";
const TIME: &str = "{\"name\": \"time\", \"arguments\": {}}";
const MARKED: &str = "<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>";

fn fenced(call: &str) -> String {
    format!("```json\n{call}\n```")
}

fn spec(many: bool) -> CallsSpec {
    CallsSpec { tools: tools(), text: true, many }
}

/// Texts, and whether they are taken where there may be one call, or several.
fn texts() -> Vec<(String, bool, bool)> {
    let (both, several, none) = ((true, true), (false, true), (false, false));
    let of = |text: String, (one, many): (bool, bool)| (text, one, many);
    let blank = |bytes: usize| " ".repeat(bytes);
    vec![
        // Calls.
        of(ZONE.into(), both),
        of(format!("\n {TIME}"), both),
        of(
            ZONE.replace(": ", ":\t\n")
                .replace("{\"name", "{ \"name")
                .replace("\"hours\":\t\n", "\"hours\": ")
                .replace("\"city\":\t\n", "\"city\":"),
            both,
        ),
        of(format!("{}{TIME}", blank(16)), both),
        of(fenced(ZONE), both),
        of(format!("```\n\n{TIME}\n```"), both),
        of(format!("{TIME}\n{ZONE}"), several),
        of(format!("{TIME}{ZONE}"), several),
        of(fenced(&format!("{TIME}\n{ZONE}\n{TIME}")), several),
        of(format!("{}\n{}", fenced(TIME), fenced(ZONE)), several),
        of(format!("{}\n{ZONE}", fenced(TIME)), several),
        // Calls that go wrong.
        of(ZONE.replace("Paris", "London"), none),
        of(ZONE.replace("\"hours\"", "\"x\""), none),
        of(ZONE.replace("12}", "12.5}"), none),
        of(TIME.replace("{}", "{\"x\": 1}"), none),
        of(TIME.replace("{}}", "{}"), none),
        of(TIME.replace("{}}", "{}, \"more\": 1}"), none),
        of("{\"name\": \"time_zone\", \"arguments\": {".into(), none),
        of(format!("{TIME} "), none),
        of(format!("{TIME}\nThat is it."), none),
        of(format!("{TIME}\n```"), none),
        of(format!("{TIME}\n{MARKED}"), none),
        of(format!("{TIME}\n{}", fenced(ZONE)), none),
        of(format!("{TIME}\n{}", TIME.replace("time", "noon")), none),
        of(format!("```json\n{TIME}"), none),
        of(format!("```json\n{TIME}```"), none),
        of(format!("{} ", fenced(TIME)), none),
        of(fenced(&fenced(TIME)).replace("\n```\n```", "\n```"), both),
        // Text, which only looks like a call, or is at another place.
        of("{".into(), both),
        of("{\"name\": \"time_zone\", \"arguments\": ".into(), both),
        of("{\"name\": \"time_zone\", \"arguments\": [1, {\"x\": 2}]}".into(), both),
        of("{\"name\": \"time_zone\", \"age\": {\"city\": 3}}".into(), both),
        of("{\"name\": \"time_zon\", \"arguments\": {\"city\": 3}}".into(), both),
        of("{\"name\": \"time_zones\", \"arguments\": {\"city\": 3}}".into(), both),
        of("{\"name\": \"\\u0074ime\", \"arguments\": {\"x\": 3}}".into(), both),
        of("{\"arguments\": {\"x\": 1}, \"name\": \"time\"}".into(), both),
        of("{\"name\":: \"time\", \"arguments\": {\"x\": 1}".into(), both),
        of(format!("{}{{\"name\": \"time\", \"arguments\": {{\"x\"", blank(17)), both),
        of(format!("So: {} And", ZONE.replace("Paris", "London")), both),
        of(format!("[{}]", ZONE.replace("Paris", "London")), both),
        of("```json5\n{\"name\": \"tim".into(), both),
        of("```python\nprint({})\n```".into(), both),
        of("``{\"name\": \"time\", \"arguments\": {\"x\"".into(), both),
        of("````\n{\"name\": \"time\", \"arguments\": {\"x\"".into(), both),
        of("{\"name\": \"é<tool".into(), both),
        // And calls with marks after it.
        of(format!("{{\"name\": \"{MARKED}"), both),
        of(format!(" {{\"name\": \"time\", \"arguments\": {MARKED}\n{MARKED}"), several),
        of(format!("```\n{{{MARKED}"), both),
        of("{\"name\": \"time\", <tool_call>".into(), none),
    ]
}

#[test]
fn texts_are_taken_and_refused() {
    let grammars = [false, true].map(|many| compile(&pattern(true, many)));
    for (text, one, many) in texts() {
        for (grammar, taken, kind) in [(&grammars[0], one, false), (&grammars[1], many, true)] {
            assert_eq!(accepts(grammar, &text), taken, "many {kind}: {text}");
            assert!(!taken || judge(&spec(kind), &text).is_ok(), "many {kind}: {text}");
        }
    }
    // Where a call has to come, it has its marks.
    let required = compile(&pattern(false, true));
    assert!(!accepts(&required, ZONE) && accepts(&required, MARKED));
}

/// INV-G1, INV-G3.
#[test]
fn masks_equal_trying_every_token() {
    let text = "```json\n{\"name\": \"time_\", \"x\": \"<tool";
    let turned = "{\"name\": \"time\", \"arguments\" : [";
    for (many, answer) in [
        (true, format!("{}\n{ZONE}", fenced(TIME))),
        (false, fenced(TIME)),
        (true, format!("{ZONE}\n{TIME}")),
        (false, format!(" {ZONE}")),
        (true, format!("{text}{MARKED}")),
        (false, turned.into()),
    ] {
        let mut matcher = compile(&pattern(true, many)).matcher();
        for (at, byte) in answer.bytes().enumerate() {
            let mask = allowed(&mut matcher);
            for id in 0..vocabulary().len() as u32 {
                let is_read = matcher.try_accept(id);
                assert_eq!(mask.contains(&id), is_read, "many {many}: {id} after {at} of {answer}");
                if is_read {
                    matcher.rollback(1);
                }
            }
            assert_eq!(mask.contains(&END), matcher.is_accepting());
            assert!(matcher.try_accept(u32::from(byte)), "many {many}: {at} of {answer}");
        }
    }
}

#[test]
fn random_texts_have_exact_masks() {
    let (several, pair) = (format!("{}\n{ZONE}", fenced(TIME)), format!("{ZONE}\n{TIME}"));
    let samples = [ZONE, &several, &pair, "{\"name\": \"time\", \"arguments\": 3}"];
    let cases = [true, false].map(|many| case(format!("many {many}"), pattern(true, many), &samples));
    let found = exact(&cases, &vocabulary(), 40_000, 17);
    assert_eq!((found.over, found.under), (0, 0), "{found:?}");
}

/// INV-G2.
#[test]
fn whatever_is_begun_is_complete_within_its_budget() {
    let (several, pair) = (format!("{}\n{ZONE}", fenced(TIME)), format!("{ZONE}\n{TIME}"));
    for many in [false, true] {
        let fenced = fenced(ZONE);
        let samples = [ZONE, &fenced, &several, &pair, "{\"name\": \"time\", \"arguments\": 3}"];
        let samples = if many { &samples[..] } else { &samples[..2] };
        let cases = [case("calls", pattern(true, many), samples)];
        let done = complete(&cases, &vocabulary(), 1_500, 13, true);
        assert_eq!((done.complete, done.triples), (1_500, 1_500), "many {many}: {:?}", done.failed);
        for (_, written) in done.texts {
            let written = String::from_utf8(written).expect("text");
            judge(&spec(many), &written).unwrap_or_else(|wrong| panic!("{wrong}: {written}"));
        }
    }
}

#[test]
fn what_there_is_no_choice_about_is_known() {
    let one = || vec![tool("time", r#"{"properties": {}}"#)];
    let likely = |many: bool, begun: &str| {
        let grammar = compile(&Pattern::Calls(CallsSpec { tools: one(), text: true, many }));
        let likely = read(&grammar, begun.as_bytes()).expect("may begin so").likely_bytes();
        String::from_utf8(likely).expect("text")
    };
    assert_eq!(likely(false, "{\"name\": \"time\", \"arguments\": "), "", "may be over, and text");
    assert_eq!(likely(false, &TIME[..TIME.len() - 1]), "}");
    assert_eq!(likely(false, &format!("```\n{}", &TIME[..TIME.len() - 1])), "}\n```");
    assert_eq!(likely(true, &format!("```\n{}", &TIME[..TIME.len() - 1])), "}");
    let stopped = |many, text: &str| {
        read(&compile(&pattern(true, many)), text.as_bytes()).expect("is read").is_stopped()
    };
    assert!(stopped(false, ZONE) && stopped(false, &fenced(ZONE)) && !stopped(true, ZONE));
}

#[test]
fn a_call_is_begun_only_if_it_fits() {
    let grammar = compile(&pattern(true, true));
    let before = "{\"name\": \"time_zone\", \"arguments\": ";
    let mut begun = read(&grammar, before.as_bytes()).expect("may begin so");
    assert_eq!(begun.min_close_tokens(), Some(0));
    let brace = u32::from(b'{');
    assert!(begun.try_accept(brace));
    let needed = begun.min_close_tokens().expect("can be completed") as u32;
    begun.rollback(1);
    let mut allows = |left: u32, id: u32| {
        let mut words = vec![0; vocabulary().len().div_ceil(32)];
        begun.mask_within(&mut words, left);
        words[id as usize / 32] >> (id % 32) & 1 == 1
    };
    for left in 1..=needed {
        assert!(!allows(left, brace), "{left} left, {needed} needed after the brace");
        assert!(allows(left, END) && allows(left, u32::from(b'x')), "{left} left");
    }
    assert!(allows(needed + 8, brace), "{needed} needed");
}

/// Answers of parts that make calls, or nearly.
fn answer() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "{",
        "}",
        "\"",
        "name",
        "arguments",
        ": ",
        ":",
        ", ",
        ",",
        " ",
        "\n",
        "time",
        "time_zone",
        "{}",
        "[",
        "```",
        "json",
        "{\"name\": \"",
        "time\", \"arguments\": ",
        "time_zone\" , \"arguments\":\n",
        "{\"city\": \"Oslo\"}",
        "{ \"city\":\"x\" }",
        "any\",\"arguments\":",
        "{\"a\": [{\"b\": \"}```\"}]}",
        "}\n```",
        "```json\n",
        "é",
        "<tool_call>",
        "<tool_",
        "                ",
    ]);
    let whole = prop::sample::select(vec![
        TIME.to_owned(),
        ZONE.to_owned(),
        fenced(TIME),
        fenced(ZONE),
        MARKED.to_owned(),
        format!("{TIME}\n{ZONE}"),
        format!("```\n{TIME}\n{ZONE}\n```"),
    ]);
    let texts =
        prop::collection::vec(part.clone().prop_map(str::to_owned), 0..12).prop_map(|parts| parts.concat());
    let put = |(text, part, at, cut): (String, String, prop::sample::Index, usize)| {
        let at = at.index(text.len() + 1);
        let (Some(before), Some(after)) = (text.get(..at), text.get(at + cut..)) else { return text };
        format!("{before}{part}{after}")
    };
    let nearly =
        (whole.clone(), part.prop_map(str::to_owned), any::<prop::sample::Index>(), 0..3_usize).prop_map(put);
    prop_oneof![
        2 => texts,
        4 => nearly.clone(),
        1 => (nearly, whole.clone()).prop_map(|(nearly, whole)| format!("{nearly}\n{whole}")),
        1 => (whole.clone(), whole).prop_map(|(one, other)| format!("{one}\n{other}")),
    ]
}

/// Of one call with its marks, and of answers that may be text, with one call or several.
static GRAMMARS: LazyLock<[Arc<Grammar>; 3]> = LazyLock::new(|| {
    [(false, false), (true, false), (true, true)].map(|(text, many)| compile(&pattern(text, many)))
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The grammar takes what the judge takes, and the reader finds the same calls in it.
    #[test]
    fn the_grammar_takes_what_the_judge_takes(answer in answer(), many: bool) {
        let [marked, one, several] = &*GRAMMARS;
        let on_one_line = |(name, arguments): &(String, String)| {
            accepts(marked, &format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {arguments}}}\n</tool_call>"))
        };
        let told = judge(&spec(many), &answer).ok().filter(|(_, calls)| calls.iter().all(on_one_line));
        prop_assert_eq!(accepts(if many { several } else { one }, &answer), told.is_some(), "{:?}", &told);
        let Some((text, calls)) = told else { return Ok(()) };
        let reader = CallReader::of_tools(tools().into_iter().map(|tool| tool.name));
        let (said, read) = reader.read(&answer);
        prop_assert_eq!(read, calls);
        prop_assert_eq!(said.trim(), text.trim());
    }
}
