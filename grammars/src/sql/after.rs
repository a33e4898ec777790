//! Where a lexeme leads.

use super::expression::{LIST, PLAIN, TERM, operand, tail};
use super::language::{Next, Sql, pick};
use super::query::{Clause, Due, Frame, Join, Kind, Level, Output, Query, Role, What};
use super::scope::{Name, Relation};
use super::words::Joint;
use crate::machine::Read;

impl Sql {
    pub(super) fn next(&self, frame: &Frame, choice: usize, read: Read<'_>) -> Next {
        let mut query = (*frame.query).clone();
        match &frame.due {
            Due::Statement | Due::Select | Due::Row | Due::Window => self.opened(query, PLAIN, read.outcome),
            Due::Operand(operand) => self.operand_read(query, *operand, choice, frame, read),
            Due::Column { label, .. } => {
                if choice == pick::TABLE {
                    query.item = Output::StarOf(label.clone());
                    query.level = Level::Done;
                    return match self.owed(&query, label, None) {
                        Some(query) => tail(query),
                        None => Next::Refused,
                    };
                }
                let texts = self.columns_of(&query, label).texts;
                let Some(column) = name(choice, read.outcome, &texts) else { return Next::Refused };
                match self.owed(&query, label, Some(&column)) {
                    Some(query) => self.column_read(query, column),
                    None => Next::Refused,
                }
            }
            Due::Tail(_) | Due::Sorted => self.joined(query, read.outcome),
            Due::Alias => {
                let name = self.column_name(read.text);
                query.fresh |= name == Name::Fresh;
                if let Output::Column { name: own, alias, .. } = &mut query.item {
                    (*own, *alias) = (Some(name), true);
                }
                query.level = Level::Done;
                tail(query)
            }
            Due::CommonName => {
                let name = self.label_name(read.text);
                if self.taken(frame, choice).contains(&name) {
                    return Next::Refused;
                }
                query.fresh |= name == Name::Fresh;
                Next::at(query, Due::CommonAs(name))
            }
            Due::CommonAs(name) => Next::at(query.inner(Role::Common(name.clone()), None), Due::Select),
            Due::CommonEnd => match Joint::of(read.outcome) {
                Some(Joint::Comma) => Next::at(query, Due::CommonName),
                _ => operand(query, LIST),
            },
            Due::Table => match choice {
                0 => {
                    let table = read.outcome as u16;
                    Next::at(query, Due::Named(Relation::Table(table), Some(Name::Known(table))))
                }
                1 => match self.common_tables(&query).into_iter().nth(read.outcome as usize) {
                    Some((name, relation)) => Next::at(query, Due::Named(relation, Some(name))),
                    None => Next::Refused,
                },
                _ => operand(query.inner(Role::Derived, None), LIST),
            },
            Due::Named(relation, own) => match choice {
                0 if Joint::of(read.outcome) == Some(Joint::As) => {
                    Next::at(query, Due::TableAlias(relation.clone()))
                }
                0 => match self.named_query(relation, own.as_ref(), &query) {
                    Some(query) => self.joined(query, read.outcome),
                    None => Next::Refused,
                },
                _ => Next::at(query, Due::TableAlias(relation.clone())),
            },
            Due::TableAlias(relation) => self.labelled(query, relation, choice == 1, frame, read),
            Due::Using => {
                let texts = self.shared(&query).texts;
                let Some(column) = name(choice, read.outcome, &texts) else { return Next::Refused };
                super::scope::insert(&mut query.scope.found, column.clone());
                if let Some(last) = query.scope.sources.last_mut() {
                    super::scope::insert(&mut last.merged, column);
                }
                Next::at(query, Due::Used)
            }
            Due::Used => match Joint::of(read.outcome) {
                Some(Joint::Comma) => Next::at(query, Due::Using),
                _ => {
                    query.clause = Clause::From(Join::Done);
                    query.level = Level::Done;
                    tail(query)
                }
            },
            Due::Type => self.closed(query),
            Due::Count => {
                query.level = Level::Done;
                tail(query)
            }
            Due::Result => {
                query.level = Level::Done;
                tail(query)
            }
            Due::Target(write) => {
                let table = read.outcome as u16;
                let (label, relation) = (Name::Known(table), Relation::Table(table));
                if let Some(scope) = query.scope.add(&relation, Some(&label), false, self.world(&query)) {
                    query.scope = scope;
                }
                query.scope.close();
                query.enter(Clause::Filter);
                Next::at(query, Due::Targeted(*write))
            }
            Due::Targeted(write) => match Joint::of(read.outcome) {
                Some(Joint::Where) => operand(query, TERM),
                Some(Joint::Semicolon) => Next::Ends,
                _ => Next::at(query, Due::Written(*write)),
            },
            Due::Written(write) => {
                query.item = Output::Column {
                    name: Some(Name::Known(read.outcome as u16)),
                    alias: false,
                    kind: Kind::Plain,
                };
                query.end_item();
                Next::at(query, Due::Assigned(*write))
            }
            Due::Assigned(write) => match Joint::of(read.outcome) {
                Some(Joint::Comma) => Next::at(query, Due::Written(*write)),
                Some(Joint::Close) => {
                    let arity = query.outputs.len() as u16;
                    let inserted = Query { arity: Some(arity), ..Query::new(Role::Statement) };
                    Next::at(inserted, Due::Inserted)
                }
                _ => {
                    query.enter(Clause::Set);
                    operand(query, TERM)
                }
            },
            Due::Inserted => {
                if Joint::of(read.outcome) == Some(Joint::Select) {
                    return operand(query, LIST);
                }
                query.enter(Clause::Values);
                query.scope.close();
                query.push(What::Row(1));
                operand(query, TERM)
            }
        }
    }

    /// The query after a column of a label, which it may owe from now on.
    fn owed(&self, query: &Query, label: &Name, column: Option<&Name>) -> Option<Query> {
        if !query.is_pending() {
            return Some(query.clone());
        }
        let scope = query.scope.owe(label, column, self.world(query))?;
        Some(Query { scope, ..query.clone() })
    }

    pub(super) fn column_read(&self, mut query: Query, column: Name) -> Next {
        if query.clause == Clause::List
            && query.open.is_empty()
            && query.operators == 0
            && let Output::Column { name, .. } = &mut query.item
        {
            *name = Some(column);
        }
        tail(query)
    }

    fn labelled(
        &self,
        mut query: Query,
        relation: &Relation,
        new: bool,
        frame: &Frame,
        read: Read<'_>,
    ) -> Next {
        let natural = query.clause == Clause::From(Join::Natural);
        let label = if new {
            let label = self.label_name(read.text);
            if self.taken(frame, 1).contains(&label) {
                return Next::Refused;
            }
            label
        } else {
            let owed = self.labels_for(&query.scope, relation, natural, &query).owed;
            match owed.into_iter().nth(read.outcome as usize) {
                Some(label) => label,
                None => return Next::Refused,
            }
        };
        query.fresh |= label == Name::Fresh;
        match query.scope.add(relation, Some(&label), natural, self.world(&query)) {
            Some(scope) => {
                query.scope = scope;
                query.level = Level::Done;
                tail(query)
            }
            None => Next::Refused,
        }
    }
}

/// The name that a choice of known ones and others has read.
pub(super) fn name(choice: usize, outcome: u32, texts: &[Name]) -> Option<Name> {
    match choice {
        pick::COLUMN => Some(Name::Known(outcome as u16)),
        _ => texts.get(outcome as usize).cloned(),
    }
}
