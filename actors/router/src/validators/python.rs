//! Do tests pass on the answer's code?

use understudy_sandbox::{
    fence,
    python::{Limits, Outcome, Program, Python},
};

use super::Finding;
use crate::Verdict;

pub(super) const NAME: &str = "python";

pub(super) fn validate(before: &str, after: &str, text: &str) -> Finding {
    let program = Program { before, code: fence::code(text), after };
    let ran = Python::find().and_then(|python| python.test(&program, Limits::default()));
    match ran {
        Ok(Outcome::Passed) => Finding::new(NAME, Verdict::Pass, "the tests pass"),
        Ok(Outcome::Failed(why)) => Finding::new(NAME, Verdict::Fail, why),
        Ok(Outcome::TooLong(limit)) => {
            Finding::new(NAME, Verdict::Fail, format!("ran longer than {limit:?}"))
        }
        Err(unavailable) => Finding::new(NAME, Verdict::Unknown, unavailable.to_string()),
    }
}
