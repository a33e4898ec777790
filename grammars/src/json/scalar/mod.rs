//! Conditions on one JSON string or number, as automata.
//!
//! | room | what it holds |
//! |---|---|
//! | [`logic`] | Boolean combinations, and the product of automata that one makes |
//! | [`table`], [`merge`] | complete deterministic tables, the parts of such a product; equal states of one |
//! | [`text`] | what a schema can demand of a string |
//! | [`pattern`], [`syntax`] | regular expressions of ECMA-262, with look-around |
//! | [`format`] | the formats that JSON Schema names |
//! | [`number`], [`digits`] | what a schema can demand of a number; reading it digit by digit |
//! | [`decimal`] | exact decimals |
//!
//! **Whatever an automaton accepts satisfies its condition**, for a checker that calculates with
//! decimals as for one that reads numbers as 64-bit floats. Where the two disagree, or where a
//! condition is no regular language, the automaton accepts less; each room says what it leaves out.

mod decimal;
mod digits;
mod format;
mod logic;
mod merge;
mod number;
mod pattern;
mod syntax;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use decimal::Decimal;
pub(crate) use logic::Logic;
#[cfg(test)]
pub(crate) use number::number_matches;
pub(crate) use number::{NumberTest, number_automaton};
pub(crate) use pattern::PatternSource;
#[cfg(test)]
pub(crate) use text::{TextMatcher, text_matches};
pub(crate) use text::{TextTest, text_automaton};

use crate::GrammarError;

/// Why a condition cannot be guaranteed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScalarError {
    /// A regular expression that ECMA-262 does not know or an automaton cannot decide.
    #[error("the pattern {pattern:?} cannot be guaranteed: {reason}")]
    Pattern { pattern: String, reason: String },
    /// A divisor that is not positive, or has so many digits that its multiples cannot be told.
    #[error("multipleOf {0} cannot be guaranteed: it has to be positive, with at most 15 significant digits")]
    Divisor(String),
    /// Conditions within conditions.
    #[error("conditions on one string or number are nested more than {0} deep")]
    TooDeep(usize),
    /// A budget.
    #[error(transparent)]
    Budget(#[from] GrammarError),
}
