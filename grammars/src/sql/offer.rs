//! What may be read where.

use super::dialect::Call;
use super::language::{Sql, absent};
use super::lexemes::{Form, ORDINALS};
use super::query::{Clause, Due, Frame, Kind, Level, Operand, Output, Over, Query, Role, What, Write};
use super::reach::Names;
use super::scope::Name;
use super::words::{FUNCTIONS, Joint, Joints, Opener};
use crate::lexeme::Outcomes;
use crate::machine::{Choice, Offer};

/// Constructs that may be open in an expression, queries within queries, operators of an expression:
/// together far below the depth of 1000 and the parser's stack of 100 that SQLite allows.
const OPEN: usize = 8;
pub(super) const DEPTH: u8 = 4;
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

    pub(super) fn texts(&self, names: &[Name], form: Form) -> Choice {
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
        let (aggregates, windows) = (self.over_aggregate(query).is_some(), self.may_window(query));
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
    pub(super) fn may_combine(&self, query: &Query) -> bool {
        let item = u16::from(query.clause == Clause::List);
        query.parts < PARTS && usize::from(self.width(&query.outputs, query) + item) <= ITEMS
    }

    /// How a query ends.
    pub(super) fn finish(&self, query: &Query) -> Joints {
        Joints::of(&[if query.role == Role::Statement { Joint::Semicolon } else { Joint::Close }])
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
