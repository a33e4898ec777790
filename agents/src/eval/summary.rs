//! The totals of a file of rows.

use serde_json::{Value, json};

use crate::eval::rows::{Row, Rows};
use crate::eval::stats::wilson;

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Of these rows.
    pub rows: Rows,
    /// Rows.
    pub items: u64,
    /// Of them right.
    pub ok: u64,
    /// Of them without an answer, because the node refused.
    pub unanswered: u64,
    /// Mean over answered rows, as the node measured it.
    pub mean_latency_ms: Option<f64>,
    /// Written tokens (`perplexity`: scored ones) over the time of all answers.
    pub tokens_per_s: Option<f64>,
    /// `perplexity` alone.
    pub likelihood: Option<Likelihood>,
}

/// Totals of `perplexity`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likelihood {
    /// Nats of all tokens together.
    pub nll: f64,
    /// Tokens scored.
    pub tokens: u64,
}

impl Likelihood {
    /// `None` when nothing was scored.
    pub fn of(rows: &[Row]) -> Option<Self> {
        let scored = rows.iter().filter_map(|row| row.nll.zip(row.tokens));
        let (nll, tokens) = scored.fold((0.0, 0), |(nll, tokens), row| (nll + row.0, tokens + row.1));
        (tokens > 0).then_some(Self { nll, tokens })
    }

    /// `exp` of the nats per token.
    pub fn perplexity(self) -> f64 {
        (self.nll / self.tokens as f64).exp()
    }
}

impl Summary {
    /// Adds up.
    pub fn of(rows: Rows) -> Self {
        let all = &rows.rows;
        let latencies: Vec<f64> = all.iter().filter_map(|row| row.timing["total_ms"].as_f64()).collect();
        let total_ms: f64 = latencies.iter().sum();
        let tokens: u64 = all.iter().filter_map(written).sum();
        Self {
            items: all.len() as u64,
            ok: all.iter().filter(|row| row.ok).count() as u64,
            unanswered: all.iter().filter(|row| row.answer.is_none() && row.nll.is_none()).count() as u64,
            mean_latency_ms: (!latencies.is_empty()).then(|| total_ms / latencies.len() as f64),
            tokens_per_s: (total_ms > 0.0).then(|| tokens as f64 / total_ms * 1000.0),
            likelihood: Likelihood::of(all),
            rows,
        }
    }

    /// Share of right answers with its 95 % Wilson interval; `None` for `perplexity`, and
    /// without rows.
    pub fn accuracy(&self) -> Option<(f64, (f64, f64))> {
        (self.items > 0 && self.likelihood.is_none())
            .then(|| (self.ok as f64 / self.items as f64, wilson(self.ok, self.items)))
    }

    /// One object, for scripts.
    pub fn as_json(&self) -> Value {
        let header = &self.rows.header;
        let mut summary = json!(header.identity);
        summary["items"] = json!(self.items);
        summary["of"] = json!(header.items);
        summary["skipped"] = json!(header.skipped);
        summary["ok"] = json!(self.ok);
        summary["unanswered"] = json!(self.unanswered);
        summary["accuracy"] = json!(self.accuracy().map(|(share, _)| share));
        summary["interval95"] = json!(self.accuracy().map(|(_, (low, high))| [low, high]));
        summary["mean_latency_ms"] = json!(self.mean_latency_ms);
        summary["tokens_per_s"] = json!(self.tokens_per_s);
        if let Some(likelihood) = self.likelihood {
            summary["perplexity"] = json!(likelihood.perplexity());
            summary["nll"] = json!(likelihood.nll);
            summary["tokens"] = json!(likelihood.tokens);
        }
        summary
    }
}

fn written(row: &Row) -> Option<u64> {
    row.tokens.or_else(|| row.usage["completion_tokens"].as_u64())
}
