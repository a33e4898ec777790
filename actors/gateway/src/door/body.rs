//! How long and how slow a body may be.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::Request,
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Sleep, sleep, timeout};
use tonic::Status;

use crate::{Failure, codes, server::LARGEST_REQUEST_BYTES};

/// What is read of a body that is too long, and thrown away, so that the peer finishes writing and reads the refusal.
/// More than this, and it finds the connection closed.
const MOST_THROWN_AWAY: usize = 4 * LARGEST_REQUEST_BYTES;

/// The calls whose request is a stream that may last: their messages come when somebody writes them.
const STREAMS: [&str; 2] = ["/GenerateBidi", "/ServerReflectionInfo"];

/// The request with its body read.
///
/// # Errors
/// `MESSAGE_TOO_LARGE`, `BODY_SLOW`, `CANCELLED` for a peer that stopped half-way.
pub(super) async fn whole(request: Request, longest: Duration) -> Result<Request, Failure> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (head, body) = request.into_parts();
    match timeout(longest, read(body)).await {
        Ok(read) => Ok(Request::from_parts(head, Body::from(read?))),
        Err(_) => Err(slow(longest)),
    }
}

async fn read(mut body: Body) -> Result<Bytes, Failure> {
    if body.size_hint().lower() > LARGEST_REQUEST_BYTES as u64 {
        return Err(too_large(body).await);
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Failure::new(codes::CANCELLED, format!("the body ended early: {error}")))?;
        let Ok(piece) = frame.into_data() else { continue };
        if whole.len() + piece.len() > LARGEST_REQUEST_BYTES {
            return Err(too_large(body).await);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

async fn too_large(mut rest: Body) -> Failure {
    let mut thrown = 0;
    while thrown < MOST_THROWN_AWAY
        && let Some(Ok(frame)) = rest.frame().await
    {
        thrown += frame.data_ref().map_or(0, Bytes::len);
    }
    let message = format!("a request may have {LARGEST_REQUEST_BYTES} bytes");
    Failure::new(codes::MESSAGE_TOO_LARGE, message).with("limit", LARGEST_REQUEST_BYTES)
}

fn slow(longest: Duration) -> Failure {
    let message = format!("the request's body took longer than {} ms", longest.as_millis());
    Failure::new(codes::BODY_SLOW, message).with("limit_ms", longest.as_millis())
}

/// A gRPC request whose body fails when it takes too long. How long it is, is judged message by message by tonic.
pub(super) fn timed(request: Request, longest: Duration) -> Request {
    let path = request.uri().path();
    if STREAMS.iter().any(|name| path.ends_with(name)) {
        return request;
    }
    request.map(|body| {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Timed { body, longest, until: Box::pin(sleep(longest)) })
    })
}

struct Timed {
    body: Body,
    longest: Duration,
    until: Pin<Box<Sleep>>,
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending if self.until.as_mut().poll(cx).is_ready() => {
                Poll::Ready(Some(Err(Box::new(Status::from(slow(self.longest))))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
