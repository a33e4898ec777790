//! The value of a JSON answer while it is being written, for a reader who asked for it.
//!
//! There is no queue of values: one is made when the reader is ready for it and nothing else waits,
//! so a reader that lags skips values, never text. The last one, before the end, always comes.

use understudy_proto::v1;
use understudy_router::{AnswerEvent, Partial};

/// The value of the text so far.
#[derive(Default)]
pub(crate) struct Partials {
    text: String,
    read: Partial,
    /// The text has changed since a value was made.
    stale: bool,
    /// What the reader knows.
    sent: Option<v1::Partial>,
}

impl Partials {
    /// Follows the text.
    pub(crate) fn follow(&mut self, event: &AnswerEvent) {
        match event {
            AnswerEvent::Delta { text, .. } => {
                self.text.push_str(text);
                self.read(text);
            }
            AnswerEvent::Retracted { bytes, .. } => {
                self.text.truncate(self.text.len().saturating_sub(*bytes));
                self.read = Partial::default();
                self.sent = None;
                let text = std::mem::take(&mut self.text);
                self.read(&text);
                self.text = text;
            }
            // Only now a number is known to be complete. A text that was cut off has its value so far.
            AnswerEvent::Finished(_) => self.stale |= self.read.finish().is_ok(),
            _ => {}
        }
    }

    fn read(&mut self, text: &str) {
        // A text that is no JSON, which only a stop text can make of it, keeps the value it had.
        let _ = self.read.push(text.as_bytes());
        self.stale = true;
    }

    /// The value, if it is another than the reader knows.
    pub(crate) fn news(&mut self) -> Option<v1::Partial> {
        if !std::mem::take(&mut self.stale) {
            return None;
        }
        let value = self.read.value()?;
        let now = v1::Partial { json: value.to_string(), open: value.open_at() };
        if self.sent.as_ref() == Some(&now) {
            return None;
        }
        self.sent = Some(now.clone());
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use understudy_router::Origin;

    use super::*;

    fn delta(text: &str) -> AnswerEvent {
        AnswerEvent::Delta {
            model: "m".into(),
            text: text.into(),
            tokens: 1,
            origin: Origin::Forced,
            logprobs: Vec::new(),
        }
    }

    fn json(partials: &mut Partials) -> Option<String> {
        partials.news().map(|partial| partial.json)
    }

    #[test]
    fn a_value_comes_once_and_only_if_it_changed() {
        let mut partials = Partials::default();
        assert_eq!(json(&mut partials), None);
        partials.follow(&delta("{\"a\":[1"));
        assert_eq!(json(&mut partials).as_deref(), Some("{\"a\":[]}"));
        assert_eq!(json(&mut partials), None);
        partials.follow(&delta("2"));
        assert_eq!(json(&mut partials), None, "the number may go on");
        partials.follow(&delta(","));
        assert_eq!(json(&mut partials).as_deref(), Some("{\"a\":[12]}"));
    }

    #[test]
    fn a_retraction_takes_the_value_back() {
        let mut partials = Partials::default();
        partials.follow(&delta("[\"ab"));
        assert_eq!(json(&mut partials).as_deref(), Some("[\"ab\"]"));
        partials.follow(&AnswerEvent::Retracted {
            bytes: 1,
            tokens: 0,
            model: "m".into(),
            reason: String::new(),
        });
        assert_eq!(json(&mut partials).as_deref(), Some("[\"a\"]"));
        partials.follow(&AnswerEvent::Retracted {
            bytes: 3,
            tokens: 0,
            model: "m".into(),
            reason: String::new(),
        });
        assert_eq!(json(&mut partials), None);
        partials.follow(&delta("[\"a"));
        assert_eq!(json(&mut partials).as_deref(), Some("[\"a\"]"), "the reader was told to forget it");
    }
}
