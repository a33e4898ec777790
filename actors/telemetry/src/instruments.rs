//! The instruments that requests feed. Those of models and engines are in [`figures`](crate::figures).
//!
//! Names and units are OpenTelemetry's; `/metrics` shows them in Prometheus' form: dots become underscores, units
//! and `_total` are appended.

use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};

/// Advised by the GenAI conventions, in seconds.
const REQUEST_SECONDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKEN_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const PER_TOKEN_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
/// Advised up to 64 million; a context of this node's models ends far below.
const TOKENS: &[f64] = &[1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0];
/// A fast model makes a token in less than the 10 ms with which the conventions begin.
const SMALL_SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005];
const WAIT_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const SHARES: &[f64] = &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0];

/// All of them. Cheap to record: nothing is done per token.
pub(crate) struct Instruments {
    pub(crate) request_duration: Histogram<f64>,
    pub(crate) time_to_first_token: Histogram<f64>,
    pub(crate) time_per_output_token: Histogram<f64>,
    pub(crate) token_usage: Histogram<u64>,
    pub(crate) requests: Counter<u64>,
    pub(crate) refusals: Counter<u64>,
    pub(crate) running: UpDownCounter<i64>,
    pub(crate) waiting: UpDownCounter<i64>,
    pub(crate) queue_wait: Histogram<f64>,
    pub(crate) decisions: Counter<u64>,
    pub(crate) tokens: Counter<u64>,
    pub(crate) teacher_tokens: Counter<u64>,
    pub(crate) wasted_tokens: Counter<u64>,
    pub(crate) forced_tokens: Counter<u64>,
    pub(crate) drafted_tokens: Counter<u64>,
    pub(crate) accepted_tokens: Counter<u64>,
    pub(crate) confidence: Histogram<f64>,
    pub(crate) validator_results: Counter<u64>,
    pub(crate) validator_duration: Histogram<f64>,
    pub(crate) bytes_read: Counter<u64>,
    pub(crate) teacher_alone_bytes: Counter<u64>,
}

impl Instruments {
    pub(crate) fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, unit: &'static str, about: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(about).build()
        };
        let gauge = |name: &'static str, about: &'static str| {
            meter.i64_up_down_counter(name).with_unit("{request}").with_description(about).build()
        };
        let seconds = |name: &'static str, buckets: &[f64], about: &'static str| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(about);
            histogram.with_boundaries(buckets.to_vec()).build()
        };
        Self {
            request_duration: seconds(
                "gen_ai.server.request.duration",
                REQUEST_SECONDS,
                "Time from a request to the end of its answer.",
            ),
            time_to_first_token: seconds(
                "gen_ai.server.time_to_first_token",
                FIRST_TOKEN_SECONDS,
                "Time from a request to the first text of its answer.",
            ),
            time_per_output_token: seconds(
                "gen_ai.server.time_per_output_token",
                &[SMALL_SECONDS, PER_TOKEN_SECONDS].concat(),
                "Time per token of an answer after the first text.",
            ),
            token_usage: meter
                .u64_histogram("gen_ai.client.token.usage")
                .with_unit("{token}")
                .with_description("Tokens of prompts and of answers.")
                .with_boundaries(TOKENS.to_vec())
                .build(),
            requests: counter(
                "understudy.requests",
                "{request}",
                "Requests that ended, by how: a finish reason, an error code, or abandoned.",
            ),
            refusals: counter("understudy.refusals", "{request}", "Requests refused, by error code."),
            running: gauge("understudy.requests.running", "Requests being answered."),
            waiting: gauge("understudy.requests.waiting", "Requests that wait for their turn."),
            queue_wait: seconds(
                "understudy.queue.wait",
                WAIT_SECONDS,
                "Time that requests waited for their turn.",
            ),
            decisions: counter(
                "understudy.cascade.decisions",
                "{decision}",
                "Decisions of policies, by model, successor and cause.",
            ),
            tokens: counter("understudy.tokens", "{token}", "Tokens of answers, by author."),
            teacher_tokens: counter(
                "understudy.teacher.tokens",
                "{token}",
                "Tokens that teachers wrote, kept or not. A teacher is the last of several rungs.",
            ),
            wasted_tokens: counter(
                "understudy.wasted.tokens",
                "{token}",
                "Tokens thrown away: refused drafts, and text that did not stay.",
            ),
            forced_tokens: counter(
                "understudy.forced.tokens",
                "{token}",
                "Tokens that a constraint left no choice about.",
            ),
            drafted_tokens: counter(
                "understudy.drafted.tokens",
                "{token}",
                "Tokens drafted for verification.",
            ),
            accepted_tokens: counter("understudy.accepted.tokens", "{token}", "Drafted tokens that stood."),
            confidence: meter
                .f64_histogram("understudy.confidence")
                .with_description("Confidence in complete answers, before anything was decided on it.")
                .with_boundaries(SHARES.to_vec())
                .build(),
            validator_results: counter("understudy.validator.results", "{result}", "What validators found."),
            validator_duration: seconds(
                "understudy.validator.duration",
                WAIT_SECONDS,
                "Time that validators took.",
            ),
            bytes_read: counter(
                "understudy.read",
                "By",
                "Bytes of weights and KV read for answers, by model; a pass is split over its rows.",
            ),
            teacher_alone_bytes: counter(
                "understudy.teacher.alone",
                "By",
                "Bytes that the teacher would have read for the same answers alone, estimated.",
            ),
        }
    }
}
