//! One answer, and how two of them compare.

use std::time::Duration;

use serde_json::{Value, json};
use understudy_proto::v1::{Finished, GenerateRequest, generate_event::Event};

use super::gain::Speed;
use crate::error::Error;
use crate::source::Source;

/// For each answer: far more than any takes, so that a stuck one ends the measurement.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Characters shown of two texts from where they differ.
const EXCERPT: usize = 40;

/// Asks, and waits for the end.
pub async fn ask(source: &Source, request: GenerateRequest) -> Result<Finished, Error> {
    let mut stream = source.ask(request, TIMEOUT).await?;
    while let Some(event) = stream.next().await {
        if let Some(Event::Finished(finished)) = event?.event {
            return Ok(finished);
        }
    }
    Err(Error::internal("the answer ended without its last event"))
}

/// Tokens after the first, and the time after the first text. Where the first text has several tokens, those are
/// among the ones counted.
pub fn decoding(finished: &Finished) -> Speed {
    let (tokens, timing) = (tokens(finished), finished.timing.unwrap_or_default());
    Speed { tokens: (tokens - 1.0).max(0.0), seconds: (timing.total_ms - timing.ttft_ms) / 1e3 }
}

/// All tokens in all of the time.
pub fn whole(finished: &Finished) -> Speed {
    Speed { tokens: tokens(finished), seconds: finished.timing.unwrap_or_default().total_ms / 1e3 }
}

fn tokens(finished: &Finished) -> f64 {
    f64::from(finished.usage.unwrap_or_default().completion_tokens)
}

/// Where the text with a policy leaves that of the model alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    pub id: String,
    /// Bytes that both begin with.
    at: usize,
    alone: String,
    with: String,
}

impl Difference {
    /// `None` where text, number of tokens and the reason to end are the same.
    pub fn between(id: &str, alone: &Finished, with: &Finished) -> Option<Self> {
        let same_end = (tokens(alone), &alone.finish_reason) == (tokens(with), &with.finish_reason);
        if alone.text == with.text && same_end {
            return None;
        }
        let both = alone.text.char_indices().zip(with.text.chars());
        let at =
            both.take_while(|((_, a), b)| a == b).map(|((at, a), _)| at + a.len_utf8()).last().unwrap_or(0);
        let rest = |finished: &Finished| {
            let rest: String = finished.text.get(at..).unwrap_or_default().chars().take(EXCERPT).collect();
            match rest.is_empty() {
                true => format!("the end ({}, {} tokens)", finished.finish_reason, tokens(finished)),
                false => format!("{rest:?}"),
            }
        };
        Some(Self { id: id.to_owned(), at, alone: rest(alone), with: rest(with) })
    }

    pub fn as_json(&self) -> Value {
        json!({"id": self.id, "at": self.at, "alone": self.alone, "with": self.with})
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from byte {}: alone {}, with the policy {}", self.id, self.at, self.alone, self.with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use understudy_proto::v1::Usage;

    fn said(text: &str, completion_tokens: u32) -> Finished {
        let usage = Some(Usage { completion_tokens, ..Usage::default() });
        Finished { text: text.into(), usage, finish_reason: "stop".into(), ..Finished::default() }
    }

    #[test]
    fn a_difference_is_found_where_it_begins() {
        let found = Difference::between("x", &said("naïve b", 3), &said("naïve cat", 3)).expect("different");
        assert_eq!((found.at, found.alone.as_str(), found.with.as_str()), (7, "\"b\"", "\"cat\""));
        let longer = Difference::between("x", &said("ab", 2), &said("abc", 3)).expect("different");
        assert_eq!((longer.at, longer.alone.as_str()), (2, "the end (stop, 2 tokens)"));
    }

    #[test]
    fn the_same_text_in_other_tokens_is_a_difference() {
        assert_eq!(Difference::between("x", &said("ab", 2), &said("ab", 2)), None);
        assert!(Difference::between("x", &said("ab", 2), &said("ab", 1)).is_some());
    }
}
