//! The direct way to a statement's end.

use super::language::{Next, Sql, pick};
use super::query::{Clause, Due, Frame, Join, Level, Over, Query, Write};
use super::scope::{Name, Relation};
use super::words::{Joint, Joints, Opener};
use crate::lexeme::{Lexeme, START};
use crate::machine::{Read, TextThen};

/// What ends an expression or a clause soonest, the best first. OVER is last: where it must come, nothing
/// else may, and where it only may, it ends nothing.
const ENDINGS: [Joint; 11] = [
    Joint::Close,
    Joint::End,
    Joint::Then,
    Joint::When,
    Joint::From,
    Joint::On,
    Joint::Comma,
    Joint::As,
    Joint::Using,
    Joint::CrossJoin,
    Joint::Over,
];

/// A choice, its outcome and a text of it.
struct Step {
    choice: usize,
    outcome: u32,
    text: Vec<u8>,
}

impl Step {
    fn new(choice: usize, outcome: u32, text: impl Into<Vec<u8>>) -> Self {
        Self { choice, outcome, text: text.into() }
    }

    fn joint(joint: Joint) -> Self {
        Self::new(0, joint as u32, joint.shortest())
    }

    fn opener(choice: usize, opener: Opener) -> Self {
        Self::new(choice, opener as u32, opener.shortest())
    }
}

impl Sql {
    /// A text towards an end, and the frame after it.
    pub(super) fn way(&self, frame: &Frame) -> Option<TextThen<Frame>> {
        if self.may_end(frame) {
            return Some((Vec::new(), Vec::new()));
        }
        let Step { choice, outcome, text } = self.step(frame)?;
        match self.next(frame, choice, Read { outcome, text: Some(&text) }) {
            Next::Goes(next) => Some((text, vec![next])),
            Next::Ends => Some((text, Vec::new())),
            Next::Refused => None,
        }
    }

    fn may_end(&self, frame: &Frame) -> bool {
        let query = &*frame.query;
        let joints = match &frame.due {
            Due::Tail(over) => self.tail(query, *over),
            Due::Sorted => self.tail(query, Over::No),
            Due::Named(relation, own) => match self.named_query(relation, own.as_ref(), query) {
                Some(query) => self.after_table(&query),
                None => return false,
            },
            Due::Targeted(Write::Delete) => return true,
            _ => return false,
        };
        joints.has(Joint::Semicolon)
    }

    fn step(&self, frame: &Frame) -> Option<Step> {
        let query = &*frame.query;
        Some(match &frame.due {
            Due::Statement | Due::Select => Step::opener(0, Opener::Select),
            Due::Row => Step::opener(0, Opener::Parenthesis),
            Due::CommonName => self.new_name(&self.lexemes.label, frame, 0)?,
            Due::Alias => self.new_name(&self.lexemes.alias, frame, 0)?,
            Due::Type => Step::new(0, 0, format!("{})", self.dialect.types().first()?)),
            Due::Count => Step::new(0, 0, "1"),
            Due::CommonAs(_) => Step::joint(Joint::AsOpen),
            Due::CommonEnd => Step::joint(Joint::Select),
            Due::Operand(_) => Step::opener(pick::OPENER, Opener::Null),
            Due::Column { label, .. } => self.first_of(&self.columns_of(query, label))?,
            Due::Tail(over) => self.ending(self.tail(query, *over), query)?,
            Due::Sorted => self.ending(self.tail(query, Over::No).without(Joint::Direction), query)?,
            Due::Table => self.table_that_ends(query)?,
            Due::Named(relation, own) => {
                let is_owed =
                    !self.labels_for(&query.scope, relation, query.is_natural(), query).owed.is_empty();
                match self.named_query(relation, own.as_ref(), query).filter(|_| !is_owed) {
                    Some(query) => self.ending(self.after_table(&query), &query)?,
                    None => Step::new(1, 0, " "),
                }
            }
            Due::TableAlias(relation) => {
                let owed = self.labels_for(&query.scope, relation, query.is_natural(), query).owed;
                match owed.first() {
                    Some(label) => Step::new(0, 0, self.written(label)),
                    None => self.new_name(&self.lexemes.label, frame, 1)?,
                }
            }
            Due::Using => self.first_of(&self.shared(query))?,
            Due::Used => Step::joint(Joint::Close),
            Due::Window => Step::opener(0, Opener::Nothing),
            Due::Result => Step::new(2, 1, "1"),
            Due::Target(_) => {
                let table = self.schema.tables.iter().position(|table| !table.writable.is_empty())?;
                Step::new(0, table as u32, self.lexemes.bare(&self.schema.tables[table].name))
            }
            Due::Targeted(Write::Insert) => Step::joint(Joint::Columns),
            Due::Targeted(Write::Update) => Step::joint(Joint::Set),
            Due::Targeted(Write::Delete) => Step::joint(Joint::Semicolon),
            Due::Written(_) => self.column(*self.unwritten(query).first()?),
            Due::Assigned(Write::Insert) => Step::joint(Joint::Close),
            Due::Assigned(_) => Step::joint(Joint::Equals),
            Due::Inserted => Step::joint(Joint::Values),
        })
    }

    fn ending(&self, joints: Joints, query: &Query) -> Option<Step> {
        // The bound of BETWEEN is not complete without the other.
        let and = Some(Joint::And).filter(|and| query.level == Level::Low && joints.has(*and));
        and.or_else(|| ENDINGS.into_iter().find(|joint| joints.has(*joint))).map(Step::joint)
    }

    fn column(&self, column: u16) -> Step {
        let name = &self.schema.columns[usize::from(column)];
        Step::new(pick::COLUMN, u32::from(column), self.lexemes.bare(name))
    }

    fn first_of(&self, names: &super::reach::Names) -> Option<Step> {
        match names.known.iter().next() {
            Some(column) => Some(self.column(column as u16)),
            None => names.texts.first().map(|name| Step::new(pick::COLUMN_TEXT, 0, self.written(name))),
        }
    }

    /// A name that the text made up, as it can be written.
    fn written(&self, name: &Name) -> Vec<u8> {
        match name {
            Name::Text(text) => self.lexemes.made_up(text),
            _ => self.lexemes.unknown_label.clone(),
        }
    }

    /// A name that is not taken.
    fn new_name(&self, lexeme: &Lexeme, frame: &Frame, choice: usize) -> Option<Step> {
        let taken = self.taken(frame, choice);
        let automaton = &lexeme.automaton;
        let fits = |name: &String| {
            let at = name.bytes().try_fold(START, |at, byte| automaton.step(at, byte));
            at.is_some_and(|at| automaton.ending(at).is_some())
                && !taken.contains(&Name::Text(name.as_str().into()))
        };
        let short = (b'a'..=b'z').map(|letter| char::from(letter).to_string());
        let long = (0..=taken.len() + 26).map(|number| format!("t{number}"));
        short.chain(long).find(fits).map(|name| Step::new(choice, 0, name))
    }

    fn table(&self, table: u16) -> Step {
        Step::new(0, u32::from(table), self.lexemes.bare(&self.schema.tables[usize::from(table)].name))
    }

    fn table_that_ends(&self, query: &Query) -> Option<Step> {
        let common = self.common_tables(query);
        let of_common = |at: usize| Step::new(1, at as u32, self.written(&common[at].0));
        let is_usable = |table: u16| {
            self.labels_for(&query.scope, &Relation::Table(table), query.is_natural(), query).any()
        };
        // A NATURAL JOIN may not take the planned table, whose columns it would make one with those at hand.
        let planned = match query.scope.plan(self.world(query)) {
            Some(Some((Relation::Table(table), _))) => Some(self.table(table)).filter(|_| is_usable(table)),
            Some(Some((relation, _))) => {
                common.iter().position(|(_, known)| *known == relation).map(of_common)
            }
            _ => None,
        };
        let any_table = || {
            (0..self.schema.tables.len() as u16)
                .find(|table| is_usable(*table))
                .map(|table| self.table(table))
        };
        planned.or_else(any_table).or_else(|| (!common.is_empty()).then(|| of_common(0)))
    }
}

impl Query {
    /// The table that is due is joined by the columns that it shares.
    pub(super) fn is_natural(&self) -> bool {
        self.clause == Clause::From(Join::Natural)
    }
}
