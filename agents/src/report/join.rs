//! Files of one suite, joined by item.

use std::collections::BTreeMap;

use serde_json::Value;
use understudy_calibration::{Example, Pair};

use crate::eval::rows::{Row, Rows};
use crate::eval::{EvalError, examples};

/// All files and their items.
pub(crate) struct Joined<'a> {
    pub files: &'a [Rows],
    /// A name for each file: its models and policy, with a number where two would be alike.
    pub names: Vec<String>,
    /// Each item's row in each file.
    pub items: BTreeMap<&'a str, Vec<Option<&'a Row>>>,
    /// The model that reads most bytes per pass, of all that wrote anything.
    pub biggest: Option<String>,
    pub ladder: Option<Ladder>,
}

/// The files in which draft and teacher answered alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ladder {
    pub draft: usize,
    pub teacher: usize,
}

impl<'a> Joined<'a> {
    pub fn of(files: &'a [Rows]) -> Result<Self, EvalError> {
        let Some((first, others)) = files.split_first() else {
            return Err(EvalError::input("a report needs at least one file of rows"));
        };
        others.iter().try_for_each(|other| first.same_items(other))?;
        let sizes = sizes(files);
        let biggest = sizes.iter().max_by(|a, b| a.1.total_cmp(b.1)).map(|(model, _)| model.clone());
        Ok(Self {
            files,
            names: names(files),
            items: examples::by_items(files)?,
            ladder: ladder(files, &sizes),
            biggest,
        })
    }

    /// A file's rows of the items that every file has: only those compare.
    pub fn shared_rows(&self, file: usize) -> impl Iterator<Item = &'a Row> {
        self.items.values().filter(|rows| rows.iter().all(Option::is_some)).filter_map(move |rows| rows[file])
    }

    /// The ladder's answers without evidence, for what right, wrong and cost tell.
    pub fn plain_pairs(&self, ladder: &Ladder) -> Vec<Pair> {
        let plain = |row: &Row| {
            let cost = examples::cost(row);
            let evidence = [("length".to_owned(), cost.tokens)].into();
            Example { evidence, ok: row.ok, cost, outcome: None }
        };
        let pair = |(item, rows): (&&str, &Vec<Option<&Row>>)| {
            let (draft, teacher) = (rows[ladder.draft]?, rows[ladder.teacher]?);
            let answered = draft.answer.is_some() && teacher.answer.is_some();
            answered.then(|| Pair { item: (*item).to_owned(), draft: plain(draft), teacher: plain(teacher) })
        };
        self.items.iter().filter_map(pair).collect()
    }
}

/// The rungs of a row's ledger.
pub(crate) fn rungs(row: &Row) -> impl Iterator<Item = &Value> {
    row.ledger["rungs"].as_array().into_iter().flatten()
}

/// Bytes of weights per pass of each model.
fn sizes(files: &[Rows]) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for rung in files.iter().flat_map(|file| &file.rows).flat_map(rungs) {
        let number = |name: &str| rung[name].as_f64().unwrap_or_default();
        let Some(model) = rung["model"].as_str() else { continue };
        let sum = sums.entry(model.to_owned()).or_default();
        *sum = (sum.0 + number("bytes_read"), sum.1 + number("forward_passes"));
    }
    sums.into_iter().map(|(model, (bytes, passes))| (model, bytes / passes.max(1.0))).collect()
}

fn names(files: &[Rows]) -> Vec<String> {
    let name = |file: &Rows| {
        let header = &file.header.identity;
        let row = file.rows.iter().find(|row| row.answer.is_some());
        let policy = row.map_or(header.policy.as_str(), |row| row.policy.as_str());
        match (header.model.as_str(), policy) {
            ("", policy) => policy.to_owned(),
            (model, "" | "direct") => model.to_owned(),
            (model, policy) => format!("{model}, {policy}"),
        }
    };
    let plain: Vec<String> = files.iter().map(name).collect();
    let numbered = |(at, name): (usize, &String)| {
        let before = plain[..at].iter().filter(|other| *other == name).count();
        if before == 0 { name.clone() } else { format!("{name} ({})", before + 1) }
    };
    plain.iter().enumerate().map(numbered).collect()
}

/// Of the models that were asked alone, the smallest and the biggest.
fn ladder(files: &[Rows], sizes: &BTreeMap<String, f64>) -> Option<Ladder> {
    let alone = |(at, file): (usize, &Rows)| {
        let row = file.rows.iter().find(|row| row.answer.is_some())?;
        let is_alone = row.policy.starts_with("direct");
        is_alone.then(|| Some((*sizes.get(&row.model)?, at)))?
    };
    let mut found: Vec<(f64, usize)> = files.iter().enumerate().filter_map(alone).collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (draft, teacher) = (found.first()?, found.last()?);
    (draft.0 < teacher.0).then_some(Ladder { draft: draft.1, teacher: teacher.1 })
}
