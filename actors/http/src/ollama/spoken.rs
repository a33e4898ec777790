//! What answers share: lines of JSON, and how they end.

use std::time::Duration;

use axum::{
    Json,
    body::{Body, Bytes},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use futures::stream;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use understudy_gateway::Failure;
use understudy_proto::v1::Finished;

use super::error;
use crate::{
    openai::finish_reason,
    telling::{CallTold, Said, Telling},
};

/// The form in which an endpoint says things: what to put into an object besides who speaks and when.
pub(super) trait Form: Send + 'static {
    /// Of more text.
    fn text(&self, text: &str) -> Value;

    /// Of whole calls.
    fn calls(&self, calls: &[CallTold]) -> Value;
}

/// The answer as lines that come, or as one object.
///
/// # Errors
/// Why there is none; once lines are sent, the last one tells it.
pub(super) async fn respond(
    mut telling: Telling,
    model: String,
    form: impl Form,
    streams: bool,
) -> Result<Response, Failure> {
    if !streams {
        let told = telling.whole().await?;
        let mut whole = form.text(&told.text);
        if !told.calls.is_empty() {
            merge(&mut whole, form.calls(&told.calls));
        }
        merge(&mut whole, end(&told.finished));
        return Ok(Json(stamped(whole, &model)).into_response());
    }
    telling.settle().await?;
    let lines = Lines { telling, model, form, calls: Vec::new() };
    let lines = stream::unfold(lines, async |mut lines| {
        lines.next().await.map(|line| (Ok::<_, std::convert::Infallible>(line), lines))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// An answer, line by line.
struct Lines<F> {
    telling: Telling,
    model: String,
    form: F,
    /// Calls are told when they are whole.
    calls: Vec<CallTold>,
}

impl<F: Form> Lines<F> {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let line = match self.telling.next().await? {
                Ok(Said::Text(piece)) if !piece.text.is_empty() => self.form.text(&piece.text),
                Ok(Said::Call { name, .. }) => {
                    self.calls.push(CallTold { name, ..CallTold::default() });
                    continue;
                }
                Ok(Said::Arguments { json, .. }) => {
                    self.calls.iter_mut().last().into_iter().for_each(|call| call.arguments.push_str(&json));
                    continue;
                }
                Ok(Said::End(finished)) => {
                    let mut last = self.form.text("");
                    if !self.calls.is_empty() {
                        merge(&mut last, self.form.calls(&self.calls));
                    }
                    merge(&mut last, end(&finished));
                    last
                }
                Ok(Said::Text(_) | Said::Event(_)) => continue,
                Err(failure) => return Some(written(&error::body(&failure))),
            };
            return Some(written(&stamped(line, &self.model)));
        }
    }
}

fn written(line: &Value) -> Bytes {
    format!("{line}\n").into()
}

/// With who speaks and when; not the end unless it says so.
pub(super) fn stamped(said: Value, model: &str) -> Value {
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    let mut line = json!({"model": model, "created_at": now});
    merge(&mut line, said);
    if line["done"].is_null() {
        line["done"] = false.into();
    }
    line
}

/// How an answer ended, with times in nanoseconds and who answered.
fn end(finished: &Finished) -> Value {
    let (usage, timing) = (finished.usage.unwrap_or_default(), finished.timing.unwrap_or_default());
    let nanoseconds = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default().as_nanos() as u64;
    json!({
        "done": true,
        "done_reason": if finish_reason(finished) == "length" { "length" } else { "stop" },
        "total_duration": nanoseconds(timing.total_ms),
        "load_duration": 0,
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_eval_duration": nanoseconds(timing.ttft_ms),
        "eval_count": usage.completion_tokens,
        "eval_duration": nanoseconds(timing.total_ms - timing.ttft_ms),
        "understudy": crate::native::answer(finished, false),
    })
}

/// Adds members; an object within both is one of both.
pub(super) fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}
