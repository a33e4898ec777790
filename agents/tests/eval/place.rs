//! A place to evaluate in: data, options, and what came out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use understudy_agents::eval::{self, EvalError, Options, Rows, Suite, Summary};

use crate::scripted::Node;

/// A data folder and a place for rows.
pub struct Place {
    pub data: TempDir,
    rows: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { data: tempfile::tempdir().unwrap(), rows: tempfile::tempdir().unwrap() }
    }

    pub fn with_lines(lines: &[Value]) -> Self {
        let place = Self::new();
        place.file("dev.jsonl", &lines.iter().map(|line| format!("{line}\n")).collect::<String>());
        place
    }

    pub fn file(&self, name: &str, content: &str) {
        std::fs::write(self.data.path().join(name), content).unwrap();
    }

    pub fn database(&self, name: &str) {
        let connection = Connection::open(self.data.path().join(name)).unwrap();
        connection.execute_batch(CITIES).unwrap();
    }

    pub fn out(&self) -> PathBuf {
        self.rows.path().join("rows.jsonl")
    }

    pub fn options(&self, suite: Suite) -> Options {
        Options {
            suite,
            data: self.data.path().to_owned(),
            out: self.out(),
            policy: "direct".into(),
            model: "small".into(),
            ladder: Vec::new(),
            task: String::new(),
            constrain: false,
            validators: false,
            limit: None,
            seed: 0,
            temperature: 0.0,
            max_tokens: None,
            concurrency: 2,
            timeout: Duration::from_secs(10),
            git: "abc".into(),
        }
    }
}

const CITIES: &str = "CREATE TABLE city (name text, state text);
    INSERT INTO city VALUES ('austin', 'texas'), ('dallas', 'texas'), ('reno', 'nevada')";

pub async fn run(node: &Node, options: &Options) -> Result<Summary, EvalError> {
    let client = node.serve().await;
    eval::run(&client, options, &mut |_| {}).await
}

/// Which items have a row, and whether they were right.
pub fn judged(out: &Path) -> BTreeMap<String, bool> {
    Rows::read(out).unwrap().rows.into_iter().map(|row| (row.item, row.ok)).collect()
}

pub fn wanted<const N: usize>(items: [(&str, bool); N]) -> BTreeMap<String, bool> {
    items.into_iter().map(|(item, ok)| (item.to_owned(), ok)).collect()
}
