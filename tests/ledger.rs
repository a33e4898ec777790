//! The ledger of a node in a process of its own, and the commands that read it.

mod common;

use std::path::Path;

use common::answers::{answered, direct};
use common::node::{SOON, Server};
use common::{Ended, PATIENCE, tiny, tiny_twin, understudy, written};
use serde_json::Value;
use understudy_proto::v1::{FeedbackRequest, GenerateRequest};

fn ledger(home: &Path, args: &[&str]) -> Ended {
    understudy(["ledger"].iter().chain(args)).env("UNDERSTUDY_HOME", home).run()
}

fn done(ended: Ended) -> String {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout
}

fn lines(home: &Path, args: &[&str]) -> Vec<Value> {
    let exported = done(ledger(home, &[&["export"], args].concat()));
    exported.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

/// A cascade that always escalates, and a request to its last rung alone.
async fn serve_some(home: &Path) {
    let (first, last) = (tiny_twin(home), tiny());
    let config = format!(
        "home = {home:?}\n[[ladder]]\nmodel = {first:?}\nthreshold = 1.0\n[[ladder]]\nmodel = {last:?}\n"
    );
    let mut server = Server::spawned(understudy(["serve", "--config", &written(home, "node.toml", config)]));
    let client = server.client().await;
    let cascade = GenerateRequest {
        request_id: "first".into(),
        task: "story".into(),
        model: String::new(),
        ..direct(&last, "a secret question", 8)
    };
    answered(&client, cascade).await;
    answered(&client, direct(&last, "another", 8)).await;
    let said = FeedbackRequest { request_id: "first".into(), ok: false, source: "user".into() };
    assert!(client.feedback(said, SOON).await.expect("a noted opinion").known);
    server.terminate();
    assert_eq!(server.ended(PATIENCE), Some(0));
}

#[tokio::test]
async fn what_a_node_noted_is_exported_summed_up_and_removed() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let home = home.path();
    let missing = ledger(home, &["stats"]);
    assert_eq!(missing.code, Some(3));
    assert!(missing.stderr.contains("LEDGER_UNAVAILABLE"), "{}", missing.stderr);

    serve_some(home).await;
    let all = lines(home, &[]);
    assert_eq!(all.len(), 2);
    let stories = lines(home, &["--task", "story", "--since", "1h"]);
    assert_eq!(stories.len(), 1);
    assert_eq!(
        (&stories[0]["request_id"], &stories[0]["feedback"][0]["ok"]),
        (&"first".into(), &false.into())
    );
    assert_eq!(stories[0]["ledger"]["decisions"][0]["kind"], "escalate");
    assert_eq!(
        stories[0]["ledger"]["candidates"].as_array().map(Vec::len),
        Some(2),
        "both rungs were judged"
    );
    assert!(stories[0].get("text").is_none() && stories[0].get("messages").is_none());

    let stats: Value =
        serde_json::from_str(&done(ledger(home, &["stats", "--json"]))).expect("a JSON object");
    let cascade = &stats["policies"][0];
    assert_eq!((cascade["policy"].as_str(), cascade["requests"].as_u64()), (Some("cascade"), Some(1)));
    assert_eq!((cascade["escalated"].as_f64(), cascade["wrong"].as_u64()), (Some(1.0), Some(1)));
    assert!(cascade["saved"].as_f64().expect("a known teacher") < 0.0, "two rungs read more than one");
    assert!(done(ledger(home, &["stats"])).contains("TEACHER TOKENS"));

    let doctor = understudy(["doctor", "--json"]).env("UNDERSTUDY_HOME", home).run().stdout;
    assert!(doctor.contains("2 requests"), "{doctor}");
    assert!(done(ledger(home, &["purge", "--before", "1h"])).starts_with("0 requests"));
    assert!(done(ledger(home, &["purge", "--all"])).starts_with("2 requests"));
    assert!(lines(home, &[]).is_empty());
    assert_eq!(ledger(home, &["purge"]).code, Some(2), "it says what to remove");
}
