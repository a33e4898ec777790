//! A server stream that ends on time.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};
use tokio_stream::Stream;
use tonic::Streaming;

use crate::ClientError;

/// Messages of a server stream. Ends after its last message, its first error, or its
/// timeout. Dropping it cancels the call on the node.
#[derive(Debug)]
pub struct Events<T> {
    messages: Option<Streaming<T>>,
    timeout: Duration,
    patience: Pin<Box<Sleep>>,
}

impl<T> Events<T> {
    /// Reads `messages` until `until`, which is `timeout` after the call began.
    pub(crate) fn new(messages: Streaming<T>, timeout: Duration, until: Instant) -> Self {
        Self { messages: Some(messages), timeout, patience: Box::pin(tokio::time::sleep_until(until)) }
    }
}

impl<T> Stream for Events<T> {
    type Item = Result<T, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(messages) = &mut this.messages else { return Poll::Ready(None) };
        let item = match Pin::new(messages).poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => return Poll::Ready(Some(Ok(message))),
            Poll::Ready(Some(Err(status))) => Some(Err(status.into())),
            Poll::Ready(None) => None,
            Poll::Pending => match this.patience.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => Some(Err(ClientError::too_late(this.timeout))),
            },
        };
        this.messages = None;
        Poll::Ready(item)
    }
}
