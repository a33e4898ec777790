//! What has been shown of an answer, and the books behind it.
//!
//! Invariants, tested in `tests/`:
//! - **INV-L1** spans tile the text: the first starts at 0, each where the last ended.
//! - **INV-L2** per rung, tokens kept and wasted sum to the tokens that reached us.
//! - **INV-L3** rungs are in the order in which they were first asked, which is ladder order.
//! - **INV-L4** the final text equals the deltas after retractions ([`crate::Transcript`]).
//! - **INV-L5** tokens kept are those of the spans, and `completion_tokens` is their sum.
//! - **INV-L6** the ledger's decisions are the `Decided` events, in order.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use understudy_backend::{BackendError, LoadEvent, RequestCtx};
use understudy_engine::verbs::Cost;

use crate::{AnswerEvent, Decision, FinishReason, Finished, Ledger, RouterError, RungCost, Span};

pub(crate) type AnswerItem = Result<AnswerEvent, RouterError>;

/// One rung's entry in the books.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) model: String,
    pub(crate) numerics: String,
    pub(crate) prompt_tokens: usize,
    pub(crate) cached_prompt_tokens: usize,
    pub(crate) generated: u32,
    pub(crate) forced: u32,
    pub(crate) cost: Cost,
    asked: Option<Instant>,
    first_token: Option<Instant>,
    last_token: Option<Instant>,
}

impl Account {
    /// Books a token; `seen_now` is false for tokens found in the channel of a run that
    /// was stopped.
    pub(crate) fn token(&mut self, forced: bool, seen_now: bool) {
        self.generated += 1;
        self.forced += u32::from(forced);
        if seen_now {
            let now = Instant::now();
            self.first_token.get_or_insert(now);
            self.last_token = Some(now);
        }
    }

    /// Prompt tokens that were there already, or that another request computed meanwhile.
    fn spared_prompt_tokens(&self) -> u32 {
        let spared = self.cached_prompt_tokens + self.cost.adopted_rows as usize;
        spared.min(self.prompt_tokens) as u32
    }

    fn decode_tok_s(&self) -> f64 {
        match (self.first_token, self.last_token) {
            (Some(first), Some(last)) if last > first => {
                f64::from(self.generated - 1) / (last - first).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}

/// The outgoing side of a request.
pub(crate) struct Answer {
    ctx: RequestCtx,
    events: mpsc::Sender<AnswerItem>,
    /// Room for the end, reserved at the start: it never waits for a slow reader.
    last: mpsc::OwnedPermit<AnswerItem>,
    begun: Instant,
    text: String,
    spans: Vec<Span>,
    /// Who wrote last, an answer without words included.
    writer: Option<String>,
    /// Reason of the retraction to come, should another author take over.
    takeover: String,
    first_delta: Option<Duration>,
    decisions: Vec<Decision>,
    accounts: Vec<Account>,
    /// Why the text has its author, for people.
    pub(crate) why: String,
}

impl Answer {
    pub(crate) fn new(
        ctx: RequestCtx,
        events: mpsc::Sender<AnswerItem>,
        last: mpsc::OwnedPermit<AnswerItem>,
        begun: Instant,
    ) -> Self {
        Self {
            ctx,
            events,
            last,
            begun,
            text: String::new(),
            spans: Vec::new(),
            writer: None,
            takeover: String::new(),
            first_delta: None,
            decisions: Vec::new(),
            accounts: Vec::new(),
            why: String::new(),
        }
    }

    /// The account of a model; the first call opens it.
    pub(crate) fn account(&mut self, model: &str) -> &mut Account {
        let at = self.accounts.iter().position(|account| account.model == model).unwrap_or_else(|| {
            let model = model.to_owned();
            self.accounts.push(Account { model, asked: Some(Instant::now()), ..Account::default() });
            self.accounts.len() - 1
        });
        &mut self.accounts[at]
    }

    /// Who wrote the end of the text shown.
    pub(crate) fn author(&self) -> Option<&str> {
        self.spans.last().map(|span| span.author.as_str())
    }

    /// Shows more text. Text of other authors is retracted first.
    pub(crate) async fn delta(&mut self, model: &str, text: String, tokens: u32) -> Result<(), BackendError> {
        self.take_over(model).await?;
        let start = self.text.len();
        self.send(AnswerEvent::Delta { model: model.into(), text: text.clone(), tokens }).await?;
        self.first_delta.get_or_insert_with(|| self.begun.elapsed());
        self.text.push_str(&text);
        match self.spans.last_mut() {
            Some(span) => {
                span.end = self.text.len();
                span.tokens += tokens;
            }
            None => {
                let (author, end) = (model.to_owned(), self.text.len());
                self.spans.push(Span { author, start, end, tokens, why: String::new() });
            }
        }
        Ok(())
    }

    /// Retracts what others than `model` have written.
    pub(crate) async fn take_over(&mut self, model: &str) -> Result<(), BackendError> {
        if self.writer.as_deref() != Some(model) {
            self.writer = Some(model.to_owned());
        }
        let Some(author) = self.author().filter(|author| *author != model).map(str::to_owned) else {
            return Ok(());
        };
        let (bytes, reason) = (self.text.len(), self.takeover.clone());
        self.send(AnswerEvent::Retracted { bytes, model: author, reason }).await?;
        self.text.clear();
        self.spans.clear();
        Ok(())
    }

    /// Announces a decision and books it.
    pub(crate) async fn decide(&mut self, decision: Decision) -> Result<(), BackendError> {
        self.send(AnswerEvent::Decided(decision.clone())).await?;
        self.takeover = decision.reason.clone();
        self.decisions.push(decision);
        Ok(())
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
        // A reader that lags, or left, misses progress.
        let _ = self.events.try_send(Ok(event));
    }

    /// Sends an event, waiting for a slow reader no longer than the deadline.
    pub(crate) async fn send(&self, event: AnswerEvent) -> Result<(), BackendError> {
        // A closed channel is a reader that left.
        let sent = async { self.events.send(Ok(event)).await.map_err(|_| BackendError::Cancelled) };
        self.ctx.bound(sent).await
    }

    /// The end. `first_model` is named as the author when nobody wrote anything.
    pub(crate) fn finish(mut self, reason: FinishReason, policy: &str, first_model: &str) {
        let author = self.writer.take().unwrap_or_else(|| first_model.to_owned());
        for span in &mut self.spans {
            span.why.clone_from(&self.why);
        }
        let kept =
            |model: &str| self.spans.iter().filter(|span| span.author == model).map(|span| span.tokens).sum();
        let rungs: Vec<RungCost> =
            self.accounts.iter().map(|account| close(account, kept(&account.model))).collect();
        let written = self.accounts.iter().find(|account| account.model == author);
        let finished = Finished {
            reason,
            model: author,
            policy: policy.into(),
            prompt_tokens: written.map_or(0, |account| account.prompt_tokens as u32),
            completion_tokens: self.spans.iter().map(|span| span.tokens).sum(),
            cached_prompt_tokens: written.map_or(0, Account::spared_prompt_tokens),
            ttft_ms: milliseconds(self.first_delta.unwrap_or_else(|| self.begun.elapsed())),
            total_ms: milliseconds(self.begun.elapsed()),
            decode_tok_s: written.map_or(0.0, Account::decode_tok_s),
            numerics: written.map_or(String::new(), |account| account.numerics.clone()),
            ledger: Ledger {
                spans: self.spans,
                rungs,
                drafted: 0,
                accepted: 0,
                forced: self.accounts.iter().map(|account| account.forced).sum(),
                decisions: self.decisions,
            },
            text: self.text,
        };
        self.last.send(Ok(AnswerEvent::Finished(Box::new(finished))));
    }

    /// The end, without an answer.
    pub(crate) fn fail(self, error: RouterError) {
        self.last.send(Err(error));
    }
}

fn close(account: &Account, kept: u32) -> RungCost {
    let wall = account.asked.zip(account.last_token).map_or(Duration::ZERO, |(asked, last)| last - asked);
    RungCost {
        model: account.model.clone(),
        prompt_tokens: account.prompt_tokens as u32,
        cached_prompt_tokens: account.spared_prompt_tokens(),
        tokens_kept: kept,
        tokens_wasted: account.generated - kept,
        cost: account.cost,
        wall_ms: milliseconds(wall),
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
