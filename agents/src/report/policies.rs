//! The table of policies: quality and what it took, on the items that all files have.

use crate::eval::examples;
use crate::eval::rows::Row;
use crate::eval::stats::wilson;
use crate::report::join::{Joined, rungs};
use crate::report::page::escape;

/// What a file comes to, per item, over the items that all files have.
pub(crate) struct Totals {
    pub items: usize,
    pub right: usize,
    /// Tokens that the biggest model wrote.
    pub teacher_tokens: f64,
    /// Tokens that all models wrote, withdrawn ones counted.
    pub tokens: f64,
    /// Bytes of weights read.
    pub bytes: f64,
    /// Milliseconds: mean, median, 99th percentile.
    pub ms: (f64, f64, f64),
}

impl Totals {
    pub fn of(joined: &Joined<'_>, file: usize) -> Self {
        let rows: Vec<&Row> = joined.shared_rows(file).collect();
        let n = rows.len().max(1) as f64;
        let costs: Vec<_> = rows.iter().map(|row| examples::cost(row)).collect();
        let mut times: Vec<f64> = rows.iter().filter_map(|row| row.timing["total_ms"].as_f64()).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (times.len().saturating_sub(1) as f64 * share).round() as usize;
            times.get(place).copied().unwrap_or_default()
        };
        let mean_ms = times.iter().sum::<f64>() / times.len().max(1) as f64;
        Self {
            items: rows.len(),
            right: rows.iter().filter(|row| row.ok).count(),
            teacher_tokens: rows.iter().map(|row| written_by(row, joined.biggest.as_deref())).sum::<f64>()
                / n,
            tokens: costs.iter().map(|cost| cost.tokens).sum::<f64>() / n,
            bytes: costs.iter().map(|cost| cost.bytes).sum::<f64>() / n,
            ms: (mean_ms, at(0.5), at(0.99)),
        }
    }

    pub fn quality(&self) -> f64 {
        self.right as f64 / self.items.max(1) as f64
    }

    /// Wilson's 95 % interval of the quality.
    pub fn interval(&self) -> (f64, f64) {
        wilson(self.right as u64, self.items as u64)
    }
}

fn written_by(row: &Row, model: Option<&str>) -> f64 {
    let written = |name: &str| {
        let of_model = rungs(row).filter(|rung| rung["model"].as_str() == model);
        // A sum of nothing is -0, which would show.
        of_model.filter_map(|rung| rung[name].as_f64()).sum::<f64>() + 0.0
    };
    written("tokens_kept") + written("tokens_wasted")
}

pub(crate) fn section(joined: &Joined<'_>) -> String {
    let alone = joined.ladder.map(|ladder| Totals::of(joined, ladder.teacher).teacher_tokens);
    let line = |(file, name): (usize, &String)| {
        let totals = Totals::of(joined, file);
        let (low, high) = totals.interval();
        let percent = |share: f64| format!("{:.1}", share * 100.0);
        let teacher = match alone {
            Some(alone) if alone > 0.0 => percent(totals.teacher_tokens / alone),
            _ => "–".to_owned(),
        };
        format!(
            "<tr><th scope=row>{}<td>{}<td>{} <small>({} to {})</small><td>{teacher}<td>{:.2}<td>{:.1}<td>{:.0}<td>{:.0}",
            escape(name),
            totals.items,
            percent(totals.quality()),
            percent(low),
            percent(high),
            totals.bytes / 1e9,
            totals.tokens,
            totals.ms.1,
            totals.ms.2,
        )
    };
    let lines: String = joined.names.iter().enumerate().map(line).collect();
    format!(
        "<section><h2>Policies</h2><div class=wide><table class=numbers><thead><tr><th>policy<th>items<th>right, % \
         <small>(95 %)</small><th>teacher tokens, %<th>GB read per item<th>tokens per item<th>ms, p50<th>ms, p99\
         <tbody>{lines}</table></div><p class=note>Of the items that all files have. Everything is counted: prompts, withdrawn drafts, and rungs that \
         were asked in vain. Teacher tokens are those that the biggest model wrote, of what it writes when it answers \
         alone. Intervals are Wilson's.</section>"
    )
}
