//! Is an answer right? Judges are programs, never models.
//!
//! An answer is hostile text: a judge always comes to a verdict, within a bounded time and a
//! bounded memory.

pub mod calls;
pub mod code;
pub mod frame;
mod json;
pub mod number;
pub mod sql;
pub mod text;

use crate::eval::judge::{
    calls::CallJudge, code::CodeJudge, frame::FrameJudge, number::NumberJudge, sql::SqlJudge, text::TextJudge,
};

/// What is right for one item.
#[derive(Debug, Clone)]
pub enum Judge {
    /// SQL with the right rows.
    Sql(SqlJudge),
    /// The right function calls.
    Calls(CallJudge),
    /// Code that passes tests.
    Code(CodeJudge),
    /// The right intent with the right slots.
    Frame(FrameJudge),
    /// The right last number.
    Number(NumberJudge),
    /// The right text.
    Text(TextJudge),
}

/// Right, or wrong and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Right.
    Right,
    /// Wrong: why, for people.
    Wrong(String),
}

impl Verdict {
    /// Right where `right`; else wrong for this reason.
    pub fn when(right: bool, why: impl FnOnce() -> String) -> Self {
        if right { Self::Right } else { Self::Wrong(why()) }
    }
}

impl Judge {
    /// Judges. May block for as long as a query or a program may run.
    ///
    /// # Errors
    /// Why nobody can judge here, whatever the answer.
    pub fn verdict(&self, answer: &str) -> Result<Verdict, String> {
        match self {
            Self::Sql(judge) => judge.verdict(answer),
            Self::Calls(judge) => Ok(judge.verdict(answer)),
            Self::Code(judge) => judge.verdict(answer),
            Self::Frame(judge) => Ok(judge.verdict(answer)),
            Self::Number(judge) => Ok(judge.verdict(answer)),
            Self::Text(judge) => Ok(judge.verdict(answer)),
        }
    }
}
