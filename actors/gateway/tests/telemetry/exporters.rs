//! A collector that is away, or takes everything and answers nothing, costs no request anything.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use understudy_backend::RequestCtx;

use crate::answer;
use crate::common::{Harness, ask_small, start};

/// Spans of so many requests are more than the queue holds and make more than one export.
const REQUESTS: usize = 2500;

/// Asks one after another; the longest that an answer took, and the metrics once `loss` is counted.
async fn slowest(settings: &str, loss: Option<&str>) -> (Duration, String) {
    let harness = start(settings).await;
    let mut slowest = Duration::ZERO;
    for n in 0..REQUESTS {
        let begun = Instant::now();
        let end = answer(&harness.node, RequestCtx::new(format!("r{n}")), ask_small("2+2?")).await.unwrap();
        slowest = slowest.max(begun.elapsed());
        assert_eq!((end.text.as_str(), end.finish_reason.as_str()), ("4", "stop"));
    }
    let lost = |node: &Harness| loss.is_none_or(|loss| count(&node.node.telemetry().metrics(), loss) > 0.0);
    harness.within(Duration::from_secs(15), "losing something", lost).await;
    let metrics = harness.node.telemetry().metrics();
    let begun = Instant::now();
    assert_eq!(harness.node.drain().await, 0);
    assert!(begun.elapsed() < Duration::from_secs(5), "draining took {:?}", begun.elapsed());
    (slowest, metrics)
}

fn count(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with(series));
    line.unwrap_or_else(|| panic!("no {series}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_do_not_notice_a_collector_that_fails() {
    let (without, _) = slowest("", None).await;

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
    for (protocol, address, loss) in [
        ("grpc", closed, r#"understudy_telemetry_lost_total{signal="traces",why="export_failed"}"#),
        ("http", closed, r#"understudy_telemetry_lost_total{signal="traces",why="export_failed"}"#),
        ("grpc", silent_at, r#"understudy_telemetry_lost_total{signal="traces",why="queue_full"}"#),
        ("http", silent_at, r#"understudy_telemetry_lost_total{signal="traces",why="queue_full"}"#),
    ] {
        let settings =
            format!("[telemetry]\notlp_endpoint = \"http://{address}\"\notlp_protocol = {protocol:?}\n");
        let (slowest, metrics) = slowest(&settings, Some(loss)).await;
        assert!(
            slowest < without + Duration::from_millis(250),
            "{protocol} {address}: {slowest:?}, without a collector {without:?}"
        );
        let answered = r#"understudy_requests_total{outcome="stop",policy="direct"}"#;
        assert_eq!(count(&metrics, answered), REQUESTS as f64);
    }
}
