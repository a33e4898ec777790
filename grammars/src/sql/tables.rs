//! Which tables and names of tables may be written where.

use super::dialect::Dialect;
use super::language::{Sql, absent};
use super::lexemes::Form;
use super::offer::DEPTH;
use super::query::{Clause, Due, Frame, Join, Output, Query, Write};
use super::reach::aliases;
use super::scope::{Name, Relation, Scope};
use super::words::{Joint, Joints};
use crate::lexeme::Outcomes;
use crate::machine::{Choice, Offer};

impl Sql {
    /// What may come after a table in FROM.
    pub(super) fn after_table(&self, query: &Query) -> Joints {
        let strict = self.dialect != Dialect::Sqlite;
        let (on, using) = match query.clause {
            Clause::From(Join::Conditional) => (true, !self.shared(query).is_empty()),
            Clause::From(Join::Outer) => (true, false),
            _ => (false, false),
        };
        let condition = Joints::default().and(Joint::On, on).and(Joint::Using, using);
        if on && strict {
            return condition;
        }
        let addable = self.is_addable(query, false);
        let natural = addable || self.is_addable(query, true);
        let joins = condition
            .and(Joint::Comma, addable)
            .and(Joint::Join, addable)
            .and(Joint::OuterJoin, addable)
            .and(Joint::FullJoin, addable && self.dialect != Dialect::Mysql)
            .and(Joint::CrossJoin, addable)
            .and(Joint::NaturalJoin, natural && query.scope.sources.len() == 1);
        if !query.scope.is_settled() {
            return joins;
        }
        joins
            .union(self.finish(query))
            .with(&[Joint::Where, Joint::Group, Joint::Order, Joint::Limit])
            .and(Joint::Combine, self.may_combine(query))
    }

    /// Whether there is a table that may be joined.
    pub(super) fn is_addable(&self, query: &Query, natural: bool) -> bool {
        query.scope.has_room()
            && (0..self.schema.tables.len() as u16)
                .any(|table| self.labels_for(&query.scope, &Relation::Table(table), natural, query).any())
    }

    pub(super) fn table_choices(&self, frame: &Frame) -> Offer {
        let (query, lexemes) = (&*frame.query, &self.lexemes);
        let natural = query.clause == Clause::From(Join::Natural);
        match &frame.due {
            Due::Table => {
                let mut tables = Outcomes::none(self.schema.tables.len() as u32);
                for table in 0..self.schema.tables.len() as u16 {
                    if self.labels_for(&query.scope, &Relation::Table(table), natural, query).any() {
                        tables.insert(u32::from(table));
                    }
                }
                let derived =
                    if self.may_derive(query) { Choice::new(&lexemes.derived) } else { absent(lexemes) };
                let common: Vec<Name> = self.common_tables(query).into_iter().map(|(name, _)| name).collect();
                Offer::of([
                    Choice::new(&lexemes.tables).allowing(tables),
                    self.texts(&common, Form::Bare),
                    derived,
                ])
            }
            Due::Named(relation, own) => {
                let labels = self.labels_for(&query.scope, relation, natural, query);
                let bare = self.named_query(relation, own.as_ref(), query);
                let joints = bare.map_or(Joints::default(), |query| self.after_table(&query));
                let aliased = labels.fresh || !labels.owed.is_empty();
                let blank = if aliased { Choice::new(&lexemes.blank) } else { absent(lexemes) };
                let offer = Offer::of([self.joining(joints.and(Joint::As, aliased)), blank]);
                Offer { optional: joints.has(Joint::Semicolon), ..offer }
            }
            Due::TableAlias(relation) => {
                let labels = self.labels_for(&query.scope, relation, natural, query);
                let new = if labels.fresh {
                    Choice::new(&lexemes.label).captured().made_up()
                } else {
                    absent(lexemes)
                };
                Offer::of([self.texts(&labels.owed, Form::Bare), new])
            }
            Due::Target(write) => {
                let mut tables = Outcomes::none(self.schema.tables.len() as u32);
                for (number, table) in self.schema.tables.iter().enumerate() {
                    if *write == Write::Delete || !table.writable.is_empty() {
                        tables.insert(number as u32);
                    }
                }
                Offer::of([Choice::new(&lexemes.tables).allowing(tables)])
            }
            _ => Offer::of([Choice::new(&lexemes.label).captured().made_up()]),
        }
    }

    /// Common tables that may be joined, and what they are.
    pub(super) fn common_tables(&self, query: &Query) -> Vec<(Name, Relation)> {
        let natural = query.clause == Clause::From(Join::Natural);
        let usable = query
            .common
            .iter()
            .filter(|common| self.labels_for(&query.scope, &common.relation, natural, query).any());
        usable.map(|common| (common.name.clone(), common.relation.clone())).collect()
    }

    /// The query after a table without alias, where that is possible.
    pub(super) fn named_query(
        &self,
        relation: &Relation,
        own: Option<&Name>,
        query: &Query,
    ) -> Option<Query> {
        if own.is_none() && self.dialect != Dialect::Sqlite {
            return None;
        }
        let natural = query.clause == Clause::From(Join::Natural);
        let scope = query.scope.add(relation, own, natural, self.world(query))?;
        Some(Query { scope, ..query.clone() })
    }

    /// Whether a subquery may stand in place of a table: nothing that was written may depend on
    /// its columns, since these are not known before they are written.
    pub(super) fn may_derive(&self, query: &Query) -> bool {
        let scope = &query.scope;
        let none = Relation::Query { columns: [].into(), width: 0 };
        let free = scope.wanted.is_empty() && scope.found.is_empty();
        let narrow = !scope.star || (scope.sources.is_empty() && scope.owed.is_empty());
        free && narrow
            && query.depth < DEPTH
            && query.clause != Clause::From(Join::Natural)
            && scope.add(&none, Some(&Name::Fresh), false, self.world(query)).is_some()
    }

    /// Names under which a relation may be joined.
    pub(super) fn labels_for(
        &self,
        scope: &Scope,
        relation: &Relation,
        natural: bool,
        query: &Query,
    ) -> TableLabels {
        let world = self.world(query);
        let owed = scope.owed.iter().map(|(label, _)| label).filter(|label| {
            !matches!(label, Name::Known(_)) && !query.common.iter().any(|common| common.name == **label)
        });
        let owed = owed
            .filter(|label| scope.add(relation, Some(label), natural, world).is_some())
            .cloned()
            .collect();
        let fresh = scope.add(relation, Some(&Name::Fresh), natural, world).is_some();
        let own = match relation {
            Relation::Table(table) => {
                scope.add(relation, Some(&Name::Known(*table)), natural, world).is_some()
            }
            Relation::Query { .. } => query.common.iter().any(|common| {
                common.relation == *relation
                    && scope.add(relation, Some(&common.name), natural, world).is_some()
            }),
        };
        TableLabels { owed, fresh, own }
    }

    /// Columns that UPDATE or INSERT may still name.
    pub(super) fn unwritten(&self, query: &Query) -> Vec<u16> {
        let Some(Relation::Table(table)) = query.scope.sources.first().map(|source| &source.relation) else {
            return Vec::new();
        };
        let named = |column: &u16| {
            query.outputs.iter().any(|output| {
                matches!(output, Output::Column { name: Some(Name::Known(known)), .. } if known == column)
            })
        };
        self.schema.tables[usize::from(*table)]
            .writable
            .iter()
            .copied()
            .filter(|column| !named(column))
            .collect()
    }

    pub(super) fn writable(&self, query: &Query) -> Choice {
        let mut allowed = Outcomes::none(self.schema.columns.len() as u32);
        self.unwritten(query).iter().for_each(|column| allowed.insert(u32::from(*column)));
        Choice::new(&self.lexemes.columns).allowing(allowed)
    }

    /// Names that a captured text must not be.
    pub(super) fn taken(&self, frame: &Frame, choice: usize) -> Vec<Name> {
        let query = &*frame.query;
        let labels = || {
            let sources = query.scope.sources.iter().filter_map(|source| source.label.clone());
            let owed = query.scope.owed.iter().map(|(label, _)| label.clone());
            sources.chain(owed).chain(query.common.iter().map(|common| common.name.clone())).collect()
        };
        match &frame.due {
            Due::Named(..) | Due::TableAlias(_) | Due::CommonName => labels(),
            Due::Operand(_) if choice == super::language::pick::NEW_LABEL => labels(),
            Due::Operand(_) if choice == super::language::pick::DOUBLE => {
                let mut names: Vec<Name> = Vec::new();
                let mut at = Some(query);
                while let Some(own) = at {
                    names.extend(aliases(own).into_iter().map(|(name, _)| name));
                    names.extend(
                        own.scope.sources.iter().flat_map(|source| source.relation.columns(&self.schema)),
                    );
                    at = own.outer.as_deref();
                }
                names
            }
            _ => Vec::new(),
        }
    }
}

/// Labels that a table may get.
pub(super) struct TableLabels {
    /// Such that were written before FROM.
    pub(super) owed: Vec<Name>,
    /// A new one.
    pub(super) fresh: bool,
    /// Its own name.
    own: bool,
}

impl TableLabels {
    pub(super) fn any(&self) -> bool {
        self.own || self.fresh || !self.owed.is_empty()
    }
}
