//! An answer as it comes: text, and text that is taken back.

use std::io::Write;

use indicatif::ProgressBar;
use understudy_proto::v1::{Finished, GenerateEvent, Loading, Retracted, generate_event::Event};

use crate::error::Error;
use crate::render::marked::Marked;
use crate::render::progress::new_bar;
use crate::render::{Style, explain, line};
use crate::source::Stream;

/// Prints one answer's events.
pub struct AnswerView {
    style: Style,
    explain: bool,
    shown: Marked,
    /// How text is marked by where it comes from.
    marks: Style,
    loading: Option<ProgressBar>,
}

impl AnswerView {
    /// A view on stdout.
    pub fn new(explain: bool) -> Self {
        let style = Style::of_stdout();
        let marks = if explain { style } else { Style::PLAIN };
        Self { style, explain, shown: Marked::default(), marks, loading: None }
    }

    /// Shows events until the answer is finished.
    pub async fn follow(mut self, stream: &mut Stream) -> Result<Finished, Error> {
        while let Some(event) = stream.next().await {
            let event = event.inspect_err(|_| self.end_line())?;
            if let Some(finished) = self.show(event)? {
                self.end(&finished)?;
                return Ok(finished);
            }
        }
        self.end_line();
        Err(Error::internal("the answer ended without its last event"))
    }

    /// What is told when the answer is finished.
    pub(super) fn end(&self, finished: &Finished) -> Result<(), Error> {
        self.end_line();
        if let Some(legend) = self.shown.legend(self.marks) {
            line(&format!("({legend})"))?;
        }
        match self.explain {
            true => explain::print(finished, self.style),
            false => Ok(()),
        }
    }

    pub(super) fn show(&mut self, event: GenerateEvent) -> Result<Option<Finished>, Error> {
        match event.event {
            Some(Event::Delta(delta)) => {
                self.clear_loading();
                self.shown.push(delta.origin(), &delta.text);
                write_now(&self.marks.origin(delta.origin(), &delta.text))?;
            }
            Some(Event::Loading(loading)) => self.show_loading(&loading),
            Some(Event::Escalated(escalated)) if self.explain => {
                let decision = escalated.decision.unwrap_or_default();
                self.end_line();
                self.note(&format!("asking {}: {}", decision.to, decision.reason));
            }
            Some(Event::Retracted(retracted)) => self.retract(&retracted)?,
            Some(Event::Finished(finished)) => {
                self.clear_loading();
                return Ok(Some(finished));
            }
            _ => {}
        }
        Ok(None)
    }

    /// On a terminal the withdrawn text is struck through where it stands, and the better
    /// answer starts below it. Elsewhere a line says so.
    fn retract(&mut self, retracted: &Retracted) -> Result<(), Error> {
        self.clear_loading();
        let withdrawn = self.shown.cut(retracted.bytes);
        if withdrawn.is_empty() {
            return Ok(());
        }
        if self.style.is_enabled() {
            let lines = withdrawn.matches('\n').count();
            let up = if lines > 0 { format!("\x1b[{lines}A") } else { String::new() };
            // Back to the start of the withdrawn text, as far as line breaks tell.
            write_now(&format!("{up}\r\x1b[J{}\n", self.style.struck(withdrawn.trim_end())))?;
        } else {
            write_now("\n")?;
        }
        self.note(&format!("[the answer above, by {}, is withdrawn: {}]", retracted.model, retracted.reason));
        write_now(&self.shown.painted(self.marks))
    }

    fn show_loading(&mut self, loading: &Loading) {
        if loading.total_bytes == 0 {
            if self.explain {
                self.note(&format!("loading {}", loading.model));
            }
            return;
        }
        if self.loading.is_none() {
            self.end_line();
            self.note(&format!("fetching {} from {}", loading.model, loading.source));
        }
        let bar = self.loading.get_or_insert_with(|| new_bar(loading.total_bytes));
        bar.set_position(loading.done_bytes);
        if loading.done_bytes >= loading.total_bytes {
            self.clear_loading();
        }
    }

    fn clear_loading(&mut self) {
        if let Some(bar) = self.loading.take() {
            bar.finish_and_clear();
        }
    }

    #[allow(clippy::print_stderr, reason = "remarks about the answer are for people, on stderr")]
    fn note(&self, text: &str) {
        eprintln!("{}", self.style.dim(text));
    }

    fn end_line(&self) {
        if self.shown.is_within_line() {
            // A closed stdout has nobody left to see the line end.
            let _ignored = write_now("\n");
        }
    }
}

fn write_now(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}
