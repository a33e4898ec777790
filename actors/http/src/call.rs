//! A call over HTTP: whose it is, its context, its body.

use std::time::Duration;

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

use crate::{ids, strict};

/// Names a request, in both directions.
const REQUEST_ID: &str = "x-request-id";

/// A call whose body has come in.
pub(crate) struct Call {
    headers: HeaderMap,
    /// Whose call it is.
    pub(crate) caller: Caller,
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
        let body = to_bytes(body, LARGEST_REQUEST_BYTES).await.map_err(|_| {
            let message = format!("a request may have {LARGEST_REQUEST_BYTES} bytes");
            Failure::new(codes::MESSAGE_TOO_LARGE, message).with("limit", LARGEST_REQUEST_BYTES)
        })?;
        Ok(Self { headers: parts.headers, caller, body })
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
}

/// Every response names its request: as the caller did, or as we do.
pub(crate) async fn name_request(mut request: Request, next: Next) -> Response {
    let id = request.headers().get(REQUEST_ID).cloned();
    let id = id.or_else(|| HeaderValue::from_str(&ids::new("req")).ok());
    if let Some(id) = &id {
        request.headers_mut().insert(REQUEST_ID, id.clone());
    }
    let mut response = next.run(request).await;
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
