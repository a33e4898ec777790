//! The places of an answer's events, and what is noted of them.

use std::collections::VecDeque;

use understudy_cluster::shadow::Noted;
use understudy_proto::v1::{GenerateEvent, generate_event::Event};

use super::{Beginning, catch_up::CatchUp};

/// Gives each event its place; leaves out what the reader has; notes the rest before it is told.
#[derive(Default)]
pub(crate) struct Course {
    sequence: u64,
    /// Bytes of the text that was told.
    length: u64,
    /// Until the reader has what was written.
    catch_up: Option<CatchUp>,
    noted: Option<Noted>,
    /// Events that were made of one: two at most.
    ready: VecDeque<GenerateEvent>,
}

impl Course {
    /// The course of an answer, noted if there is somebody to note it with.
    pub(crate) fn new(beginning: Beginning, mut noted: Option<Noted>) -> Self {
        let Beginning { sequence, text } = beginning;
        if let (Some(noted), true) = (&mut noted, sequence > 0) {
            noted.tell(sequence, 0, &text);
        }
        let length = text.len() as u64;
        let catch_up = (!text.is_empty()).then(|| CatchUp::with(text));
        Self { sequence, length, catch_up, noted, ready: VecDeque::new() }
    }

    /// An event that waits to be told.
    pub(crate) fn next(&mut self) -> Option<GenerateEvent> {
        self.ready.pop_front()
    }

    /// Takes an event in; what comes of it waits then.
    pub(crate) fn take(&mut self, event: Event) {
        let Some(catch_up) = &mut self.catch_up else {
            let event = self.place(event);
            return self.ready.push_back(event);
        };
        let events = catch_up.tell(event);
        if catch_up.is_level() {
            self.catch_up = None;
        }
        for event in events {
            let event = self.place(event);
            self.ready.push_back(event);
        }
    }

    fn place(&mut self, event: Event) -> GenerateEvent {
        // A caller may claim to have had as many as there are numbers.
        self.sequence = self.sequence.saturating_add(1);
        let (kept, text) = match &event {
            Event::Delta(delta) => (self.length, delta.text.as_str()),
            Event::Retracted(retracted) => (self.length.saturating_sub(retracted.bytes), ""),
            _ => (self.length, ""),
        };
        self.length = kept + text.len() as u64;
        if let Some(noted) = &mut self.noted {
            noted.tell(self.sequence, kept, text);
        }
        GenerateEvent { event: Some(event), sequence: self.sequence }
    }
}

#[cfg(test)]
mod tests {
    use understudy_proto::v1::{Delta, Finished, Retracted, Started};

    use super::*;

    fn delta(text: &str) -> Event {
        Event::Delta(Delta { text: text.into(), ..Delta::default() })
    }

    /// Places and texts of what is told.
    fn told(beginning: Beginning, answer: Vec<Event>) -> Vec<(u64, String)> {
        let mut course = Course::new(beginning, None);
        let mut told = Vec::new();
        for event in answer {
            course.take(event);
            while let Some(event) = course.next() {
                let text = match event.event.unwrap() {
                    Event::Started(_) => "started".into(),
                    Event::Delta(delta) => delta.text,
                    Event::Retracted(retracted) => format!("-{}", retracted.bytes),
                    Event::Finished(_) => "finished".into(),
                    other => panic!("{other:?}"),
                };
                told.push((event.sequence, text));
            }
        }
        told
    }

    #[test]
    fn a_resumed_answer_counts_on() {
        let answer = || {
            let finished = Finished { text: "one two".into(), ..Finished::default() };
            vec![Event::Started(Started::default()), delta("one "), delta("two"), Event::Finished(finished)]
        };
        let owned = |events: &[(u64, &str)]| -> Vec<(u64, String)> {
            events.iter().map(|(place, text)| (*place, (*text).to_owned())).collect()
        };
        let whole = told(Beginning::default(), answer());
        assert_eq!(whole, owned(&[(1, "started"), (2, "one "), (3, "two"), (4, "finished")]));
        let had = |sequence, text: &str| Beginning { sequence, text: text.into() };
        let rest = told(had(2, "one "), answer());
        assert_eq!(rest, owned(&[(3, "started"), (4, "two"), (5, "finished")]));
        let other = told(had(7, "one zwei"), answer());
        assert_eq!(other, owned(&[(8, "started"), (9, "-4"), (10, "two"), (11, "finished")]));
        let retracting = vec![delta("on"), Event::Retracted(Retracted { bytes: 1, ..Retracted::default() })];
        assert_eq!(told(Beginning::default(), retracting), owned(&[(1, "on"), (2, "-1")]));
    }
}
