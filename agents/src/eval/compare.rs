//! Two runs over the same items, item by item.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::eval::EvalError;
use crate::eval::rows::{Row, Rows};
use crate::eval::stats::{bootstrap_mean, mcnemar, weighted_mean};
use crate::eval::summary::Likelihood;

/// Of the bootstrap: the same two files always give the same interval.
const SEED: u64 = 0;

/// How B differs from A.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Suite of both.
    pub suite: String,
    /// Items that both have.
    pub items: u64,
    /// Items that only one has.
    pub unpaired: u64,
    /// Mean score of A and of B: accuracy, or nats per token.
    pub means: (f64, f64),
    /// Mean of B less mean of A, and its 95 % interval over items.
    pub difference: (f64, (f64, f64)),
    /// For suites with right and wrong answers.
    pub discordant: Option<Discordant>,
    /// Perplexity of A and of B.
    pub perplexities: Option<(f64, f64)>,
    /// Items whose text differs.
    pub changed_answers: u64,
}

/// Items that one run got right and the other wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Discordant {
    /// Right in A alone.
    pub only_a: u64,
    /// Right in B alone.
    pub only_b: u64,
    /// The exact two-sided McNemar test.
    pub p_value: f64,
}

/// Compares two runs of one suite.
///
/// # Errors
/// [`EvalError::Input`] when suites or data differ, when they share no item, or when a run has
/// an item twice.
pub fn compare(a: &Rows, b: &Rows) -> Result<Comparison, EvalError> {
    a.same_items(b)?;
    let (by_item_a, by_item_b) = (by_item(&a.rows)?, by_item(&b.rows)?);
    let pairs: Vec<(&Row, &Row)> =
        by_item_a.iter().filter_map(|(item, row)| Some((*row, *by_item_b.get(item)?))).collect();
    let names: BTreeSet<&str> = by_item_a.keys().chain(by_item_b.keys()).copied().collect();
    let unpaired = (names.len() - pairs.len()) as u64;
    let likelihoods = (Likelihood::of(&a.rows), Likelihood::of(&b.rows));
    let scored = likelihoods.0.is_some() || likelihoods.1.is_some();

    // A window that one run failed to score has no nats to compare.
    let weighted: Vec<(&Row, &Row, f64)> = pairs
        .iter()
        .filter_map(|(a, b)| match scored {
            true => (a.tokens == b.tokens).then_some((*a, *b, a.tokens? as f64)),
            false => Some((*a, *b, 1.0)),
        })
        .collect();
    let mean = |score: fn(&Row, &Row) -> f64| {
        weighted_mean(weighted.iter().map(|(a, b, weight)| (score(a, b), *weight)))
    };
    let differences: Vec<(f64, f64)> =
        weighted.iter().map(|(a, b, weight)| (b.score - a.score, *weight)).collect();
    let (Some(mean_a), Some(mean_b), Some(interval)) =
        (mean(|a, _| a.score), mean(|_, b| b.score), bootstrap_mean(&differences, SEED))
    else {
        return Err(EvalError::input("the two files share no item that both answered"));
    };
    Ok(Comparison {
        suite: a.header.identity.suite.clone(),
        items: weighted.len() as u64,
        unpaired: unpaired + (pairs.len() - weighted.len()) as u64,
        means: (mean_a, mean_b),
        difference: (mean_b - mean_a, interval),
        discordant: (!scored).then(|| discordant(&pairs)),
        perplexities: scored.then(|| (mean_a.exp(), mean_b.exp())),
        changed_answers: pairs.iter().filter(|(a, b)| a.answer != b.answer).count() as u64,
    })
}

/// Rows by item.
///
/// # Errors
/// [`EvalError::Input`], when an item has two.
pub(crate) fn by_item(rows: &[Row]) -> Result<BTreeMap<&str, &Row>, EvalError> {
    let mut by_item = BTreeMap::new();
    for row in rows {
        if by_item.insert(row.item.as_str(), row).is_some() {
            return Err(EvalError::input(format!("item {:?} has two rows", row.item)));
        }
    }
    Ok(by_item)
}

fn discordant(pairs: &[(&Row, &Row)]) -> Discordant {
    let count =
        |a_ok: bool, b_ok: bool| pairs.iter().filter(|(a, b)| a.ok == a_ok && b.ok == b_ok).count() as u64;
    let (only_a, only_b) = (count(true, false), count(false, true));
    Discordant { only_a, only_b, p_value: mcnemar(only_a, only_b) }
}

impl Comparison {
    /// One object, for scripts.
    pub fn as_json(&self) -> Value {
        let (difference, (low, high)) = self.difference;
        let mut found = json!({
            "suite": self.suite,
            "items": self.items,
            "unpaired": self.unpaired,
            "a": self.means.0,
            "b": self.means.1,
            "difference": difference,
            "interval95": [low, high],
            "changed_answers": self.changed_answers,
        });
        if let Some(Discordant { only_a, only_b, p_value }) = self.discordant {
            found["only_a"] = json!(only_a);
            found["only_b"] = json!(only_b);
            found["p_value"] = json!(p_value);
        }
        if let Some((a, b)) = self.perplexities {
            found["perplexity_a"] = json!(a);
            found["perplexity_b"] = json!(b);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::rows::Journal;
    use crate::eval::rows::tests::{header, row};

    fn rows(results: &[(&str, bool)]) -> Rows {
        read(results.iter().map(|(item, ok)| row(item, *ok)).collect())
    }

    fn read(rows: Vec<Row>) -> Rows {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let (mut journal, _) = Journal::open(&path, &header("small")).unwrap();
        rows.iter().for_each(|row| journal.add(row).unwrap());
        Rows::read(&path).unwrap()
    }

    #[test]
    fn pairs_are_found_by_item_and_counted() {
        let a = rows(&[("1", true), ("2", true), ("3", false), ("4", false), ("only-a", true)]);
        let b = rows(&[("4", true), ("3", true), ("2", false), ("1", true)]);
        let found = compare(&a, &b).unwrap();
        assert_eq!((found.items, found.unpaired), (4, 1));
        assert_eq!(found.means, (0.5, 0.75));
        let Some(Discordant { only_a, only_b, p_value }) = found.discordant else { panic!("no counts") };
        assert_eq!((only_a, only_b, p_value), (1, 2, 1.0));
        let (difference, (low, high)) = found.difference;
        assert!(low < difference && difference < high && low >= -1.0 && high <= 1.0, "{found:?}");
    }

    #[test]
    fn the_same_run_does_not_differ() {
        let a = rows(&[("1", true), ("2", false)]);
        let found = compare(&a, &a).unwrap();
        assert_eq!(found.difference, (0.0, (0.0, 0.0)));
        assert_eq!(found.changed_answers, 0);
    }

    #[test]
    fn windows_weigh_as_many_tokens_as_they_have() {
        let window = |item: &str, score: f64, tokens: u64| Row {
            score,
            tokens: Some(tokens),
            nll: Some(score * tokens as f64),
            ..row(item, true)
        };
        let a = read(vec![window("1", 1.0, 300), window("2", 3.0, 100)]);
        let b = read(vec![window("1", 1.0, 300), window("2", 5.0, 100)]);
        let found = compare(&a, &b).unwrap();
        assert_eq!(found.means, (1.5, 2.0));
        assert_eq!(found.discordant, None);
        let (ppl_a, ppl_b) = found.perplexities.unwrap();
        assert!((ppl_a - 1.5f64.exp()).abs() < 1e-9 && (ppl_b - 2f64.exp()).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let a = rows(&[("1", true)]);
        let mut other_suite = a.clone();
        other_suite.header.identity.suite = "gsm8k".into();
        let mut other_data = a.clone();
        other_data.header.identity.data = "e".into();
        let cases = [
            (other_suite, "suite"),
            (other_data, "data"),
            (rows(&[("2", true)]), "share no item"),
            (rows(&[("1", true), ("1", false)]), "two rows"),
            (rows(&[]), "share no item"),
        ];
        for (b, word) in cases {
            let refused = compare(&a, &b).unwrap_err().to_string();
            assert!(refused.contains(word), "{word} in {refused}");
        }
    }
}
