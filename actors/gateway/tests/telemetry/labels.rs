//! Callers cannot make series.

use understudy_backend::RequestCtx;
use understudy_proto::v1::{GenerateRequest, ScoreRequest};

use crate::answer;
use crate::common::{ask, start};

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_names_make_no_series() {
    let harness = start("").await;
    let series = || harness.node.telemetry().metrics().lines().filter(|line| !line.starts_with('#')).count();
    let mut after_a_few = 0;
    for n in 0..10_000 {
        let mut ctx = RequestCtx::new(format!("request-{n}"));
        ctx.tenant = format!("tenant-{n}");
        let task = format!("task-{n}");
        let request = match n % 2 {
            0 => GenerateRequest { model: format!("model-{n}"), task, ..ask("2+2?") },
            _ => GenerateRequest { task, ..ask("2+2?") },
        };
        if n % 100 == 0 {
            let scored = ScoreRequest { model: format!("model-{n}"), ids: vec![1, 2], ..Default::default() };
            let mut ctx = RequestCtx::new(format!("request-{n}"));
            assert!(harness.node.inference().score(&mut ctx, scored).await.is_err());
        }
        let end = answer(&harness.node, ctx, request).await;
        assert_eq!(end.map_err(|failure| failure.code.name).is_err(), n % 2 == 0);
        if n == 10 {
            after_a_few = series();
        }
    }
    let metrics = harness.node.telemetry().metrics();
    for word in ["model-", "tenant-", "task-", "request-"] {
        assert!(!metrics.contains(word), "{word} is in a label");
    }
    assert!(metrics.contains(r#"gen_ai_request_model="other""#), "unknown models are told as one");
    assert_eq!(series(), after_a_few);
    assert!(after_a_few > 50, "{after_a_few} series only: nothing was measured");
}
