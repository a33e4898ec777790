//! The first passes of an engine: the weights come into memory, and it learns what drafts will cost.

use std::time::Duration;

use tokio::time::Instant;
use understudy_backend::{Backend, BackendError, OpenRequest, RequestCtx, RunEvent, SeqId};
use understudy_engine::verbs::{
    Acceptance, Draft, RunSpec, SamplerSpec, SignalMode, StopWhen, TokenId, VerifySpec,
};

use crate::local_backend::LocalBackend;

/// Rows of the passes to measure, the most telling first; those between are on a line between them.
const ROWS: [usize; 5] = [1, 8, 4, 16, 2];
/// Time for it. A pass that would go beyond is left out, so a large model measures fewer.
const MEASURING: Duration = Duration::from_millis(300);

/// One token in, one token or embedding out; then passes that a speculating request may make.
pub(super) async fn first_passes(backend: &LocalBackend, limit: Duration) -> Result<(), BackendError> {
    let ctx = RequestCtx::new("warm-up").with_timeout(limit);
    let prompt =
        backend.codec().encode_text("a").ok().filter(|ids| !ids.is_empty()).unwrap_or_else(|| vec![0]);
    if !backend.card().generates {
        return backend.embed(&ctx, prompt).await.map(drop);
    }
    let (at, token) = (prompt.len(), prompt.last().copied().unwrap_or_default());
    let opened =
        backend.open(&ctx, OpenRequest { prompt, sampler: SamplerSpec::default(), gate: None }).await?;
    let spec = RunSpec { max_tokens: 1, stop_when: StopWhen::default(), signals: SignalMode::None };
    let mut run = backend.run(&ctx, opened.seq, at, spec).await?;
    while let RunEvent::Step(_) = run.next(&ctx).await? {}
    let measured = measure(backend, &ctx, opened.seq, at, token).await;
    backend.close(opened.seq);
    match measured {
        // It answers; what drafts cost it will show.
        Err(BackendError::Engine(error)) => {
            tracing::debug!(model = backend.card().name, %error, "the cost of drafts was not measured");
            Ok(())
        }
        measured => measured,
    }
}

/// Checks drafts of one token over and over. The engine notes what its passes take.
async fn measure(
    backend: &LocalBackend,
    ctx: &RequestCtx,
    seq: SeqId,
    at: usize,
    token: TokenId,
) -> Result<(), BackendError> {
    let began = Instant::now();
    let mut single = Duration::ZERO;
    for rows in ROWS {
        // So far no model took more than this for so many rows: docs/performance.md.
        let expected = single.mul_f64(1.0 + rows as f64 / 8.0);
        if began.elapsed() + expected > MEASURING {
            continue;
        }
        backend.truncate(ctx, seq, at).await?;
        let spec = VerifySpec {
            draft: Draft::certain(vec![token; rows - 1]),
            acceptance: Acceptance::Exact,
            most: rows as u32,
            signals: SignalMode::None,
        };
        let asked = Instant::now();
        backend.verify(ctx, seq, at, spec).await?;
        if rows == 1 {
            single = asked.elapsed();
        }
    }
    Ok(())
}
