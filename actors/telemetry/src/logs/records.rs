//! Lines of the log as OpenTelemetry records.

use std::fmt::{Debug, Write as _};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, Severity};
use opentelemetry::{Key, SpanId, TraceId};
use opentelemetry_sdk::logs::SdkLogger;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, span};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Where records go, while a node exports its log.
pub(super) static LOGGER: ArcSwapOption<SdkLogger> = ArcSwapOption::const_empty();

/// What carries exports: its lines about an export would cause the next one.
const CARRIERS: [&str; 6] = ["opentelemetry", "tonic", "h2", "hyper", "tower", "ureq"];

/// Sends each line on, with the request that it is about.
pub(super) struct Records;

/// Which request a span is about.
#[derive(Default, Clone)]
struct About {
    request_id: String,
    trace_id: String,
    span_id: String,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Records {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, ctx: Context<'_, S>) {
        if attributes.metadata().name() != "request" {
            return;
        }
        let mut about = About::default();
        attributes.record(&mut about);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(about);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let target = event.metadata().target();
        let Some(logger) = LOGGER.load_full() else { return };
        if CARRIERS.iter().any(|carrier| target.starts_with(carrier)) {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let mut record = logger.create_log_record();
        record.set_timestamp(SystemTime::now());
        record.set_target(target);
        let (number, text) = severity(*event.metadata().level());
        record.set_severity_number(number);
        record.set_severity_text(text);
        record.set_body(said.message.into());
        record.add_attributes(said.fields);
        let about = ctx
            .event_scope(event)
            .and_then(|spans| spans.into_iter().find_map(|span| span.extensions().get::<About>().cloned()));
        if let Some(About { request_id, trace_id, span_id }) = about {
            record.add_attribute("request_id", request_id);
            if let (Ok(trace), Ok(span)) = (TraceId::from_hex(&trace_id), SpanId::from_hex(&span_id)) {
                record.set_trace_context(trace, span, None);
            }
        }
        logger.emit(record);
    }
}

impl Visit for About {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "trace_id" => self.trace_id = value.to_owned(),
            "span_id" => self.span_id = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "request_id" {
            self.request_id = format!("{value:?}");
        }
    }
}

/// A line's message and fields.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(Key, AnyValue)>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            // Writing to a string cannot fail.
            "message" => _ = write!(self.message, "{value:?}"),
            name => self.fields.push((name.into(), format!("{value:?}").into())),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name().into(), value.to_owned().into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name().into(), value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.push((field.name().into(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name().into(), value.into()));
    }
}

fn severity(level: Level) -> (Severity, &'static str) {
    match level {
        Level::ERROR => (Severity::Error, "ERROR"),
        Level::WARN => (Severity::Warn, "WARN"),
        Level::INFO => (Severity::Info, "INFO"),
        Level::DEBUG => (Severity::Debug, "DEBUG"),
        Level::TRACE => (Severity::Trace, "TRACE"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry::logs::LoggerProvider as _;
    use opentelemetry_sdk::logs::SdkLoggerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;
    use understudy_backend::RequestCtx;

    use super::*;

    /// Keeps what it is given.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<std::sync::Mutex<Vec<opentelemetry_sdk::logs::SdkLogRecord>>>);

    impl opentelemetry_sdk::logs::LogProcessor for Kept {
        fn emit(
            &self,
            record: &mut opentelemetry_sdk::logs::SdkLogRecord,
            _: &opentelemetry::InstrumentationScope,
        ) {
            self.0.lock().unwrap().push(record.clone());
        }

        fn force_flush(&self) -> opentelemetry_sdk::error::OTelSdkResult {
            Ok(())
        }
    }

    #[test]
    fn a_line_about_a_request_names_it_and_its_trace() {
        let kept = Kept::default();
        let provider = SdkLoggerProvider::builder().with_log_processor(kept.clone()).build();
        LOGGER.store(Some(Arc::new(provider.logger("test"))));
        let mut ctx = RequestCtx::new("r7");
        ctx.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Records), || {
            ctx.log_span().in_scope(|| tracing::warn!(model = "small", tokens = 3_i64, "a line"));
            tracing::warn!(target: "h2::client", "a carrier's");
        });
        LOGGER.store(None);
        let kept = kept.0.lock().unwrap();
        assert_eq!(kept.len(), 1, "carriers' lines are left out");
        let trace = kept[0].trace_context().unwrap();
        assert_eq!(trace.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(kept[0].body(), Some(&AnyValue::from("a line")));
        let has = |key: &'static str, value: AnyValue| {
            kept[0].attributes_iter().any(|(name, found)| name.as_str() == key && *found == value)
        };
        assert!(has("request_id", "r7".into()) && has("model", "small".into()) && has("tokens", 3.into()));
    }
}
