//! Server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::stream::Stream;
use serde_json::Value;
use tokio_stream::StreamExt as _;

/// A silent stream says a comment this often: proxies close connections on which nothing happens while a model loads.
const SILENCE: Duration = Duration::from_secs(15);

/// One event.
#[derive(Debug, Clone)]
pub(crate) enum Sent {
    Data(Value),
    /// With its own type as the event's name.
    Typed(&'static str, Value),
    /// `[DONE]`.
    Done,
}

/// Events as they come. Nothing is buffered here: a reader that lags holds the answer up, and one that leaves drops it.
pub(crate) fn respond(events: impl Stream<Item = Sent> + Send + 'static) -> Response {
    let events = events.map(|sent| {
        Ok::<_, Infallible>(match sent {
            Sent::Data(value) => Event::default().data(value.to_string()),
            Sent::Typed(name, value) => Event::default().event(name).data(value.to_string()),
            Sent::Done => Event::default().data("[DONE]"),
        })
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(SILENCE)).into_response();
    // What a proxy gathers before it passes it on is no stream.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}
