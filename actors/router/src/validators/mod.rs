//! What can be found out about an answer by trying it.
//!
//! | module | validator | passes when |
//! |---|---|---|
//! | `matches` | `matches` | a constraint accepts the text, or the first code block in it |
//! | `sql` | `sql` | the statement runs on a database and returns rows |
//! | `python` | `python` | tests pass on the code |
//!
//! `statement` reads what a statement's text says besides.
//!
//! Each runs on a blocking thread with a limit of time. What a model wrote is hostile until shown
//! otherwise: a validator that fails to judge says so and decides nothing.

mod matches;
mod python;
mod sql;
mod statement;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use understudy_grammars::Pattern;

use crate::desk::{Job, Trouble};
use crate::prompt::question;
use crate::{RouterError, ValidatorRecord, Verdict};

/// How long one validator may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A validator that a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum ValidatorSpec {
    /// The text is one that this constraint accepts.
    Matches(Pattern),
    /// Its statement runs on this SQLite file and returns rows.
    Sql {
        /// The file; where it may lie is a matter of [`RouterConfig::databases`](crate::RouterConfig).
        database: PathBuf,
    },
    /// Tests pass on its code.
    Python {
        /// Goes before the answer's code.
        before: String,
        /// The tests: statements that raise where the code is wrong.
        after: String,
    },
}

impl ValidatorSpec {
    fn name(&self) -> &'static str {
        match self {
            Self::Matches(_) => matches::NAME,
            Self::Sql { .. } => sql::NAME,
            Self::Python { .. } => python::NAME,
        }
    }
}

/// What a validator found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    /// For people.
    pub(crate) detail: String,
    /// Numbers that a calibration may use, by the end of their name.
    pub(crate) numbers: Vec<(&'static str, f64)>,
    /// Numbers that were read off the text, and would be there without the validator.
    pub(crate) read: Vec<(&'static str, f64)>,
    /// What the answer comes to; equal for answers that agree.
    pub(crate) outcome: Option<String>,
    /// How long it took, in milliseconds.
    pub(crate) ms: f64,
}

impl Finding {
    pub(crate) fn new(name: &'static str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            name,
            verdict,
            detail: detail.into(),
            numbers: Vec::new(),
            read: Vec::new(),
            outcome: None,
            ms: 0.0,
        }
    }

    /// As the ledger has it.
    pub(crate) fn record(&self) -> ValidatorRecord {
        ValidatorRecord {
            name: self.name.into(),
            verdict: self.verdict,
            detail: self.detail.clone(),
            ms: self.ms,
        }
    }

    /// As a calibration sees it: nothing where it could not tell.
    pub(crate) fn evidence(&self) -> impl Iterator<Item = (String, f64)> {
        let verdict = match self.verdict {
            Verdict::Pass => Some(1.0),
            Verdict::Fail => Some(0.0),
            Verdict::Unknown => None,
        };
        let name = format!("validator.{}", self.name);
        let numbers = self.numbers.iter().map(|(end, value)| (format!("{name}.{end}"), *value));
        let read = self.read.iter().map(|(end, value)| (format!("statement.{end}"), *value));
        let all: Vec<_> = verdict.map(|verdict| (name.clone(), verdict)).into_iter().chain(numbers).collect();
        all.into_iter().chain(read)
    }
}

/// Runs a validator of a request.
pub(crate) async fn run(job: &Job, spec: &ValidatorSpec, text: &str) -> Result<Finding, Trouble> {
    let (spec, text, constraints) = (spec.clone(), text.to_owned(), job.constraints.clone());
    let question = question(&job.request.messages).to_owned();
    let begun = Instant::now();
    let name = spec.name();
    let judged = tokio::task::spawn_blocking(move || match spec {
        ValidatorSpec::Matches(pattern) => matches::validate(&constraints, &pattern, &text),
        ValidatorSpec::Sql { database } => sql::validate(&database, &question, &text),
        ValidatorSpec::Python { before, after } => python::validate(&before, &after, &text),
    });
    let judged = job.ctx.bound(async { Ok(tokio::time::timeout(LIMIT, judged).await) }).await?;
    let mut finding = match judged {
        Ok(Ok(finding)) => finding,
        Ok(Err(failed)) => return Err(RouterError::Internal(failed.to_string()).into()),
        Err(_) => Finding::new(name, Verdict::Unknown, format!("took longer than {LIMIT:?}")),
    };
    finding.ms = begun.elapsed().as_secs_f64() * 1e3;
    Ok(finding)
}
