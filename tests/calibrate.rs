//! `understudy calibrate` and `understudy report` over the built binary.

mod common;

use common::{understudy, written};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Rows of a model: right where `right` says so, and its first log-probability knows.
fn rows(folder: &TempDir, model: &str, bytes: u64, right: fn(usize) -> bool) -> String {
    let header = json!({"schema": 1, "header": {"suite": "jsonl", "model": model, "policy": "", "seed": 0, "data": "d"}});
    let row = |n: usize| {
        let ok = right(n);
        let logprob = -0.1 * (n * 7 % 10) as f64 - if ok { 0.0 } else { 0.4 };
        json!({
            "schema": 1, "suite": "jsonl", "item": n.to_string(), "policy": "direct", "model": model,
            "checkpoint": null, "ok": ok, "score": u8::from(ok), "answer": "a", "expected": "a", "error": null,
            "usage": {}, "timing": {"total_ms": 100.0}, "seed": 0, "run": {"git": "a", "time": "t", "device": null},
            "ledger": {
                "rungs": [{"model": model, "tokens_kept": 5, "forward_passes": 5, "bytes_read": bytes}],
                "candidates": [{
                    "model": model, "chosen": true, "confidence": null, "outcome": ok.to_string(),
                    "evidence": {"mean_logprob": logprob, "length": 5 + n % 3}, "validators": [],
                }],
                "prompt": {"prompt.words": logprob},
            },
        })
    };
    let lines: String =
        [header].into_iter().chain((0..60).map(row)).map(|line| format!("{line}\n")).collect();
    written(folder.path(), &format!("{model}.jsonl"), lines)
}

#[test]
fn rows_become_a_profile_and_a_report() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let small = rows(&folder, "small", 10, |n| n % 3 == 0);
    let large = rows(&folder, "large", 30, |n| n % 3 != 1);
    let place = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (profile, html) = (place("profile.json"), place("report.html"));

    let args = ["calibrate", &small, &large, "--budget", "0.4", "--out", &profile];
    let table = understudy(args).run();
    assert_eq!(table.code, Some(0), "{}", table.stderr);
    for word in ["APGR", "mean log-probability", "oracle", "threshold", "profile.json"] {
        assert!(table.stdout.contains(word), "{word} in {}", table.stdout);
    }
    let written: Value =
        serde_json::from_str(&std::fs::read_to_string(&profile).expect("a profile")).expect("JSON");
    assert_eq!(
        (&written["task"], &written["rungs"][0]["profile"]["model"]),
        (&json!("jsonl"), &json!("small"))
    );

    let ended = understudy(["report", &small, &large, "--html", &html]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let page = std::fs::read_to_string(&html).expect("a report");
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg"));
}

#[test]
fn prompts_tell_something_of_each_model() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let small = rows(&folder, "small", 10, |n| n % 3 == 0);
    let large = rows(&folder, "large", 30, |n| n % 3 != 1);
    let profile = folder.path().join("route.json").to_str().expect("UTF-8").to_owned();
    let ended = understudy(["calibrate", &large, &small, "--route", "--json", "--out", &profile]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told: Value = serde_json::from_str(&ended.stdout).expect("one object");
    assert_eq!((&told["rungs"][0]["model"], &told["rungs"][1]["right"]), (&json!("small"), &json!(40)));
    assert!(told["rungs"][0]["auroc"].as_f64().expect("a number") > 0.6, "{told}");
    let written = std::fs::read_to_string(&profile).expect("a profile");
    assert!(written.contains("prompt.words") && !written.contains("mean_logprob"));
}

#[test]
fn a_ledger_is_replayed_without_generating_anything() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let entry = |n: usize| {
        let (draft_right, logprob) = (n.is_multiple_of(3), -0.1 * (n * 7 % 10) as f64);
        let outcome = |right: bool| if right { "4" } else { "5" };
        let candidate = |model: &str, outcome: &str, chosen: bool| {
            json!({
                "model": model, "chosen": chosen, "confidence": null, "outcome": outcome, "validators": [],
                "evidence": {"mean_logprob": logprob - if draft_right { 0.0 } else { 0.4 }},
            })
        };
        let teacher_right = n % 3 != 1;
        json!({
            "request_id": n.to_string(), "task": if n < 50 { "sums" } else { "other" }, "policy": "cascade",
            "ladder": ["small", "large"], "model": "large", "finish_reason": "stop",
            "feedback": [{"ok": teacher_right, "source": "user", "time_ms": 1}],
            "ledger": {
                "rungs": [{"model": "small", "bytes_read": 10}, {"model": "large", "bytes_read": 30}],
                "candidates": [
                    candidate("small", outcome(draft_right), false),
                    candidate("large", outcome(teacher_right), true),
                ],
            },
        })
    };
    let lines: String = (0..100).map(|n| format!("{}\n", entry(n))).collect();
    let exported = written(folder.path(), "ledger.jsonl", lines);
    let profile = folder.path().join("profile.json").to_str().expect("UTF-8").to_owned();
    let replay = |task: &str| {
        understudy(["calibrate", "--replay", &exported, "--task", task, "--json", "--out", &profile]).run()
    };
    let ended = replay("sums");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told: Value = serde_json::from_str(&ended.stdout).expect("one object");
    assert_eq!((&told["task"], &told["rungs"][1]["model"]), (&json!("sums"), &json!("large")));
    assert!(told["items"].as_u64().expect("a count") >= 20, "{told}");
    let none = replay("nobody's");
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("docs/ledger.md"), "{}", none.stderr);
}

#[test]
fn wrong_goals_and_files_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let small = rows(&folder, "small", 10, |n| n % 3 == 0);
    let large = rows(&folder, "large", 30, |n| n % 3 != 1);
    let out = folder.path().join("profile.json").to_str().expect("UTF-8").to_owned();
    let cases: [(&[&str], &str); 6] = [
        (&[&small, &large, "--budget", "2"], "between 0 and 1"),
        (&[&small, &large, "--latency", "3"], "already takes 100"),
        (&[&small, &large, "--risk", "0.001"], "999 are needed"),
        (&[&small, &large, "--risk", "0.1", "--budget", "0.1"], "cannot be used with"),
        (&[&small, &small], "two models"),
        (&[&small], "a calibration takes two"),
    ];
    for (args, word) in cases {
        let ends = ["--out", out.as_str()];
        let all = ["calibrate"].iter().chain(args).chain(&ends);
        let ended = understudy(all).run();
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(word), "{word} in {}", ended.stderr);
        assert!(!std::path::Path::new(&out).exists(), "{args:?} writes nothing");
    }
}
