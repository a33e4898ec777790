//! `understudy ask`: one answer.

use std::time::Duration;

use understudy_proto::v1::{Finished, GenerateRequest, Message, Sampling, generate_event::Event};

use super::constraint::{constraint, read_text};
use crate::cli::{Answering, Ask};
use crate::error::Error;
use crate::render::answer::AnswerView;
use crate::render::partial::PartialView;
use crate::render::{json, line};
use crate::source::{Source, Stream};

pub async fn run(args: Ask) -> Result<(), Error> {
    let prompt = match (&args.prompt, &args.file) {
        (Some(prompt), _) => prompt.clone(),
        (None, Some(file)) => read_text("--file", file)?,
        (None, None) => String::new(),
    };
    if prompt.trim().is_empty() {
        return Err(Error::new("PROMPT_EMPTY", "the prompt is empty"));
    }
    let mut messages = Vec::new();
    if let Some(system) = &args.answering.system {
        messages.push(message("system", system));
    }
    messages.push(message("user", &prompt));
    let mut request = request(&args.answering, messages);
    request.stop = args.stop.clone();
    request.constraint = constraint(&args.constrained)?;
    request.stream_partial = args.partial;

    let source = Source::find(&args.answering).await?;
    let mut stream = source.ask(request, Duration::from_secs(args.answering.timeout)).await?;
    if args.partial {
        return PartialView::new(args.json, args.answering.explain).follow(&mut stream).await;
    }
    if args.json {
        let finished = last_event(&mut stream).await?;
        return line(&json::answer(&finished).to_string());
    }
    AnswerView::new(args.answering.explain).follow(&mut stream).await?;
    Ok(())
}

/// A request of these messages with the flags that `ask` and `chat` share.
pub(super) fn request(answering: &Answering, messages: Vec<Message>) -> GenerateRequest {
    GenerateRequest {
        messages,
        policy: answering.policy.clone().unwrap_or_default(),
        model: answering.model.clone().unwrap_or_default(),
        ladder: answering.ladder.clone(),
        max_tokens: answering.max_tokens,
        sampling: Some(Sampling {
            temperature: answering.temperature,
            top_p: answering.top_p,
            seed: answering.seed,
            ..Sampling::default()
        }),
        ..GenerateRequest::default()
    }
}

pub(super) fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() }
}

async fn last_event(stream: &mut Stream) -> Result<Finished, Error> {
    while let Some(event) = stream.next().await {
        if let Some(Event::Finished(finished)) = event?.event {
            return Ok(finished);
        }
    }
    Err(Error::internal("the answer ended without its last event"))
}
