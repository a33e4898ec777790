//! `/v1/chat/completions`.

mod object;
mod request;
mod stream;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{error::Refusal, sse};
use crate::{app::App, call::Call, fan::Fan, ids};
use request::{Asked, ChatRequest};

/// What all parts of one answer have in common.
struct Frame {
    id: String,
    created: u64,
    /// As the request names it; who answered stands in `understudy`.
    model: String,
    explains: bool,
    /// Log-probabilities were asked for.
    tells_tokens: bool,
    /// Usage at the end of a stream.
    tells_usage: bool,
}

/// An answer, or several; whole or as a stream.
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let call = Call::read(request).await?;
    let Asked { requests, frame, streams, deadline_ms } = call.json::<ChatRequest>()?.asked()?;
    let explains = streams && frame.explains;
    let fan = Fan::of(&call, &app.inference, requests, deadline_ms, explains)?;
    if streams {
        return Ok(sse::respond(stream::chunks(fan.voices().await?, frame)));
    }
    Ok(Json(object::completion(&fan.whole().await?, &frame)).into_response())
}

impl Frame {
    fn new(model: String) -> Self {
        Self {
            id: ids::new("chatcmpl").replace('_', "-"),
            created: ids::now(),
            model,
            explains: false,
            tells_tokens: false,
            tells_usage: false,
        }
    }

    /// The name of a call: of the `nth` answer the call `index`.
    fn call_id(&self, nth: usize, index: usize) -> String {
        let unique = self.id.get(9..33).unwrap_or_default();
        format!("call_{unique}_{nth}_{index}")
    }
}
