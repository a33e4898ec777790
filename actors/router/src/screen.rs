//! What a reader has been shown, and who wrote it.
//!
//! One candidate is shown at a time. Another takes over when it has text of its own: until then the
//! earlier text stays, so text is only withdrawn where there is other text to show.
//!
//! Invariants, tested in `tests/`:
//! - **INV-L1** spans tile the text: the first starts at 0, each where the last ended.
//! - **INV-L4** the final text equals the deltas after retractions ([`crate::Transcript`]).
//! - **INV-L9** segments that no retraction took back begin where spans begin, with the same authors.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use understudy_backend::{BackendError, LoadEvent, RequestCtx};

use crate::candidate::{Author, Candidate, Revision, Written};
use crate::{AnswerEvent, Origin, RouterError, Span};

pub(crate) type AnswerItem = Result<AnswerEvent, RouterError>;

/// The outgoing side of a request, or of a part of it that nobody watches.
pub(crate) struct Screen {
    ctx: RequestCtx,
    /// `None`: nobody watches.
    events: Option<mpsc::Sender<AnswerItem>>,
    begun: Instant,
    /// The candidate shown.
    owner: Option<Revision>,
    marks: Vec<Mark>,
    /// Marks that begin in the text that is out; those after them wait for theirs to be certain.
    out: usize,
    text: String,
    /// Segments of the text that is out.
    segments: Vec<Segment>,
    /// Reason of the retraction to come, should another candidate take over.
    takeover: String,
    first_delta: Option<Duration>,
}

/// A stretch whose beginning was told.
struct Segment {
    author: Arc<str>,
    why: Arc<str>,
    start: usize,
}

/// A token shown.
struct Mark {
    author: Author,
    why: Arc<str>,
    origin: Origin,
    end: usize,
    /// Bytes of the tokens before it. A text is no shorter than its tokens' bytes, so a token with text begins
    /// within it.
    start: usize,
    /// Its log-probability is told.
    is_told: bool,
}

impl Screen {
    pub(crate) fn new(ctx: RequestCtx, events: mpsc::Sender<AnswerItem>, begun: Instant) -> Self {
        Self {
            ctx,
            events: Some(events),
            begun,
            owner: None,
            marks: Vec::new(),
            out: 0,
            text: String::new(),
            segments: Vec::new(),
            takeover: String::new(),
            first_delta: None,
        }
    }

    /// One that nobody watches, for a candidate that may be shown later.
    pub(crate) fn unwatched(&self) -> Self {
        Self {
            ctx: self.ctx.clone(),
            events: None,
            begun: self.begun,
            owner: None,
            marks: Vec::new(),
            out: 0,
            text: String::new(),
            segments: Vec::new(),
            takeover: String::new(),
            first_delta: None,
        }
    }

    /// Shows what is new in the candidate, once it has text; what another has shown is retracted then.
    pub(crate) async fn show(&mut self, candidate: &Candidate) -> Result<(), BackendError> {
        if self.shows(candidate) || !candidate.text().is_empty() {
            self.claim(candidate).await?;
        }
        Ok(())
    }

    /// Shows the candidate, with or without text: it stands.
    pub(crate) async fn claim(&mut self, candidate: &Candidate) -> Result<(), BackendError> {
        if !self.shows(candidate) {
            let reason = std::mem::take(&mut self.takeover);
            self.retract_to(0, 0, &reason).await?;
        }
        self.owner = Some(candidate.revision());
        let tokens = candidate.tokens();
        let same = self.marks.len().min(tokens.len());
        if self.text.len() > candidate.text().len() {
            let reason = std::mem::take(&mut self.takeover);
            self.retract_to(candidate.text().len(), same, &reason).await?;
        }
        self.marks.truncate(same);
        let alike = |a: &Written, b: &Written| {
            (&a.author.model, &a.why, a.origin) == (&b.author.model, &b.why, b.origin)
        };
        for group in tokens[same..].chunk_by(alike) {
            let Some(last) = group.last() else { continue };
            let text = candidate.text()[self.text.len()..last.shown].to_owned();
            for one in group {
                self.marks.push(Mark {
                    author: one.author.clone(),
                    why: one.why.clone(),
                    origin: one.origin,
                    end: one.shown,
                    start: self.marks.len().checked_sub(1).map_or(0, |before| tokens[before].end),
                    is_told: one.told.is_some(),
                });
            }
            self.send_text(text, group.len() as u32, tokens).await?;
        }
        // What the decoder held until the end belongs to the last token.
        let rest = candidate.text()[self.text.len()..].to_owned();
        self.send_text(rest, 0, tokens).await?;
        if let Some(last) = self.marks.last_mut() {
            last.end = self.text.len();
        }
        Ok(())
    }

    /// Sends text of the candidate, by who wrote the last token, with what is to be told of the tokens that begin
    /// in it.
    async fn send_text(&mut self, text: String, count: u32, tokens: &[Written]) -> Result<(), BackendError> {
        let Some(last) = self.marks.last().filter(|_| !text.is_empty()) else { return Ok(()) };
        let (author, why, origin) = (last.author.model.clone(), last.why.clone(), last.origin);
        self.begin_segment(&author, &why).await?;
        let begun = self.begun_within(self.text.len() + text.len(), self.marks.len());
        let since = tokens.get(self.out..begun).unwrap_or_default();
        let logprobs = since.iter().filter_map(|token| token.told.as_deref().cloned()).collect();
        self.out = begun;
        let (model, shown) = (author.to_string(), text.clone());
        self.send(AnswerEvent::Delta { model, text: shown, tokens: count, origin, logprobs }).await?;
        self.text.push_str(&text);
        self.first_delta.get_or_insert_with(|| self.begun.elapsed());
        Ok(())
    }

    /// Tells who goes on and why, unless that is what the reader knows.
    async fn begin_segment(&mut self, author: &Arc<str>, why: &Arc<str>) -> Result<(), BackendError> {
        let start = self.text.len();
        if self.segments.last().is_some_and(|last| last.author == *author && last.why == *why) {
            return Ok(());
        }
        let event = AnswerEvent::Segment { author: author.to_string(), start, why: why.to_string() };
        self.send(event).await?;
        self.segments.push(Segment { author: author.clone(), why: why.clone(), start });
        Ok(())
    }

    /// Withdraws the text after `len` bytes and the tokens after `count`.
    async fn retract_to(&mut self, len: usize, count: usize, reason: &str) -> Result<(), BackendError> {
        let bytes = self.text.len() - len;
        if bytes > 0 {
            let model = self.marks.last().map_or_else(String::new, |mark| mark.author.model.to_string());
            self.text.truncate(len);
            self.segments.retain(|segment| segment.start < len);
            let tokens = self.take_in(len, count);
            self.send(AnswerEvent::Retracted { bytes, tokens, model, reason: reason.into() }).await?;
        }
        self.marks.truncate(count);
        Ok(())
    }

    /// Of the first `count` marks, those that begin within the first `len` bytes.
    fn begun_within(&self, len: usize, count: usize) -> usize {
        self.marks.iter().take(count).take_while(|mark| mark.start < len).count()
    }

    /// Only what begins within the first `len` bytes, of the first `count` marks, stays told; how many are not any
    /// more.
    fn take_in(&mut self, len: usize, count: usize) -> u32 {
        let stays = self.begun_within(len, count);
        let withdrawn = self.marks.get(stays..self.out).unwrap_or_default();
        let told = withdrawn.iter().filter(|mark| mark.is_told).count() as u32;
        self.out = stays;
        told
    }

    /// Why the text shown will be withdrawn, should it be.
    pub(crate) fn will_retract(&mut self, reason: &str) {
        self.takeover = reason.to_owned();
    }

    /// Who wrote the end of the text shown.
    pub(crate) fn author(&self) -> Option<&str> {
        self.marks.last().filter(|_| !self.text.is_empty()).map(|mark| &*mark.author.model)
    }

    /// The candidate that is shown, if one is.
    pub(crate) fn owner(&self) -> Option<Revision> {
        self.owner
    }

    /// Whether this candidate is the one that is shown.
    pub(crate) fn shows(&self, candidate: &Candidate) -> bool {
        self.owner.is_some_and(|owner| owner.candidate == candidate.id)
    }

    /// Shows progress, if there is room: it is informative only.
    pub(crate) fn loading(&self, event: LoadEvent) {
        let event = match event {
            LoadEvent::Fetching { model, source, done, total } => {
                AnswerEvent::Loading { model, source, done, total }
            }
            LoadEvent::Loading { model } => {
                AnswerEvent::Loading { model, source: String::new(), done: 0, total: 0 }
            }
        };
        if let Some(events) = &self.events {
            // A reader that lags, or left, misses progress.
            let _ = events.try_send(Ok(event));
        }
    }

    /// Sends an event, waiting for a slow reader no longer than the deadline.
    pub(crate) async fn send(&self, event: AnswerEvent) -> Result<(), BackendError> {
        let Some(events) = &self.events else { return Ok(()) };
        // A closed channel is a reader that left.
        let sent = async { events.send(Ok(event)).await.map_err(|_| BackendError::Cancelled) };
        self.ctx.bound(sent).await
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// When the request began.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// Time from the request to the first text, or until now.
    pub(crate) fn first_text(&self) -> Duration {
        self.first_delta.unwrap_or_else(|| self.begun.elapsed())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Who wrote which part of the text, `why` where an author had no reason of its own. Tokens after the
    /// text (half a character, a stop text) and authors whose tokens are no text are in no span.
    pub(crate) fn spans(&self, why: &str) -> Vec<Span> {
        let last = self.marks.iter().position(|mark| mark.end >= self.text.len());
        let used = self.marks.get(..last.map_or(0, |last| last + 1)).unwrap_or_default();
        let mut spans: Vec<Span> = Vec::new();
        for group in used.chunk_by(|a, b| a.author.model == b.author.model && a.why == b.why) {
            let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
            let start = spans.last().map_or(0, |span| span.end);
            if last.end <= start {
                continue;
            }
            let (author, tokens) = (&*first.author.model, group.len() as u32);
            let why = if first.why.is_empty() { why } else { &*first.why };
            match spans.last_mut().filter(|span| span.author == author && span.why == why) {
                // Whoever wrote in between left no text.
                Some(span) => (span.end, span.tokens) = (last.end, span.tokens + tokens),
                None => {
                    spans.push(Span { author: author.into(), start, end: last.end, tokens, why: why.into() })
                }
            }
        }
        spans
    }
}

#[cfg(test)]
mod tests;
