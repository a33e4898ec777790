//! One request of the load, and how it ended.

use std::time::{Duration, Instant};

use tonic::{Request, transport::Channel};
use understudy_agents::ClientError;
use understudy_proto::names;
use understudy_proto::v1::{
    GenerateRequest, Priority, generate_event::Event, inference_client::InferenceClient,
};

/// How a request ended.
#[derive(Debug)]
pub enum Outcome {
    /// Whole, within its deadline, after so long in the queue.
    Complete {
        waited: Duration,
    },
    /// For lack of places: when it came, or out of the queue.
    Refused {
        displaced: bool,
    },
    /// Cut at its deadline, or complete after it.
    Late,
    Failed {
        why: String,
    },
}

/// A request that has ended.
#[derive(Debug)]
pub struct Asked {
    pub sent: Instant,
    pub ended: Instant,
    pub outcome: Outcome,
}

/// Asks over one connection.
#[derive(Clone)]
pub struct Asker {
    client: InferenceClient<Channel>,
    model: String,
    tokens: u32,
    /// Its answers have as many tokens as they may.
    is_fixed_length: bool,
}

impl Asker {
    /// Answers may have half to one and a half times so many tokens.
    pub fn new(client: InferenceClient<Channel>, model: &str, tokens: u32) -> Self {
        Self { client, model: model.to_owned(), tokens, is_fixed_length: false }
    }

    /// Answers have half to one and a half times so many tokens; anything else is a failure.
    pub fn of_fixed_length(client: InferenceClient<Channel>, model: &str, tokens: u32) -> Self {
        Self { is_fixed_length: true, ..Self::new(client, model, tokens) }
    }

    pub async fn ask(&self, priority: Priority, deadline: Duration) -> Asked {
        // Answers of one length would end in step with each other.
        let tokens = fastrand::u32(self.tokens.div_ceil(2)..=self.tokens + self.tokens / 2);
        let mut request = Request::new(GenerateRequest {
            prompt: "say the alphabet".to_owned(),
            model: self.model.clone(),
            max_tokens: Some(tokens),
            priority: priority.into(),
            ..GenerateRequest::default()
        });
        request.set_timeout(deadline);
        let sent = Instant::now();
        let outcome = self.outcome(request, tokens).await;
        let ended = Instant::now();
        let outcome = match outcome {
            Outcome::Complete { .. } if ended - sent > deadline => Outcome::Late,
            outcome => outcome,
        };
        Asked { sent, ended, outcome }
    }

    async fn outcome(&self, request: Request<GenerateRequest>, tokens: u32) -> Outcome {
        let response = match self.client.clone().generate(request).await {
            Ok(response) => response,
            Err(status) => return failed(status.into()),
        };
        let queued = response.metadata().get(names::QUEUED_METADATA);
        let queued = queued.and_then(|text| text.to_str().ok()?.parse().ok());
        let Some(waited) = queued.map(Duration::from_micros) else {
            return Outcome::Failed { why: "the answer does not say how long it waited".to_owned() };
        };
        let mut events = response.into_inner();
        loop {
            match events.message().await {
                Ok(Some(event)) => match event.event {
                    Some(Event::Finished(end)) if end.finish_reason == "deadline" => return Outcome::Late,
                    Some(Event::Finished(end)) => {
                        let is_long = end.usage.unwrap_or_default().completion_tokens == tokens;
                        let is_whole = matches!(end.finish_reason.as_str(), "stop" | "length");
                        return match is_long || (is_whole && !self.is_fixed_length) {
                            true => Outcome::Complete { waited },
                            false => Outcome::Failed { why: end.finish_reason },
                        };
                    }
                    _ => {}
                },
                Ok(None) => return Outcome::Failed { why: "no last event".to_owned() },
                Err(status) => return failed(status.into()),
            }
        }
    }
}

fn failed(error: ClientError) -> Outcome {
    match error.code.as_str() {
        "OVERLOADED" => Outcome::Refused {
            displaced: error.metadata.get("reason").is_some_and(|reason| reason == "displaced"),
        },
        "DEADLINE" => Outcome::Late,
        _ => Outcome::Failed { why: format!("{}: {}", error.code, error.message) },
    }
}
