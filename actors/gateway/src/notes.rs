//! What the node's ledger gets to know of answers.

use std::borrow::Cow;

use understudy_backend::RequestCtx;
use understudy_engine::codec::ChatMessage;
use understudy_ledger::{
    Account, Candidate, Decision, Entry, LedgerError, LedgerHandle, Options, RungCost, Span, Timing, Usage,
    Validation,
};
use understudy_router::{AnswerEvent, AnswerRequest, CandidateRecord, Finished, Ledger};

use crate::{Failure, NodeConfig, codes, failure::RETRY_SOON};

/// The node's ledger, if it keeps one. A node answers without one too: whatever is wrong with it is only logged.
pub(crate) async fn open(config: &NodeConfig) -> Option<LedgerHandle> {
    if !config.ledger.enabled {
        return None;
    }
    let path = config.ledger_file().ok()?;
    let settings = &config.ledger;
    let options = Options {
        content: settings.content,
        keep_days: settings.keep_days,
        max_mb: settings.max_mb,
        ..Options::default()
    };
    // Another process may hold the file for a while.
    let opened = tokio::task::spawn_blocking(move || LedgerHandle::open(&path, options)).await.ok()?;
    opened.inspect_err(|error| tracing::warn!(%error, "this node keeps no ledger")).ok()
}

/// One answer's entry, as far as it is known.
pub(crate) struct Note {
    ledger: LedgerHandle,
    entry: Entry,
}

impl Note {
    pub(crate) fn begin(ledger: &LedgerHandle, ctx: &RequestCtx, request: &AnswerRequest) -> Self {
        let texts: Vec<_> = request.messages.iter().map(said).collect();
        let turns = request.messages.iter().zip(&texts).map(|(turn, text)| (turn.role.as_str(), &**text));
        let prompt = ledger.prompt(turns);
        let entry = Entry {
            request_id: ctx.request_id.0.clone(),
            tenant: ctx.tenant.clone(),
            task: request.task.clone(),
            policy: request.policy.to_string(),
            prompt_digest: prompt.digest,
            messages: prompt.messages,
            ..Entry::default()
        };
        Self { ledger: ledger.clone(), entry }
    }

    /// Looks at every event; the last one completes the entry. What is refused or abandoned leaves none.
    pub(crate) fn follow(&mut self, event: &AnswerEvent) {
        match event {
            AnswerEvent::Started { ladder, .. } => self.entry.ladder.clone_from(ladder),
            AnswerEvent::Finished(end) => {
                let entry = std::mem::take(&mut self.entry);
                self.ledger.note(complete(entry, end));
            }
            _ => {}
        }
    }
}

/// A turn's text, and its calls after it.
fn said(turn: &ChatMessage) -> Cow<'_, str> {
    if turn.tool_calls.is_empty() {
        return Cow::Borrowed(&turn.content);
    }
    let calls = turn.tool_calls.iter().map(|call| format!("\n{}({})", call.name, call.arguments));
    Cow::Owned(turn.content.clone() + &calls.collect::<String>())
}

fn complete(entry: Entry, end: &Finished) -> Entry {
    Entry {
        model: end.model.clone(),
        finish_reason: end.reason.as_str().to_owned(),
        numerics: end.numerics.clone(),
        usage: Usage {
            prompt_tokens: end.prompt_tokens,
            completion_tokens: end.completion_tokens,
            cached_prompt_tokens: end.cached_prompt_tokens,
        },
        timing: Timing { ttft_ms: end.ttft_ms, total_ms: end.total_ms, decode_tok_s: end.decode_tok_s },
        ledger: account(&end.ledger),
        text: Some(end.text.clone()),
        ..entry
    }
}

fn account(ledger: &Ledger) -> Account {
    let span = |span: &understudy_router::Span| Span {
        author: span.author.clone(),
        start: span.start as u64,
        end: span.end as u64,
        tokens: span.tokens,
        why: span.why.clone(),
    };
    let rung = |rung: &understudy_router::RungCost| RungCost {
        model: rung.model.clone(),
        prompt_tokens: rung.prompt_tokens,
        tokens_kept: rung.tokens_kept,
        tokens_wasted: rung.tokens_wasted,
        tokens_drafted: rung.tokens_drafted,
        row_steps: rung.cost.prefill_rows + rung.cost.decode_rows,
        forward_passes: rung.cost.forward_passes,
        bytes_read: rung.cost.bytes_read,
        ms: rung.wall_ms,
    };
    let decision = |decided: &understudy_router::Decision| Decision {
        kind: decided.kind.as_str().to_owned(),
        from: decided.from.clone(),
        to: decided.to.clone(),
        reason: decided.reason.clone(),
        confidence: decided.confidence,
        threshold: decided.threshold,
    };
    Account {
        spans: ledger.spans.iter().map(span).collect(),
        rungs: ledger.rungs.iter().map(rung).collect(),
        drafted: ledger.drafted,
        accepted: ledger.accepted,
        forced: ledger.forced,
        decisions: ledger.decisions.iter().map(decision).collect(),
        candidates: ledger.candidates.iter().map(candidate).collect(),
    }
}

fn candidate(judged: &CandidateRecord) -> Candidate {
    let validation = |found: &understudy_router::ValidatorRecord| Validation {
        name: found.name.clone(),
        verdict: found.verdict.as_str().to_owned(),
        detail: found.detail.clone(),
        ms: found.ms,
    };
    Candidate {
        model: judged.model.clone(),
        chosen: judged.chosen,
        confidence: judged.confidence,
        evidence: judged.evidence.clone(),
        outcome: judged.outcome.clone(),
        validators: judged.validators.iter().map(validation).collect(),
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Busy { .. } => {
                Self::new(codes::OVERLOADED, error.to_string()).retry_after(RETRY_SOON)
            }
            _ => Self::new(codes::LEDGER_UNAVAILABLE, error.to_string()),
        }
    }
}
