//! An answer that is told again, to somebody who has its beginning.
//!
//! The same request, with the same seed, is answered anew. What the reader has is not told twice; should the new
//! answer differ, which another machine's arithmetic may make it, what differs is withdrawn first. So the reader ends
//! with the new answer, whole, whatever it had.

use understudy_proto::v1::{Delta, Retracted, generate_event::Event};

/// Why text is withdrawn.
const REASON: &str = "the answer goes on at another node, which words it differently";

/// Follows the new answer until it has caught up.
pub(crate) struct CatchUp {
    /// What the reader has.
    shown: String,
    /// What the new answer has.
    written: String,
    /// From here on the reader has what is written.
    level: bool,
}

impl CatchUp {
    /// The reader has this text.
    pub(crate) fn with(shown: String) -> Self {
        Self { level: shown.is_empty(), shown, written: String::new() }
    }

    /// Whether the reader has what is written.
    pub(crate) fn is_level(&self) -> bool {
        self.level
    }

    /// What the reader is to be told of an event of the new answer.
    pub(crate) fn tell(&mut self, event: Event) -> Vec<Event> {
        if self.level {
            return vec![event];
        }
        match event {
            Event::Delta(delta) => {
                self.written.push_str(&delta.text);
                self.meet(&delta)
            }
            Event::Retracted(retracted) => {
                let bytes = usize::try_from(retracted.bytes).unwrap_or(usize::MAX);
                self.written.truncate(self.written.len().saturating_sub(bytes));
                Vec::new()
            }
            Event::Finished(finished) => {
                let mut events = self.settle(&finished.text, &finished.model);
                events.push(Event::Finished(finished));
                events
            }
            // Progress is worth telling at any time; decisions were told, or belong to text that was.
            Event::Started(_) | Event::Loading(_) => vec![event],
            _ => Vec::new(),
        }
    }

    /// Tells text as soon as it is more than the reader has, or other.
    fn meet(&mut self, delta: &Delta) -> Vec<Event> {
        if self.shown.starts_with(&self.written) {
            self.level = self.shown.len() == self.written.len();
            return Vec::new();
        }
        let written = std::mem::take(&mut self.written);
        self.settle(&written, &delta.model)
    }

    /// From what the reader has to `text`; the reader is level then.
    fn settle(&mut self, text: &str, model: &str) -> Vec<Event> {
        self.level = true;
        let shown = std::mem::take(&mut self.shown);
        let same = common(&shown, text);
        let mut events = Vec::new();
        if same < shown.len() {
            events.push(Event::Retracted(Retracted {
                bytes: (shown.len() - same) as u64,
                model: model.to_owned(),
                reason: REASON.into(),
                ..Retracted::default()
            }));
        }
        if same < text.len() {
            events.push(Event::Delta(Delta {
                model: model.to_owned(),
                text: text[same..].to_owned(),
                ..Delta::default()
            }));
        }
        events
    }
}

/// Bytes that both begin with, at a character's border.
fn common(one: &str, other: &str) -> usize {
    let same = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    (0..=same).rev().find(|&at| one.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use understudy_proto::v1::{Finished, GenerateEvent};

    use super::*;

    /// The text that a reader has after these events.
    fn text_of<'a>(events: impl IntoIterator<Item = &'a GenerateEvent>) -> String {
        let mut text = String::new();
        for event in events {
            match &event.event {
                Some(Event::Delta(delta)) => text.push_str(&delta.text),
                Some(Event::Retracted(retracted)) => {
                    let bytes = usize::try_from(retracted.bytes).unwrap_or(usize::MAX);
                    text.truncate(text.len().saturating_sub(bytes));
                }
                _ => {}
            }
        }
        text
    }

    fn delta(text: &str) -> Event {
        Event::Delta(Delta { text: text.into(), ..Delta::default() })
    }

    fn retracted(bytes: usize) -> Event {
        Event::Retracted(Retracted { bytes: bytes as u64, ..Retracted::default() })
    }

    fn finished(text: &str) -> Event {
        Event::Finished(Finished { text: text.into(), ..Finished::default() })
    }

    /// What a reader who has `shown` ends with.
    fn read(shown: &str, answer: Vec<Event>) -> (String, usize) {
        let mut catch_up = CatchUp::with(shown.into());
        let told: Vec<GenerateEvent> = answer
            .into_iter()
            .flat_map(|event| catch_up.tell(event))
            .map(|event| GenerateEvent { event: Some(event), ..GenerateEvent::default() })
            .collect();
        let start = GenerateEvent { event: Some(delta(shown)), ..GenerateEvent::default() };
        let withdrawn = told.iter().filter(|event| matches!(event.event, Some(Event::Retracted(_)))).count();
        (text_of(std::iter::once(&start).chain(&told)), withdrawn)
    }

    #[test]
    fn what_the_reader_has_is_not_told_again() {
        let same = vec![delta("one "), delta("two "), delta("three"), finished("one two three")];
        for had in ["", "o", "one ", "one two", "one two three"] {
            assert_eq!(read(had, same.clone()), ("one two three".into(), 0), "{had:?}");
        }
        let other = vec![delta("one "), delta("zwei "), finished("one zwei ")];
        assert_eq!(read("one two", other.clone()), ("one zwei ".into(), 1));
        assert_eq!(read("one zwei drei", other), ("one zwei ".into(), 1));
        let cascade = vec![delta("wrong"), retracted(5), delta("right"), finished("right")];
        assert_eq!(
            read("ri", cascade.clone()),
            ("right".into(), 2),
            "the draft differs from what was shown last, and is withdrawn in its turn"
        );
        assert_eq!(read("wro", cascade), ("right".into(), 1));
    }

    proptest! {
        /// Whatever the reader has, and however the new answer comes, the reader ends with its text.
        #[test]
        fn the_reader_ends_with_the_answer(
            shown in "[abé]{0,6}",
            pieces in prop::collection::vec(("[abé]{1,3}", 0_usize..3), 0..8),
        ) {
            let mut text = String::new();
            let mut answer = Vec::new();
            for (piece, back) in &pieces {
                let kept = text.char_indices().rev().take(*back).last().map_or(text.len(), |(at, _)| at);
                if kept < text.len() {
                    answer.push(retracted(text.len() - kept));
                    text.truncate(kept);
                }
                text.push_str(piece);
                answer.push(delta(piece));
            }
            answer.push(finished(&text));
            prop_assert_eq!(read(&shown, answer).0, text);
        }
    }
}
