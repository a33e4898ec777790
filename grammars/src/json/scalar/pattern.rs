//! Regular expressions of ECMA-262 as automata, look-around included.
//!
//! An expression without look-around is a plain automaton. In one with look-around, each look is
//! a **mark**: a byte that no UTF-8 text has. The automaton of the expression reads texts with
//! such marks, and a text matches if marks can be put into it so that the automaton accepts it
//! and each mark's condition holds where it is. So a text is read by *threads*: a state of that
//! automaton, and the looks ahead that are still to be decided. What is behind is decided when a
//! mark is put, by an automaton that has read the text from its beginning.

use std::cell::Cell;

use regex_automata::util::primitives::StateID;
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, ClassUnicode, Hir, Look as Anchor, Repetition};

use super::ScalarError;
use super::syntax::{self, Expression, Look, Parsed};
#[cfg(test)]
use super::table::DEAD;
use super::table::{Table, shared_classes};
use crate::lexeme::{Regular, Source};
use crate::{Budget, GrammarError};

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

/// The table of a pattern.
pub(super) fn table(pattern: &str, budget: &Budget) -> Result<Table, ScalarError> {
    let refused = |reason: String| ScalarError::Pattern { pattern: pattern.to_owned(), reason };
    let expression = syntax::parse(pattern).map_err(refused)?.expression;
    let machine = Machine::new(&expression, true, budget).map_err(|error| match error {
        Refused::Reason(reason) => refused(reason),
        Refused::Budget(error) => error.into(),
    })?;
    if machine.looks.is_empty() {
        return Ok(Table::build(&machine.reads, budget)?);
    }
    let table = Table::build(&machine, budget)?;
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

/// Bytes that are in no UTF-8 text.
const MARKS: [u8; 13] = [0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF, 0xF5, 0xF6, 0xF7, 0xC0, 0xC1];

/// Most threads of one state.
const THREADS: usize = 256;

/// Reads texts.
struct Machine {
    reads: Regular,
    looks: Vec<Looks>,
    crowded: Cell<bool>,
}

/// A look that has become a mark.
struct Looks {
    behind: bool,
    negated: bool,
    machine: Machine,
}

/// Where a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Reading {
    threads: Vec<Thread>,
    /// A place in each look behind; `None` for those ahead.
    behind: Vec<Option<Reading>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Thread {
    at: StateID,
    /// Looks ahead that are not decided, sorted.
    duties: Vec<(usize, Reading)>,
}

impl Machine {
    /// A machine of texts in which an expression is found; if not `anywhere`, at their beginning.
    fn new(expression: &Expression, anywhere: bool, budget: &Budget) -> Result<Self, Refused> {
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
    fn crowded(&self) -> bool {
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

fn unmarked() -> ClassBytes {
    let mut class = ClassBytes::new(MARKS.map(|mark| ClassBytesRange::new(mark, mark)));
    class.negate();
    class
}

fn repeated(of: Hir) -> Hir {
    Hir::repetition(Repetition { min: 0, max: None, greedy: true, sub: Box::new(of) })
}

/// Looks on the way to becoming marks.
struct Marks {
    looks: Vec<Look>,
    /// Whether anchors and boundaries have to be marks too, since marks are between characters
    /// where an automaton would look for the beginning, the end and other characters.
    needed: bool,
}

impl Marks {
    fn lower(&mut self, expression: &Expression) -> Result<Hir, Refused> {
        Ok(match expression {
            Expression::Class(class) => Hir::class(Class::Unicode(class.clone())),
            Expression::Concat(parts) => {
                // Looks right after `^` have nothing behind them.
                let mut leading = false;
                let mut lowered = Vec::with_capacity(parts.len());
                for part in parts {
                    lowered.push(match part {
                        Expression::Look(look) => self.look(look, leading)?,
                        part => self.lower(part)?,
                    });
                    leading =
                        matches!(part, Expression::Start) || leading && matches!(part, Expression::Look(_));
                }
                Hir::concat(lowered)
            }
            Expression::Either(parts) => {
                Hir::alternation(parts.iter().map(|part| self.lower(part)).collect::<Result<_, _>>()?)
            }
            Expression::Repeat { least, most, of } => {
                let sub = Box::new(self.lower(of)?);
                Hir::repetition(Repetition { min: *least, max: *most, greedy: true, sub })
            }
            Expression::Start if self.needed => {
                self.mark(true, true, Expression::Class(syntax::anything()))?
            }
            Expression::End if self.needed => {
                self.mark(false, true, Expression::Class(syntax::anything()))?
            }
            Expression::Start => Hir::look(Anchor::Start),
            Expression::End => Hir::look(Anchor::End),
            Expression::Boundary { negated } if self.needed => {
                let mut word =
                    |behind, negated| self.mark(behind, negated, Expression::Class(syntax::word()));
                // A word behind and none ahead, or the other way round; the same on both sides if negated.
                let one = Hir::concat(vec![word(true, false)?, word(false, !negated)?]);
                let other = Hir::concat(vec![word(true, true)?, word(false, *negated)?]);
                Hir::alternation(vec![one, other])
            }
            Expression::Boundary { negated } => {
                Hir::look(if *negated { Anchor::WordAsciiNegate } else { Anchor::WordAscii })
            }
            Expression::Look(look) => self.look(look, false)?,
        })
    }

    /// A look's automaton sees only its own side of the place where it is.
    fn look(&mut self, look: &Look, leading: bool) -> Result<Hir, Refused> {
        let blind = match look.behind {
            true => has(&look.body, &|part| {
                matches!(part, Expression::End | Expression::Boundary { .. } | Expression::Look(_))
            }),
            false => {
                !leading
                    && has(&look.body, &|part| match part {
                        Expression::Look(look) => look.behind,
                        part => matches!(part, Expression::Start | Expression::Boundary { .. }),
                    })
            }
        };
        if blind {
            return Err(Refused::Reason(
                "a look ahead depends on what is behind it, or the other way round".into(),
            ));
        }
        self.mark(look.behind, look.negated, look.body.clone())
    }

    fn mark(&mut self, behind: bool, negated: bool, body: Expression) -> Result<Hir, Refused> {
        let look = Look { behind, negated, body };
        let index = match self.looks.iter().position(|known| *known == look) {
            Some(index) => index,
            None => {
                self.looks.push(look);
                self.looks.len() - 1
            }
        };
        match MARKS.get(index) {
            Some(mark) => Ok(Hir::literal([*mark])),
            None => Err(Refused::Reason(format!("it has more than {} looks ahead and behind", MARKS.len()))),
        }
    }
}

/// Whether something is said of a part of an expression, bodies of looks included.
fn has(expression: &Expression, what: &impl Fn(&Expression) -> bool) -> bool {
    what(expression)
        || match expression {
            Expression::Concat(parts) | Expression::Either(parts) => parts.iter().any(|part| has(part, what)),
            Expression::Repeat { of, .. } => has(of, what),
            Expression::Look(look) => has(&look.body, what),
            _ => false,
        }
}
