//! Who wrote what, which decisions were taken, and what it cost.

use understudy_proto::v1::{Decision, Finished, Ledger};

use crate::error::Error;
use crate::render::{Style, bytes, line, table};

/// Prints the account of an answer below it.
pub fn print(finished: &Finished, style: Style) -> Result<(), Error> {
    let ledger = finished.ledger.clone().unwrap_or_default();
    line("")?;
    line(&style.dim("─── who wrote it"))?;
    for span in &ledger.spans {
        let text = slice(&finished.text, span.start, span.end);
        let author = style.author(author_index(&ledger, &span.author), &span.author);
        line(&format!("{author} ({} tokens; {})", span.tokens, span.why))?;
        line(&style.author(author_index(&ledger, &span.author), &indent(text)))?;
    }
    line(&style.dim("─── decisions"))?;
    for decision in &ledger.decisions {
        line(&describe(decision))?;
    }
    line(&style.dim("─── cost"))?;
    let rows = ledger.rungs.iter().map(|rung| {
        vec![
            rung.model.clone(),
            rung.prompt_tokens.to_string(),
            rung.tokens_kept.to_string(),
            rung.tokens_wasted.to_string(),
            rung.forward_passes.to_string(),
            bytes(rung.bytes_read),
            format!("{:.0} ms", rung.ms),
        ]
    });
    line(&table(&["MODEL", "PROMPT", "KEPT", "WASTED", "PASSES", "READ", "TIME"], rows))?;
    let timing = finished.timing.unwrap_or_default();
    line(&style.dim(&format!(
        "finished: {}; first text after {:.0} ms, all after {:.0} ms, {:.1} tok/s; {}",
        finished.finish_reason, timing.ttft_ms, timing.total_ms, timing.decode_tok_s, finished.numerics
    )))
}

fn describe(decision: &Decision) -> String {
    let judged = match (decision.confidence, decision.threshold) {
        (Some(confidence), Some(threshold)) => {
            let sign = if confidence >= threshold { "≥" } else { "<" };
            format!(" [confidence {confidence:.2} {sign} {threshold:.2}]")
        }
        (Some(confidence), None) => format!(" [confidence {confidence:.2}]"),
        _ => String::new(),
    };
    let to = if decision.to.is_empty() { String::new() } else { format!(" → {}", decision.to) };
    format!("{}: {}{to}{judged}: {}", decision.kind, decision.from, decision.reason)
}

fn author_index(ledger: &Ledger, author: &str) -> usize {
    ledger.rungs.iter().position(|rung| rung.model == author).unwrap_or(0)
}

/// Bytes `start..end`, or nothing where the ledger and the text disagree.
fn slice(text: &str, start: u64, end: u64) -> &str {
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    range.and_then(|(start, end)| text.get(start..end)).unwrap_or_default()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
