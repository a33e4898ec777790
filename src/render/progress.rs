//! Progress bars on stderr.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use understudy_agents::eval::Progress as EvalProgress;
use understudy_hub::{PullEvent, Rate};

use crate::render::bytes;

/// One model on its way here.
pub struct PullBar {
    model: String,
    bar: Option<ProgressBar>,
    rate: Rate,
    skipped: Vec<String>,
}

impl PullBar {
    /// Shows nothing until something happens.
    pub fn new(model: &str) -> Self {
        Self { model: model.to_owned(), bar: None, rate: Rate::default(), skipped: Vec::new() }
    }

    /// What the pull just said.
    pub fn show(&mut self, event: &PullEvent) {
        match event {
            PullEvent::WaitingForLock { model } => {
                self.say(&format!("{model}: another process fetches it; waiting"))
            }
            PullEvent::Started { model, source, licence, licence_note, bytes: size } => {
                self.say(&format!("{model}: {} from {source}, licence {licence}", bytes(*size)));
                if !licence_note.is_empty() {
                    self.say(&format!("  {licence_note}"));
                }
            }
            PullEvent::SourceSkipped { source, why } => {
                let text = format!("{}: {source} skipped: {why}", self.model);
                if !self.skipped.contains(&text) {
                    self.say(&text);
                    self.skipped.push(text);
                }
            }
            PullEvent::Progress { done, total } => self.advance(*done, *total),
            PullEvent::Verifying { file } => {
                self.say(&format!("{}: checking the SHA-256 of {file}", self.model))
            }
            PullEvent::Done { path, source, already } => {
                let how = if *already { "already there".to_owned() } else { format!("done, from {source}") };
                self.say(&format!("{}: {how}: {}", self.model, path.display()));
            }
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn advance(&mut self, done: u64, total: u64) {
        self.rate.observe(Instant::now(), done);
        let bar = self.bar.get_or_insert_with(|| new_bar(total));
        let speed = self.rate.bytes_per_second().map(|rate| format!("{}/s", bytes(rate as u64)));
        let left = self.rate.time_left(done, total).map(|left| format!("{} s left", left.as_secs()));
        bar.set_position(done);
        bar.set_message([speed, left].into_iter().flatten().collect::<Vec<_>>().join(", "));
    }

    #[allow(clippy::print_stderr, reason = "progress is for people, on stderr")]
    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }
}

/// A bar over bytes; invisible when stderr is no terminal.
pub fn new_bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("  {bar:30} {decimal_bytes}/{decimal_total_bytes} {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

/// Items of an evaluation or a measurement.
pub struct ItemBar {
    bar: ProgressBar,
}

impl ItemBar {
    /// Invisible when stderr is no terminal.
    pub fn new(what: &str) -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("  {prefix} {bar:30} {pos}/{len} {msg}, {eta} left");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_owned());
        Self { bar }
    }

    /// Items done before count for the position and not for the time left.
    pub fn show(&mut self, progress: EvalProgress) {
        if self.bar.length().is_none() {
            self.bar.set_length(progress.total);
            self.bar.set_position(progress.resumed);
            self.bar.reset_eta();
        }
        self.bar.set_position(progress.done);
        self.bar.set_message(format!("{} right", progress.ok));
    }

    /// So many of all are done, and this is at work.
    pub fn advance(&self, done: usize, total: usize, what: &str) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.bar.set_message(what.to_owned());
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
