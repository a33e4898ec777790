//! Regular expressions of ECMA-262 as automata, look-around included.
//!
//! An expression without look-around is a plain automaton. In one with look-around, each look is
//! a **mark**: a byte that no UTF-8 text has. The automaton of the expression reads texts with
//! such marks, and a text matches if marks can be put into it so that the automaton accepts it
//! and each mark's condition holds where it is. So a text is read by *threads*: a state of that
//! automaton, and the looks ahead that are still to be decided. What is behind is decided when a
//! mark is put, by an automaton that has read the text from its beginning.

mod machine;
mod marks;

use regex_syntax::hir::{Class, ClassUnicode, Hir};

use super::super::error::shortened;
use super::ScalarError;
use super::syntax::{self, Expression, Parsed};
#[cfg(test)]
use super::table::DEAD;
use super::table::Table;
use crate::lexeme::{Regular, Source};
use crate::{Budget, GrammarError};
use machine::Machine;
use marks::{has, repeated, unmarked};

/// Texts (as UTF-8) in which a pattern is found. It is **total**: every byte leads to a state,
/// and [`ending`](Source::ending) tells whether the text up to there matches under ECMA-262.
#[derive(Debug)]
pub(crate) struct PatternSource(Table);

impl PatternSource {
    pub(crate) fn new(pattern: &str, budget: &Budget) -> Result<Self, ScalarError> {
        Ok(Self(table(pattern, budget)?))
    }

    /// Whether the pattern is found in a text.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.matches(text.as_bytes())
    }

    /// Whether no text that begins like this matches.
    #[cfg(test)]
    pub(crate) fn is_dead(&self, state: u32) -> bool {
        state == DEAD
    }
}

impl Source for PatternSource {
    type State = u32;

    fn start(&self) -> u32 {
        self.0.first()
    }

    fn step(&self, state: &u32, byte: u8) -> Option<u32> {
        Some(self.0.step(*state, byte))
    }

    fn ending(&self, state: &u32) -> Option<u32> {
        self.0.accepts(*state).then_some(0)
    }

    fn classes(&self) -> [u8; 256] {
        self.0.classes()
    }
}

/// Longest expression in bytes.
const LONGEST: usize = 64 << 10;

/// The table of a pattern.
pub(super) fn table(pattern: &str, budget: &Budget) -> Result<Table, ScalarError> {
    let refused = |reason: String| ScalarError::Pattern { pattern: shortened(pattern), reason };
    if pattern.len() > LONGEST {
        return Err(refused(format!("it has more than {LONGEST} bytes")));
    }
    let expression = syntax::parse(pattern).map_err(refused)?.expression;
    let machine = Machine::new(&expression, true, budget).map_err(|error| match error {
        Refused::Reason(reason) => refused(reason),
        Refused::Budget(error) => error.into(),
    })?;
    if machine.looks.is_empty() {
        return Ok(Table::build(&machine.reads, budget)?);
    }
    // Its states are sets of threads, and slow to make.
    let few = Budget { max_states: budget.max_states / 10, ..*budget };
    let table = Table::build(&machine, &few)?;
    if machine.crowded() {
        return Err(refused("its look-around has to keep too much in mind".into()));
    }
    Ok(table)
}

/// Characters with which a text may be read of a pattern in more than one way, if there are any.
///
/// Checkers take words of Unicode at `\b`; and those whose own engine has no look-around give such
/// a pattern to another one as it is, with Unicode's classes in place of ECMA-262's.
pub(super) fn contested(pattern: &str) -> Option<ClassUnicode> {
    let Parsed { expression, contested } = syntax::parse(pattern).ok()?;
    let other = |part: &Expression| matches!(part, Expression::Look(_) | Expression::Boundary { .. });
    (has(&expression, &other) && !contested.ranges().is_empty()).then_some(contested)
}

/// The table of texts with a character of a class.
pub(super) fn containing(class: &ClassUnicode, budget: &Budget) -> Result<Table, GrammarError> {
    let (before, after) =
        (Hir::class(Class::Unicode(syntax::anything())), Hir::class(Class::Bytes(unmarked())));
    let found =
        Hir::concat(vec![repeated(before), Hir::class(Class::Unicode(class.clone())), repeated(after)]);
    Table::build(&Regular::of(&found, budget)?, budget)
}

/// An expression that has no machine.
enum Refused {
    Reason(String),
    Budget(GrammarError),
}

impl From<GrammarError> for Refused {
    fn from(error: GrammarError) -> Self {
        match error {
            GrammarError::Regex(reason) => Self::Reason(reason),
            error => Self::Budget(error),
        }
    }
}
