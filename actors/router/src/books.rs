//! What a request has cost, model by model.
//!
//! Invariants, tested in `tests/`:
//! - **INV-L2** per rung, tokens kept and wasted sum to the tokens that reached us.
//! - **INV-L3** rungs are in the order in which they were first asked.
//! - **INV-L5** tokens kept are those of the spans, and `completion_tokens` is their sum.
//! - **INV-L6** the ledger's decisions are the `Decided` events, in order.
//! - **INV-L10** the ledger's drafts are the sums of the `Drafted` events, and its validators' words those of the
//!   `Validated` events, in order; except in an answer that is cut off amid a pass or a judgement.

use std::time::Duration;

use tokio::time::Instant;
use understudy_calibration::Evidence;
use understudy_engine::verbs::Cost;

use crate::candidate::Revision;
use crate::{CandidateRecord, Decision, Drafts, RungCost, Span};

/// One model's entry.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) model: String,
    pub(crate) numerics: String,
    pub(crate) prompt_tokens: usize,
    pub(crate) cached_prompt_tokens: usize,
    /// Tokens written as an author.
    generated: u32,
    /// Tokens drafted for others, and how many of them stood.
    drafted: u32,
    stood: u32,
    pub(crate) forced: u32,
    pub(crate) cost: Cost,
    asked: Option<Instant>,
    first_token: Option<Instant>,
    last_token: Option<Instant>,
}

/// All entries, and what was decided.
#[derive(Debug, Default)]
pub(crate) struct Books {
    accounts: Vec<Account>,
    /// What became of drafts: sums, by drafter and target.
    pub(crate) drafts: Vec<Drafts>,
    pub(crate) decisions: Vec<Decision>,
    /// What was known before anything was written, where that was asked.
    pub(crate) prompt: Evidence,
    /// Answers that were judged, by their candidate.
    pub(crate) candidates: Vec<(Revision, CandidateRecord)>,
}

impl Books {
    /// The account of a model; the first call opens it.
    pub(crate) fn account(&mut self, model: &str) -> &mut Account {
        let at = self.accounts.iter().position(|account| account.model == model).unwrap_or_else(|| {
            let model = model.to_owned();
            self.accounts.push(Account { model, asked: Some(Instant::now()), ..Account::default() });
            self.accounts.len() - 1
        });
        &mut self.accounts[at]
    }

    /// A model's account, if it was asked.
    pub(crate) fn find(&self, model: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.model == model)
    }

    /// The model that was asked last for the first time.
    pub(crate) fn last_asked(&self) -> Option<&str> {
        self.accounts.last().map(|account| account.model.as_str())
    }

    pub(crate) fn forced(&self) -> u32 {
        self.accounts.iter().map(|account| account.forced).sum()
    }

    /// Adds to what became of drafts.
    pub(crate) fn drafted(&mut self, new: &Drafts) {
        let pair = |known: &&mut Drafts| known.drafter == new.drafter && known.target == new.target;
        match self.drafts.iter_mut().find(pair) {
            Some(known) => {
                known.drafted += new.drafted;
                known.accepted += new.accepted;
            }
            None => self.drafts.push(new.clone()),
        }
    }

    /// Takes over what a part of the request has cost.
    pub(crate) fn absorb(&mut self, part: Self) {
        for account in part.accounts {
            self.account(&account.model).absorb(account);
        }
        part.drafts.iter().for_each(|drafts| self.drafted(drafts));
        self.candidates.extend(part.candidates);
    }

    /// Cost per model, given who wrote the text and when the request began.
    pub(crate) fn rungs(&self, spans: &[Span], begun: Instant) -> Vec<RungCost> {
        let kept =
            |model: &str| spans.iter().filter(|span| span.author == model).map(|span| span.tokens).sum();
        self.accounts.iter().map(|account| account.close(kept(&account.model), begun)).collect()
    }
}

impl Account {
    /// Books a token that this model wrote.
    pub(crate) fn token(&mut self, forced: bool) {
        self.generated += 1;
        self.forced += u32::from(forced);
        let now = Instant::now();
        self.first_token.get_or_insert(now);
        self.last_token = Some(now);
    }

    /// Books that the model answered other than by a token.
    pub(crate) fn heard(&mut self) {
        self.last_token = Some(Instant::now());
    }

    /// Books tokens that were made and thrown away unseen.
    pub(crate) fn unseen(&mut self, tokens: u32) {
        self.generated += tokens;
    }

    /// Books a draft of this model for another one.
    pub(crate) fn drafted(&mut self, tokens: usize, stood: usize) {
        self.drafted += tokens as u32;
        self.stood += stood as u32;
    }

    /// Prompt tokens that were there already, or that another request computed meanwhile.
    pub(crate) fn spared_prompt_tokens(&self) -> u32 {
        let spared = self.cached_prompt_tokens + self.cost.adopted_rows as usize;
        spared.min(self.prompt_tokens) as u32
    }

    pub(crate) fn decode_tok_s(&self) -> f64 {
        match (self.first_token, self.last_token) {
            (Some(first), Some(last)) if last > first => {
                f64::from(self.generated.saturating_sub(1)) / (last - first).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    fn absorb(&mut self, part: Self) {
        if self.numerics.is_empty() {
            self.numerics = part.numerics;
            self.prompt_tokens = part.prompt_tokens;
            self.cached_prompt_tokens = part.cached_prompt_tokens;
        }
        self.generated += part.generated;
        self.drafted += part.drafted;
        self.stood += part.stood;
        self.forced += part.forced;
        self.cost += part.cost;
        self.asked = self.asked.min(part.asked).or(self.asked).or(part.asked);
        self.first_token = [self.first_token, part.first_token].into_iter().flatten().min();
        self.last_token = self.last_token.max(part.last_token);
    }

    fn close(&self, kept: u32, begun: Instant) -> RungCost {
        let asked = self.asked.unwrap_or(begun);
        let heard = self.last_token.unwrap_or(asked);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        RungCost {
            model: self.model.clone(),
            prompt_tokens: self.prompt_tokens as u32,
            cached_prompt_tokens: self.spared_prompt_tokens(),
            tokens_kept: kept,
            tokens_wasted: self.generated.saturating_sub(kept) + (self.drafted - self.stood),
            tokens_drafted: self.drafted,
            drafts_refused: self.drafted - self.stood,
            cost: self.cost,
            asked_ms: ms(asked.saturating_duration_since(begun)),
            heard_ms: ms(heard.saturating_duration_since(begun)),
            wall_ms: ms(heard.saturating_duration_since(asked)),
        }
    }
}
