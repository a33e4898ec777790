//! What prompts tell before anything is written, learned from rows of each model.

use understudy_calibration::Example;
use understudy_calibration::fit::{Origin, fit};
use understudy_calibration::profile::{Goal, LadderProfile, Rung, VERSION};

use crate::eval::EvalError;
use crate::eval::examples::{bytes_per_pass, cost, model};
use crate::eval::rows::{Row, Rows, now};

/// Learns each model's probability of being right from the evidence of prompts (`ledger.prompt`): one file of rows per
/// model, each asked alone. The profile has no thresholds: the policy `route` weighs probabilities against costs.
///
/// # Errors
/// [`EvalError::Input`], when files are of different items or one model, a row has no evidence of its prompt, or a model
/// has too few answers of either kind.
pub fn routes(files: &[Rows], task: &str) -> Result<LadderProfile, EvalError> {
    let mut files: Vec<&Rows> = files.iter().collect();
    files.sort_by(|a, b| bytes_per_pass(a).total_cmp(&bytes_per_pass(b)));
    for pair in files.windows(2) {
        let [a, b] = pair else { continue };
        a.same_items(b)?;
        if model(a) == model(b) {
            return Err(EvalError::input(format!("two files are of {:?}: one for each model", model(a))));
        }
    }
    let rungs = files.iter().map(|rows| rung(rows)).collect::<Result<_, _>>()?;
    Ok(LadderProfile { version: VERSION, task: task.to_owned(), rungs, goal: Goal::Quality })
}

fn rung(rows: &Rows) -> Result<Rung, EvalError> {
    let answered = rows.rows.iter().filter(|row| row.answer.is_some());
    let examples: Vec<Example> = answered.map(example).collect::<Result<_, _>>()?;
    let origin = Origin { model: model(rows), digest: rows.header.identity.data.clone(), date: now() };
    let fitted = fit(&examples.iter().collect::<Vec<_>>(), &origin).map_err(EvalError::from)?;
    Ok(Rung { profile: fitted.profile, next: None, threshold: None })
}

fn example(row: &Row) -> Result<Example, EvalError> {
    let evidence = serde_json::from_value(row.ledger["prompt"].clone()).unwrap_or_default();
    let example = Example { evidence, ok: row.ok, cost: cost(row), outcome: None };
    if example.evidence.is_empty() {
        return Err(EvalError::input(format!(
            "item {:?} of {:?} has nothing in `ledger.prompt`: evaluate the model again with a build that writes it",
            row.item, row.model
        )));
    }
    Ok(example)
}
