//! Does an answer's code pass its tests?

use std::sync::Arc;

use understudy_sandbox::fence;
use understudy_sandbox::python::{Limits, Outcome, Program, Python};

use crate::eval::judge::Verdict;

/// Judges Python by tests.
#[derive(Debug, Clone)]
pub struct CodeJudge {
    /// Shared by all items.
    pub python: Arc<Python>,
    /// Goes before the code.
    pub before: String,
    /// The tests.
    pub after: String,
}

impl CodeJudge {
    /// Judges the code of an answer.
    ///
    /// # Errors
    /// Nothing can be run here.
    pub fn verdict(&self, answer: &str) -> Result<Verdict, String> {
        let program = Program { before: &self.before, code: fence::code(answer), after: &self.after };
        match self.python.test(&program, Limits::default()) {
            Ok(Outcome::Passed) => Ok(Verdict::Right),
            Ok(Outcome::Failed(why)) => Ok(Verdict::Wrong(why)),
            Ok(Outcome::TooLong(time)) => Ok(Verdict::Wrong(format!("ran longer than {time:?}"))),
            Err(unavailable) => Err(unavailable.to_string()),
        }
    }
}
