//! What a caller has of an answer.

use tonic::Code;
use understudy_proto::v1::{GenerateEvent, ResumeRequest, generate_event::Event};

use crate::ClientError;

/// What was heard of an answer: enough to [go on](crate::Client::resume) at another node of the cluster when its node is
/// lost.
///
/// ```no_run
/// use std::time::Duration;
/// use tokio_stream::StreamExt as _;
/// use understudy_agents::{Client, ClientError, Heard};
/// use understudy_proto::v1::GenerateRequest;
///
/// # async fn ask(node: Client, other: Client) -> Result<String, ClientError> {
/// let timeout = Duration::from_secs(60);
/// let mut heard = Heard::default();
/// let request = GenerateRequest { prompt: "What is 2+2?".into(), ..Default::default() };
/// let mut events = node.generate(request, timeout).await?;
/// while let Some(event) = events.next().await {
///     match event {
///         Ok(event) => heard.follow(&event),
///         Err(error) if heard.may_resume(&error) => events = other.resume(heard.resume(), timeout).await?,
///         Err(error) => return Err(error),
///     }
/// }
/// # Ok(heard.text().to_owned())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Heard {
    request_id: String,
    sequence: u64,
    text: String,
    is_over: bool,
    /// The place of the last event when the rest was last asked for.
    resumed_at: Option<u64>,
}

impl Heard {
    /// Takes the next event in.
    pub fn follow(&mut self, event: &GenerateEvent) {
        self.sequence = event.sequence;
        match &event.event {
            Some(Event::Started(started)) => self.request_id.clone_from(&started.request_id),
            Some(Event::Delta(delta)) => self.text.push_str(&delta.text),
            Some(Event::Retracted(retracted)) => {
                let bytes = usize::try_from(retracted.bytes).unwrap_or(usize::MAX);
                let end = self.text.len().saturating_sub(bytes);
                let kept = (0..=end).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0);
                self.text.truncate(kept);
            }
            Some(Event::Finished(_)) => self.is_over = true,
            _ => {}
        }
    }

    /// The text: deltas less what was retracted.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The place of the last event; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Nothing follows.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether another node is to be asked for the rest: the node was lost amid the answer, and something was heard since
    /// this was last so. A refusal, a deadline, and a loss that follows another one at once are for the caller to judge.
    pub fn may_resume(&mut self, error: &ClientError) -> bool {
        let is_loss = error.status == Code::Unavailable;
        let may = is_loss && self.sequence > 0 && !self.is_over && self.resumed_at != Some(self.sequence);
        if may {
            self.resumed_at = Some(self.sequence);
        }
        may
    }

    /// Asks for the rest. Before the first event nothing names the answer: then ask the question again.
    pub fn resume(&self) -> ResumeRequest {
        ResumeRequest {
            request_id: self.request_id.clone(),
            last_sequence: self.sequence,
            text: Some(self.text.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use understudy_proto::v1::{Delta, Finished, Started};

    use super::*;

    fn heard(sequence: u64, event: Event) -> GenerateEvent {
        GenerateEvent { sequence, event: Some(event) }
    }

    #[test]
    fn only_a_loss_is_resumed_and_only_while_there_is_news() {
        let (lost, mut told) = (ClientError::from(Status::unavailable("gone")), Heard::default());
        assert!(!told.may_resume(&lost), "nothing names the answer yet");
        told.follow(&heard(1, Event::Started(Started { request_id: "r".into(), ..Started::default() })));
        for other in [
            Status::deadline_exceeded("late"),
            Status::cancelled("enough"),
            Status::invalid_argument("wrong"),
            Status::resource_exhausted("full"),
            Status::not_found("unknown"),
        ] {
            assert!(!told.may_resume(&other.clone().into()), "{other}");
        }
        assert!(told.may_resume(&lost));
        assert!(!told.may_resume(&lost), "the next node brought nothing");
        told.follow(&heard(2, Event::Delta(Delta { text: "a".into(), ..Delta::default() })));
        assert!(told.may_resume(&lost), "it goes on, and is lost later");
        told.follow(&heard(3, Event::Finished(Finished::default())));
        assert!(!told.may_resume(&lost), "nothing follows");
    }
}
