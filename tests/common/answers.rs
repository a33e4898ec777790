//! Answers over gRPC, read with the project's own client.

use std::time::{Duration, Instant};

use tokio_stream::StreamExt;
use understudy_agents::{Client, ClientError, Events};
use understudy_proto::v1::{Finished, GenerateEvent, GenerateRequest, ModelStatus, generate_event::Event};

use super::node::SOON;

/// For answers of real models on a busy machine.
pub const ANSWER: Duration = Duration::from_secs(120);

/// A greedy answer of one model.
pub fn direct(model: &str, prompt: &str, max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.to_owned(),
        model: model.to_owned(),
        max_tokens: Some(max_tokens),
        ..GenerateRequest::default()
    }
}

/// An answer that was read to its end.
pub struct Answered {
    pub first_text: Instant,
    pub end: Instant,
    pub finished: Finished,
}

/// Asks and reads to the end; panics on any error.
pub async fn answered(client: &Client, request: GenerateRequest) -> Answered {
    let events = client.generate(request, ANSWER).await.expect("an accepted request");
    read_to_end(events, String::new()).await.expect("an answer")
}

/// Reads on after `shown`; checks that the deltas, less what was retracted, are the text.
pub async fn read_to_end(
    mut events: Events<GenerateEvent>,
    mut shown: String,
) -> Result<Answered, ClientError> {
    let mut first_text = None;
    while let Some(event) = events.next().await {
        match event?.event {
            Some(Event::Delta(delta)) => {
                first_text.get_or_insert_with(Instant::now);
                shown.push_str(&delta.text);
            }
            Some(Event::Retracted(retracted)) => {
                let bytes = usize::try_from(retracted.bytes).expect("a length");
                shown.truncate(shown.len() - bytes);
            }
            Some(Event::Finished(finished)) => {
                assert_eq!(shown, finished.text, "the deltas are the text");
                assert!(events.next().await.is_none(), "nothing follows the end");
                let end = Instant::now();
                return Ok(Answered { first_text: first_text.unwrap_or(end), end, finished });
            }
            _ => {}
        }
    }
    panic!("the stream ended without its last event")
}

/// Asks and reads up to the first text: the stream goes on.
pub async fn begun(client: &Client, request: GenerateRequest) -> (Events<GenerateEvent>, String) {
    let mut events = client.generate(request, ANSWER).await.expect("an accepted request");
    while let Some(event) = events.next().await {
        if let Some(Event::Delta(delta)) = event.expect("an event").event {
            return (events, delta.text);
        }
    }
    panic!("the stream ended without text")
}

/// The refusal, whether the call or its stream carries it.
pub async fn refusal(client: &Client, request: GenerateRequest) -> ClientError {
    match client.generate(request, ANSWER).await {
        Err(error) => error,
        Ok(events) => match read_to_end(events, String::new()).await {
            Err(error) => error,
            Ok(answer) => panic!("answered with {:?}", answer.finished.text),
        },
    }
}

/// What the node says about a model.
pub async fn status(client: &Client, model: &str) -> ModelStatus {
    let all = client.models(SOON).await.expect("a list of models");
    all.into_iter().find(|status| status.model == model).expect("a listed model")
}

/// Waits until a model serves nobody.
pub async fn becomes_idle(client: &Client, model: &str, within: Duration) {
    let until = Instant::now() + within;
    loop {
        let status = status(client, model).await;
        if status.active == 0 && status.waiting == 0 {
            return;
        }
        assert!(Instant::now() < until, "still busy after {within:?}: {status:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
