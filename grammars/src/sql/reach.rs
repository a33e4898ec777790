//! Which names may be written where.
//!
//! Names are looked up as SQLite does it: in the tables of the SELECT itself, then among its
//! aliases, then in the query around. What is found in two tables is ambiguous and not allowed.

use std::collections::BTreeSet;

use super::dialect::{Call, Dialect};
use super::language::Sql;
use super::query::{Clause, Kind, Output, Over, Query, Role, What};
use super::scope::{Name, Relation, World};
use crate::lexeme::Outcomes;

/// Names of columns: those of the schema by number, others sorted.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) known: Outcomes,
    pub(super) texts: Vec<Name>,
}

impl Names {
    pub(super) fn none(count: usize) -> Self {
        Self { known: Outcomes::none(count as u32), texts: Vec::new() }
    }

    pub(super) fn insert(&mut self, name: &Name) {
        match name {
            Name::Known(number) => self.known.insert(u32::from(*number)),
            Name::Text(_) => super::scope::insert(&mut self.texts, name.clone()),
            Name::Fresh => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.known.iter().next().is_none()
    }

    fn of<'a>(count: usize, names: impl IntoIterator<Item = &'a Name>) -> Self {
        let mut set = Self::none(count);
        names.into_iter().for_each(|name| set.insert(name));
        set
    }
}

/// What may qualify a column.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    pub(super) names: Names,
    /// An alias that FROM will have to define.
    pub(super) fresh: bool,
}

impl Query {
    /// In the list before FROM, where tables are not known yet.
    pub(super) fn is_pending(&self) -> bool {
        self.clause == Clause::List && !self.scope.closed
    }

    /// Within the arguments of an aggregate or a window function: no further ones, no subqueries, and
    /// no columns of queries around, which would make it an aggregate of these.
    pub(super) fn is_in_call(&self, sql: &Sql) -> bool {
        let is = |what: &What| matches!(what, What::Call(function, ..) if sql.function(*function).call != Call::Plain);
        self.open.iter().any(|open| is(&open.what))
    }

    pub(super) fn is_in_window(&self) -> bool {
        self.open.iter().any(|open| matches!(open.what, What::Partition(_) | What::Sort(_)))
    }
}

impl Sql {
    pub(super) fn world<'a>(&'a self, query: &'a Query) -> World<'a> {
        World { schema: &self.schema, common: &query.common }
    }

    /// Whether window functions may stand here.
    pub(super) fn may_window(&self, query: &Query) -> bool {
        matches!(query.clause, Clause::List | Clause::Order)
            && !query.is_in_call(self)
            && !query.is_in_window()
    }

    /// Whether OVER may come after an aggregate that stands here; `None` where none may stand.
    pub(super) fn over_aggregate(&self, query: &Query) -> Option<Over> {
        let windows = self.may_window(query);
        let over = if windows { Over::May } else { Over::No };
        match query.clause {
            _ if query.is_in_call(self) => None,
            Clause::List | Clause::Having => Some(over),
            Clause::Order if query.is_aggregated() => Some(over),
            Clause::Order => windows.then_some(Over::Must),
            _ => None,
        }
    }

    /// Columns that may be written without qualifier.
    pub(super) fn columns(&self, query: &Query) -> Names {
        if query.is_pending() {
            return self.pending_columns(query);
        }
        let count = self.schema.columns.len();
        let mut allowed = Names::none(count);
        let mut decided: BTreeSet<Name> = BTreeSet::new();
        let in_call = query.is_in_call(self);
        let mut at = Some(query);
        while let Some(own) = at.filter(|own| !own.is_pending()) {
            let first = std::ptr::eq(own, query);
            if !first && !own.scope.closed {
                break;
            }
            let mut here: Vec<Name> = Vec::new();
            for source in &own.scope.sources {
                let columns = source.relation.columns(&self.schema);
                here.extend(columns.into_iter().filter(|column| !source.merged.contains(column)));
            }
            here.sort_unstable();
            for same in here.chunk_by(|a, b| a == b) {
                if decided.insert(same[0].clone()) && same.len() == 1 && self.may_find(own, &same[0]) {
                    allowed.insert(&same[0]);
                }
            }
            for (name, kind) in aliases(own) {
                if decided.insert(name.clone()) && first && self.may_alias(own, kind, in_call) {
                    allowed.insert(&name);
                }
            }
            if in_call || own.role != Role::Nested || self.is_apart(own) {
                break;
            }
            at = own.outer.as_deref();
        }
        allowed
    }

    /// Whether a query is at a clause from which nothing around it is seen. SQLite resolves GROUP BY and ORDER BY so.
    fn is_apart(&self, query: &Query) -> bool {
        self.dialect == Dialect::Sqlite && matches!(query.clause, Clause::Group | Clause::Order)
    }

    /// Whether a column may be named in ON: the tables that are still to come must not have it.
    fn may_find(&self, query: &Query, column: &Name) -> bool {
        if query.scope.is_settled() || query.scope.found.contains(column) {
            return true;
        }
        let mut scope = query.scope.clone();
        super::scope::insert(&mut scope.found, column.clone());
        scope.plan(self.world(query)).is_some()
    }

    fn may_alias(&self, query: &Query, kind: Kind, in_call: bool) -> bool {
        match query.clause {
            Clause::Group => kind == Kind::Plain,
            Clause::Having if self.dialect == Dialect::Postgres => false,
            Clause::Having => kind == Kind::Plain || (kind == Kind::Aggregate && !in_call),
            Clause::Order if query.is_in_window() || in_call => kind == Kind::Plain,
            Clause::Order => true,
            _ => false,
        }
    }

    fn pending_columns(&self, query: &Query) -> Names {
        let world = self.world(query);
        let mut allowed = Names::none(self.schema.columns.len());
        let texts = query.common.iter().flat_map(|common| common.relation.columns(&self.schema));
        let known = (0..self.schema.columns.len() as u16).map(Name::Known);
        for column in known.chain(texts) {
            let free = query.scope.wanted.is_empty() && query.scope.owed.is_empty() && !query.scope.star;
            if free || query.scope.want(&column, world).is_some() {
                allowed.insert(&column);
            }
        }
        allowed
    }

    /// What may stand before a period.
    pub(super) fn labels(&self, query: &Query) -> Labels {
        let mut names = Names::none(self.schema.tables.len());
        if query.is_pending() {
            let world = self.world(query);
            let common =
                query.common.iter().filter(|common| !common.relation.columns(&self.schema).is_empty());
            let owed = query.scope.owed.iter().map(|(label, _)| label);
            let tables: Vec<Name> = (0..self.schema.tables.len() as u16).map(Name::Known).collect();
            for label in tables.iter().chain(common.map(|common| &common.name)).chain(owed) {
                if query.scope.owe(label, None, world).is_some() {
                    names.insert(label);
                }
            }
            return Labels { names, fresh: query.scope.owe(&Name::Fresh, None, world).is_some() };
        }
        for (label, relation) in self.sources(query) {
            if !relation.columns(&self.schema).is_empty() {
                names.insert(&label);
            }
        }
        Labels { names, fresh: false }
    }

    /// Labelled tables in reach, the nearest of each label.
    fn sources(&self, query: &Query) -> Vec<(Name, Relation)> {
        let mut found: Vec<(Name, Relation)> = Vec::new();
        let mut at = Some(query);
        while let Some(own) = at.filter(|own| !own.is_pending()) {
            for source in &own.scope.sources {
                let Some(label) = &source.label else { continue };
                if !found.iter().any(|(known, _)| known == label) {
                    found.push((label.clone(), source.relation.clone()));
                }
            }
            let last =
                !own.scope.closed || own.role != Role::Nested || query.is_in_call(self) || self.is_apart(own);
            at = own.outer.as_deref().filter(|_| !last);
        }
        found
    }

    /// Columns of a label.
    pub(super) fn columns_of(&self, query: &Query, label: &Name) -> Names {
        let count = self.schema.columns.len();
        if !query.is_pending() {
            let relation = self.sources(query).into_iter().find(|(known, _)| known == label);
            return Names::of(
                count,
                &relation.map(|(_, relation)| relation.columns(&self.schema)).unwrap_or_default(),
            );
        }
        let world = self.world(query);
        let texts = query.common.iter().flat_map(|common| common.relation.columns(&self.schema));
        let known: Vec<Name> = match label {
            Name::Known(table) => Relation::Table(*table).columns(&self.schema),
            _ => (0..count as u16).map(Name::Known).chain(texts).collect(),
        };
        Names::of(count, known.iter().filter(|column| query.scope.owe(label, Some(column), world).is_some()))
    }

    /// Columns that USING may name: each in both of two tables, and in none that is to come.
    pub(super) fn shared(&self, query: &Query) -> Names {
        let count = self.schema.columns.len();
        let [first, last] = query.scope.sources.as_slice() else { return Names::none(count) };
        let columns = last.relation.columns(&self.schema);
        let is_shared = |column: &&Name| {
            let both = first.relation.has(column, &self.schema) && !last.merged.contains(column);
            both && self.may_find(query, column)
        };
        Names::of(count, columns.iter().filter(is_shared))
    }

    /// Columns of the result of a set operation, by which it may be ordered.
    pub(super) fn results(&self, query: &Query) -> Names {
        let columns = self.named(query.first.as_deref().unwrap_or(&query.outputs), query);
        Names::of(self.schema.columns.len(), &columns)
    }

    /// Names of a query's columns, those that are there once.
    pub(super) fn named(&self, outputs: &[Output], query: &Query) -> Vec<Name> {
        let mut names: Vec<Name> = Vec::new();
        for output in outputs {
            match output {
                Output::Column { name, .. } => names.extend(name.clone()),
                Output::Star => {
                    let sources = query.scope.sources.iter();
                    names.extend(sources.flat_map(|source| source.relation.columns(&self.schema)));
                }
                Output::StarOf(label) => {
                    let source = query.scope.source(label);
                    names.extend(source.into_iter().flat_map(|source| source.relation.columns(&self.schema)));
                }
            }
        }
        names.sort_unstable();
        names.chunk_by(|a, b| a == b).filter(|same| same.len() == 1).map(|same| same[0].clone()).collect()
    }

    /// How many columns a query has.
    pub(super) fn width(&self, outputs: &[Output], query: &Query) -> u16 {
        let of = |output: &Output| match output {
            Output::Column { .. } => 1,
            Output::Star => {
                let merged = |source: &super::scope::Source| source.merged.len() as u16;
                let wide =
                    |source: &super::scope::Source| source.relation.width(&self.schema) - merged(source);
                query.scope.sources.iter().map(wide).sum()
            }
            Output::StarOf(label) => {
                query.scope.source(label).map_or(0, |source| source.relation.width(&self.schema))
            }
        };
        outputs.iter().map(of).sum()
    }
}

/// Aliases of a SELECT's list, each with the most that a column of that name contains.
pub(super) fn aliases(query: &Query) -> Vec<(Name, Kind)> {
    let mut found: Vec<(Name, Kind)> = Vec::new();
    for output in &query.outputs {
        let Output::Column { name: Some(name), alias: true, kind } = output else { continue };
        match found.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = (*known).max(*kind),
            None => found.push((name.clone(), *kind)),
        }
    }
    found
}
