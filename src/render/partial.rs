//! The value of a JSON answer while it is being written.

use console::{Term, truncate_str};
use serde_json::json;
use understudy_grammars::Partial as Reading;
use understudy_proto::v1::{Finished, GenerateEvent, Partial, generate_event::Event};

use crate::error::Error;
use crate::render::answer::AnswerView;
use crate::render::{json as account, line};
use crate::source::Stream;

/// Shows how a value grows.
pub struct PartialView {
    how: How,
    /// Everything else about the answer.
    rest: AnswerView,
}

enum How {
    /// A JSON object on each line, the answer's last.
    Objects,
    /// The value on each line.
    Lines,
    /// Indented, and drawn anew where it stands.
    Live(Live),
}

impl PartialView {
    /// A view on stdout.
    pub fn new(json: bool, explain: bool) -> Self {
        let terminal = Term::stdout();
        let how = match (json, terminal.is_term()) {
            (true, _) => How::Objects,
            (false, false) => How::Lines,
            (false, true) => How::Live(Live { terminal, lines: 0, value: String::new() }),
        };
        Self { how, rest: AnswerView::new(explain && !json) }
    }

    /// Shows values until the answer is finished.
    pub async fn follow(mut self, stream: &mut Stream) -> Result<(), Error> {
        while let Some(event) = stream.next().await {
            if let Some(finished) = self.show(event?)? {
                return self.end(&finished);
            }
        }
        Err(Error::internal("the answer ended without its last event"))
    }

    fn show(&mut self, event: GenerateEvent) -> Result<Option<Finished>, Error> {
        match event.event {
            Some(Event::Partial(partial)) => self.draw(&partial)?,
            Some(Event::Finished(finished)) => return Ok(Some(finished)),
            // The value says it.
            Some(Event::Delta(_) | Event::Retracted(_)) => {}
            _ => {
                if let How::Live(live) = &mut self.how {
                    live.erase()?;
                }
                self.rest.show(event)?;
            }
        }
        Ok(None)
    }

    fn draw(&mut self, partial: &Partial) -> Result<(), Error> {
        match &mut self.how {
            // As it came: a number may be longer than one here.
            How::Objects => {
                line(&format!("{{\"partial\":{},\"open\":{}}}", partial.json, json!(partial.open)))
            }
            How::Lines => line(&partial.json),
            How::Live(live) => live.draw(indented(&partial.json)),
        }
    }

    fn end(self, finished: &Finished) -> Result<(), Error> {
        match self.how {
            How::Objects => line(&account::answer(finished).to_string()),
            How::Lines => self.rest.end(finished),
            How::Live(mut live) => {
                live.erase()?;
                line(&live.value)?;
                self.rest.end(finished)
            }
        }
    }
}

/// A value that is drawn over itself; its end where it is higher than the terminal.
struct Live {
    terminal: Term,
    /// Lines that are drawn.
    lines: usize,
    value: String,
}

impl Live {
    fn draw(&mut self, value: String) -> Result<(), Error> {
        self.value = value;
        self.erase()?;
        let (rows, columns) = self.terminal.size();
        let all: Vec<&str> = self.value.lines().collect();
        let seen = &all[all.len().saturating_sub(usize::from(rows).saturating_sub(1).max(1))..];
        for line in seen {
            self.terminal.write_line(&truncate_str(line, usize::from(columns), "…"))?;
        }
        self.lines = seen.len();
        Ok(())
    }

    fn erase(&mut self) -> Result<(), Error> {
        Ok(self.terminal.clear_last_lines(std::mem::take(&mut self.lines))?)
    }
}

fn indented(json: &str) -> String {
    let mut reading = Reading::default();
    // What the node says is whole; if it is not, it is shown as it came.
    match reading.push(json.as_bytes()).and_then(|()| reading.finish()) {
        Ok(()) => reading.value().map_or_else(String::new, |value| format!("{value:#}")),
        Err(_) => json.to_owned(),
    }
}
