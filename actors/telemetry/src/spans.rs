//! The trace of a request, made of its ledger when it ends: costs in spans are those of the account.
//!
//! ```text
//! chat MODEL                  server; usage, finish reason, decisions as events
//! ├─ chat RUNG                each rung that was asked: drafts, teacher, critic
//! └─ validate NAME            each validator that was run
//! ```

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Event, Span as _, SpanKind, Tracer as _};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use understudy_router::{CandidateRecord, Decision, Finished, RungCost};

use crate::labels::cause;

/// The provider of all models of a node, by the GenAI conventions.
pub(crate) const PROVIDER: &str = "understudy";

/// What the spans of one request have in common.
pub(crate) struct Trace<'a> {
    pub(crate) tracer: &'a SdkTracer,
    /// With the request's span.
    pub(crate) parent: Context,
    /// When the router began, which times of the ledger count from.
    pub(crate) begun: SystemTime,
    /// Whether texts may be told.
    pub(crate) content: bool,
}

impl Trace<'_> {
    /// The spans under the request's.
    pub(crate) fn children(&self, end: &Finished) {
        for rung in &end.ledger.rungs {
            self.rung(rung);
        }
        for candidate in &end.ledger.candidates {
            self.validators(candidate);
        }
    }

    fn rung(&self, rung: &RungCost) {
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", "chat"),
            KeyValue::new("gen_ai.provider.name", PROVIDER),
            KeyValue::new("gen_ai.request.model", rung.model.clone()),
            KeyValue::new("gen_ai.response.model", rung.model.clone()),
        ];
        let cost = &rung.cost;
        attributes.extend(
            [
                ("gen_ai.usage.input_tokens", u64::from(rung.prompt_tokens)),
                ("gen_ai.usage.output_tokens", u64::from(rung.tokens_kept + rung.tokens_wasted)),
                ("understudy.cached_prompt_tokens", u64::from(rung.cached_prompt_tokens)),
                ("understudy.tokens_kept", u64::from(rung.tokens_kept)),
                ("understudy.tokens_wasted", u64::from(rung.tokens_wasted)),
                ("understudy.tokens_drafted", u64::from(rung.tokens_drafted)),
                ("understudy.forward_passes", cost.forward_passes),
                ("understudy.row_steps", cost.prefill_rows + cost.decode_rows),
                ("understudy.bytes_read", cost.bytes_read),
                ("understudy.compute_us", cost.compute_us),
            ]
            .map(|(key, count)| KeyValue::new(key, whole(count))),
        );
        self.child(format!("chat {}", rung.model), rung.asked_ms, rung.heard_ms, attributes);
    }

    /// Validators run one after another, and the last ends when the candidate is judged.
    fn validators(&self, candidate: &CandidateRecord) {
        let mut at = candidate.judged_ms - candidate.validators.iter().map(|found| found.ms).sum::<f64>();
        for found in &candidate.validators {
            let mut attributes = vec![
                KeyValue::new("understudy.validator", found.name.clone()),
                KeyValue::new("understudy.verdict", found.verdict.as_str()),
                KeyValue::new("gen_ai.response.model", candidate.model.clone()),
            ];
            if self.content {
                attributes.push(KeyValue::new("understudy.detail", found.detail.clone()));
            }
            self.child(format!("validate {}", found.name), at, at + found.ms, attributes);
            at += found.ms;
        }
    }

    /// A span from and to so many milliseconds after the request.
    fn child(&self, name: String, from_ms: f64, to_ms: f64, attributes: Vec<KeyValue>) {
        let at = |ms: f64| self.begun + Duration::from_secs_f64(ms.max(0.0) / 1e3);
        let builder = self
            .tracer
            .span_builder(name)
            .with_kind(SpanKind::Internal)
            .with_start_time(at(from_ms))
            .with_attributes(attributes);
        self.tracer.build_with_context(builder, &self.parent).end_with_timestamp(at(to_ms));
    }
}

/// What the request's own span says of the end.
pub(crate) fn ended(span: &mut Span, end: &Finished, content: bool) {
    span.set_attributes([
        KeyValue::new("gen_ai.response.model", end.model.clone()),
        KeyValue::new("gen_ai.response.finish_reasons", words([end.reason.as_str()])),
        KeyValue::new("gen_ai.usage.input_tokens", i64::from(end.prompt_tokens)),
        KeyValue::new("gen_ai.usage.output_tokens", i64::from(end.completion_tokens)),
        KeyValue::new("gen_ai.usage.cache_read.input_tokens", i64::from(end.cached_prompt_tokens)),
        KeyValue::new("understudy.policy", end.policy.clone()),
        KeyValue::new("understudy.numerics", end.numerics.clone()),
        KeyValue::new("understudy.drafted", i64::from(end.ledger.drafted)),
        KeyValue::new("understudy.accepted", i64::from(end.ledger.accepted)),
        KeyValue::new("understudy.forced", i64::from(end.ledger.forced)),
        KeyValue::new("understudy.ttft_ms", end.ttft_ms),
    ]);
    if content {
        let answer = serde_json::json!([{
            "role": "assistant",
            "parts": [{"type": "text", "content": end.text}],
            "finish_reason": end.reason.as_str(),
        }]);
        span.set_attribute(KeyValue::new("gen_ai.output.messages", answer.to_string()));
    }
}

/// A decision, when it was taken. Its reason may quote, so it counts as content.
pub(crate) fn decided(decision: &Decision, at: SystemTime, content: bool) -> Event {
    let mut attributes = vec![
        KeyValue::new("understudy.decision", decision.kind.as_str()),
        KeyValue::new("understudy.cause", cause(decision)),
        KeyValue::new("understudy.from", decision.from.clone()),
    ];
    attributes.extend(decision.to.clone().map(|to| KeyValue::new("understudy.to", to)));
    let number = |key: &'static str, value: f32| KeyValue::new(key, f64::from(value));
    attributes.extend(decision.confidence.map(|value| number("understudy.confidence", value)));
    attributes.extend(decision.threshold.map(|value| number("understudy.threshold", value)));
    if content {
        attributes.push(KeyValue::new("understudy.reason", decision.reason.clone()));
    }
    Event::new("understudy.decision", at, attributes, 0)
}

/// OpenTelemetry has no unsigned numbers.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn words<const N: usize>(words: [&'static str; N]) -> Value {
    Value::Array(Array::String(words.map(StringValue::from).to_vec()))
}
