//! Suites: what each asks, and how it judges.

use serde_json::{Value, json};
use understudy_agents::eval::{Options, Suite};
use understudy_proto::v1::{constraint::Kind, validator};

use crate::place::{Place, judged, run, wanted};
use crate::scripted::{Node, Says};

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
