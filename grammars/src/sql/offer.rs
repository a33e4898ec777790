//! What may be read where.

use super::dialect::{Call, Dialect};
use super::language::{Sql, absent};
use super::lexemes::{Form, ORDINALS};
use super::query::{Clause, Due, Frame, Join, Kind, Level, Operand, Output, Over, Query, Role, What, Write};
use super::reach::{Names, aliases};
use super::scope::{Name, Relation, Scope};
use super::words::{FUNCTIONS, Joint, Joints, Opener};
use crate::lexeme::Outcomes;
use crate::machine::{Choice, Offer};

/// Constructs that may be open in an expression, queries within queries, operators of an expression:
/// together far below the depth of 1000 and the parser's stack of 100 that SQLite allows.
const OPEN: usize = 8;
const DEPTH: u8 = 4;
const OPERATORS: u8 = 150;
/// Items of a list, SELECTs of a set operation, common table expressions.
const ITEMS: usize = 60;
const TERMS: u8 = 30;
const PARTS: u8 = 8;
const COMMONS: usize = 8;

impl Sql {
    pub(super) fn choices(&self, frame: &Frame) -> Offer {
        let query = &*frame.query;
        let lexemes = &self.lexemes;
        match &frame.due {
            Due::Statement => {
                let mut openers = vec![Opener::Select, Opener::With];
                if self.writes {
                    openers.extend([Opener::Insert, Opener::Update, Opener::Delete]);
                }
                Offer::of([self.opening(&openers)])
            }
            Due::Select => Offer::of([self.opening(&[Opener::Select])]),
            Due::Row => Offer::of([self.opening(&[Opener::Parenthesis])]),
            Due::CommonAs(_) => Offer::of([self.joining(Joints::of(&[Joint::AsOpen]))]),
            Due::CommonEnd => {
                let more = query.common.len() < COMMONS;
                Offer::of([self.joining(Joints::of(&[Joint::Select]).and(Joint::Comma, more))])
            }
            Due::CommonName | Due::TableAlias(_) | Due::Named(..) | Due::Table | Due::Target(_) => {
                self.table_choices(frame)
            }
            Due::Operand(operand) => self.operand(query, *operand),
            Due::Column { label, item } => {
                let names = self.columns_of(query, label);
                let star = if *item && query.arity.is_none() && !self.has_star(query) {
                    self.opening(&[Opener::Star])
                } else {
                    absent(lexemes)
                };
                let [known, texts] = self.name_choices(&names);
                Offer::of([known, texts, star])
            }
            Due::Tail(over) => {
                let joints = self.tail(query, *over);
                let offer = Offer::of([self.joining(joints)]);
                Offer { optional: joints.has(Joint::Semicolon), ..offer }
            }
            Due::Alias => Offer::of([Choice::new(&lexemes.alias).captured().made_up()]),
            Due::Using => Offer::of(self.name_choices(&self.shared(query))),
            Due::Used => {
                let more = !self.shared(query).is_empty();
                Offer::of([self.joining(Joints::of(&[Joint::Close]).and(Joint::Comma, more))])
            }
            Due::Type => Offer::of([Choice::new(&lexemes.types)]),
            Due::Window => Offer::of([self.opening(&[Opener::Nothing, Opener::Partition, Opener::OrderBy])]),
            Due::Count => Offer::of([Choice::new(&lexemes.count)]),
            Due::Result => {
                let [known, texts] = self.name_choices(&self.results(query));
                Offer::of([known, texts, self.ordinal(query)])
            }
            Due::Sorted => {
                let joints = self.tail(query, Over::No).without(Joint::Direction);
                let offer = Offer::of([self.joining(joints)]);
                Offer { optional: joints.has(Joint::Semicolon), ..offer }
            }
            Due::Targeted(write) => {
                let offer = Offer::of([self.joining(match write {
                    Write::Insert => Joints::of(&[Joint::Columns]),
                    Write::Update => Joints::of(&[Joint::Set]),
                    Write::Delete => Joints::of(&[Joint::Where, Joint::Semicolon]),
                })]);
                Offer { optional: *write == Write::Delete, ..offer }
            }
            Due::Written(_) => Offer::of([self.writable(query)]),
            Due::Assigned(write) => Offer::of([self.joining(match write {
                Write::Insert => {
                    Joints::of(&[Joint::Close]).and(Joint::Comma, !self.unwritten(query).is_empty())
                }
                _ => Joints::of(&[Joint::Equals]),
            })]),
            Due::Inserted => Offer::of([self.joining(Joints::of(&[Joint::Values, Joint::Select]))]),
        }
    }

    pub(super) fn opening(&self, openers: &[Opener]) -> Choice {
        let mut allowed = Outcomes::none(self.opener_count());
        openers.iter().for_each(|opener| allowed.insert(*opener as u32));
        Choice::new(&self.lexemes.openers).allowing(allowed)
    }

    fn opener_count(&self) -> u32 {
        FUNCTIONS + self.functions.len() as u32
    }

    pub(super) fn joining(&self, joints: Joints) -> Choice {
        let mut allowed = Outcomes::none(u64::BITS);
        joints.iter().for_each(|joint| allowed.insert(joint as u32));
        Choice::new(&self.lexemes.joints).allowing(allowed)
    }

    fn name_choices(&self, names: &Names) -> [Choice; 2] {
        let known = Choice::new(&self.lexemes.columns).allowing(names.known.clone());
        [known, self.texts(&names.texts, Form::Bare)]
    }

    fn texts(&self, names: &[Name], form: Form) -> Choice {
        self.lexemes.texts(names, form).map_or_else(|| absent(&self.lexemes), |lexeme| Choice::new(&lexeme))
    }

    fn ordinal(&self, query: &Query) -> Choice {
        let outputs = query.first.as_deref().unwrap_or(&query.outputs);
        let most = query.arity.unwrap_or_else(|| self.width(outputs, query)).min(ORDINALS);
        let mut allowed = Outcomes::none(u32::from(ORDINALS) + 1);
        (1..=most).for_each(|number| allowed.insert(u32::from(number)));
        Choice::new(&self.lexemes.ordinals).allowing(allowed)
    }

    fn operand(&self, query: &Query, operand: Operand) -> Offer {
        let lexemes = &self.lexemes;
        let [columns, texts] = self.name_choices(&self.columns(query));
        let labels = self.labels(query);
        let number = if operand.unsigned { &lexemes.unsigned } else { &lexemes.number };
        let double = self.double_quoted_strings && query.scope.closed;
        Offer::of([
            columns,
            texts,
            Choice::new(&lexemes.qualifiers).allowing(labels.names.known),
            self.texts(&labels.names.texts, Form::Qualifier),
            if labels.fresh {
                Choice::new(&lexemes.new_qualifier).captured().made_up()
            } else {
                absent(lexemes)
            },
            if operand.numberless { absent(lexemes) } else { Choice::new(number) },
            Choice::new(&lexemes.string),
            Choice::new(&lexemes.openers).allowing(self.openers(query, operand)),
            if operand.ordinal { self.ordinal(query) } else { absent(lexemes) },
            if double { Choice::new(&lexemes.double).captured() } else { absent(lexemes) },
        ])
    }

    fn openers(&self, query: &Query, operand: Operand) -> Outcomes {
        let mut allowed = Outcomes::none(self.opener_count());
        let mut allow = |opener: Opener, holds: bool| {
            if holds {
                allowed.insert(opener as u32);
            }
        };
        let in_call = query.is_in_call(self);
        let room = query.open.len() < OPEN;
        let subqueries = !in_call && query.depth < DEPTH;
        allow(Opener::Null, true);
        allow(Opener::Parenthesis, room);
        allow(Opener::Case, room);
        allow(Opener::Cast, room);
        allow(Opener::Not, operand.term);
        allow(Opener::Exists, operand.exists && subqueries);
        allow(Opener::Select, operand.select && subqueries);
        allow(Opener::Star, operand.star || (operand.item && query.arity.is_none() && !self.has_star(query)));
        allow(Opener::Distinct, operand.distinct);
        allow(Opener::When, operand.when);
        let aggregates = !in_call && matches!(query.clause, Clause::List | Clause::Having | Clause::Order);
        let windows = aggregates && query.clause != Clause::Having && !query.is_in_window();
        for (number, function) in self.functions.iter().enumerate().filter(|_| room) {
            let holds = match function.call {
                Call::Plain => true,
                Call::Aggregate => aggregates,
                Call::Window => windows,
            };
            if holds {
                allowed.insert(FUNCTIONS + number as u32);
            }
        }
        allowed
    }

    /// Whether a `*` stands in the list. Only one may, so that results do not get too wide.
    fn has_star(&self, query: &Query) -> bool {
        query.scope.star || query.outputs.iter().any(|output| !matches!(output, Output::Column { .. }))
    }

    /// What may come after an operand.
    pub(super) fn tail(&self, query: &Query, over: Over) -> Joints {
        if over == Over::Must {
            return Joints::of(&[Joint::Over]);
        }
        let more = query.operators < OPERATORS;
        let arithmetic = more && matches!(query.level, Level::Free | Level::Compared | Level::Low);
        let comparison = more && query.level == Level::Free;
        let room = query.open.len() < OPEN;
        let operators = Joints::default()
            .and(Joint::Arithmetic, arithmetic)
            .and(Joint::Minus, arithmetic)
            .and(Joint::Equals, comparison)
            .and(Joint::Compare, comparison)
            .and(Joint::Like, comparison)
            .and(Joint::Between, comparison)
            .and(Joint::IsNull, comparison)
            .and(Joint::In, comparison && room)
            .and(Joint::And, query.level == Level::Low || (more && query.level != Level::Done))
            .and(Joint::Or, more && !matches!(query.level, Level::Low | Level::Done))
            .and(Joint::Over, over == Over::May && room);
        match query.open.last() {
            _ if query.level == Level::Low => operators,
            Some(open) => operators.union(self.inside(open.what, query)),
            None => operators.union(self.clause_tail(query)),
        }
    }

    /// What may come after a part of something open.
    fn inside(&self, what: What, query: &Query) -> Joints {
        match what {
            What::Parenthesis | What::Exists => Joints::of(&[Joint::Close]),
            What::In => Joints::of(&[Joint::Comma, Joint::Close]),
            What::Cast => Joints::of(&[Joint::As]),
            What::Call(function, arguments, distinct) => {
                let function = self.function(function);
                let star = query.level == Level::Done;
                let more = arguments < function.most && !distinct && !star;
                Joints::default().and(Joint::Comma, more).and(Joint::Close, arguments >= function.least)
            }
            What::CaseWhen => Joints::of(&[Joint::When]),
            What::CaseThen => Joints::of(&[Joint::Then]),
            What::CaseNext => Joints::of(&[Joint::When, Joint::Else, Joint::End]),
            What::CaseElse => Joints::of(&[Joint::End]),
            What::Partition(terms) => {
                Joints::of(&[Joint::Order, Joint::Close]).and(Joint::Comma, terms < TERMS)
            }
            What::Sort(terms) => {
                Joints::of(&[Joint::Direction, Joint::Frame, Joint::Close]).and(Joint::Comma, terms < TERMS)
            }
            What::Row(values) => {
                let more = query.arity.is_some_and(|arity| values < arity);
                Joints::of(&[if more { Joint::Comma } else { Joint::Close }])
            }
        }
    }

    /// What may come after an expression (or a table) of a clause.
    fn clause_tail(&self, query: &Query) -> Joints {
        let terms = query.terms < TERMS;
        let last = Joints::of(&[Joint::Limit]).union(self.finish(query));
        let ordered = last.with(&[Joint::Order]);
        let combined = ordered.and(Joint::Combine, self.may_combine(query));
        match query.clause {
            Clause::List => {
                let count = query.outputs.len() + 1;
                let more = count < query.arity.map_or(ITEMS, usize::from);
                let complete = query.arity.is_none_or(|arity| count == usize::from(arity));
                let names = matches!(query.item, Output::Column { alias: false, .. });
                let list = Joints::default()
                    .and(Joint::Comma, more)
                    .and(Joint::From, complete)
                    .and(Joint::As, names);
                if complete && query.scope.is_free() { list.union(combined) } else { list }
            }
            Clause::From(_) | Clause::On => self.after_table(query),
            Clause::Where => combined.with(&[Joint::Group]),
            Clause::Group => combined.and(Joint::Comma, terms).with(&[Joint::Having]),
            Clause::Having => combined,
            Clause::Order => last.and(Joint::Comma, terms).with(&[Joint::Direction]),
            Clause::Limit => self.finish(query).with(&[Joint::Offset]),
            Clause::Offset | Clause::Filter => self.finish(query),
            Clause::Set => {
                self.finish(query).with(&[Joint::Where]).and(Joint::Comma, !self.unwritten(query).is_empty())
            }
            Clause::Values => self.finish(query).and(Joint::Comma, terms),
        }
    }

    /// Whether a set operation may go on after this SELECT.
    fn may_combine(&self, query: &Query) -> bool {
        let item = u16::from(query.clause == Clause::List);
        query.parts < PARTS && usize::from(self.width(&query.outputs, query) + item) <= ITEMS
    }

    /// How a query ends.
    pub(super) fn finish(&self, query: &Query) -> Joints {
        Joints::of(&[if query.role == Role::Statement { Joint::Semicolon } else { Joint::Close }])
    }

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
    fn is_addable(&self, query: &Query, natural: bool) -> bool {
        query.scope.has_room()
            && (0..self.schema.tables.len() as u16)
                .any(|table| self.labels_for(&query.scope, &Relation::Table(table), natural, query).any())
    }

    fn table_choices(&self, frame: &Frame) -> Offer {
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
    fn may_derive(&self, query: &Query) -> bool {
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

    fn writable(&self, query: &Query) -> Choice {
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

impl Kind {
    pub(super) fn of(call: Call) -> Self {
        match call {
            Call::Plain => Self::Plain,
            Call::Aggregate => Self::Aggregate,
            Call::Window => Self::Window,
        }
    }
}
