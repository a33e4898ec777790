//! The names of one SELECT: tables at hand, and what was written before they were named.
//!
//! `SELECT T1.name, age FROM ...` speaks of columns before the tables that have them. Such names
//! are *wanted* (`age`) or *owed* (`T1`, with `name`) until FROM brings a table for them. Wanted
//! columns must be in one table only, so once *found* no further table may have them. A name is
//! allowed before FROM only while there are tables that bring everything
//! ([`Scope::plan`]); a table is allowed in FROM only while there are tables for the rest.

use std::sync::Arc;

use super::schema::Schema;

/// A name of a column or a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Name {
    /// One of the schema's.
    Known(u16),
    /// One that the text made up, as its key.
    Text(Arc<str>),
    /// One of these that is not known to the machine while it computes masks: it is no other name.
    Fresh,
}

/// What rows come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Relation {
    Table(u16),
    /// A subquery's columns; of those that cannot be named nothing is kept but their number.
    Query {
        columns: Arc<[Name]>,
        width: u16,
    },
}

impl Relation {
    pub(super) fn has(&self, column: &Name, schema: &Schema) -> bool {
        match (self, column) {
            (Self::Table(table), Name::Known(column)) => schema.has(*table, *column),
            (Self::Table(_), _) => false,
            (Self::Query { columns, .. }, column) => columns.contains(column),
        }
    }

    pub(super) fn columns(&self, schema: &Schema) -> Vec<Name> {
        match self {
            Self::Table(table) => {
                schema.tables[usize::from(*table)].columns.iter().map(|column| Name::Known(*column)).collect()
            }
            Self::Query { columns, .. } => columns.to_vec(),
        }
    }

    pub(super) fn width(&self, schema: &Schema) -> u16 {
        match self {
            Self::Table(table) => schema.tables[usize::from(*table)].columns.len() as u16,
            Self::Query { width, .. } => *width,
        }
    }
}

/// A relation in FROM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Source {
    /// What its columns may be qualified with.
    pub(super) label: Option<Label>,
    pub(super) relation: Relation,
    /// Columns that USING or NATURAL made one with those of tables before.
    pub(super) merged: Vec<Name>,
}

/// A table's name or alias. Aliases are never names of the schema's tables.
pub(super) type Label = Name;

/// A common table expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Common {
    pub(super) name: Label,
    pub(super) relation: Relation,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) sources: Vec<Source>,
    /// FROM is complete: no table comes to it.
    pub(super) closed: bool,
    /// Unqualified columns without a table, sorted.
    pub(super) wanted: Vec<Name>,
    /// Unqualified columns of an open scope that have a table, sorted.
    pub(super) found: Vec<Name>,
    /// Labels without a table and the columns it must have, both sorted.
    pub(super) owed: Vec<(Label, Vec<Name>)>,
    /// `*` was written.
    pub(super) star: bool,
}

/// Most tables of a FROM. SQLite takes 64.
const SOURCES: usize = 16;
/// Most columns of them together where `*` was written. SQLite's results have 2000 at most.
const WIDTH: u32 = 1900;
/// Tables that [`Scope::plan`] tries before it gives up: then a name is not allowed.
const FUEL: u32 = 500;

/// What a scope may draw from.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) schema: &'a Schema,
    pub(super) common: &'a [Common],
}

/// The next table that a scope needs and its label.
pub(super) type Step = Option<(Relation, Label)>;

impl Scope {
    /// Nothing was written that needs a FROM.
    pub(super) fn is_free(&self) -> bool {
        self.sources.is_empty() && self.is_settled() && !self.star
    }

    /// Everything that was written has its table.
    pub(super) fn is_settled(&self) -> bool {
        self.wanted.is_empty() && self.owed.is_empty() && !(self.star && self.sources.is_empty())
    }

    pub(super) fn has_room(&self) -> bool {
        self.sources.len() < SOURCES
    }

    pub(super) fn source(&self, label: &Label) -> Option<&Source> {
        self.sources.iter().find(|source| source.label.as_ref() == Some(label))
    }

    /// The scope with an unqualified column more, where tables for it can still come.
    pub(super) fn want(&self, column: &Name, world: World<'_>) -> Option<Self> {
        let mut scope = self.clone();
        if !scope.found.contains(column) {
            insert(&mut scope.wanted, column.clone());
        }
        scope.plan(world).is_some().then_some(scope)
    }

    /// The scope with a qualified column more (or with a label more).
    pub(super) fn owe(&self, label: &Label, column: Option<&Name>, world: World<'_>) -> Option<Self> {
        let mut scope = self.clone();
        let at = match scope.owed.binary_search_by(|(own, _)| own.cmp(label)) {
            Ok(at) => at,
            Err(at) => {
                scope.owed.insert(at, (label.clone(), Vec::new()));
                at
            }
        };
        column.into_iter().for_each(|column| insert(&mut scope.owed[at].1, column.clone()));
        scope.plan(world).is_some().then_some(scope)
    }

    /// The scope with a table more, where those for the rest can still come.
    pub(super) fn add(
        &self,
        relation: &Relation,
        label: Option<&Label>,
        natural: bool,
        world: World<'_>,
    ) -> Option<Self> {
        if !self.has_room()
            || label.is_some_and(|label| *label != Name::Fresh && self.source(label).is_some())
        {
            return None;
        }
        let mut scope = self.clone();
        let columns = if natural { relation.columns(world.schema) } else { Vec::new() };
        let merged: Vec<Name> =
            columns.into_iter().filter(|column| self.holders(column, world) > 0).collect();
        if self.found.iter().any(|column| relation.has(column, world.schema) && !merged.contains(column)) {
            return None;
        }
        // A further table that has a merged column would make it ambiguous.
        merged.iter().for_each(|column| insert(&mut scope.found, column.clone()));
        let (found, wanted) = scope.wanted.drain(..).partition(|column| relation.has(column, world.schema));
        scope.wanted = wanted;
        let found: Vec<Name> = found;
        found.into_iter().for_each(|column| insert(&mut scope.found, column));
        if let Some(label) = label
            && let Ok(at) = scope.owed.binary_search_by(|(own, _)| own.cmp(label))
        {
            let (_, columns) = scope.owed.remove(at);
            if !columns.iter().all(|column| relation.has(column, world.schema)) {
                return None;
            }
        }
        scope.sources.push(Source { label: label.cloned(), relation: relation.clone(), merged });
        scope.plan(world).is_some().then_some(scope)
    }

    /// Tables of the scope that have a column, those merged with another counted once.
    pub(super) fn holders(&self, column: &Name, world: World<'_>) -> usize {
        let holds =
            |source: &&Source| source.relation.has(column, world.schema) && !source.merged.contains(column);
        self.sources.iter().filter(holds).count()
    }

    /// Whether tables can be added that bring all that is wanted and owed, and the first of them.
    /// Where a plan begins with a table, there is one after that table has been added, found
    /// with less fuel: so a plan never fails on the way.
    pub(super) fn plan(&self, world: World<'_>) -> Option<Step> {
        let mut search = Search {
            world,
            fuel: FUEL,
            room: SOURCES.saturating_sub(self.sources.len()),
            width: WIDTH.saturating_sub(if self.star { self.width(world.schema) } else { 0 }),
            star: self.star,
            first: None,
        };
        if self.star && self.width(world.schema) > WIDTH {
            return None;
        }
        if self.is_settled() {
            return Some(None);
        }
        if self.wanted.is_empty() && self.owed.is_empty() {
            return Some(Some((Relation::Table(0), Name::Known(0))));
        }
        search.run(&self.owed, &self.wanted, &self.found).then_some(search.first)
    }

    fn width(&self, schema: &Schema) -> u32 {
        self.sources.iter().map(|source| u32::from(source.relation.width(schema))).sum()
    }

    /// No table comes any more: what mattered only for these is forgotten.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.found.clear();
    }
}

pub(super) fn insert(names: &mut Vec<Name>, name: Name) {
    if let Err(at) = names.binary_search(&name) {
        names.insert(at, name);
    }
}

/// Relations that a label may stand for: a table's or common table's name only for itself.
pub(super) fn candidates(label: &Label, column: Option<&Name>, world: World<'_>) -> Vec<(Relation, Label)> {
    if let Name::Known(table) = label {
        return vec![(Relation::Table(*table), label.clone())];
    }
    if let Some(common) = world.common.iter().find(|common| common.name == *label) {
        return vec![(common.relation.clone(), label.clone())];
    }
    holders(column, world).into_iter().map(|(relation, _)| (relation, label.clone())).collect()
}

/// Relations that have a column (all without one), each with its own name.
fn holders(column: Option<&Name>, world: World<'_>) -> Vec<(Relation, Label)> {
    let of = |table: u16| (Relation::Table(table), Name::Known(table));
    let mut found: Vec<_> = match column {
        Some(Name::Known(column)) => {
            world.schema.holders[usize::from(*column)].iter().copied().map(of).collect()
        }
        Some(_) => Vec::new(),
        None => (0..world.schema.tables.len() as u16).map(of).collect(),
    };
    let has = |common: &&Common| column.is_none_or(|column| common.relation.has(column, world.schema));
    found
        .extend(world.common.iter().filter(has).map(|common| (common.relation.clone(), common.name.clone())));
    found
}

/// A search for tables, depth first.
struct Search<'a> {
    world: World<'a>,
    fuel: u32,
    room: usize,
    width: u32,
    star: bool,
    first: Step,
}

impl Search<'_> {
    fn run(&mut self, owed: &[(Label, Vec<Name>)], wanted: &[Name], found: &[Name]) -> bool {
        let schema = self.world.schema;
        let (options, columns, owed): (_, &[Name], _) = match (owed, wanted) {
            ([], []) => return true,
            ([(label, columns), rest @ ..], _) => {
                (candidates(label, columns.first(), self.world), columns, rest)
            }
            ([], [column, ..]) => (holders(Some(column), self.world), &[], owed),
        };
        for (relation, label) in options {
            if self.fuel == 0 || self.room == 0 {
                return false;
            }
            self.fuel -= 1;
            let wide = if self.star { u32::from(relation.width(schema)) } else { 0 };
            if !columns.iter().all(|column| relation.has(column, schema))
                || found.iter().any(|column| relation.has(column, schema))
                || wide > self.width
            {
                continue;
            }
            let (brought, missing): (Vec<_>, Vec<_>) =
                wanted.iter().cloned().partition(|column| relation.has(column, schema));
            let found = [found, &brought].concat();
            self.room -= 1;
            self.width -= wide;
            let works = self.run(owed, &missing, &found);
            self.room += 1;
            self.width += wide;
            if works {
                self.first = Some((relation, label));
                return true;
            }
        }
        false
    }
}
