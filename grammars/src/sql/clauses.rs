//! Where a clause leads that follows.

use super::expression::{ITEM, SORTED, TERM, operand};
use super::language::{Next, Sql};
use super::query::{Clause, Due, Join, Kind, Level, Output, Query, Role, Write};
use super::scope::{Common, Relation};
use super::words::Joint;

/// A table is due.
fn table(mut query: Query, join: Join) -> Next {
    query.enter(Clause::From(join));
    Next::at(query, Due::Table)
}

impl Sql {
    /// Goes on after an expression or a table of a clause.
    pub(super) fn clause_joined(&self, mut query: Query, joint: Joint) -> Next {
        if query.clause == Clause::List && !matches!(joint, Joint::As) {
            query.end_item();
        }
        let in_from = matches!(query.clause, Clause::From(_) | Clause::On);
        match joint {
            Joint::As => return Next::at(query, Due::Alias),
            Joint::From | Joint::CrossJoin => return table(query, Join::Plain),
            Joint::Comma if in_from => return table(query, Join::Plain),
            Joint::Join | Joint::OuterJoin => return table(query, Join::Conditional),
            Joint::FullJoin => return table(query, Join::Outer),
            Joint::NaturalJoin => return table(query, Join::Natural),
            Joint::On => {
                query.enter(Clause::On);
                return operand(query, TERM);
            }
            Joint::Using => {
                query.enter(Clause::From(Join::Done));
                return Next::at(query, Due::Using);
            }
            Joint::Comma if query.clause == Clause::List => return operand(query, ITEM),
            Joint::Semicolon => return Next::Ends,
            Joint::Close => return self.query_closed(query),
            Joint::Direction => {
                query.level = Level::Done;
                return Next::at(query, Due::Sorted);
            }
            _ => {}
        }
        query.scope.close();
        let sorted = |query: Query| match query.is_combined() {
            true => Next::at(query, Due::Result),
            false => operand(query, SORTED),
        };
        match joint {
            Joint::Comma => {
                query.terms = query.terms.saturating_add(1);
                query.begin();
                match query.clause {
                    Clause::Set => Next::at(query, Due::Written(Write::Update)),
                    Clause::Values => Next::at(query, Due::Row),
                    _ => sorted(query),
                }
            }
            Joint::Where => {
                let filters = query.clause == Clause::Set;
                query.enter(if filters { Clause::Filter } else { Clause::Where });
                operand(query, TERM)
            }
            Joint::Group => {
                query.grouped = true;
                query.enter(Clause::Group);
                operand(query, SORTED)
            }
            Joint::Having => {
                query.enter(Clause::Having);
                operand(query, TERM)
            }
            Joint::Order => {
                query.enter(Clause::Order);
                sorted(query)
            }
            Joint::Limit | Joint::Offset => {
                query.enter(if joint == Joint::Limit { Clause::Limit } else { Clause::Offset });
                Next::at(query, Due::Count)
            }
            Joint::Combine => {
                let arity = self.width(&query.outputs, &query);
                let named = self.named(&query.outputs, &query);
                let first = query.first.take().unwrap_or_else(|| {
                    let output = |name| Output::Column { name: Some(name), alias: false, kind: Kind::Plain };
                    named.into_iter().map(output).collect()
                });
                let next = Query {
                    outer: query.outer,
                    common: query.common,
                    depth: query.depth,
                    arity: Some(arity),
                    first: Some(first),
                    parts: query.parts + 1,
                    ..Query::new(query.role)
                };
                Next::at(next, Due::Select)
            }
            _ => Next::Refused,
        }
    }

    /// Goes on in the query around.
    pub(super) fn query_closed(&self, query: Query) -> Next {
        let Some(outer) = query.outer.clone() else { return Next::Refused };
        let mut outer = (*outer).clone();
        let outputs = query.first.as_deref().unwrap_or(&query.outputs);
        let width = query.arity.unwrap_or_else(|| self.width(outputs, &query));
        let relation = || Relation::Query { columns: self.named(outputs, &query).into(), width };
        match &query.role {
            Role::Nested => self.closed(outer),
            Role::Derived => Next::at(outer, Due::Named(relation(), None)),
            Role::Common(name) => {
                outer.common.push(Common { name: name.clone(), relation: relation() });
                Next::at(outer, Due::CommonEnd)
            }
            Role::Statement => Next::Refused,
        }
    }
}
