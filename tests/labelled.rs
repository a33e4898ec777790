//! On held-out labelled prompts the cascade keeps some answers, escalates others, and its
//! confidence tells right from wrong.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking and reports by printing"
)]

mod common;
mod labelled_support;

use std::sync::Arc;

use labelled_support::{Labelled, auroc, read};
use understudy_backend::RequestCtx;
use understudy_gateway::{GgufEngines, Node, NodeConfig};
use understudy_proto::v1::{Decision, Finished, GenerateRequest, generate_event::Event};

const LADDER: [&str; 2] = [common::SMALL, common::LARGER];
/// The issue's bar.
const LEAST_AUROC: f64 = 0.70;

async fn start() -> Node {
    common::ensure_models();
    let config = NodeConfig::default();
    let engines = Arc::new(GgufEngines::new(&config).expect("the processor is there"));
    Node::start(config, engines).await.expect("a node starts")
}

async fn ask(node: &Node, item: &Labelled, policy: &str) -> Finished {
    let request = GenerateRequest {
        prompt: item.prompt.clone(),
        policy: policy.to_owned(),
        ladder: LADDER.map(str::to_owned).to_vec(),
        max_tokens: Some(item.max_tokens),
        ..GenerateRequest::default()
    };
    let mut answer = node.inference().generate(RequestCtx::new(&*item.id), request).await.expect("accepted");
    while let Some(event) = answer.next().await {
        if let Some(Event::Finished(finished)) = event.expect("an event").event {
            return finished;
        }
    }
    panic!("{}: the stream ended early", item.id)
}

fn first_decision(finished: &Finished) -> Decision {
    finished.ledger.as_ref().and_then(|ledger| ledger.decisions.first()).cloned().expect("a decision")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_confidence_tells_right_from_wrong_and_the_cascade_acts_on_it() {
    let node = start().await;
    let (mut scored, mut kept, mut escalated) = (Vec::new(), 0, 0);
    let (mut small_right, mut cascade_right) = (0, 0);
    for item in read("prompts.jsonl") {
        // With threshold 0 the first rung's whole answer stays, with its confidence.
        let alone = ask(&node, &item, "cascade:threshold=0").await;
        let confidence = first_decision(&alone).confidence.expect("the first rung is judged");
        let is_right = item.is_right(&alone.text);
        scored.push((confidence, is_right));
        small_right += usize::from(is_right);

        let finished = ask(&node, &item, "cascade").await;
        cascade_right += usize::from(item.is_right(&finished.text));
        let decision = first_decision(&finished);
        match decision.kind.as_str() {
            "stay" => {
                kept += 1;
                assert_eq!(finished.text, alone.text, "{}: a kept answer is the first rung's", item.id);
                assert!(decision.confidence >= decision.threshold);
            }
            "escalate" => {
                escalated += 1;
                assert_eq!(finished.model, LADDER[1]);
                assert!(decision.confidence < decision.threshold);
            }
            other => panic!("{}: {other}", item.id),
        }
    }
    let area = auroc(&scored);
    let count = scored.len();
    println!(
        "AUROC {area:.3}; {kept} stay, {escalated} escalate; right: first rung {small_right}, cascade {cascade_right} of {count}"
    );
    assert_eq!(count, 60);
    assert!(kept >= 6 && escalated >= 6, "{kept} stay, {escalated} escalate");
    assert!(area >= LEAST_AUROC, "AUROC {area:.3}");

    let constant: Vec<(f32, bool)> = scored.iter().map(|&(_, is_right)| (0.5, is_right)).collect();
    assert!(auroc(&constant) < LEAST_AUROC, "a constant confidence must not pass");
    assert!(cascade_right >= small_right, "escalating must not make answers worse");
    node.drain().await;
}

#[test]
fn the_grader_knows_right_from_wrong() {
    let item = |check: &str| -> Labelled {
        let line = format!(r#"{{"id":"x","kind":"k","prompt":"p","max_tokens":1,"check":{check}}}"#);
        serde_json::from_str(&line).unwrap()
    };
    let words = item(r#"{"contains_any": ["Paris"], "not_contains": ["London"]}"#);
    assert!(words.is_right("It is paris."));
    assert!(!words.is_right("Parisian"));
    assert!(!words.is_right("London or Paris"));
    let sql = item(
        r#"{"sql": {"setup": "CREATE TABLE t(a); INSERT INTO t VALUES (1),(2.5);", "rows": [["2.5"],["1"]], "ordered": false}}"#,
    );
    assert!(sql.is_right("```sql\nSELECT a FROM t;\n```"));
    assert!(sql.is_right("Sure: SELECT a FROM t; that is all"));
    assert!(!sql.is_right("SELECT a FROM t WHERE a > 1"));
    assert!(!sql.is_right("DELETE FROM t"));
    let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c";
    assert!(!sql.is_right(endless), "a runaway query is cut off");
}
