//! Boolean combinations of conditions, and the automaton of one.

use std::sync::Arc;

use super::ScalarError;
use super::table::{DEAD, SURE, Table, shared_classes};
use crate::lexeme::Source;
use crate::{Budget, GrammarError};

/// A Boolean combination. An empty [`All`](Self::All) always holds, an empty [`Any`](Self::Any)
/// never does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Logic<T> {
    All(Vec<Logic<T>>),
    Any(Vec<Logic<T>>),
    Not(Box<Logic<T>>),
    Is(T),
}

/// Deepest nesting: recursion over a combination is bounded by it.
const DEEPEST: usize = 256;

impl<T> Logic<T> {
    pub(super) fn holds(&self, is: &impl Fn(&T) -> bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(is)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(is)),
            Self::Not(part) => !part.holds(is),
            Self::Is(test) => is(test),
        }
    }

    /// Refuses a combination that is nested too deeply to recurse over.
    pub(super) fn check_depth(&self) -> Result<(), ScalarError> {
        let mut todo = vec![(self, 0)];
        while let Some((part, depth)) = todo.pop() {
            if depth > DEEPEST {
                return Err(ScalarError::TooDeep(DEEPEST));
            }
            match part {
                Self::All(parts) | Self::Any(parts) => {
                    todo.extend(parts.iter().map(|part| (part, depth + 1)));
                }
                Self::Not(part) => todo.push((part, depth + 1)),
                Self::Is(_) => {}
            }
        }
        Ok(())
    }

    /// Every test together with whether it is negated, in a combination without [`Not`](Self::Not).
    ///
    /// `translate` gives for a test and whether it must hold what is to be put in its place. It
    /// sees the parts of one [`Any`](Self::Any), or the negated ones of one [`All`](Self::All),
    /// together: many equal in kind may be one.
    pub(super) fn pushed<U, E>(
        &self,
        must_hold: bool,
        translate: &mut impl FnMut(&[&T], bool) -> Result<Logic<U>, E>,
    ) -> Result<Logic<U>, E> {
        match self {
            Self::Is(test) => translate(&[test], must_hold),
            Self::Not(part) => part.pushed(!must_hold, translate),
            Self::All(parts) | Self::Any(parts) => {
                let all = matches!(self, Self::All(_)) == must_hold;
                let mut gathered = Vec::new();
                let mut pushed = Vec::new();
                for part in parts {
                    // What can be gathered: `a or b`, and `not a and not b`.
                    let (test, holds) = match part {
                        Self::Is(test) => (Some(test), must_hold),
                        Self::Not(part) => match &**part {
                            Self::Is(test) => (Some(test), !must_hold),
                            _ => (None, false),
                        },
                        _ => (None, false),
                    };
                    match test {
                        Some(test) if holds != all => gathered.push(test),
                        _ => pushed.push(part.pushed(must_hold, translate)?),
                    }
                }
                if !gathered.is_empty() {
                    pushed.push(translate(&gathered, !all)?);
                }
                Ok(if all { Logic::All(pushed) } else { Logic::Any(pushed) })
            }
        }
    }
}

/// Texts of which a combination of tables holds.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) tables: Vec<Arc<Table>>,
    pub(super) logic: Logic<usize>,
}

/// A state of each table. Tables on which nothing depends any more are at [`DEAD`], so that
/// states with an equal future are equal.
type States = Box<[u32]>;

/// Most tables of one combination: a state has a place in each.
const TABLES: usize = 256;

impl Product {
    /// Refuses tables that are too many or, together, more than four times too large.
    pub(super) fn check_size(tables: &[Arc<Table>], budget: &Budget) -> Result<(), GrammarError> {
        if tables.len() > TABLES {
            return Err(GrammarError::TooLarge { what: "conditions", limit: TABLES });
        }
        let limit = budget.max_bytes.saturating_mul(4);
        if tables.iter().map(|table| table.bytes()).sum::<usize>() > limit {
            return Err(GrammarError::TooLarge { what: "bytes", limit });
        }
        Ok(())
    }

    /// What is sure to be true or false of the whole, whatever follows.
    fn verdict(&self, logic: &Logic<usize>, states: &States) -> Option<bool> {
        match logic {
            Logic::All(parts) => self.first_or(parts, states, false),
            Logic::Any(parts) => self.first_or(parts, states, true),
            Logic::Not(part) => self.verdict(part, states).map(|verdict| !verdict),
            Logic::Is(table) => match states[*table] {
                DEAD => Some(false),
                SURE => Some(true),
                _ => None,
            },
        }
    }

    fn first_or(&self, parts: &[Logic<usize>], states: &States, decisive: bool) -> Option<bool> {
        let mut open = false;
        for part in parts {
            match self.verdict(part, states) {
                Some(verdict) if verdict == decisive => return Some(decisive),
                Some(_) => {}
                None => open = true,
            }
        }
        (!open).then_some(!decisive)
    }

    /// Marks tables that still matter for a combination that is not decided.
    fn find_relevant(&self, logic: &Logic<usize>, states: &States, relevant: &mut [bool]) {
        match logic {
            Logic::All(parts) | Logic::Any(parts) => {
                let open = parts.iter().filter(|part| self.verdict(part, states).is_none());
                open.for_each(|part| self.find_relevant(part, states, relevant));
            }
            Logic::Not(part) => self.find_relevant(part, states, relevant),
            Logic::Is(table) => relevant[*table] = true,
        }
    }

    fn reduced(&self, mut states: States) -> Option<States> {
        let verdict = self.verdict(&self.logic, &states);
        if verdict == Some(false) {
            return None;
        }
        if verdict.is_none() && states.len() == 1 {
            return Some(states);
        }
        let mut relevant = vec![false; states.len()];
        if verdict.is_none() {
            self.find_relevant(&self.logic, &states, &mut relevant);
        }
        for (state, relevant) in states.iter_mut().zip(relevant) {
            if !relevant && *state != SURE {
                *state = DEAD;
            }
        }
        Some(states)
    }
}

impl Source for Product {
    type State = States;

    fn start(&self) -> States {
        let states: States = self.tables.iter().map(|table| table.first()).collect();
        self.reduced(states.clone()).unwrap_or(states)
    }

    fn step(&self, states: &States, byte: u8) -> Option<States> {
        self.reduced(self.tables.iter().zip(states).map(|(table, state)| table.step(*state, byte)).collect())
    }

    fn ending(&self, states: &States) -> Option<u32> {
        self.logic.holds(&|table: &usize| self.tables[*table].accepts(states[*table])).then_some(0)
    }

    fn classes(&self) -> [u8; 256] {
        shared_classes(&self.tables.iter().map(|table| table.classes()).collect::<Vec<_>>())
    }
}
