//! The machine that reads texts of an expression whose looks are marks.

use std::cell::Cell;

use regex_automata::util::primitives::StateID;
use regex_syntax::hir::{Class, Hir};

use super::super::syntax::{self, Expression};
use super::super::table::shared_classes;
use super::Refused;
use super::marks::{MARKS, Marks, has, repeated, unmarked};
use crate::Budget;
use crate::lexeme::{Regular, Source};

/// Most threads of one state.
const THREADS: usize = 256;

/// Reads texts.
pub(super) struct Machine {
    pub(super) reads: Regular,
    pub(super) looks: Vec<Looks>,
    crowded: Cell<bool>,
}

/// A look that has become a mark.
pub(super) struct Looks {
    behind: bool,
    negated: bool,
    machine: Machine,
}

/// Where a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Reading {
    threads: Vec<Thread>,
    /// A place in each look behind; `None` for those ahead.
    behind: Vec<Option<Reading>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Thread {
    at: StateID,
    /// Looks ahead that are not decided, sorted.
    duties: Vec<(usize, Reading)>,
}

impl Machine {
    /// A machine of texts in which an expression is found; if not `anywhere`, at their beginning.
    pub(super) fn new(expression: &Expression, anywhere: bool, budget: &Budget) -> Result<Self, Refused> {
        let found = |expression: Hir| {
            let before = repeated(Hir::class(Class::Unicode(syntax::anything())));
            let after = repeated(Hir::class(Class::Bytes(unmarked())));
            Hir::concat(if anywhere { vec![before, expression, after] } else { vec![expression, after] })
        };
        Self::lowered(expression, found, budget)
    }

    /// A machine of texts that end with an expression.
    fn ending_in(expression: &Expression, budget: &Budget) -> Result<Self, Refused> {
        let before = repeated(Hir::class(Class::Unicode(syntax::anything())));
        Self::lowered(expression, |expression| Hir::concat(vec![before, expression]), budget)
    }

    fn lowered(
        expression: &Expression,
        around: impl FnOnce(Hir) -> Hir,
        budget: &Budget,
    ) -> Result<Self, Refused> {
        let mut marks =
            Marks { looks: Vec::new(), needed: has(expression, &|part| matches!(part, Expression::Look(_))) };
        let lowered = marks.lower(expression)?;
        let reads = Regular::of(&around(lowered), budget)?;
        let looks = marks.looks.iter().map(|look| {
            let machine = match look.behind {
                true => Self::ending_in(&look.body, budget)?,
                false => Self::new(&look.body, false, budget)?,
            };
            Ok(Looks { behind: look.behind, negated: look.negated, machine })
        });
        Ok(Self { reads, looks: looks.collect::<Result<_, Refused>>()?, crowded: Cell::new(false) })
    }

    /// Whether threads became too many; then the machine has lost some.
    pub(super) fn crowded(&self) -> bool {
        self.crowded.get() || self.looks.iter().any(|look| look.machine.crowded())
    }

    fn begin(&self) -> Reading {
        let behind = self.looks.iter().map(|look| look.behind.then(|| look.machine.begin())).collect();
        self.marked(vec![Thread { at: self.reads.start(), duties: Vec::new() }], behind)
    }

    fn read(&self, reading: &Reading, byte: u8) -> Reading {
        let behind = reading.behind.iter().zip(&self.looks);
        let behind = behind.map(|(at, look)| at.as_ref().map(|at| look.machine.read(at, byte))).collect();
        let threads = reading.threads.iter().filter_map(|thread| {
            let at = self.reads.step(&thread.at, byte)?;
            let duties =
                thread.duties.iter().map(|(look, at)| (*look, self.looks[*look].machine.read(at, byte)));
            Some(Thread { at, duties: self.undecided(duties)? })
        });
        self.marked(threads.collect(), behind)
    }

    /// Duties that are not fulfilled yet; `None` when one cannot be any more.
    fn undecided(&self, duties: impl Iterator<Item = (usize, Reading)>) -> Option<Vec<(usize, Reading)>> {
        let mut open = Vec::new();
        for (look, reading) in duties {
            let Looks { negated, machine, .. } = &self.looks[look];
            match machine.decided(&reading) {
                Some(found) if found == *negated => return None,
                Some(_) => {}
                None => open.push((look, reading)),
            }
        }
        open.sort_unstable();
        open.dedup();
        Some(open)
    }

    /// Whether an expression has been found whatever follows, or cannot be any more.
    fn decided(&self, reading: &Reading) -> Option<bool> {
        if reading.threads.is_empty() {
            return Some(false);
        }
        let sure = |thread: &Thread| thread.duties.is_empty() && self.is_sure(thread.at);
        reading.threads.iter().any(sure).then_some(true)
    }

    /// Whether every rest is accepted from a state that every byte leads back to.
    fn is_sure(&self, at: StateID) -> bool {
        let mut bytes = (0..=u8::MAX).filter(|byte| !MARKS.contains(byte));
        self.reads.ending(&at).is_some() && bytes.all(|byte| self.reads.step(&at, byte) == Some(at))
    }

    /// Adds the threads that marks at this place make.
    fn marked(&self, mut threads: Vec<Thread>, behind: Vec<Option<Reading>>) -> Reading {
        let mut next = 0;
        while let Some(thread) = threads.get(next).cloned().filter(|_| !self.looks.is_empty()) {
            next += 1;
            for (look, Looks { negated, machine, .. }) in self.looks.iter().enumerate() {
                let Some(at) = self.reads.step(&thread.at, MARKS[look]) else { continue };
                let duties = match &behind[look] {
                    Some(behind) if machine.ends(behind) == *negated => continue,
                    Some(_) => thread.duties.clone(),
                    None => {
                        let added = std::iter::once((look, machine.begin()));
                        match self.undecided(thread.duties.iter().cloned().chain(added)) {
                            Some(duties) => duties,
                            None => continue,
                        }
                    }
                };
                let thread = Thread { at, duties };
                if !threads.contains(&thread) {
                    threads.push(thread);
                }
            }
            if threads.len() > THREADS {
                self.crowded.set(true);
                threads.truncate(THREADS);
                break;
            }
        }
        threads.sort_unstable();
        // Of threads at one place, those that have more to fulfil than another add nothing.
        let needless: Vec<bool> = threads
            .iter()
            .map(|thread| {
                let fewer = |other: &Thread| {
                    other.at == thread.at
                        && other.duties.len() < thread.duties.len()
                        && other.duties.iter().all(|duty| thread.duties.contains(duty))
                };
                threads.iter().any(fewer)
            })
            .collect();
        let mut needless = needless.into_iter();
        threads.retain(|_| needless.next() != Some(true));
        threads.dedup();
        Reading { threads, behind }
    }

    /// Whether a text that ends here matches.
    fn ends(&self, reading: &Reading) -> bool {
        reading.threads.iter().any(|thread| {
            let fulfilled = |(look, at): &(usize, Reading)| {
                self.looks[*look].machine.ends(at) != self.looks[*look].negated
            };
            self.reads.ending(&thread.at).is_some() && thread.duties.iter().all(fulfilled)
        })
    }

    fn classes(&self) -> [u8; 256] {
        let looks = self.looks.iter().map(|look| look.machine.classes());
        shared_classes(&std::iter::once(self.reads.classes()).chain(looks).collect::<Vec<_>>())
    }
}

impl Source for Machine {
    type State = Reading;

    fn start(&self) -> Reading {
        self.begin()
    }

    fn step(&self, reading: &Reading, byte: u8) -> Option<Reading> {
        // No text has the marks that the machine itself puts.
        if MARKS.contains(&byte) {
            return None;
        }
        let reading = self.read(reading, byte);
        (!reading.threads.is_empty()).then_some(reading)
    }

    fn ending(&self, reading: &Reading) -> Option<u32> {
        self.ends(reading).then_some(0)
    }

    fn classes(&self) -> [u8; 256] {
        shared_classes(&[
            Machine::classes(self),
            std::array::from_fn(|byte| u8::from(MARKS.contains(&(byte as u8)))),
        ])
    }
}
