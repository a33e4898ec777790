//! Our own events and accounts as JSON, with the names of `ask --json`.

use serde_json::{Value, json};
use understudy_proto::v1::{
    Decision, DeltaOrigin, Finished, Ledger, ModelStatus, Usage, Validated, Validation, generate_event::Event,
};

/// An event, for whoever wants to see how an answer comes about; `None` for what has no place there.
pub(crate) fn event(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Started(started) => json!({
            "type": "started", "request_id": started.request_id, "policy": started.policy, "ladder": started.ladder,
        }),
        Event::Loading(loading) => json!({
            "type": "loading", "model": loading.model, "source": loading.source,
            "done_bytes": loading.done_bytes, "total_bytes": loading.total_bytes,
        }),
        Event::Segment(segment) => json!({
            "type": "segment", "author": segment.author, "start": segment.start, "why": segment.why,
        }),
        Event::Delta(delta) => json!({
            "type": "delta", "model": delta.model, "text": delta.text, "tokens": delta.tokens,
            "origin": origin(delta.origin()),
        }),
        Event::Drafted(drafted) => json!({
            "type": "drafted", "drafter": drafted.drafter, "target": drafted.target,
            "drafted": drafted.drafted, "accepted": drafted.accepted,
        }),
        Event::Validated(Validated { model, validation }) => {
            let Validation { name, verdict, detail, ms } = validation.as_ref()?;
            json!({
                "type": "validated", "model": model, "name": name, "verdict": verdict, "detail": detail, "ms": ms,
            })
        }
        Event::Decided(decided) => decided_event(decided),
        Event::Escalated(escalated) => decided_event(escalated.decision.as_ref()?),
        Event::Retracted(retracted) => json!({
            "type": "retracted", "bytes": retracted.bytes, "model": retracted.model, "reason": retracted.reason,
        }),
        Event::Finished(finished) => {
            let mut told = answer(finished, true);
            told["type"] = "finished".into();
            told["text"] = finished.text.clone().into();
            told["usage"] = usage(&finished.usage.unwrap_or_default());
            told
        }
        Event::Partial(_) => return None,
    })
}

fn origin(origin: DeltaOrigin) -> &'static str {
    match origin {
        DeltaOrigin::Unspecified => "written",
        DeltaOrigin::Forced => "forced",
        DeltaOrigin::Accepted => "accepted",
    }
}

fn decided_event(decided: &Decision) -> Value {
    let mut told = decision(decided);
    told["type"] = "decided".into();
    told
}

/// Who answered and why; `whole` with everything that it took.
pub(crate) fn answer(finished: &Finished, whole: bool) -> Value {
    let account = finished.ledger.clone().unwrap_or_default();
    let mut told = json!({
        "model": finished.model,
        "policy": finished.policy,
        "finish_reason": finished.finish_reason,
        "ledger": {"decisions": account.decisions.iter().map(decision).collect::<Vec<_>>()},
    });
    if whole {
        let timing = finished.timing.unwrap_or_default();
        told["numerics"] = finished.numerics.clone().into();
        told["timing"] = json!({
            "ttft_ms": timing.ttft_ms, "total_ms": timing.total_ms, "decode_tok_s": timing.decode_tok_s,
        });
        told["ledger"] = ledger(&account);
    }
    told
}

fn usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_prompt_tokens": usage.cached_prompt_tokens,
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
    })
}

fn decision(decision: &Decision) -> Value {
    let to = (!decision.to.is_empty()).then_some(&decision.to);
    json!({
        "kind": decision.kind, "from": decision.from, "to": to, "reason": decision.reason,
        "confidence": decision.confidence, "threshold": decision.threshold,
    })
}

/// A model as the node sees it.
pub(crate) fn model(status: &ModelStatus) -> Value {
    let gates = status
        .gates
        .iter()
        .map(|gate| json!({"kernel": gate.kernel, "state": gate.state, "detail": gate.detail}));
    json!({
        "model": status.model, "state": status.state, "detail": status.detail, "active": status.active,
        "waiting": status.waiting, "decode_tok_s": status.decode_tok_s, "bytes": status.bytes,
        "numerics": status.numerics, "context": status.context, "restarts": status.restarts,
        "done_bytes": status.done_bytes, "gates": gates.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_told_in_one_piece() {
        let found =
            Validation { name: "sql".into(), verdict: "fail".into(), detail: "no rows".into(), ms: 12.5 };
        let told = event(&Event::Validated(Validated { model: "m".into(), validation: Some(found) }));
        let expected = json!({
            "type": "validated", "model": "m", "name": "sql", "verdict": "fail", "detail": "no rows", "ms": 12.5,
        });
        assert_eq!(told, Some(expected));
    }
}
