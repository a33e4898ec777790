//! An answer's account as metrics.

use std::time::Duration;

use opentelemetry::KeyValue;
use understudy_router::{Finished, RungCost};

use crate::labels::cause;
use crate::telemetry::Inner;
use crate::totals::Totals;

/// Times and tokens as a caller sees them, under the labels of the conventions. The ledger's times begin after the
/// request has `waited` for its turn.
pub(crate) fn pace(inner: &Inner, labels: &[KeyValue], end: &Finished, waited: Duration) {
    let instruments = &inner.instruments;
    for (kind, tokens) in [("input", end.prompt_tokens), ("output", end.completion_tokens)] {
        let labels = [labels, &[KeyValue::new("gen_ai.token.type", kind)]].concat();
        instruments.token_usage.record(u64::from(tokens), &labels);
    }
    if end.completion_tokens > 0 {
        instruments.time_to_first_token.record(waited.as_secs_f64() + end.ttft_ms / 1e3, labels);
    }
    if end.completion_tokens > 1 {
        let rest = (end.total_ms - end.ttft_ms).max(0.0) / 1e3;
        instruments.time_per_output_token.record(rest / f64::from(end.completion_tokens - 1), labels);
    }
}

/// Who wrote what, at which cost, and why.
pub(crate) fn answer(inner: &Inner, policy: &str, ladder: &[String], end: &Finished) {
    let ledger = &end.ledger;
    let worked = |rung: &&RungCost| rung.cost.forward_passes > 0 || rung.tokens_kept > 0;
    ledger.rungs.iter().filter(worked).for_each(|rung| inner.models.know(&rung.model, 0));

    let instruments = &inner.instruments;
    let model = |name: &str| inner.models.label(name);
    let mut totals = Totals { tokens: u64::from(end.completion_tokens), ..Totals::default() };
    let teacher = ladder.last().filter(|_| ladder.len() > 1);
    for rung in &ledger.rungs {
        instruments.tokens.add(u64::from(rung.tokens_kept), &[KeyValue::new("author", model(&rung.model))]);
        instruments.bytes_read.add(rung.cost.bytes_read, &[KeyValue::new("model", model(&rung.model))]);
        let discarded = rung.tokens_wasted.saturating_sub(rung.drafts_refused);
        for (kind, tokens) in [("refused_draft", rung.drafts_refused), ("discarded_text", discarded)] {
            instruments.wasted_tokens.add(u64::from(tokens), &[KeyValue::new("kind", kind)]);
        }
        totals.wasted_tokens += u64::from(rung.tokens_wasted);
        totals.bytes_read += rung.cost.bytes_read;
        if teacher == Some(&rung.model) {
            totals.teacher_tokens += u64::from(rung.tokens_kept + rung.tokens_wasted);
        }
    }
    let size = teacher.and_then(|teacher| inner.models.bytes(teacher));
    totals.bytes_teacher_alone = size.map_or(totals.bytes_read, |size| size * (totals.tokens + 1));
    instruments.teacher_tokens.add(totals.teacher_tokens, &[]);
    instruments.teacher_alone_bytes.add(totals.bytes_teacher_alone, &[]);
    instruments.forced_tokens.add(u64::from(ledger.forced), &[]);
    instruments.drafted_tokens.add(u64::from(ledger.drafted), &[]);
    instruments.accepted_tokens.add(u64::from(ledger.accepted), &[]);
    judged(inner, policy, end);
    inner.totals.add(&totals);
}

fn judged(inner: &Inner, policy: &str, end: &Finished) {
    let instruments = &inner.instruments;
    for decision in &end.ledger.decisions {
        let to = decision.to.as_deref().map_or_else(|| "".into(), |to| inner.models.label(to));
        let labels = [
            KeyValue::new("policy", std::sync::Arc::<str>::from(policy)),
            KeyValue::new("from", inner.models.label(&decision.from)),
            KeyValue::new("to", to),
            KeyValue::new("reason", cause(decision)),
        ];
        instruments.decisions.add(1, &labels);
    }
    for candidate in &end.ledger.candidates {
        if let Some(confidence) = candidate.confidence {
            let model = KeyValue::new("model", inner.models.label(&candidate.model));
            instruments.confidence.record(f64::from(confidence), &[model]);
        }
        for found in &candidate.validators {
            let validator = KeyValue::new("validator", found.name.clone());
            let verdict = KeyValue::new("verdict", found.verdict.as_str());
            instruments.validator_duration.record(found.ms / 1e3, std::slice::from_ref(&validator));
            instruments.validator_results.add(1, &[validator, verdict]);
        }
    }
}
