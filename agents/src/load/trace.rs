//! When the pieces of an answer came.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use understudy_proto::v1::{Finished, GenerateRequest, generate_event::Event};

use crate::{Client, ClientError};

/// A piece of a stream's text.
pub(super) struct Arrival {
    pub stream: usize,
    pub at: Instant,
}

/// One answer.
pub(super) struct Trace {
    pub sent: Instant,
    pub arrivals: Vec<Instant>,
    pub ended: Instant,
    pub finished: Finished,
}

impl Trace {
    pub fn tokens(&self) -> u32 {
        self.finished.usage.unwrap_or_default().completion_tokens
    }

    pub fn prompt_tokens(&self) -> u32 {
        self.finished.usage.unwrap_or_default().prompt_tokens
    }

    /// When its first text came; of an answer without text, when it ended.
    pub fn first(&self) -> Instant {
        self.arrivals.first().copied().unwrap_or(self.ended)
    }

    pub fn first_ms(&self) -> f64 {
        (self.first() - self.sent).as_secs_f64() * 1e3
    }
}

/// Asks, and notes when each piece of text comes. Whoever listens hears of them at once.
pub(super) async fn follow(
    client: Client,
    request: GenerateRequest,
    timeout: Duration,
    stream: usize,
    listener: mpsc::Sender<Arrival>,
) -> Result<Trace, ClientError> {
    let sent = Instant::now();
    let mut events = client.generate(request, timeout).await?;
    let mut arrivals = Vec::new();
    while let Some(event) = events.next().await {
        let at = Instant::now();
        match event?.event {
            Some(Event::Delta(_)) => {
                arrivals.push(at);
                // A listener that left has seen enough.
                let _ = listener.try_send(Arrival { stream, at });
            }
            Some(Event::Finished(finished)) => {
                return Ok(Trace { sent, arrivals, ended: at, finished });
            }
            _ => {}
        }
    }
    Err(ClientError::cut_off())
}

/// The smallest value that this share of all is at most; NaN of none.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(
            (quantile(&values, 0.5), quantile(&values, 0.99), quantile(&values, 1.0)),
            (100.0, 198.0, 200.0)
        );
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
