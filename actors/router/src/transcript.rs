//! The text that a reader sees.

use crate::{AnswerEvent, Finished};

/// Folds events to the text shown; for clients and for tests.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    text: String,
    finished: Option<Box<Finished>>,
}

/// A retraction that does not fit the text: events were lost or reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot retract {bytes} bytes of {shown}")]
pub struct BadRetraction {
    /// Bytes to retract.
    pub bytes: usize,
    /// Bytes shown.
    pub shown: usize,
}

impl Transcript {
    /// Applies the next event.
    ///
    /// # Errors
    /// [`BadRetraction`]; the text is unchanged then.
    pub fn apply(&mut self, event: &AnswerEvent) -> Result<(), BadRetraction> {
        match event {
            AnswerEvent::Delta { text, .. } => self.text.push_str(text),
            AnswerEvent::Retracted { bytes, .. } => {
                let shown = self.text.len();
                let keep = shown.checked_sub(*bytes).filter(|keep| self.text.is_char_boundary(*keep));
                self.text.truncate(keep.ok_or(BadRetraction { bytes: *bytes, shown })?);
            }
            AnswerEvent::Finished(finished) => self.finished = Some(finished.clone()),
            AnswerEvent::Started { .. }
            | AnswerEvent::Loading { .. }
            | AnswerEvent::Segment { .. }
            | AnswerEvent::Drafted(_)
            | AnswerEvent::Validated { .. }
            | AnswerEvent::Decided(_) => {}
        }
        Ok(())
    }

    /// The text shown now.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The end, once it came.
    pub fn finished(&self) -> Option<&Finished> {
        self.finished.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;

    #[test]
    fn a_retraction_must_fit_the_text() {
        let mut transcript = Transcript::default();
        let delta = |text: &str| AnswerEvent::Delta {
            model: "m".into(),
            text: text.into(),
            tokens: 1,
            origin: Origin::Written,
            logprobs: Vec::new(),
        };
        let retract =
            |bytes| AnswerEvent::Retracted { bytes, tokens: 0, model: "m".into(), reason: String::new() };
        transcript.apply(&delta("aé")).unwrap();
        assert_eq!(transcript.apply(&retract(4)), Err(BadRetraction { bytes: 4, shown: 3 }));
        assert_eq!(transcript.apply(&retract(1)), Err(BadRetraction { bytes: 1, shown: 3 }), "inside é");
        transcript.apply(&retract(2)).unwrap();
        transcript.apply(&delta("b")).unwrap();
        assert_eq!(transcript.text(), "ab");
    }
}
