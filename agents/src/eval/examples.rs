//! Rows as what a calibration learns from.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use understudy_calibration::{Cost, Evidence, Example, Pair};

use crate::eval::EvalError;
use crate::eval::compare::by_item;
use crate::eval::rows::{Row, Rows};

/// A complete answer that was judged in a request: an element of `ledger.candidates`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Candidate {
    /// Who wrote it.
    pub model: String,
    /// Whether it is the answer of the request.
    pub chosen: bool,
    /// As the router judged it.
    pub confidence: Option<f64>,
    /// What a calibration sees.
    pub evidence: Evidence,
    /// A normal form of what it means.
    pub outcome: Option<String>,
    /// What was tried on it.
    pub validators: Vec<Verdict>,
}

/// What a validator found.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// Which validator.
    pub name: String,
    /// `pass`, `fail` or `unknown`.
    pub verdict: String,
    /// Why.
    pub detail: String,
    /// Milliseconds it took.
    pub ms: f64,
}

/// The candidates of a row; none in rows of builds that did not write them, or where they cannot be read.
pub fn candidates(row: &Row) -> Vec<Candidate> {
    row.ledger.get("candidates").and_then(|found| Vec::deserialize(found).ok()).unwrap_or_default()
}

/// What a request took, all its rungs counted. Zero where the row does not say.
pub fn cost(row: &Row) -> Cost {
    let rungs = row.ledger["rungs"].as_array();
    let sum = |names: &[&str]| -> f64 {
        let of = |rung: &Value| names.iter().filter_map(|name| rung[*name].as_f64()).sum::<f64>();
        rungs.into_iter().flatten().map(of).sum()
    };
    Cost {
        tokens: sum(&["tokens_kept", "tokens_wasted"]),
        bytes: sum(&["bytes_read"]),
        ms: row.timing["total_ms"].as_f64().unwrap_or_default(),
    }
}

/// What a calibration learns from one answer, wherever it was recorded.
pub fn example(candidate: &Candidate, ok: bool, cost: Cost) -> Example {
    Example { evidence: candidate.evidence.clone(), ok, cost, outcome: candidate.outcome.clone() }
}

/// Two models' answers to the same items.
#[derive(Debug, Clone, PartialEq)]
pub struct Paired {
    /// The suite.
    pub suite: String,
    /// The model that reads fewer bytes per pass.
    pub draft: String,
    /// The other.
    pub teacher: String,
    /// Items with two answers, in the order of their names.
    pub pairs: Vec<Pair>,
    /// Items that only one file has, or that a model did not answer.
    pub unpaired: usize,
}

/// Pairs the rows of two models, each asked alone (policy `direct`), by item.
///
/// # Errors
/// [`EvalError::Input`], when there are not two models of one suite and data, when an answer has no candidate, or when
/// they share no item.
pub fn pairs(files: &[Rows]) -> Result<Paired, EvalError> {
    let [a, b] = files else {
        return Err(EvalError::input(format!(
            "{} files of rows: a calibration takes two, one for each model of the ladder",
            files.len()
        )));
    };
    a.same_items(b)?;
    let (draft, teacher) = if bytes_per_pass(a) <= bytes_per_pass(b) { (a, b) } else { (b, a) };
    let [small, large] = [draft, teacher].map(model);
    if small == large {
        return Err(EvalError::input(format!("both files are of {small:?}: a ladder has two models")));
    }
    let (ours, theirs) = (by_item(&draft.rows)?, by_item(&teacher.rows)?);
    let mut pairs = Vec::new();
    for (item, row) in &ours {
        let Some(other) = theirs.get(item) else { continue };
        if let (Some(draft), Some(teacher)) = (direct_example(row)?, direct_example(other)?) {
            pairs.push(Pair { item: (*item).to_owned(), draft, teacher });
        }
    }
    if pairs.is_empty() {
        return Err(EvalError::input("the two files share no item that both answered"));
    }
    let all = ours.keys().chain(theirs.keys()).collect::<std::collections::BTreeSet<_>>().len();
    Ok(Paired {
        suite: draft.header.identity.suite.clone(),
        draft: small,
        teacher: large,
        unpaired: all - pairs.len(),
        pairs,
    })
}

/// `None` where the model did not answer.
fn direct_example(row: &Row) -> Result<Option<Example>, EvalError> {
    if row.answer.is_none() {
        return Ok(None);
    }
    match candidates(row).as_slice() {
        [candidate] => Ok(Some(example(candidate, row.ok, cost(row)))),
        found => Err(EvalError::input(format!(
            "item {:?} of {:?} has {} judged answers in `ledger.candidates`, not one: evaluate the model again, alone \
             (`--policy direct`) and with a build that writes them",
            row.item,
            row.model,
            found.len()
        ))),
    }
}

/// The model that answered, as its rows name it.
pub(crate) fn model(rows: &Rows) -> String {
    let answered = rows.rows.iter().find(|row| row.answer.is_some());
    answered.map_or_else(|| rows.header.identity.model.clone(), |row| row.model.clone())
}

/// Bytes of weights that a pass reads: what makes a model the bigger one.
pub(crate) fn bytes_per_pass(rows: &Rows) -> f64 {
    let rungs = || rows.rows.iter().filter_map(|row| row.ledger["rungs"].as_array()).flatten();
    let sum = |name: &str| rungs().filter_map(|rung| rung[name].as_f64()).sum::<f64>();
    sum("bytes_read") / sum("forward_passes").max(1.0)
}

/// Rows by item, of several files.
pub fn by_items(files: &[Rows]) -> Result<BTreeMap<&str, Vec<Option<&Row>>>, EvalError> {
    let mut items: BTreeMap<&str, Vec<Option<&Row>>> = BTreeMap::new();
    for (at, file) in files.iter().enumerate() {
        for (item, row) in by_item(&file.rows)? {
            items.entry(item).or_insert_with(|| vec![None; files.len()])[at] = Some(row);
        }
    }
    Ok(items)
}
