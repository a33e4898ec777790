//! A call over HTTP: whose it is, its context, its body.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    body::{Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue},
    middleware::Next,
    response::Response,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use understudy_backend::RequestCtx;
use understudy_gateway::{Caller, Failure, Inference, codes, server::LARGEST_REQUEST_BYTES};

use understudy_proto::{
    names,
    v1::{EmbedRequest, EmbedResponse},
};

use crate::strict;

/// A call whose body has come in.
pub(crate) struct Call {
    headers: HeaderMap,
    /// Whose call it is.
    pub(crate) caller: Caller,
    /// Where its place in the trace is told.
    pub(crate) trace: Trace,
    body: Bytes,
}

impl Call {
    /// The node's door has waited for the body: all of it is here.
    ///
    /// # Errors
    /// `MESSAGE_TOO_LARGE`.
    pub(crate) async fn read(request: Request) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_default();
        let trace = parts.extensions.get::<Trace>().cloned().unwrap_or_default();
        let body = to_bytes(body, LARGEST_REQUEST_BYTES).await.map_err(|_| {
            let message = format!("a request may have {LARGEST_REQUEST_BYTES} bytes");
            Failure::new(codes::MESSAGE_TOO_LARGE, message).with("limit", LARGEST_REQUEST_BYTES)
        })?;
        Ok(Self { headers: parts.headers, caller, trace, body })
    }

    /// The body as JSON of this form.
    ///
    /// # Errors
    /// `REQUEST_INVALID` with the field.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        strict::body(&self.body)
    }

    /// The context of the `nth` request that the call comes to, from 0, which ends after `deadline_ms` if not before.
    ///
    /// # Errors
    /// `REQUEST_INVALID` for a malformed id, `PROTOCOL_TOO_NEW`.
    pub(crate) fn context(
        &self,
        inference: &Inference,
        nth: usize,
        deadline_ms: Option<u64>,
    ) -> Result<RequestCtx, Failure> {
        let mut ctx = inference.context(&self.headers, &self.caller)?;
        if nth > 0 {
            ctx.request_id.0 = format!("{}.{nth}", ctx.request_id.0);
        }
        if let Some(sooner) = deadline_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)))
        {
            ctx.deadline = Some(ctx.deadline.map_or(sooner, |deadline| deadline.min(sooner)));
        }
        Ok(ctx)
    }

    /// A text as a vector, as the `nth` request of the call.
    ///
    /// # Errors
    /// As [`context`](Self::context), and why there is none.
    pub(crate) async fn embed(
        &self,
        inference: &Inference,
        nth: usize,
        request: EmbedRequest,
    ) -> Result<EmbedResponse, Failure> {
        let mut ctx = self.context(inference, nth, None)?;
        let embedded = inference.embed(&mut ctx, request).await;
        self.trace.begun(ctx.traceparent.as_deref().unwrap_or_default());
        embedded
    }
}

/// The span of a call's first request that began, for the response's headers; empty until then.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace(Arc<OnceLock<HeaderValue>>);

impl Trace {
    /// A request of the call has begun, with this header of its own.
    pub(crate) fn begun(&self, traceparent: &str) {
        if let Ok(header) = HeaderValue::from_str(traceparent) {
            self.0.get_or_init(|| header);
        }
    }
}

/// A response to a call that has a span names it.
pub(crate) async fn tell_trace(mut request: Request, next: Next) -> Response {
    let trace = Trace::default();
    request.extensions_mut().insert(trace.clone());
    let mut response = next.run(request).await;
    if let Some(header) = trace.0.get() {
        response.headers_mut().insert(names::TRACEPARENT_METADATA, header.clone());
    }
    response
}
