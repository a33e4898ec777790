//! Each item: what was asked and expected, and what every policy said and decided.

use serde_json::Value;

use crate::eval::examples::{Candidate, candidates};
use crate::eval::rows::Row;
use crate::report::join::Joined;
use crate::report::page::escape;

pub(crate) fn section(joined: &Joined<'_>) -> String {
    let items: String = joined.items.iter().map(|(item, rows)| entry(joined, item, rows)).collect();
    format!(
        "<section><h2>Items</h2><p class=filter hidden><label>Show <select id=which><option value=all>all<option \
         value=wrong>some wrong<option value=differ>right for some only</select></label> <label>with <input id=word \
         type=search placeholder=\"a word\"></label> <output id=count></output></p>{items}</section>"
    )
}

fn entry(joined: &Joined<'_>, item: &str, rows: &[Option<&Row>]) -> String {
    let judged = || rows.iter().flatten();
    let wrong = judged().any(|row| !row.ok);
    let differ = wrong && judged().any(|row| row.ok);
    let marks: String = rows
        .iter()
        .map(|row| match row {
            Some(row) if row.ok => "<b class=ok>✓</b>",
            Some(_) => "<b class=no>✗</b>",
            None => "<b>·</b>",
        })
        .collect();
    let first = judged().next();
    let question = first.and_then(|row| row.question.as_deref());
    let asked = question
        .map_or_else(String::new, |question| format!("<h4>question</h4><pre>{}</pre>", escape(question)));
    let expected = first.map_or_else(String::new, |row| text(&row.expected));
    let answers: String =
        joined.names.iter().zip(rows).filter_map(|(name, row)| row.map(|row| answer(name, row))).collect();
    let teaser = question.and_then(|question| question.lines().rfind(|line| !line.trim().is_empty()));
    format!(
        "<details class=item data-wrong={} data-differ={}><summary>{marks} <code>{}</code> {}</summary>{asked}\
         <h4>expected</h4><pre>{}</pre>{answers}</details>",
        u8::from(wrong),
        u8::from(differ),
        escape(item),
        escape(teaser.unwrap_or_default()),
        escape(&expected)
    )
}

fn answer(name: &str, row: &Row) -> String {
    let mark = if row.ok { "<b class=ok>✓</b>" } else { "<b class=no>✗</b>" };
    let why = row.error.as_deref().map_or_else(String::new, |why| format!(" <em>{}</em>", escape(why)));
    let said = row.answer.as_deref().unwrap_or("(no answer)");
    let ms =
        row.timing["total_ms"].as_f64().map_or_else(String::new, |ms| format!(" <small>{ms:.0} ms</small>"));
    let list = |entries: Vec<String>| match entries.is_empty() {
        true => String::new(),
        false => format!("<ul>{}</ul>", entries.concat()),
    };
    let decisions = row.ledger["decisions"].as_array().into_iter().flatten().map(decision).collect();
    let judged = candidates(row).iter().map(candidate).collect();
    format!(
        "<h4>{mark} {}{ms}{why}</h4><pre>{}</pre>{}{}",
        escape(name),
        escape(said),
        list(decisions),
        list(judged)
    )
}

fn decision(decision: &Value) -> String {
    let to = decision["to"].as_str().map_or_else(String::new, |to| format!(" → {to}"));
    let said = format!(
        "{}: {}{to}: {}",
        text(&decision["kind"]),
        text(&decision["from"]),
        text(&decision["reason"])
    );
    format!("<li>{}", escape(&said))
}

fn candidate(candidate: &Candidate) -> String {
    let confidence = candidate.confidence.map_or_else(String::new, |sure| format!(", confidence {sure:.3}"));
    let chosen = if candidate.chosen { ", chosen" } else { "" };
    let validators: String = candidate
        .validators
        .iter()
        .map(|found| {
            let said = format!("{} {}: {} ({:.1} ms)", found.name, found.verdict, found.detail, found.ms);
            format!("<li>{}", escape(&said))
        })
        .collect();
    let evidence: Vec<String> =
        candidate.evidence.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
    format!(
        "<li>{}<ul>{validators}<li><small>{}</small></ul>",
        escape(&format!("{}{chosen}{confidence}", candidate.model)),
        escape(&evidence.join(", "))
    )
}

/// A value as people read it: a text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
