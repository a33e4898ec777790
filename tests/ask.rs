//! `understudy ask` from outside: what it prints, and that its account adds up.

mod common;

use std::collections::BTreeSet;
use std::io::Read;
use std::time::Duration;

use apollo_compiler::{ExecutableDocument, Schema};
use common::node::Server;
use common::{
    ENDLESS, Ended, LARGER, PATIENCE, SMALL, ensure_models, exit_code, tiny, tiny_twin, understudy, written,
};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;

const FRANCE: &str = "What is the capital of France?";

fn succeeded(ended: Ended) -> String {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("error["), "{}", ended.stderr);
    ended.stdout
}

/// `ask` of the tiny model.
fn ask_tiny(flags: &[&str]) -> String {
    let model = tiny();
    let args = ["ask", "--model", &model, "Tell me about rivers"];
    succeeded(understudy(args.iter().chain(flags)).run())
}

/// The one JSON object on stdout.
fn object(stdout: &str) -> Value {
    assert_eq!(stdout.lines().count(), 1, "one line: {stdout}");
    let value: Value = serde_json::from_str(stdout).expect("JSON");
    assert_is_an_answer(&value);
    value
}

fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn sum(list: &Value, field: &str) -> u64 {
    list.as_array().expect("an array").iter().map(|entry| entry[field].as_u64().expect("a count")).sum()
}

/// Every field of the contract, and an account that adds up.
fn assert_is_an_answer(answer: &Value) {
    let expect = |value: &Value, names: &[&str]| assert_eq!(fields(value), names.iter().copied().collect());
    expect(answer, &["text", "finish_reason", "model", "policy", "usage", "timing", "numerics", "ledger"]);
    expect(&answer["usage"], &["prompt_tokens", "completion_tokens", "cached_prompt_tokens"]);
    expect(&answer["timing"], &["ttft_ms", "total_ms", "decode_tok_s"]);
    let ledger = &answer["ledger"];
    let counts = ["drafted", "accepted", "forced"];
    expect(ledger, &[&counts[..], &["spans", "rungs", "decisions", "candidates", "prompt"]].concat());

    let text = answer["text"].as_str().expect("a text");
    let mut covered = 0;
    for span in ledger["spans"].as_array().expect("spans") {
        expect(span, &["author", "start", "end", "tokens", "why"]);
        assert_eq!(span["start"].as_u64(), Some(covered), "spans cover the text in order: {ledger}");
        covered = span["end"].as_u64().expect("an end");
    }
    assert_eq!(covered, text.len() as u64, "spans cover the whole text: {ledger}");
    for rung in ledger["rungs"].as_array().expect("rungs") {
        let tokens = ["prompt_tokens", "tokens_kept", "tokens_wasted", "tokens_drafted"];
        let work = ["row_steps", "forward_passes", "bytes_read", "ms"];
        expect(rung, &[&tokens[..], &work, &["model"]].concat());
    }
    for decision in ledger["decisions"].as_array().expect("decisions") {
        expect(decision, &["kind", "from", "to", "reason", "confidence", "threshold"]);
    }
    let tokens = answer["usage"]["completion_tokens"].as_u64().expect("a count");
    assert_eq!(sum(&ledger["rungs"], "tokens_kept"), tokens, "kept tokens are the usage: {answer}");
    assert_eq!(sum(&ledger["spans"], "tokens"), tokens, "tokens of spans are the usage: {answer}");
    let (first, total) = (answer["timing"]["ttft_ms"].as_f64(), answer["timing"]["total_ms"].as_f64());
    assert!(first > Some(0.0) && first <= total, "{answer}");
}

#[test]
fn the_first_command_answers() {
    ensure_models();
    let ladder = format!("{SMALL},{LARGER}");
    let ask = |flags: &[&str]| {
        let args = ["ask", FRANCE, "--ladder", &ladder];
        succeeded(understudy(args.iter().chain(flags)).patience(PATIENCE * 2).run())
    };
    assert!(ask(&[]).contains("Paris"));

    let answer = object(&ask(&["--json"]));
    assert!(answer["text"].as_str().is_some_and(|text| text.contains("Paris")), "{answer}");
    assert_eq!((&answer["policy"], &answer["finish_reason"]), (&"cascade".into(), &"stop".into()));
    let decisions = answer["ledger"]["decisions"].as_array().expect("decisions");
    let last = decisions.last().expect("a cascade decides");
    assert!(last["confidence"].as_f64() >= last["threshold"].as_f64() || last["kind"] != "stay", "{answer}");
    assert_eq!(answer["ledger"]["rungs"][0]["model"], SMALL, "the cheapest is asked first");

    let explained = ask(&["--explain"]);
    for word in ["Paris", "decisions", "confidence", "cost", SMALL, "tok/s"] {
        assert!(explained.contains(word), "{word:?} in {explained}");
    }
    assert!(!explained.contains('\x1b'), "no colours in a pipe");
}

#[test]
fn a_cascade_withdraws_what_it_does_not_trust() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (tiny(), tiny_twin(folder.path()));
    let ladder = format!("{first},{second}");
    let ask = |policy: &str| {
        let args = ["ask", "--json", "--ladder", &ladder, "--policy", policy, "--max-tokens", "16", "Hello"];
        object(&succeeded(understudy(args).run()))
    };
    let kinds = |answer: &Value| {
        let decisions = answer["ledger"]["decisions"].as_array().expect("decisions");
        decisions
            .iter()
            .map(|decision| decision["kind"].as_str().expect("a kind").to_owned())
            .collect::<Vec<_>>()
    };
    let kept = ask("cascade:threshold=0");
    assert_eq!(
        (kept["model"].as_str(), kinds(&kept).as_slice()),
        (Some(first.as_str()), &["stay".to_owned()][..])
    );
    assert_eq!(kept["ledger"]["rungs"].as_array().map(Vec::len), Some(1), "nobody else was asked: {kept}");

    let handed_on = ask("cascade:threshold=1");
    assert_eq!(handed_on["model"], second.as_str());
    assert!(kinds(&handed_on).contains(&"escalate".to_owned()), "{handed_on}");
    let rungs = &handed_on["ledger"]["rungs"];
    assert!(rungs[0]["tokens_kept"] == 0 && sum(rungs, "tokens_wasted") > 0, "{handed_on}");

    let args = ["ask", "--ladder", &ladder, "--policy", "cascade:threshold=1", "--max-tokens", "16", "Hello"];
    let ended = understudy(args).run();
    assert!(ended.stderr.contains("is withdrawn"), "a reader of the pipe is told: {}", ended.stderr);
}

#[test]
fn the_seed_decides_the_text() {
    let ask = |seed: &str| {
        object(&ask_tiny(&["--json", "--temperature", "0.8", "--max-tokens", "32", "--seed", seed]))["text"]
            .clone()
    };
    assert_eq!(ask("7"), ask("7"));
    assert_ne!(ask("7"), ask("8"), "another seed, another text");
    let greedy =
        |seed: &str| object(&ask_tiny(&["--json", "--max-tokens", "32", "--seed", seed]))["text"].clone();
    assert_eq!(greedy("7"), greedy("8"), "temperature 0 has no chance in it");
}

#[test]
fn an_answer_ends_where_it_is_told() {
    let whole = object(&ask_tiny(&["--json", "--max-tokens", "12"]));
    assert_eq!(
        (&whole["usage"]["completion_tokens"], &whole["finish_reason"]),
        (&12.into(), &"length".into())
    );

    let text = whole["text"].as_str().expect("a text");
    let (at, stop) = text.char_indices().nth(4).expect("more than four characters");
    let before = text.split(stop).next().unwrap_or_default();
    assert!(before.len() <= at);
    let stopped = object(&ask_tiny(&["--json", "--max-tokens", "12", "--stop", &stop.to_string()]));
    assert_eq!((&stopped["text"], &stopped["finish_reason"]), (&before.into(), &"stop".into()));

    let one = object(&ask_tiny(&["--json", "--max-tokens", "1"]));
    assert_eq!(one["usage"]["completion_tokens"], 1);
}

#[test]
fn constraints_hold() {
    let chosen = ask_tiny(&["--choice", "red,green,blue", "--temperature", "1", "--seed", "3"]);
    assert!(["red", "green", "blue"].contains(&chosen.trim_end()), "{chosen}");
    let answer = object(&ask_tiny(&["--json", "--regex", "[0-9]{3}-[a-f]{2}"]));
    let text = answer["text"].as_str().expect("a text");
    let (digits, letters) = text.split_once('-').unwrap_or_else(|| panic!("{text:?}"));
    assert!(digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{text:?}");
    assert!(letters.len() == 2 && letters.bytes().all(|byte| (b'a'..=b'f').contains(&byte)), "{text:?}");

    let folder = tempfile::tempdir().expect("a folder");
    let schema = r#"{"type": "object", "required": ["name", "age"],
        "properties": {"name": {"type": "string", "minLength": 2}, "age": {"type": "integer", "minimum": 0}}}"#;
    let schema = written(folder.path(), "schema.json", schema);
    for seed in ["1", "2", "3"] {
        let sampled = ["--json-schema", &schema, "--max-tokens", "40", "--temperature", "1", "--seed", seed];
        let told: Value = serde_json::from_str(&ask_tiny(&sampled)).expect("complete JSON");
        assert!(told["name"].as_str().is_some_and(|name| name.chars().count() >= 2), "{told}");
        assert!(told["age"].as_f64().is_some_and(|age| age >= 0.0 && age.fract() == 0.0), "{told}");
    }
}

#[test]
fn a_value_shows_while_it_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = r#"{"type": "object", "required": ["name", "age"], "additionalProperties": false,
        "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}}}"#;
    let schema = written(folder.path(), "schema.json", schema);
    let flags = ["--json-schema", &schema, "--max-tokens", "40", "--temperature", "1", "--seed", "2"];
    let ask = |more: &[&str]| ask_tiny(&[&flags, more].concat());
    let value =
        |text: &str| -> Value { serde_json::from_str(text).unwrap_or_else(|_| panic!("JSON: {text}")) };
    let told = value(&ask(&[]));

    let lines = ask(&["--partial"]);
    let values: Vec<Value> = lines.lines().map(value).collect();
    assert_eq!(values.last(), Some(&told), "{lines}");

    let lines = ask(&["--partial", "--json"]);
    let mut objects: Vec<Value> = lines.lines().map(value).collect();
    let answer = objects.pop().expect("an answer");
    assert_is_an_answer(&answer);
    assert_eq!(value(answer["text"].as_str().expect("a text")), told);
    let last = objects.last().expect("a value");
    assert_eq!((&last["partial"], &last["open"]), (&told, &Value::Null), "{lines}");
    // How many come before it depends on how fast the tiny model is read.
    for object in &objects {
        let open = object["open"].as_str();
        assert!(open.is_none_or(|open| object["partial"].pointer(open).is_some()), "{object}");
    }

    let args = ["ask", "--model", &tiny(), "x", "--partial", "--choice", "a,b"];
    let refused = understudy(args).run();
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("stream_partial"), "{}", refused.stderr);
}

/// Of every language one that its own readers take, at a temperature at which the tiny model says anything.
#[test]
fn languages_hold_under_their_schemas() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| written(folder.path(), name, text);
    let tables = "create table town (id integer primary key, name text, people integer);";
    let types = "type Query { a: Int b(c: Int!): Query }";
    let message = "syntax = \"proto3\"; message M { int32 a = 1; repeated M more = 2; }";
    let shape = r#"{"type": "object", "required": ["a", "b"], "additionalProperties": false,
        "properties": {"a": {"type": "integer", "maximum": 99}, "b": {"type": "array", "items": {"enum": ["x", null]}}}}"#;
    let (sql, graphql) = (file("s.sql", tables), file("s.graphql", types));
    let (proto, json_schema) = (file("m.proto", message), file("s.json", shape));
    let lark = file("list.lark", "start: \"[\" [N (\",\" N)*] \"]\"\nN: /[1-9][0-9]{0,5}/\n%ignore \" \"\n");
    let database = rusqlite::Connection::open_in_memory().expect("a database");
    database.execute_batch(tables).expect("tables");
    let graphs = Schema::parse_and_validate(types, "s.graphql").expect("a schema");
    let mut messages = DescriptorPool::new();
    let parsed = protox_parse::parse("m.proto", message).expect("a file");
    messages.add_file_descriptor_proto(parsed).expect("a file");
    let message = messages.get_message_by_name("M").expect("its message");
    let values = jsonschema::validator_for(&serde_json::from_str(shape).expect("JSON")).expect("a schema");
    for seed in ["1", "2", "3"] {
        let sampled = ["--max-tokens", "40", "--temperature", "1", "--seed", seed];
        let ask = |flags: &[&str]| ask_tiny(&[flags, &sampled].concat());
        let statement = ask(&["--sql", &sql]);
        database.prepare(&statement).unwrap_or_else(|error| panic!("{error}: {statement}"));
        let document = ask(&["--graphql", &graphql]);
        let list: Value = serde_json::from_str(&ask(&["--lark", &lark])).expect("a complete list");
        assert!(list.as_array().is_some_and(|list| list.iter().all(Value::is_u64)), "{list}");
        ExecutableDocument::parse_and_validate(&graphs, &document, "q.graphql")
            .unwrap_or_else(|error| panic!("{}: {document}", error.errors));
        let text = ask(&["--proto", &proto, "--message", "M"]);
        DynamicMessage::parse_text_format(message.clone(), &text)
            .unwrap_or_else(|error| panic!("{error}: {text}"));
        for compact in [&[][..], &["--compact"]] {
            let flags = ["--proto", &proto, "--message", "M", "--proto-json"];
            let json = ask(&[&flags[..], compact].concat());
            DynamicMessage::deserialize(message.clone(), &mut serde_json::Deserializer::from_str(&json))
                .unwrap_or_else(|error| panic!("{error}: {json}"));
            let value = ask(&[&["--json-schema", &json_schema], compact].concat());
            let read: Value = serde_json::from_str(&value).expect("complete JSON");
            assert!(values.is_valid(&read), "{value}");
            for text in [json, value].iter().filter(|_| !compact.is_empty()) {
                assert!(!text.trim_end().contains([' ', '\n', '\t']), "{text}");
            }
        }
    }
    let refused = understudy(["ask", "--model", &tiny(), "x", "--proto", &proto, "--message", "N"]).run();
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("CONSTRAINT_INVALID"), "{}", refused.stderr);
}

#[test]
fn a_prompt_is_the_same_wherever_it_comes_from() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), tiny());
    let prompt = "Grüße an 東京 🌊";
    let file = written(folder.path(), "prompt.txt", prompt);
    let server = Server::with_ladder(&[&model]);
    let ask = |args: &[&str], stdin: &str| {
        let common = ["ask", "--json", "--model", &model, "--max-tokens", "16"];
        object(&succeeded(understudy(common.iter().chain(args)).stdin(stdin).run()))["text"].clone()
    };
    let expected = ask(&[prompt], "");
    assert_eq!(ask(&["--file", &file], ""), expected);
    assert_eq!(ask(&["--file", "-"], prompt), expected);
    assert_eq!(ask(&["--server", &server.grpc, prompt], ""), expected, "a node answers as this process does");
    assert_eq!(ask(&["--server", &format!("http://{}", server.grpc), prompt], ""), expected);
    assert_ne!(ask(&["--system", "Be brief.", prompt], ""), expected, "a system message is seen");
    assert_ne!(ask(&["--", "--help"], ""), expected, "a prompt may look like a flag");
}

#[test]
fn an_answer_that_runs_out_of_time_keeps_its_text() {
    ensure_models();
    let args = ["ask", "--json", "--model", SMALL, "--timeout", "2", "--regex", ENDLESS, "Tell me a story."];
    let answer = object(&succeeded(understudy(args).patience(Duration::from_secs(10)).run()));
    assert_eq!(answer["finish_reason"], "deadline", "{answer}");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let model = tiny();
    let asked = ["ask", "--model", &model, "--max-tokens", "2000", "Hello"];
    let explained = ["ask", "--model", &model, "--max-tokens", "2000", "--explain", "Hello"];
    for args in [&asked[..], &explained[..], &["ask", "--model", &model, "--json", "Hello"], &["models"]] {
        let mut child = understudy(args).spawn();
        drop(child.stdout.take());
        let code = exit_code(&mut child, PATIENCE);
        let mut said = String::new();
        child.stderr.take().expect("a piped stderr").read_to_string(&mut said).expect("a readable stderr");
        assert_eq!(code, Some(Some(0)), "{args:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("error"), "{args:?}: {said}");
    }
}
