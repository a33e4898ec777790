//! `/v1/completions`: one prompt, one text. The prompt is a user's message: the models follow instructions.

use std::collections::HashMap;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use futures::stream::{self, Stream, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use understudy_gateway::Failure;
use understudy_proto::v1::{Finished, GenerateRequest};

use super::{
    error::{self, Refusal},
    extension::Extension,
    fields::{Drawing, StreamOptions, Texts, Unsupported, WithoutEffect},
    logprobs,
    sse::{self, Sent},
    usage,
};
use crate::{
    app::App,
    call::Call,
    fan::{Fan, MOST_ANSWERS, Voices, repeated},
    finality::Piece,
    ids, native,
    strict::invalid,
    telling::{Said, Told},
};

/// Most alternatives of a token, as this API has it.
const MOST_ALTERNATIVES: u32 = 5;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CompletionRequest {
    model: String,
    prompt: Texts,
    #[serde(default)]
    understudy: Extension,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    n: Option<usize>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    stop: Texts,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    frequency_penalty: Option<f32>,
    #[serde(default)]
    presence_penalty: Option<f32>,
    #[serde(default)]
    logit_bias: Option<HashMap<String, f32>>,
    #[serde(default)]
    logprobs: Option<u32>,
    #[serde(default)]
    best_of: Option<usize>,
    #[serde(default, rename = "echo")]
    _echo: Unsupported,
    #[serde(default, rename = "suffix")]
    _suffix: Unsupported,
    #[serde(default, rename = "user")]
    _user: WithoutEffect,
}

/// What all parts of one answer have in common.
struct Frame {
    id: String,
    created: u64,
    model: String,
    explains: bool,
    tells_tokens: bool,
    tells_usage: bool,
}

/// Texts, whole or as a stream.
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let call = Call::read(request).await?;
    let asked: CompletionRequest = call.json()?;
    let streams = asked.stream.unwrap_or_default();
    let deadline_ms = asked.understudy.deadline_ms;
    let frame = Frame {
        id: ids::new("cmpl").replace('_', "-"),
        created: ids::now(),
        model: asked.model.clone(),
        explains: asked.understudy.explain,
        tells_tokens: asked.logprobs.is_some(),
        tells_usage: asked.stream_options.as_ref().is_some_and(|options| options.include_usage),
    };
    let explains = streams && frame.explains;
    let fan = Fan::of(&call, &app.inference, asked.requests()?, deadline_ms, explains)?;
    if streams {
        return Ok(sse::respond(chunks(fan.voices().await?, frame)));
    }
    Ok(Json(completion(&fan.whole().await?, &frame)).into_response())
}

impl CompletionRequest {
    /// `n` for each prompt, in order.
    fn requests(self) -> Result<Vec<GenerateRequest>, Failure> {
        let (prompts, n) = (self.prompt.0, self.n.unwrap_or(1));
        if n == 0 || !(1..=MOST_ANSWERS).contains(&prompts.len().saturating_mul(n)) {
            return Err(invalid("n", format!("times the prompts must be 1 to {MOST_ANSWERS}")));
        }
        if self.best_of.is_some_and(|best_of| best_of != n) {
            return Err(invalid("best_of", "is not supported: the policy best-of-n chooses"));
        }
        if self.logprobs.is_some_and(|wanted| wanted > MOST_ALTERNATIVES) {
            return Err(invalid("logprobs", format!("must be 0 to {MOST_ALTERNATIVES}")));
        }
        let drawing = Drawing {
            temperature: self.temperature,
            top_p: self.top_p,
            seed: self.seed,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            logit_bias: self.logit_bias,
        };
        let mut request = GenerateRequest {
            max_tokens: self.max_tokens,
            sampling: Some(drawing.sampling()?),
            stop: self.stop.0,
            top_logprobs: self.logprobs,
            ..GenerateRequest::default()
        };
        self.understudy.apply(&self.model, &mut request)?;
        let of_prompt = |prompt| repeated(&GenerateRequest { prompt, ..request.clone() }, n);
        Ok(prompts.into_iter().flat_map(of_prompt).collect())
    }
}

fn completion(answers: &[Told], frame: &Frame) -> Value {
    let choice = |(nth, told): (usize, &Told)| {
        json!({
            "index": nth,
            "text": told.text,
            "logprobs": frame.tells_tokens.then(|| logprobs::columns(&told.logprobs, 0)),
            "finish_reason": usage::finish_reason(&told.finished),
        })
    };
    let mut whole = frame.object(answers.iter().enumerate().map(choice).collect());
    whole["usage"] = usage::json(usage::of(answers.iter().map(|told| &told.finished)));
    whole["understudy"] = answers.first().map(|told| native::answer(&told.finished, frame.explains)).into();
    whole
}

impl Frame {
    fn object(&self, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id, "object": "text_completion", "created": self.created, "model": self.model,
            "choices": choices,
        })
    }
}

/// Where a stream is.
struct Chunks {
    voices: Voices,
    frame: Frame,
    /// Bytes of text so far, by answer.
    offsets: Vec<usize>,
    ended: Vec<Finished>,
    end: End,
}

/// What a stream has left to say.
enum End {
    Ahead,
    Done,
    Nothing,
}

fn chunks(voices: Voices, frame: Frame) -> impl Stream<Item = Sent> + Send + 'static {
    let chunks = Chunks { voices, frame, offsets: vec![0; MOST_ANSWERS], ended: Vec::new(), end: End::Ahead };
    stream::unfold(chunks, async |mut chunks| chunks.next().await.map(|sent| (sent, chunks)))
}

impl Chunks {
    async fn next(&mut self) -> Option<Sent> {
        match self.end {
            End::Nothing => return None,
            End::Done => {
                self.end = End::Nothing;
                return Some(Sent::Done);
            }
            End::Ahead => {}
        }
        loop {
            match self.voices.next().await {
                Some((nth, Ok(said))) => {
                    if let Some(chunk) = self.chunk(nth, said) {
                        return Some(Sent::Data(chunk));
                    }
                }
                Some((_, Err(failure))) => {
                    self.end = End::Nothing;
                    return Some(Sent::Typed("error", error::body(&failure)));
                }
                None if self.frame.tells_usage => {
                    self.end = End::Done;
                    let mut chunk = self.frame.object(Vec::new());
                    chunk["usage"] = usage::json(usage::of(&self.ended));
                    return Some(Sent::Data(chunk));
                }
                None => {
                    self.end = End::Nothing;
                    return Some(Sent::Done);
                }
            }
        }
    }

    fn chunk(&mut self, nth: usize, said: Said) -> Option<Value> {
        match said {
            Said::Event(event) => {
                let mut chunk = self.frame.object(Vec::new());
                chunk["understudy"] = event;
                Some(chunk)
            }
            Said::Text(Piece { text, logprobs }) => {
                let offset = self.offsets.get_mut(nth)?;
                let tokens = self.frame.tells_tokens.then(|| logprobs::columns(&logprobs, *offset));
                *offset += text.len();
                let choice = json!({"index": nth, "text": text, "logprobs": tokens, "finish_reason": null});
                Some(self.frame.object(vec![choice]))
            }
            Said::End(finished) => {
                let reason = usage::finish_reason(&finished);
                let choice = json!({"index": nth, "text": "", "logprobs": null, "finish_reason": reason});
                let mut chunk = self.frame.object(vec![choice]);
                if !self.frame.explains {
                    chunk["understudy"] = native::answer(&finished, false);
                }
                self.ended.push(*finished);
                Some(chunk)
            }
            // There are no tools here.
            Said::Call { .. } | Said::Arguments { .. } => None,
        }
    }
}
