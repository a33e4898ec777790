//! One request, from its admission to its end.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, SpanId};
use opentelemetry_sdk::trace::Span;
use understudy_backend::{Priority, RequestCtx};
use understudy_router::{AnswerEvent, AnswerRequest, Finished};

use crate::context::{parent, traceparent};
use crate::spans::{self, PROVIDER, Trace};
use crate::{Telemetry, Totals, record};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// An answer.
    Chat,
    /// A vector of a text.
    Embeddings,
    /// How likely texts are. The conventions have no word for it, as for the next.
    Score,
    /// A text as token ids.
    Tokenize,
}

impl Operation {
    /// The word in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
            Self::Score => "score",
            Self::Tokenize => "tokenize",
        }
    }
}

/// The word of a priority in labels.
pub(crate) fn word(priority: Priority) -> &'static str {
    match priority {
        Priority::Interactive => "interactive",
        Priority::Agent => "agent",
        Priority::Batch => "batch",
    }
}

/// Follows one request. Dropped before its end, it counts as abandoned.
pub struct Observation {
    telemetry: Telemetry,
    span: Span,
    traceparent: String,
    operation: Operation,
    request_model: Arc<str>,
    policy: Arc<str>,
    priority: &'static str,
    admitted: Instant,
    /// Before that, for its turn.
    waited: Duration,
    begun_at: SystemTime,
    ladder: Vec<String>,
    /// When decisions passed, in the ledger's order.
    decided: Vec<SystemTime>,
    over: bool,
}

impl Observation {
    /// From now on `ctx` names this request's span as the parent of whatever is asked for it.
    pub(crate) fn begin(
        telemetry: &Telemetry,
        ctx: &mut RequestCtx,
        operation: Operation,
        policy: Option<String>,
        model: Option<&str>,
        waited: Duration,
    ) -> Self {
        let inner = &telemetry.0;
        let policy = policy.map_or_else(
            || Arc::from(""),
            |policy| {
                inner.policies.know(&policy, 0);
                inner.policies.label(&policy)
            },
        );
        let request_model: Arc<str> = match model {
            Some(model) => inner.models.label(model),
            None => format!("understudy/{policy}").into(),
        };
        let parent = parent(ctx.traceparent.as_deref());
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", operation.as_str()),
            KeyValue::new("gen_ai.provider.name", PROVIDER),
            KeyValue::new("gen_ai.request.model", request_model.clone()),
            KeyValue::new("understudy.request_id", ctx.request_id.0.clone()),
            KeyValue::new("understudy.priority", word(ctx.priority)),
        ];
        if !ctx.tenant.is_empty() {
            attributes.push(KeyValue::new("understudy.tenant", ctx.tenant.clone()));
        }
        let begun_at = SystemTime::now() - waited;
        let builder = inner
            .tracer
            .span_builder(format!("{} {request_model}", operation.as_str()))
            .with_kind(SpanKind::Server)
            .with_start_time(begun_at)
            .with_attributes(attributes);
        let span = inner.tracer.build_with_context(builder, &parent);
        let own = traceparent(span.span_context());
        // A tracer that was shut down makes no ids.
        if span.span_context().span_id() != SpanId::INVALID {
            ctx.traceparent = Some(own.clone());
        }
        let observation = Self {
            telemetry: telemetry.clone(),
            span,
            traceparent: own,
            operation,
            request_model,
            policy,
            priority: word(ctx.priority),
            admitted: Instant::now(),
            waited,
            begun_at,
            ladder: Vec::new(),
            decided: Vec::new(),
            over: false,
        };
        inner.instruments.running.add(1, &observation.running());
        observation
    }

    /// What the span says of the request besides.
    pub(crate) fn asked(&mut self, request: &AnswerRequest) {
        if !self.span.is_recording() {
            return;
        }
        let sampler = &request.sampler;
        self.span.set_attributes([
            KeyValue::new("gen_ai.request.max_tokens", i64::from(request.max_tokens)),
            KeyValue::new("gen_ai.request.temperature", f64::from(sampler.temperature)),
            KeyValue::new("gen_ai.request.top_p", f64::from(sampler.top_p)),
            KeyValue::new("gen_ai.request.top_k", i64::from(sampler.top_k)),
            KeyValue::new("gen_ai.request.seed", i64::try_from(sampler.seed).unwrap_or(i64::MAX)),
            KeyValue::new("understudy.task", request.task.clone()),
        ]);
        if self.telemetry.0.content {
            let messages: serde_json::Value = request
                .messages
                .iter()
                .map(|turn| {
                    let part = serde_json::json!({"type": "text", "content": turn.content});
                    serde_json::json!({"role": turn.role, "parts": [part]})
                })
                .collect();
            self.span.set_attribute(KeyValue::new("gen_ai.input.messages", messages.to_string()));
        }
    }

    /// The header `traceparent` that names this request's span: for the answer, and for whoever is asked next.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// Looks at every event of an answer.
    pub fn follow(&mut self, event: &AnswerEvent) {
        match event {
            AnswerEvent::Started { ladder, .. } => self.ladder.clone_from(ladder),
            AnswerEvent::Decided(_) => self.decided.push(SystemTime::now()),
            AnswerEvent::Finished(end) => self.finish(end),
            // What else there is to know of an answer, its ledger says.
            _ => {}
        }
    }

    fn finish(&mut self, end: &Finished) {
        let inner = &self.telemetry.0;
        record::answer(inner, &self.policy, &self.ladder, end);
        record::pace(inner, &self.labels(&end.model), end, self.waited);
        if self.span.is_recording() {
            let content = inner.content;
            spans::ended(&mut self.span, end, content);
            for (at, decision) in end.ledger.decisions.iter().enumerate() {
                let taken = self.decided.get(at).copied().unwrap_or_else(SystemTime::now);
                let event = spans::decided(decision, taken, content);
                self.span.add_event_with_timestamp(event.name, event.timestamp, event.attributes);
            }
            let parent = Context::new().with_remote_span_context(self.span.span_context().clone());
            let begun = self.begun_at + self.waited;
            Trace { tracer: &inner.tracer, parent, begun, content }.children(end);
        }
        self.end(end.reason.as_str(), &end.model, None);
    }

    /// A call with a single answer is over: `model` has read `tokens`, if any.
    pub fn served(&mut self, model: &str, tokens: u32) {
        self.span.set_attribute(KeyValue::new("gen_ai.response.model", model.to_owned()));
        if tokens > 0 {
            let mut labels = self.labels(model);
            labels.push(KeyValue::new("gen_ai.token.type", "input"));
            self.telemetry.0.instruments.token_usage.record(u64::from(tokens), &labels);
            self.span.set_attribute(KeyValue::new("gen_ai.usage.input_tokens", i64::from(tokens)));
        }
        self.end("served", model, None);
    }

    /// The request ended with the error of this code.
    pub fn fail(&mut self, code: &'static str) {
        self.end(code, "", Some(code));
    }

    fn end(&mut self, outcome: &'static str, model: &str, error: Option<&'static str>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let inner = &self.telemetry.0;
        let mut labels = self.labels(model);
        labels.extend(error.map(|code| KeyValue::new("error.type", code)));
        let took = self.waited + self.admitted.elapsed();
        inner.instruments.request_duration.record(took.as_secs_f64(), &labels);
        inner.instruments.running.add(-1, &self.running());
        inner.totals.add(&Totals { requests: 1, ..Totals::default() });
        if self.operation == Operation::Chat {
            let labels = [KeyValue::new("policy", self.policy.clone()), KeyValue::new("outcome", outcome)];
            inner.instruments.requests.add(1, &labels);
        }
        if let Some(code) = error {
            self.span.set_attribute(KeyValue::new("error.type", code));
            self.span.set_status(Status::error(code));
        }
        self.span.end();
    }

    /// By the GenAI conventions. `model` is the one that answered, empty where none did.
    fn labels(&self, model: &str) -> Vec<KeyValue> {
        let mut labels = vec![
            KeyValue::new("gen_ai.operation.name", self.operation.as_str()),
            KeyValue::new("gen_ai.provider.name", PROVIDER),
            KeyValue::new("gen_ai.request.model", self.request_model.clone()),
        ];
        if !model.is_empty() {
            labels.push(KeyValue::new("gen_ai.response.model", self.telemetry.0.models.label(model)));
        }
        labels
    }

    fn running(&self) -> [KeyValue; 1] {
        [KeyValue::new("priority", self.priority)]
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.end("abandoned", "", Some("abandoned"));
    }
}
