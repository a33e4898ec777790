//! Logits and greedy tokens of an independent float32 computation, and how far a decoder is off.
//!
//! The vectors (tests/vectors/*.json) were made by another framework from the dequantized
//! tensors; see tests/vectors/README.md.

use std::path::Path;

use serde::Deserialize;
use understudy_engine::model::Want;

use super::{Rows, argmax};

/// Largest difference of a logit, as a share of the range of its row's logits.
pub const BOUND: f32 = 2e-3;

#[derive(Deserialize)]
pub struct Vectors {
    pub prompts: Vec<Prompt>,
}

#[derive(Deserialize)]
pub struct Prompt {
    pub name: String,
    pub ids: Vec<u32>,
    checks: Vec<Check>,
    pub greedy: Vec<u32>,
    pub greedy_gap: Vec<f32>,
    pub greedy_range: Vec<f32>,
}

#[derive(Deserialize)]
struct Check {
    pos: usize,
    top5: Vec<(u32, f32)>,
    probe: Vec<(u32, f32)>,
    min: f32,
    max: f32,
}

/// How a decoder compares with the reference.
#[derive(Debug, Default, Clone, Copy)]
pub struct Agreement {
    /// The largest difference of a logit, in bounds.
    pub worst: f32,
    /// Rows compared.
    pub rows: usize,
    /// Rows whose most likely token is another than the reference's; in its continuations, close
    /// calls aside.
    pub other_tokens: usize,
}

impl Vectors {
    pub fn read(path: &Path) -> Self {
        let text =
            std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap()
    }

    /// Tokens of the longest prompt with its continuation.
    pub fn longest(&self) -> usize {
        self.prompts.iter().map(|prompt| prompt.ids.len() + prompt.greedy.len()).max().unwrap_or(0)
    }

    /// Computes all prompts in chunks, from an empty sequence each, and their continuations token
    /// by token. `complain` hears of each difference that matters.
    pub fn compare(&self, rows: &mut Rows, chunk: usize, mut complain: impl FnMut(String)) -> Agreement {
        let mut found = Agreement::default();
        for prompt in &self.prompts {
            rows.restart();
            let wanted = |pos| match prompt.checks.iter().any(|check| check.pos == pos) {
                true => Want::Logits,
                false => Want::Nothing,
            };
            let logits = rows.prefill(&prompt.ids, chunk, wanted);
            assert_eq!(logits.len(), prompt.checks.len());
            for (check, row) in prompt.checks.iter().zip(&logits) {
                prompt.compare_row(check, row, &mut found, &mut complain);
            }
            let last = logits.last().expect("the last position is always checked");
            prompt.compare_greedy(rows, last.clone(), &mut found, &mut complain);
        }
        found
    }
}

impl Prompt {
    fn compare_row(
        &self,
        check: &Check,
        row: &[f32],
        found: &mut Agreement,
        complain: &mut impl FnMut(String),
    ) {
        let place = format!("{} position {}", self.name, check.pos);
        let bound = BOUND * (check.max - check.min);
        found.rows += 1;
        for &(id, expected) in check.top5.iter().chain(&check.probe) {
            let logit = row[id as usize];
            // Not a number is worse than any number.
            let share = match (logit - expected).abs() / bound {
                share if share.is_nan() => f32::INFINITY,
                share => share,
            };
            if share > 1.0 {
                complain(format!("{place}: logit {id} is {logit}, expected {expected}, bound {bound}"));
            }
            found.worst = found.worst.max(share);
        }
        if argmax(row) != check.top5[0].0 {
            found.other_tokens += 1;
            complain(format!("{place}: token {} instead of {}", argmax(row), check.top5[0].0));
        }
    }

    /// Feeds the reference's own tokens, so that one close call does not end the comparison.
    fn compare_greedy(
        &self,
        rows: &mut Rows,
        mut logits: Vec<f32>,
        found: &mut Agreement,
        complain: &mut impl FnMut(String),
    ) {
        for (step, &expected) in self.greedy.iter().enumerate() {
            let chosen = argmax(&logits);
            found.rows += 1;
            if chosen != expected && self.greedy_gap[step] > BOUND * self.greedy_range[step] {
                found.other_tokens += 1;
                let gap = self.greedy_gap[step];
                complain(format!(
                    "{} greedy step {step}: {chosen} instead of {expected}, gap {gap}",
                    self.name
                ));
            }
            logits = rows.decode(expected);
        }
    }
}
