//! Calibration and report from files of rows, as `eval` writes them.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

use std::path::Path;

use serde_json::{Value, json};
use understudy_agents::eval::{Calibration, EvalError, Rows, examples};
use understudy_agents::report;
use understudy_calibration::LadderProfile;
use understudy_calibration::profile::Goal;
use understudy_calibration::study::Plan;

const QUICK: Plan = Plan { repeats: 2, folds: 3, seed: 0 };
const HOSTILE: &str = "</pre><script>alert(1)</script><img src=https://evil.example/x onerror='alert(2)'>";

/// Answers of a model that reads `bytes` per pass: right where `right` says so, with evidence that knows it mostly.
fn rows(model: &str, bytes: u64, right: impl Fn(usize) -> bool) -> Vec<Value> {
    let header = json!({"schema": 1, "header": {"suite": "geoquery", "model": model, "policy": "", "seed": 0, "data": "d"}});
    let row = |n: usize| {
        let (ok, doubt) = (right(n), n * 37 % 10);
        let seen = ok != (doubt == 0);
        let verdict = if seen { "pass" } else { "fail" };
        let evidence = json!({
            "mean_logprob": -0.1 * doubt as f64 - if ok { 0.0 } else { 0.3 }, "length": 20 + n % 7,
            "validator.sql": u8::from(seen),
        });
        let candidate = json!({
            "model": model, "chosen": true, "confidence": if ok { 0.9 } else { 0.2 }, "evidence": evidence,
            "outcome": if ok { "right".to_owned() } else { format!("{model} {n}") },
            "validators": [{"name": "sql", "verdict": verdict, "detail": format!("3 rows {HOSTILE}"), "ms": 0.4}],
        });
        let rung = json!({
            "model": model, "prompt_tokens": 90, "tokens_kept": 20, "tokens_wasted": 0, "forward_passes": 21,
            "bytes_read": bytes * 21, "ms": 100.0,
        });
        json!({
            "schema": 1, "suite": "geoquery", "item": format!("{n:03}"), "policy": "direct", "model": model,
            "checkpoint": null, "ok": ok, "score": u8::from(ok), "question": format!("where is {n}? {HOSTILE}"),
            "answer": format!("answer {n} {HOSTILE}"), "expected": format!("expected {n}"),
            "error": if ok { Value::Null } else { json!(format!("not so: {HOSTILE}")) }, "usage": {},
            "timing": {"total_ms": 100.0 + n as f64},
            "ledger": {
                "rungs": [rung], "candidates": [candidate],
                "decisions": [{"kind": "stay", "from": model, "to": null, "reason": HOSTILE}],
            },
            "seed": 0, "run": {"git": "a", "time": "t", "device": null},
        })
    };
    [header].into_iter().chain((0..90).map(row)).collect()
}

fn read(path: &Path, lines: &[Value]) -> Rows {
    std::fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    Rows::read(path).unwrap()
}

/// The small model is right on every third item, the large one on two of three and on items that the small one is not.
fn ladder() -> [Vec<Value>; 2] {
    [rows("small", 100, |n| n % 3 == 0), rows("large", 300, |n| n % 3 != 2 || n % 9 == 2)]
}

fn files(lines: &[Vec<Value>]) -> Vec<Rows> {
    let folder = tempfile::tempdir().unwrap();
    let read = |(n, lines): (usize, &Vec<Value>)| read(&folder.path().join(format!("{n}.jsonl")), lines);
    lines.iter().enumerate().map(read).collect()
}

/// As older builds wrote them.
fn without_candidates(lines: &[Vec<Value>]) -> Vec<Vec<Value>> {
    let mut lines = lines.to_vec();
    for row in lines.iter_mut().flatten() {
        if let Some(ledger) = row["ledger"].as_object_mut() {
            ledger.remove("candidates");
        }
    }
    lines
}

#[test]
fn a_calibration_pairs_the_models_in_any_order_and_its_profile_can_be_read() {
    let [small, large] = ladder();
    let paired = examples::pairs(&files(&[large, small])).unwrap();
    assert_eq!((paired.draft.as_str(), paired.teacher.as_str(), paired.pairs.len()), ("small", "large", 90));
    let found = Calibration::of(paired, "sql", Goal::Budget { share: 0.5 }, QUICK).unwrap();
    let profile = LadderProfile::parse(&found.profile.to_json()).unwrap();
    assert_eq!(profile.task, "sql");
    let rung = profile.rung("small").unwrap();
    assert!(rung.threshold.is_some() && profile.rung("large").unwrap().threshold.is_none());
    assert!(rung.profile.auroc.unwrap() > 0.8, "the evidence tells");
    assert!(found.operating.0 <= 0.5 && found.operating.1 > found.study.draft, "{:?}", found.operating);
    let json = found.as_json();
    assert_eq!((&json["items"], &json["methods"][0]["method"]), (&json!(90), &json!("calibrated")));
    assert!(json["methods"][0]["apgr"]["interval95"][0].is_number(), "{json}");
}

#[test]
fn what_cannot_be_calibrated_is_refused_with_what_to_do() {
    let [small, large] = ladder();
    let old = without_candidates(&[small.clone(), large.clone()]);
    let mut elsewhere = large.clone();
    elsewhere[0]["header"]["data"] = json!("e");
    let cases: [(Vec<Vec<Value>>, &str); 4] = [
        (old, "evaluate the model again"),
        (vec![small.clone(), small.clone()], "two models"),
        (vec![small.clone()], "takes two"),
        (vec![small.clone(), elsewhere], "data"),
    ];
    for (lines, word) in cases {
        let refused = examples::pairs(&files(&lines)).unwrap_err();
        assert!(matches!(&refused, EvalError::Input(why) if why.contains(word)), "{word}: {refused}");
    }
    let paired = examples::pairs(&files(&[small, large])).unwrap();
    let refused = Calibration::of(paired, "sql", Goal::Risk { alpha: 0.01 }, QUICK).unwrap_err();
    assert!(refused.to_string().contains("99 are needed"), "{refused}");
}

#[test]
fn a_report_shows_everything_and_runs_nothing_that_rows_say() {
    let lines = ladder();
    let mut cascade = lines[0].clone();
    cascade[0]["header"]["model"] = json!("");
    for row in &mut cascade[1..] {
        row["policy"] = json!("cascade");
    }
    let html = report::html(&files(&[lines[0].clone(), lines[1].clone(), cascade])).unwrap();
    for shown in [
        "<h2>Policies</h2>",
        "<th scope=row>small",
        "<th scope=row>cascade",
        "random mixing",
        "per-item oracle",
        "mean log-probability",
        "shorter answers stay",
        "calibrated confidence",
        "teacher tokens, of what",
        "GB of weights read",
        "seconds per item",
        "Reliability",
        "expected 17",
        "answer 17 &lt;/pre&gt;",
        "sql pass: 3 rows",
        "class=\"band calibrated\"",
        "270 tried: ",
        "p50 0.40 ms, p99 0.40 ms, longest 0.4 ms",
    ] {
        assert!(html.contains(shown), "{shown}");
    }
    assert_eq!(html.matches("<script").count(), 1, "its own");
    assert_eq!(html.matches("<details").count(), 90);
    let from_rows = ["<img", "<script>alert", "onerror='", "evil.example/x onerror='"];
    for raw in from_rows {
        assert!(!html.contains(raw), "{raw} is markup");
    }
    let outside = ["src=\"http", "href=\"http", "url(http", "@import"];
    assert!(outside.iter().all(|word| !html.contains(word)), "it needs no other file");
    assert!(html.contains("script-src 'nonce-"));
}

#[test]
fn older_rows_still_give_curves_and_one_file_a_table() {
    let old = without_candidates(&ladder());
    let html = report::html(&files(&old)).unwrap();
    assert!(html.contains("per-item oracle") && html.contains("No confidences"));
    assert!(!html.contains("class=\"line calibrated\"") && !html.contains("<h2>Validators</h2>"));
    let alone = report::html(&files(&old[..1])).unwrap();
    assert!(alone.contains("No curve") && alone.contains("<h2>Policies</h2>"));
    assert!(report::html(&[]).is_err());
}
