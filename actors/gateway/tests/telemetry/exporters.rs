//! A collector that is away, or takes everything and answers nothing, costs no request anything.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use understudy_backend::RequestCtx;

use crate::answer;
use crate::common::{Harness, ask_small, start};

/// Spans of so many requests, two each, make more than one export.
const REQUESTS: usize = 300;

/// What a failing collector loses. That a full queue drops is tested beside it, in the telemetry crate.
const LOST: &str = r#"understudy_telemetry_lost_total{signal="traces",why="export_failed"}"#;

/// Asks one after another; how long nine of ten answers took at most, and the metrics once something is lost, if it will be.
async fn pace(settings: &str, fails: bool) -> (Duration, String) {
    let harness = start(settings).await;
    let mut took = Vec::new();
    for n in 0..REQUESTS {
        let begun = Instant::now();
        let end = answer(&harness.node, RequestCtx::new(format!("r{n}")), ask_small("2+2?")).await.unwrap();
        took.push(begun.elapsed());
        assert_eq!((end.text.as_str(), end.finish_reason.as_str()), ("4", "stop"));
    }
    let lost = |node: &Harness| !fails || count(&node.node.telemetry().metrics(), LOST) > 0.0;
    // An export to a peer that never answers is given up after 10 s.
    harness.within(Duration::from_secs(25), "losing something", lost).await;
    let metrics = harness.node.telemetry().metrics();
    let begun = Instant::now();
    assert_eq!(harness.node.drain().await, 0);
    assert!(begun.elapsed() < Duration::from_secs(5), "draining took {:?}", begun.elapsed());
    took.sort();
    // None waits for an export.
    assert!(took[REQUESTS - 1] < Duration::from_secs(5), "{:?}", took[REQUESTS - 1]);
    (took[REQUESTS * 9 / 10], metrics)
}

fn count(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with(series));
    line.unwrap_or_else(|| panic!("no {series}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_do_not_notice_a_collector_that_fails() {
    let (without, _) = pace("", false).await;

    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_at = silent.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = silent.accept().await {
            held.push(connection);
        }
    });
    for (protocol, address) in [("grpc", closed), ("http", closed), ("grpc", silent_at), ("http", silent_at)]
    {
        let settings =
            format!("[telemetry]\notlp_endpoint = \"http://{address}\"\notlp_protocol = {protocol:?}\n");
        let (with, metrics) = pace(&settings, true).await;
        assert!(
            with < without + Duration::from_millis(50),
            "{protocol} {address}: {with:?}, without a collector {without:?}"
        );
        let answered = r#"understudy_requests_total{outcome="stop",policy="direct"}"#;
        assert_eq!(count(&metrics, answered), REQUESTS as f64);
    }
}
