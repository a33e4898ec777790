//! Where a lexeme leads.

use super::dialect::Call;
use super::language::{Next, Sql, pick};
use super::query::{Clause, Due, Frame, Join, Kind, Level, Operand, Output, Over, Query, Role, What, Write};
use super::scope::{Common, Name, Relation};
use super::words::{FUNCTIONS, Joint, Opener};
use crate::machine::Read;

const PLAIN: Operand = Operand {
    term: false,
    exists: false,
    item: false,
    star: false,
    distinct: false,
    select: false,
    when: false,
    unsigned: false,
    numberless: false,
    ordinal: false,
};
const TERM: Operand = Operand { term: true, exists: true, ..PLAIN };
const ITEM: Operand = Operand { item: true, ..TERM };
const LIST: Operand = Operand { distinct: true, ..ITEM };
const SORTED: Operand = Operand { numberless: true, ordinal: true, ..TERM };

/// An operand is due.
fn operand(query: Query, operand: Operand) -> Next {
    Next::at(query, Due::Operand(operand))
}

/// A table is due.
fn table(mut query: Query, join: Join) -> Next {
    query.enter(Clause::From(join));
    Next::at(query, Due::Table)
}

fn tail(query: Query) -> Next {
    Next::at(query, Due::Tail(Over::No))
}

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

    fn column_read(&self, mut query: Query, column: Name) -> Next {
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

    fn operand_read(
        &self,
        mut query: Query,
        operand: Operand,
        choice: usize,
        frame: &Frame,
        read: Read<'_>,
    ) -> Next {
        match choice {
            pick::COLUMN | pick::COLUMN_TEXT => {
                let texts = if choice == pick::COLUMN { Vec::new() } else { self.columns(&query).texts };
                let Some(column) = name(choice, read.outcome, &texts) else { return Next::Refused };
                if query.is_pending() {
                    match query.scope.want(&column, self.world(&query)) {
                        Some(scope) => query.scope = scope,
                        None => return Next::Refused,
                    }
                } else if !query.scope.closed && query.scope.holders(&column, self.world(&query)) == 1 {
                    // In ON: a table that comes later must not make it ambiguous.
                    super::scope::insert(&mut query.scope.found, column.clone());
                }
                self.column_read(query, column)
            }
            pick::TABLE => {
                let label = Name::Known(read.outcome as u16);
                Next::at(query, Due::Column { label, item: operand.item })
            }
            pick::LABEL => {
                let labels = self.labels(&query).names.texts;
                match labels.into_iter().nth(read.outcome as usize) {
                    Some(label) => Next::at(query, Due::Column { label, item: operand.item }),
                    None => Next::Refused,
                }
            }
            pick::NEW_LABEL => {
                let label = self.label_name(read.text);
                if self.taken(frame, choice).contains(&label) {
                    return Next::Refused;
                }
                query.fresh |= label == Name::Fresh;
                Next::at(query, Due::Column { label, item: operand.item })
            }
            pick::OPENER => self.opened(query, operand, read.outcome),
            pick::ORDINAL => {
                query.level = Level::Done;
                tail(query)
            }
            pick::DOUBLE => match read.text {
                Some(_) if self.taken(frame, choice).contains(&self.column_name(read.text)) => Next::Refused,
                _ => tail(query),
            },
            _ => tail(query),
        }
    }

    fn opened(&self, mut query: Query, before: Operand, outcome: u32) -> Next {
        if let Some(number) = outcome.checked_sub(FUNCTIONS) {
            let function = self.function(number as u16);
            query.push(What::Call(number as u16, u8::from(function.most > 0), false));
            if function.most == 0 {
                return self.closed(query);
            }
            let counts = function.name == "count";
            let aggregate = function.call == Call::Aggregate;
            return operand(query, Operand { star: counts, distinct: aggregate, ..TERM });
        }
        let Some(opener) = Opener::of(outcome) else { return Next::Refused };
        match opener {
            Opener::Parenthesis => {
                if query.clause == Clause::Values && query.open.is_empty() {
                    query.push(What::Row(1));
                    return operand(query, TERM);
                }
                query.push(What::Parenthesis);
                operand(query, Operand { select: true, numberless: before.numberless, ..TERM })
            }
            Opener::Case => {
                query.push(What::CaseWhen);
                operand(query, Operand { when: true, ..PLAIN })
            }
            Opener::When => {
                if let Some(open) = query.open.last_mut() {
                    open.what = What::CaseThen;
                }
                operand(query, TERM)
            }
            Opener::Cast => {
                query.push(What::Cast);
                operand(query, TERM)
            }
            Opener::Exists => {
                query.push(What::Exists);
                operand(query.inner(Role::Nested, None), LIST)
            }
            Opener::Not => {
                query.operators = query.operators.saturating_add(1);
                operand(query, Operand { term: false, ..before })
            }
            Opener::Null => tail(query),
            Opener::Star if before.star => {
                query.level = Level::Done;
                tail(query)
            }
            Opener::Star => {
                query.scope.star = true;
                query.item = Output::Star;
                query.level = Level::Done;
                tail(query)
            }
            Opener::Distinct => {
                if let Some(What::Call(function, arguments, _)) = query.open.last().map(|open| open.what)
                    && let Some(open) = query.open.last_mut()
                {
                    open.what = What::Call(function, arguments, true);
                    return operand(query, TERM);
                }
                operand(query, ITEM)
            }
            Opener::Select if query.open.is_empty() => operand(query, LIST),
            Opener::Select => operand(query.inner(Role::Nested, Some(1)), LIST),
            Opener::Partition => {
                query.push(What::Partition(1));
                operand(query, TERM)
            }
            Opener::OrderBy => {
                query.push(What::Sort(1));
                operand(query, TERM)
            }
            Opener::Nothing => tail(query),
            Opener::With => Next::at(query, Due::CommonName),
            Opener::Insert => Next::at(query, Due::Target(Write::Insert)),
            Opener::Update => Next::at(query, Due::Target(Write::Update)),
            Opener::Delete => Next::at(query, Due::Target(Write::Delete)),
        }
    }

    fn joined(&self, mut query: Query, outcome: u32) -> Next {
        let Some(joint) = Joint::of(outcome) else { return Next::Refused };
        let operator = |mut query: Query, level: Level, next: Operand| {
            query.operators = query.operators.saturating_add(1);
            query.level = level;
            if let Output::Column { name, .. } = &mut query.item {
                *name = None;
            }
            operand(query, next)
        };
        let level = query.level;
        match joint {
            Joint::Arithmetic => operator(query, level, PLAIN),
            Joint::Minus => operator(query, level, Operand { unsigned: true, ..PLAIN }),
            Joint::Equals | Joint::Compare | Joint::Like => operator(query, Level::Compared, PLAIN),
            Joint::Between => operator(query, Level::Low, PLAIN),
            Joint::And if level == Level::Low => operator(query, Level::Compared, PLAIN),
            Joint::And | Joint::Or => operator(query, Level::Free, TERM),
            Joint::IsNull => {
                query.operators = query.operators.saturating_add(1);
                query.level = Level::Judged;
                if let Output::Column { name, .. } = &mut query.item {
                    *name = None;
                }
                tail(query)
            }
            Joint::In => {
                query.operators = query.operators.saturating_add(1);
                if let Output::Column { name, .. } = &mut query.item {
                    *name = None;
                }
                query.push(What::In);
                operand(query, Operand { select: true, ..TERM })
            }
            Joint::Over => {
                query.mark(Kind::Window);
                Next::at(query, Due::Window)
            }
            _ if query.open.is_empty() => self.clause_joined(query, joint),
            _ => self.inside_joined(query, joint),
        }
    }

    /// Goes on within something open.
    fn inside_joined(&self, mut query: Query, joint: Joint) -> Next {
        let Some(open) = query.open.last_mut() else { return Next::Refused };
        let next = match (joint, open.what) {
            (Joint::Comma, What::Call(function, arguments, distinct)) => {
                What::Call(function, arguments + 1, distinct)
            }
            (Joint::Comma, What::Partition(terms)) => What::Partition(terms + 1),
            (Joint::Comma, What::Sort(terms)) => What::Sort(terms + 1),
            (Joint::Comma, What::Row(values)) => What::Row(values + 1),
            (Joint::Comma, what) => what,
            (Joint::Order, _) => What::Sort(1),
            (Joint::When, _) => What::CaseThen,
            (Joint::Then, _) => What::CaseNext,
            (Joint::Else, _) => What::CaseElse,
            (Joint::As, _) => return Next::at(query, Due::Type),
            (Joint::Direction, _) => {
                query.level = Level::Done;
                return Next::at(query, Due::Sorted);
            }
            (Joint::Frame, _) => {
                open.what = What::Parenthesis;
                query.level = Level::Done;
                return tail(query);
            }
            _ => return self.closed(query),
        };
        open.what = next;
        query.level = Level::Free;
        operand(query, TERM)
    }

    /// Ends what was opened last.
    fn closed(&self, mut query: Query) -> Next {
        let Some(open) = query.open.pop() else { return Next::Refused };
        query.level = match open.what {
            What::In | What::Exists => Level::Judged,
            What::Row(_) => Level::Done,
            _ => open.level,
        };
        let What::Call(function, ..) = open.what else { return tail(query) };
        let call = self.function(function).call;
        query.mark(Kind::of(call));
        let windows = matches!(query.clause, Clause::List | Clause::Order) && !query.is_in_window();
        let over = match call {
            Call::Window => Over::Must,
            Call::Aggregate if windows => Over::May,
            _ => Over::No,
        };
        Next::at(query, Due::Tail(over))
    }

    /// Goes on after an expression or a table of a clause.
    fn clause_joined(&self, mut query: Query, joint: Joint) -> Next {
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
    fn query_closed(&self, query: Query) -> Next {
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

/// The name that a choice of known ones and others has read.
fn name(choice: usize, outcome: u32, texts: &[Name]) -> Option<Name> {
    match choice {
        pick::COLUMN => Some(Name::Known(outcome as u16)),
        _ => texts.get(outcome as usize).cloned(),
    }
}
