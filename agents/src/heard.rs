//! What a caller has of an answer.

use understudy_proto::v1::{GenerateEvent, ResumeRequest, generate_event::Event};

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
///         Err(_) if !heard.is_over() => events = other.resume(heard.resume(), timeout).await?,
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

    /// Asks for the rest. Before the first event nothing names the answer: then ask the question again.
    pub fn resume(&self) -> ResumeRequest {
        ResumeRequest {
            request_id: self.request_id.clone(),
            last_sequence: self.sequence,
            text: Some(self.text.clone()),
        }
    }
}
