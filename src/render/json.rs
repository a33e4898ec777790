//! `ask --json`: the contract's object.

use serde_json::{Value, json};
use understudy_proto::v1::{Decision, Finished, Ledger};

/// One answer as the contract describes it.
pub fn answer(finished: &Finished) -> Value {
    let usage = finished.usage.unwrap_or_default();
    let timing = finished.timing.unwrap_or_default();
    json!({
        "text": finished.text,
        "finish_reason": finished.finish_reason,
        "model": finished.model,
        "policy": finished.policy,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cached_prompt_tokens": usage.cached_prompt_tokens,
        },
        "timing": {
            "ttft_ms": timing.ttft_ms,
            "total_ms": timing.total_ms,
            "decode_tok_s": timing.decode_tok_s,
        },
        "numerics": finished.numerics,
        "ledger": ledger(&finished.ledger.clone().unwrap_or_default()),
    })
}

fn ledger(ledger: &Ledger) -> Value {
    let spans = ledger.spans.iter().map(|span| {
        json!({
            "author": span.author, "start": span.start, "end": span.end,
            "tokens": span.tokens, "why": span.why,
        })
    });
    let rungs = ledger.rungs.iter().map(|rung| {
        json!({
            "model": rung.model, "prompt_tokens": rung.prompt_tokens,
            "tokens_kept": rung.tokens_kept, "tokens_wasted": rung.tokens_wasted,
            "forward_passes": rung.forward_passes, "bytes_read": rung.bytes_read, "ms": rung.ms,
        })
    });
    json!({
        "spans": spans.collect::<Vec<_>>(),
        "rungs": rungs.collect::<Vec<_>>(),
        "drafted": ledger.drafted,
        "accepted": ledger.accepted,
        "forced": ledger.forced,
        "decisions": ledger.decisions.iter().map(decision).collect::<Vec<_>>(),
    })
}

fn decision(decision: &Decision) -> Value {
    let to = (!decision.to.is_empty()).then_some(&decision.to);
    json!({
        "kind": decision.kind, "from": decision.from, "to": to, "reason": decision.reason,
        "confidence": decision.confidence, "threshold": decision.threshold,
    })
}
