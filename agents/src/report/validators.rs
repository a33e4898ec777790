//! What validators found, and how long they took.

use std::collections::BTreeMap;

use crate::eval::examples::candidates;
use crate::report::chart::{Axis, Chart};
use crate::report::join::Joined;
use crate::report::page::escape;

/// Bins of the histogram.
const BINS: usize = 30;

/// One validator on all answers of all files.
#[derive(Default)]
struct Tried {
    ms: Vec<f64>,
    pass: usize,
    fail: usize,
}

pub(crate) fn section(joined: &Joined<'_>) -> String {
    let mut all: BTreeMap<String, Tried> = BTreeMap::new();
    let rows = joined.files.iter().flat_map(|file| &file.rows);
    for found in rows.flat_map(candidates).flat_map(|candidate| candidate.validators) {
        let tried = all.entry(found.name).or_default();
        tried.pass += usize::from(found.verdict == "pass");
        tried.fail += usize::from(found.verdict == "fail");
        if found.ms.is_finite() {
            tried.ms.push(found.ms.max(0.0));
        }
    }
    if all.is_empty() {
        return String::new();
    }
    let figures: String = all.into_iter().map(|(name, tried)| figure(&name, tried)).collect();
    format!(
        "<section><h2>Validators</h2><div class=charts>{figures}</div><p class=note>Times of every candidate's \
         validators, in bins of equal ratio.</section>"
    )
}

fn figure(name: &str, mut tried: Tried) -> String {
    tried.ms.sort_by(f64::total_cmp);
    let last = tried.ms.len().saturating_sub(1);
    let at = |share: f64| tried.ms.get((last as f64 * share).round() as usize).copied().unwrap_or_default();
    let told = format!(
        "{} tried: {} pass, {} fail, {} unknown; p50 {:.2} ms, p99 {:.2} ms, longest {:.1} ms",
        tried.ms.len(),
        tried.pass,
        tried.fail,
        tried.ms.len().saturating_sub(tried.pass + tried.fail),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    // Powers of ten of a microsecond: times of zero are in the first bin.
    let power = |ms: f64| (ms * 1000.0).max(1.0).log10();
    let to = power(at(1.0)).max(1.0);
    let mut counts = [0_usize; BINS];
    for ms in &tried.ms {
        let bin = (power(*ms) / to * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1;
    }
    let most = counts.iter().max().copied().unwrap_or_default() as f64;
    let x = Axis { label: "log10 of microseconds".to_owned(), from: 0.0, to, percent: false };
    let y = Axis { label: "answers".to_owned(), from: 0.0, to: most * 1.05, percent: false };
    let mut chart = Chart::new(x, y);
    for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let edge = |bin: usize| to * bin as f64 / BINS as f64;
        chart.column("bar", &format!("{count} answers"), (edge(bin), edge(bin + 1)), *count as f64);
    }
    format!(
        "<figure><figcaption>{}<br><small>{told}</small></figcaption>{}</figure>",
        escape(name),
        chart.svg("Answers per time of the validator")
    )
}
