//! Evaluations against a scripted node on loopback, over tiny data made here.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod scripted;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use scripted::{Node, Says};
use serde_json::{Value, json};
use tempfile::TempDir;
use understudy_agents::eval::{self, EvalError, Options, Progress, Rows, Suite, Summary};
use understudy_proto::v1::{constraint::Kind, validator};

/// A data folder and a place for rows.
struct Place {
    data: TempDir,
    rows: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { data: tempfile::tempdir().unwrap(), rows: tempfile::tempdir().unwrap() }
    }

    fn with_lines(lines: &[Value]) -> Self {
        let place = Self::new();
        place.file("dev.jsonl", &lines.iter().map(|line| format!("{line}\n")).collect::<String>());
        place
    }

    fn file(&self, name: &str, content: &str) {
        std::fs::write(self.data.path().join(name), content).unwrap();
    }

    fn database(&self, name: &str) {
        let connection = Connection::open(self.data.path().join(name)).unwrap();
        connection.execute_batch(CITIES).unwrap();
    }

    fn out(&self) -> PathBuf {
        self.rows.path().join("rows.jsonl")
    }

    fn options(&self, suite: Suite) -> Options {
        Options {
            suite,
            data: self.data.path().to_owned(),
            out: self.out(),
            policy: "direct".into(),
            model: "small".into(),
            ladder: Vec::new(),
            constrain: false,
            validators: false,
            limit: None,
            seed: 0,
            temperature: 0.0,
            max_tokens: None,
            concurrency: 2,
            timeout: Duration::from_secs(10),
            git: "abc".into(),
        }
    }
}

const CITIES: &str = "CREATE TABLE city (name text, state text);
    INSERT INTO city VALUES ('austin', 'texas'), ('dallas', 'texas'), ('reno', 'nevada')";

async fn run(node: &Node, options: &Options) -> Result<Summary, EvalError> {
    let client = node.serve().await;
    eval::run(&client, options, &mut |_| {}).await
}

/// Which items have a row, and whether they were right.
fn judged(out: &Path) -> BTreeMap<String, bool> {
    Rows::read(out).unwrap().rows.into_iter().map(|row| (row.item, row.ok)).collect()
}

fn wanted<const N: usize>(items: [(&str, bool); N]) -> BTreeMap<String, bool> {
    items.into_iter().map(|(item, ok)| (item.to_owned(), ok)).collect()
}

fn capitals() -> Place {
    let line = |id: &str, country: &str, capital: &str| json!({"id": id, "prompt": format!("Capital of {country}?"), "expected": capital, "match": "contains"});
    Place::with_lines(&[
        line("fr", "France", "Paris"),
        line("it", "Italy", "Rome"),
        line("no", "Norway", "Oslo"),
        line("de", "Germany", "Berlin"),
    ])
}

#[tokio::test]
async fn rows_have_the_fields_of_the_contract_and_the_summary_adds_them_up() {
    let place = capitals();
    let node = Node::scripted([("France", Says::Text("It is Paris.")), ("Italy", Says::Text("Milan"))]);
    let mut seen = Vec::new();
    let client = node.serve().await;
    let options = place.options(Suite::Jsonl);
    let summary = eval::run(&client, &options, &mut |progress| seen.push(progress)).await.unwrap();

    let found = summary.as_json();
    assert_eq!((&found["items"], &found["ok"], &found["accuracy"]), (&json!(4), &json!(1), &json!(0.25)));
    assert_eq!(found["mean_latency_ms"], json!(100.0));
    // "It is Paris.", "Milan", and twice "I do not know", in 0.4 s.
    let speed = found["tokens_per_s"].as_f64().unwrap();
    assert!((speed - f64::from(12 + 5 + 13 + 13) / 0.4).abs() < 1e-9, "{speed}");
    let (low, high) = summary.accuracy().unwrap().1;
    assert!((low - 0.0456).abs() < 1e-3 && (high - 0.6994).abs() < 1e-3, "{low} {high}");
    assert_eq!(seen.first(), Some(&Progress { done: 0, resumed: 0, total: 4, ok: 0 }));
    assert_eq!(seen.last(), Some(&Progress { done: 4, resumed: 0, total: 4, ok: 1 }));

    let text = std::fs::read_to_string(place.out()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["schema"], &lines[0]["header"]["suite"]), (&json!(1), &json!("jsonl")));
    let fields = [
        "schema",
        "suite",
        "item",
        "policy",
        "model",
        "checkpoint",
        "ok",
        "score",
        "question",
        "answer",
        "expected",
        "error",
        "usage",
        "timing",
        "ledger",
        "seed",
        "run",
    ];
    for row in &lines[1..] {
        assert_eq!(row.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>(), fields);
        assert_eq!((&row["run"]["git"], &row["run"]["device"]), (&json!("abc"), &json!("cpu-f32")));
        assert!(row["run"]["time"].as_str().unwrap().ends_with('Z'), "{row}");
    }
    let request = node.asked()[0].clone();
    assert_eq!((request.policy.as_str(), request.model.as_str()), ("direct", "small"));
    assert_eq!(request.sampling.unwrap().temperature, 0.0);
}

#[tokio::test]
async fn an_interrupted_run_goes_on_where_it_was() {
    let place = capitals();
    let options = Options { concurrency: 1, ..place.options(Suite::Jsonl) };
    let node = Node::scripted([("France", Says::Text("Paris")), ("Norway", Says::Refusal("MODEL_UNKNOWN"))]);
    let stopped = run(&node, &options).await.unwrap_err();
    assert!(matches!(&stopped, EvalError::Node(error) if error.code == "MODEL_UNKNOWN"), "{stopped:?}");
    assert_eq!(judged(&place.out()), wanted([("fr", true), ("it", false)]));

    node.say([("Norway", Says::Text("Oslo"))]);
    node.forget();
    let summary = run(&node, &options).await.unwrap();
    assert_eq!(node.questions(), ["Capital of Norway?", "Capital of Germany?"]);
    assert_eq!((summary.items, summary.ok), (4, 2));

    node.forget();
    assert_eq!(run(&node, &options).await.unwrap().items, 4, "a finished run has nothing to do");
    assert_eq!(node.questions(), [""; 0]);
}

#[tokio::test]
async fn another_run_never_mixes_its_rows_in() {
    let place = capitals();
    let node = Node::default();
    run(&node, &place.options(Suite::Jsonl)).await.unwrap();
    let before = std::fs::read(place.out()).unwrap();
    let other = Place::with_lines(&[json!({"id": "fr", "prompt": "France?", "expected": "Paris"})]);
    let options = || place.options(Suite::Jsonl);
    let cases = [
        (Options { model: "large".into(), ..options() }, "model"),
        (Options { policy: "cascade".into(), ..options() }, "policy"),
        (Options { seed: 9, ..options() }, "seed"),
        (Options { max_tokens: Some(3), ..options() }, "max_tokens"),
        (Options { ladder: vec!["small".into(), "large".into()], ..options() }, "ladder"),
        (Options { data: other.data.path().to_owned(), ..options() }, "data"),
    ];
    for (options, word) in cases {
        let refused = run(&node, &options).await.unwrap_err();
        assert!(matches!(&refused, EvalError::Input(why) if why.contains(word)), "{word}: {refused}");
        assert_eq!(std::fs::read(place.out()).unwrap(), before, "{word}");
    }
}

#[tokio::test]
async fn a_limit_takes_the_same_items_for_the_same_seed() {
    let line = |i: usize| json!({"id": format!("{i}"), "prompt": format!("{i}?"), "expected": "x"});
    let lines: Vec<Value> = (0..30).map(line).collect();
    let of = async |limit, seed| {
        let place = Place::with_lines(&lines);
        let options = Options { limit: Some(limit), seed, ..place.options(Suite::Jsonl) };
        run(&Node::default(), &options).await.unwrap();
        judged(&place.out()).into_keys().collect::<Vec<_>>()
    };
    let five = of(5, 1).await;
    assert_eq!(five.len(), 5);
    assert_eq!(five, of(5, 1).await);
    assert_ne!(five, of(5, 2).await);
}

#[tokio::test]
async fn refusals_of_one_item_are_rows_and_a_busy_node_is_asked_again() {
    let place = capitals();
    let node = Node::scripted([
        ("France", Says::Refusal("CONTEXT_OVERFLOW")),
        ("Italy", Says::Later(3, "Rome")),
        ("Norway", Says::Text("Oslo")),
    ]);
    let summary = run(&node, &place.options(Suite::Jsonl)).await.unwrap();
    assert_eq!((summary.items, summary.ok, summary.unanswered), (4, 2, 1));
    let refused = summary.rows.rows.iter().find(|row| row.item == "fr").unwrap();
    assert_eq!((refused.answer.as_deref(), refused.ok), (None, false));
    assert!(refused.error.as_ref().unwrap().starts_with("CONTEXT_OVERFLOW: "), "{refused:?}");

    let node = Node::scripted([("Capital", Says::Later(1000, ""))]);
    let place = capitals();
    let stopped = run(&node, &place.options(Suite::Jsonl)).await.unwrap_err();
    assert!(matches!(&stopped, EvalError::Node(error) if error.code == "OVERLOADED"), "{stopped:?}");
}

#[tokio::test]
async fn geoquery_runs_statements_and_leaves_out_what_judges_nothing() {
    let line = |id: &str, question: &str, sql: &str| json!({"id": id, "db": "geo.sqlite", "question": question, "sql": sql, "n_rows": 1});
    let place = Place::with_lines(&[
        line("right", "which ones are in texas", "SELECT name FROM city WHERE state = \"texas\" ;"),
        line("wrong", "where is reno", "SELECT state FROM city WHERE name = \"reno\""),
        line("drops", "destroy it", "SELECT count(*) FROM city"),
        line("fails", "none", "SELECT nothing FROM city"),
        line("empty", "none", "SELECT name FROM city WHERE state = \"ohio\""),
    ]);
    place.file("schema.sql", "CREATE TABLE city (name text, state text);\n");
    place.database("geo.sqlite");
    let in_texas = "```sql\nSELECT c.name FROM city c WHERE c.state LIKE 'texas' ORDER BY 1 DESC;\n```";
    let node = Node::scripted([
        ("which ones are in texas", Says::Text(in_texas)),
        ("where is reno", Says::Text("SELECT name FROM city")),
        ("destroy it", Says::Text("DROP TABLE city; SELECT 3")),
    ]);
    let summary = run(&node, &place.options(Suite::Geoquery)).await.unwrap();
    assert_eq!(judged(&place.out()), wanted([("drops", true), ("right", true), ("wrong", false)]));
    let skipped = [("reference fails".to_owned(), 1), ("reference is empty".to_owned(), 1)];
    assert_eq!(summary.rows.header.skipped, skipped.into());
    assert_eq!(summary.rows.header.items, 3);
    let prompt = &node.questions()[0];
    assert!(prompt.contains("CREATE TABLE city") && prompt.contains("'austin'"), "{prompt}");
}

#[tokio::test]
async fn defog_sql_takes_any_right_statement_in_any_order_and_stops_the_clock() {
    let line = |id: &str, question: &str, sql: &[&str], clock: bool| {
        json!({
            "id": id, "db": "geo.sqlite", "question": question, "sql": sql, "instructions": "",
            "time_dependent": clock
        })
    };
    let either = [
        "SELECT nothing",
        "SELECT state FROM city WHERE name = 'reno'",
        "SELECT name, state FROM city WHERE name = 'reno'",
    ];
    let place = Place::with_lines(&[
        line("either", "where is reno", &either, false),
        line("clock", "what was yesterday", &["SELECT date('now', '-1 day')"], true),
        line("order", "list them", &["SELECT name FROM city ORDER BY name DESC"], false),
    ]);
    place.file("geo.schema.sql", "CREATE TABLE city (name text, state text);\n");
    place.database("geo.sqlite");
    let node = Node::scripted([
        ("where is reno", Says::Text("SELECT name, state FROM city WHERE name = 'reno'")),
        ("yesterday", Says::Text("SELECT '2026-06-14'")),
        ("list them", Says::Text("SELECT name FROM city ORDER BY name")),
    ]);
    let summary = run(&node, &place.options(Suite::DefogSql)).await.unwrap();
    assert_eq!((summary.items, summary.ok), (3, 3), "{:?}", summary.rows.rows);
}

#[tokio::test]
async fn gsm8k_judges_the_last_number() {
    let place = Place::with_lines(&[
        json!({"id": "a", "question": "48 and 24?", "answer": "72", "rationale": "r"}),
        json!({"id": "b", "question": "1 and 1?", "answer": "2", "rationale": "r"}),
    ]);
    let script = [("48", Says::Text("48 + 24 = 72\n#### 72")), ("1 and", Says::Text("#### 3"))];
    run(&Node::scripted(script), &place.options(Suite::Gsm8k)).await.unwrap();
    assert_eq!(judged(&place.out()), wanted([("a", true), ("b", false)]));
}

#[tokio::test]
async fn bfcl_judges_calls_and_their_absence() {
    let function = json!({"name": "math.hypot", "parameters": {
        "type": "dict",
        "properties": {"x": {"type": "integer"}, "z": {"type": "integer"}},
        "required": ["x"]
    }});
    let line = |id: &str, question: &str, truth: &Value| {
        let system = json!({"role": "system", "content": "Be brief."});
        let turns = json!([[system, {"role": "user", "content": question}]]);
        json!({"id": id, "question": turns, "function": [function], "ground_truth": truth, "category": "c"})
    };
    let truth = json!([{"math.hypot": {"x": [4], "z": ["", 0]}}]);
    let place = Place::with_lines(&[
        line("call", "hypotenuse of 4?", &truth),
        line("wrong", "hypotenuse of five?", &truth),
        line("none", "weather?", &json!([])),
    ]);
    let call = r#"[{"name": "math.hypot", "arguments": {"x": 4}}]"#;
    let node = Node::scripted([("of 4", Says::Text(call)), ("weather", Says::Text("[]"))]);
    run(&node, &place.options(Suite::Bfcl)).await.unwrap();
    assert_eq!(judged(&place.out()), wanted([("call", true), ("none", true), ("wrong", false)]));
    let system = &node.asked()[0].messages[0];
    assert!(system.content.contains("math.hypot") && system.content.ends_with("Be brief."), "{system:?}");
}

#[tokio::test]
async fn perplexity_scores_every_window_once() {
    let place = Place::new();
    place.file("a.txt", &"x".repeat(1100));
    place.file("b.txt", "yy");
    let summary = run(&Node::default(), &place.options(Suite::Perplexity)).await.unwrap();
    let windows = [("a.txt#0", true), ("a.txt#1", true), ("a.txt#2", true), ("b.txt#0", true)];
    assert_eq!(judged(&place.out()), wanted(windows));
    let found = summary.as_json();
    // Without a beginning token the first of each window is given; each other costs half a nat.
    assert_eq!((&found["tokens"], &found["nll"]), (&json!(511 + 511 + 75 + 1), &json!(549.0)));
    assert!((found["perplexity"].as_f64().unwrap() - 0.5f64.exp()).abs() < 1e-9);
    assert_eq!(found["accuracy"], Value::Null);
}

#[tokio::test]
async fn bad_data_is_named() {
    let line = json!({"id": "a", "prompt": "p", "expected": "e"}).to_string();
    let twice = format!("{line}\n{line}\n");
    let many = r#"{"id": "a", "question": "q", "answer": "many"}"#;
    let outside = r#"{"id": "a", "db": "../../etc/passwd", "question": "q", "sql": "s"}"#;
    type Files<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Suite, Files<'_>, &str); 9] = [
        (Suite::Jsonl, &[], "no .jsonl file"),
        (Suite::Jsonl, &[("a.jsonl", &line), ("b.jsonl", &line)], "several .jsonl"),
        (Suite::Jsonl, &[("dev.jsonl", "\n\n")], "no item"),
        (Suite::Jsonl, &[("dev.jsonl", "{\"id\": \"a\"}\n")], "line 1"),
        (Suite::Jsonl, &[("dev.jsonl", &twice)], "two items named \"a\""),
        (Suite::Gsm8k, &[("dev.jsonl", many)], "no number"),
        (Suite::Perplexity, &[], "no .txt file"),
        (Suite::Perplexity, &[("a.txt", "x")], "too short"),
        (Suite::Geoquery, &[("dev.jsonl", outside), ("schema.sql", "")], "no file \"../../etc/passwd\""),
    ];
    for (suite, files, word) in cases {
        let place = Place::new();
        files.iter().for_each(|(name, content)| place.file(name, content));
        let refused = run(&Node::default(), &place.options(suite)).await.unwrap_err();
        assert!(matches!(&refused, EvalError::Input(why) if why.contains(word)), "{word}: {refused}");
        assert!(!place.out().exists(), "{word}");
    }
}

#[tokio::test]
async fn humaneval_and_mbpp_run_the_code_of_an_answer() {
    let prompt = "from typing import List\n\n\ndef total(numbers: List[int]) -> int:\n    \"\"\"The sum.\n    >>> \
        total([1, 2])\n    3\n    \"\"\"\n";
    let line = |id: &str, mark: &str| {
        let test =
            "def check(candidate):\n    assert candidate([]) == 0\n    assert candidate([4, 5]) == 9\n";
        json!({
            "task_id": id, "prompt": format!("{prompt}# {mark}\n"), "entry_point": "total",
            "canonical_solution": "    return sum(numbers)\n", "test": test
        })
    };
    let place = Place::with_lines(&[line("right", "one"), line("wrong", "two"), line("exits", "three")]);
    let right = "```python\ndef total(numbers: List[int]) -> int:\n    return sum(numbers)\n```\nThis sums.";
    let node = Node::scripted([
        ("# one", Says::Text(right)),
        ("# two", Says::Text("def total(numbers):\n    return 3\n")),
        ("# three", Says::Text("```python\nimport os\nos._exit(0)\n```")),
    ]);
    let options = Options { validators: true, ..place.options(Suite::Humaneval) };
    run(&node, &options).await.unwrap();
    assert_eq!(judged(&place.out()), wanted([("right", true), ("wrong", false), ("exits", false)]));
    let asked = node.asked();
    let Some(validator::Kind::Python(shown)) = &asked[0].validators[0].kind else { panic!("{:?}", asked[0]) };
    assert_eq!(shown.before, "from typing import List\n\n\n");
    assert!(
        shown.after.contains("total([1, 2])") && !shown.after.contains("[4, 5]"),
        "no hidden test: {}",
        shown.after
    );
    let refused =
        run(&node, &Options { constrain: true, ..place.options(Suite::Humaneval) }).await.unwrap_err();
    assert!(refused.to_string().contains("humaneval has no constraint"), "{refused}");

    let tests = ["assert add(1, 2) == 3", "assert add(5, 5) == 10\r"];
    let line = |id: u64, text: &str| json!({"task_id": id, "text": text, "code": "", "test_setup_code": "", "test_list": tests});
    let place = Place::with_lines(&[line(1, "Add two."), line(2, "Guess it.")]);
    let node = Node::scripted([
        ("Add two.", Says::Text("```python\ndef add(a, b):\n    return a + b\n```")),
        ("Guess it.", Says::Text("```python\ndef add(a, b):\n    return 3\n```")),
    ]);
    let options = Options { validators: true, ..place.options(Suite::Mbpp) };
    run(&node, &options).await.unwrap();
    assert_eq!(judged(&place.out()), wanted([("1", true), ("2", false)]));
    let (question, asked) = (node.questions().concat(), format!("{:?}", node.asked()[0].validators));
    assert!(question.contains(tests[0]) && !question.contains("10"), "{question}");
    assert!(asked.contains("add(1, 2)") && !asked.contains("10"), "only what the prompt shows: {asked}");
}

#[tokio::test]
async fn snips_and_ha_intents_want_the_whole_frame() {
    let line = |id: &str, text: &str, slots: &Value| json!({"id": id, "text": text, "intent": "PlayMusic", "slots": slots});
    let place = Place::with_lines(&[
        line("right", "play Blue Moon", &json!([{"slot": "track", "value": "Blue Moon"}])),
        line(
            "half",
            "play Red Sun by Ann",
            &json!([{"slot": "track", "value": "Red Sun"}, {"slot": "artist", "value": "Ann"}]),
        ),
        line(
            "twice",
            "play a and b",
            &json!([{"slot": "track", "value": "a"}, {"slot": "track", "value": "b"}]),
        ),
    ]);
    let node = Node::scripted([
        ("Blue Moon", Says::Text(r#"{"intent":"PlayMusic","slots":{"track":"blue moon"}}"#)),
        ("Red Sun", Says::Text(r#"{"intent":"PlayMusic","slots":{"track":"Red Sun"}}"#)),
    ]);
    let summary = run(&node, &place.options(Suite::Snips)).await.unwrap();
    assert_eq!(judged(&place.out()), wanted([("right", true), ("half", false)]));
    assert_eq!(summary.rows.header.skipped, [("a slot is filled twice".to_owned(), 1)].into());

    let line = |id: &str, text: &str, intent: &Value, slots: &Value, context: &Value| json!({"id": id, "text": text, "intent": intent, "slots": slots, "context": context, "group": "g"});
    let none = Value::Null;
    let place = Place::with_lines(&[
        line(
            "timer",
            "add 5 minutes to pizza",
            &json!("Add"),
            &json!({"minutes": 5, "name": ["pizza ", "pizza"]}),
            &none,
        ),
        line("here", "lights off", &json!("Off"), &json!({"area": "Den"}), &json!({"area": "Den"})),
        line("unknown", "tell me", &none, &json!({}), &none),
    ]);
    let intents = json!({
        "Add": {"description": "Adds time", "slots": {"minutes": {}, "name": {}}},
        "Off": {"description": "Turns off", "slots": {"area": {}}}, "Stop": {"description": "Stops"}
    });
    let fixtures = json!({
        "areas": [{"name": "Den", "id": "den"}], "floors": [], "entities": [{"name": "Lamp", "id": "light.lamp"}]
    });
    place.file("intents.json", &intents.to_string());
    place.file("fixtures.json", &fixtures.to_string());
    let node = Node::scripted([
        ("pizza", Says::Text(r#"{"intent":"Add","slots":{"minutes":5,"name":"Pizza"}}"#)),
        ("Said in: Den", Says::Text(r#"{"intent":"Off","slots":{"area":"Den"}}"#)),
    ]);
    let options = Options { constrain: true, validators: true, ..place.options(Suite::HaIntents) };
    let summary = run(&node, &options).await.unwrap();
    assert_eq!(judged(&place.out()), wanted([("timer", true), ("here", true)]));
    assert_eq!(summary.rows.header.skipped, [("no intent is expected".to_owned(), 1)].into());
    let request = &node.asked()[0];
    let system = &request.messages[0].content;
    assert!(
        system.contains("- Add: Adds time; slots minutes, name") && system.contains("- light: Lamp"),
        "{system}"
    );
    let Some(Kind::JsonSchema(schema)) = request.constraint.clone().unwrap().kind else {
        panic!("{request:?}")
    };
    assert!(schema.compact && schema.schema.contains(r#""const":"Off""#), "{}", schema.schema);
    assert!(matches!(&request.validators[0].kind, Some(validator::Kind::Matches(_))));
}

#[tokio::test]
async fn flags_add_constraints_and_validators_and_are_another_run() {
    let line =
        json!({"id": "a", "db": "geo.sqlite", "question": "which ones", "sql": "SELECT name FROM city"});
    let place = Place::with_lines(&[line]);
    place.file("schema.sql", "CREATE TABLE city (name text, state text);\n");
    place.database("geo.sqlite");
    let node = Node::scripted([("which ones", Says::Text("SELECT name FROM city"))]);
    let plain = place.options(Suite::Geoquery);
    let ladder = vec!["small".to_owned(), "large".to_owned()];
    let flagged = Options { constrain: true, validators: true, ladder: ladder.clone(), ..plain.clone() };

    run(&node, &plain).await.unwrap();
    let first = node.asked().remove(0);
    assert_eq!((&first.constraint, first.validators.len(), first.ladder.len()), (&None, 0, 0));
    assert!(first.messages.iter().any(|message| message.content.contains("```sql")));
    let header = std::fs::read_to_string(place.out()).unwrap();
    assert!(!header.lines().next().unwrap().contains("constrain"), "what is off is left out");
    let refused = run(&node, &flagged).await.unwrap_err();
    assert!(matches!(refused, EvalError::Input(_)), "{refused}");
    std::fs::remove_file(place.out()).unwrap();

    node.forget();
    run(&node, &flagged).await.unwrap();
    let asked = node.asked().remove(0);
    assert_eq!(asked.ladder, ladder);
    assert!(!asked.messages.iter().any(|message| message.content.contains("```")), "{:?}", asked.messages);
    let Some(Kind::Sql(held_to)) = asked.constraint.unwrap().kind else { panic!("no SQL") };
    assert_eq!(held_to.schema, "CREATE TABLE city (name text, state text);", "no sample rows");
    assert!(held_to.double_quoted_strings && !held_to.writes);
    let Some(validator::Kind::Sql(runs)) = &asked.validators[0].kind else { panic!("no run") };
    assert!(Path::new(&runs.database).is_absolute() && Path::new(&runs.database).is_file());
    let refused = run(&node, &plain).await.unwrap_err();
    assert!(matches!(refused, EvalError::Input(_)), "rows with and without do not mix: {refused}");
    let refused = run(&node, &Options { constrain: true, ..place.options(Suite::Jsonl) }).await.unwrap_err();
    assert!(refused.to_string().contains("leave --constrain out"), "{refused}");
}
