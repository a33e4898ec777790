//! `/v1/responses`.
//!
//! | room | what it holds |
//! |---|---|
//! | `request`, `input` | what a call takes; the items of a conversation |
//! | `output` | an answer as items, and the events that tell of them |
//! | `object` | the response itself |
//! | `stream`, `background` | a response as it comes; one that nobody waits for |
//! | `store` | responses that may be asked for again |

mod background;
mod input;
mod object;
mod output;
mod request;
mod store;
mod stream;

use axum::{
    Json,
    extract::{Path, RawQuery, Request, State},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use understudy_gateway::{Caller, Failure, codes};

pub(crate) use store::Store;

use super::{error::Refusal, sse};
use crate::{app::App, call::Call, strict::invalid, telling::Telling};
use object::Frame;
use output::Output;
use request::{Asked, ResponseRequest};

/// A response: whole, as a stream, or in the background.
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let call = Call::read(request).await?;
    let asked: ResponseRequest = call.json()?;
    let before = match &asked.previous_response_id {
        Some(id) => {
            let found = app.responses.conversation(&call.caller.tenant, id);
            found.ok_or_else(|| unknown(id).with_field("previous_response_id", "is not known"))?
        }
        None => Vec::new(),
    };
    let Asked { request, mut frame, streams, in_background, deadline_ms } = asked.asked(before)?;
    frame.tenant.clone_from(&call.caller.tenant);
    let ctx = call.context(&app.inference, 0, deadline_ms)?;
    let mut telling = Telling::begin(&app.inference, ctx, request, false, &call.trace).await?;
    if in_background {
        return Ok(Json(background::begin(app.responses, telling, frame)).into_response());
    }
    if streams {
        telling.settle().await?;
        return Ok(sse::respond(stream::events(app.responses, telling, frame)));
    }
    let mut output = Output::new(&frame);
    while let Some(said) = telling.next().await {
        output.hear(said?);
    }
    Ok(Json(output.kept(&app.responses, &frame)).into_response())
}

/// One that was made before.
pub(crate) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        let name = query.split(['=', '&']).next().unwrap_or_default();
        return Err(invalid(name, "is not supported here").into());
    }
    Ok(Json(app.responses.object(&tenant(&request), &id).ok_or_else(|| unknown(&id))?))
}

/// Forgets one.
pub(crate) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    if !app.responses.remove(&tenant(&request), &id) {
        return Err(unknown(&id).into());
    }
    Ok(Json(json!({"id": id, "object": "response", "deleted": true})))
}

/// Ends one that is made in the background.
pub(crate) async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    match app.responses.cancel(&tenant(&request), &id) {
        None => Err(unknown(&id).into()),
        Some(false) => {
            Err(invalid("response_id", "is of a response that is not made in the background").into())
        }
        Some(true) => {
            let object = app.responses.object(&tenant(&request), &id);
            Ok(Json(object.ok_or_else(|| unknown(&id))?))
        }
    }
}

fn tenant(request: &Request) -> String {
    request.extensions().get::<Caller>().cloned().unwrap_or_default().tenant
}

/// Whoever's it may be: another tenant's is as good as none.
fn unknown(id: &str) -> Failure {
    // What a caller sent is told only as far as it can be an id.
    let shown: String = id.chars().take(64).collect();
    Failure::new(codes::RESPONSE_UNKNOWN, format!("there is no response {shown:?}")).with("response", shown)
}

impl Output {
    /// The response, which is kept where the request wants it.
    fn kept(self, store: &Store, frame: &Frame) -> Value {
        let (object, answer) = self.completed(frame);
        if frame.stores {
            let conversation = frame.conversation.iter().cloned().chain([answer]).collect();
            store.insert(&frame.tenant, &frame.id, store::Stored::new(object.clone(), conversation));
        }
        object
    }
}
