//! An answer's usage, timing and ledger as the JSON that scripts rely on: one spelling for
//! every program that prints or stores them.

use serde_json::{Value, json};
use understudy_proto::v1::{Candidate, Decision, Finished, Ledger, Timing, Usage};

/// Tokens of the prompt and of the text.
pub fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_prompt_tokens": usage.cached_prompt_tokens,
    })
}

/// Milliseconds, and tokens per second.
pub fn timing(timing: Timing) -> Value {
    json!({
        "ttft_ms": timing.ttft_ms,
        "total_ms": timing.total_ms,
        "decode_tok_s": timing.decode_tok_s,
    })
}

/// Who wrote what, at which cost, and why.
pub fn ledger(ledger: &Ledger) -> Value {
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
            "tokens_drafted": rung.tokens_drafted, "row_steps": rung.row_steps,
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
        "candidates": ledger.candidates.iter().map(candidate).collect::<Vec<_>>(),
    })
}

/// A whole answer: the object of `ask --json`.
pub fn answer(finished: &Finished) -> Value {
    json!({
        "text": finished.text,
        "finish_reason": finished.finish_reason,
        "model": finished.model,
        "policy": finished.policy,
        "usage": usage(finished.usage.unwrap_or_default()),
        "timing": timing(finished.timing.unwrap_or_default()),
        "numerics": finished.numerics,
        "ledger": ledger(&finished.ledger.clone().unwrap_or_default()),
    })
}

fn decision(decision: &Decision) -> Value {
    let to = (!decision.to.is_empty()).then_some(&decision.to);
    json!({
        "kind": decision.kind, "from": decision.from, "to": to, "reason": decision.reason,
        "confidence": decision.confidence, "threshold": decision.threshold,
    })
}

fn candidate(candidate: &Candidate) -> Value {
    // By name, so that equal evidence is equal text.
    let evidence: std::collections::BTreeMap<_, _> = candidate.evidence.iter().collect();
    let validators = candidate.validators.iter().map(
        |found| json!({"name": found.name, "verdict": found.verdict, "detail": found.detail, "ms": found.ms}),
    );
    json!({
        "model": candidate.model, "chosen": candidate.chosen, "confidence": candidate.confidence,
        "evidence": evidence, "outcome": candidate.outcome, "validators": validators.collect::<Vec<_>>(),
    })
}
