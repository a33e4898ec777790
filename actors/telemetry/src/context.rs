//! W3C trace context: from a caller, and on to whoever is asked next.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::SpanContext;
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// The caller's place in a trace. A header that is none is as good as absent.
pub(crate) fn parent(traceparent: Option<&str>) -> Context {
    match traceparent {
        Some(header) => TraceContextPropagator::new().extract_with_context(&Context::new(), &Header(header)),
        None => Context::new(),
    }
}

/// The header that names a span as the parent of what comes next.
pub(crate) fn traceparent(span: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8() & 1)
}

struct Header<'a>(&'a str);

impl Extractor for Header<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TraceContextExt as _;

    use super::*;

    #[test]
    fn what_comes_in_goes_out_and_nonsense_does_not() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(parent(Some(header)).span().span_context()), header);
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        for nonsense in ["", "00", "00-xyz-00f067aa0ba902b7-01", zero, &header[..52]] {
            assert!(!parent(Some(nonsense)).span().span_context().is_valid(), "{nonsense}");
        }
    }
}
