//! OTLP over HTTP with the client that this workspace has already. It blocks, on the exporting thread.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use ureq::Agent;

/// A collector's answer to an export is a few bytes; a longer one is not read.
const LONGEST_ANSWER: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct Http(Agent);

impl Http {
    /// Each request ends within `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        let config = Agent::config_builder().timeout_global(Some(limit)).http_status_as_error(false).build();
        Self(config.into())
    }
}

#[async_trait]
impl HttpClient for Http {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(parts, body.to_vec()))?;
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(LONGEST_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }
}
