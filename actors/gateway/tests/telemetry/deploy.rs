//! The dashboards and rules of `deploy/` speak of what there is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use understudy_backend::{Priority, RequestCtx};
use understudy_proto::v1::{Constraint, GenerateRequest, Validator, constraint, validator};
use understudy_telemetry::{EngineFigures, ModelFigures};

use crate::answer;
use crate::common::{ask, start};
use crate::prometheus::{is_here, promtool};

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap()
}

/// `/metrics` of a node on which everything has happened once.
async fn everything() -> String {
    // Nobody listens there.
    let harness = start("[telemetry]\notlp_endpoint = \"http://127.0.0.1:9\"").await;
    let any = Constraint { kind: Some(constraint::Kind::Regex(".*".into())) };
    let validator = Validator { kind: Some(validator::Kind::Matches(any)) };
    let request = GenerateRequest { validators: vec![validator], ..ask("unsure") };
    answer(&harness.node, RequestCtx::new("r"), request).await.unwrap();
    assert!(answer(&harness.node, RequestCtx::new("none"), ask("")).await.is_err());
    let telemetry = harness.node.telemetry();
    drop(telemetry.waiting(Priority::Batch));
    telemetry.read_models_from(|| {
        let engine = Some(EngineFigures::default());
        vec![ModelFigures { model: "small".into(), state: "ready".into(), engine, ..Default::default() }]
    });
    telemetry.metrics()
}

/// Words of a text that look like names of ours.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words
        .filter(|word| word.starts_with("understudy_") || word.starts_with("gen_ai_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_and_rules_name_metrics_that_exist() {
    let metrics = everything().await;
    let there = names(&metrics);
    let mut used = BTreeSet::new();
    for file in ["grafana/understudy.json", "prometheus/rules.yml", "prometheus/alerts.yml"] {
        used.extend(names(&read(file)));
    }
    let missing: Vec<_> = used.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?} are not in /metrics");
    assert!(used.len() > 20, "only {used:?} are used");
    if is_here() {
        promtool(&["check", "metrics"], &metrics).unwrap();
    }
}

#[test]
fn promtool_finds_the_rules_right() {
    if !is_here() {
        return;
    }
    for file in ["prometheus/rules.yml", "prometheus/alerts.yml"] {
        promtool(&["check", "rules", folder().join(file).to_str().unwrap()], "").unwrap();
    }
}

#[test]
fn panels_use_recorded_series_that_are_recorded() {
    let recorded: BTreeSet<String> = read("prometheus/rules.yml")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- record: ").map(str::to_owned))
        .collect();
    assert!(!recorded.is_empty());
    for file in ["grafana/understudy.json", "prometheus/alerts.yml"] {
        let text = read(file);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
        let used: Vec<_> = words.filter(|word| word.starts_with("understudy:")).collect();
        assert!(used.iter().all(|word| recorded.contains(*word)), "{file}: {used:?}");
    }
}

#[test]
fn the_dashboard_is_json_and_every_panel_asks_for_something() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("grafana/understudy.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let rows: Vec<_> = panels.iter().filter(|panel| panel["type"] == "row").collect();
    assert_eq!(rows.len(), 4, "traffic, latency, cascade and savings, engines");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(targets.iter().all(|target| !target["expr"].as_str().unwrap().is_empty()), "{panel}");
        assert!(panel["description"].as_str().is_some_and(|about| !about.is_empty()), "{}", panel["title"]);
    }
}
