//! Where a lexeme of an expression leads.

use super::after::name;
use super::dialect::Call;
use super::language::{Next, Sql, pick};
use super::query::{Clause, Due, Frame, Kind, Level, Operand, Output, Over, Query, Role, What, Write};
use super::scope::Name;
use super::words::{FUNCTIONS, Joint, Opener};
use crate::machine::Read;

pub(super) const PLAIN: Operand = Operand {
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
pub(super) const TERM: Operand = Operand { term: true, exists: true, ..PLAIN };
pub(super) const ITEM: Operand = Operand { item: true, ..TERM };
pub(super) const LIST: Operand = Operand { distinct: true, ..ITEM };
pub(super) const SORTED: Operand = Operand { numberless: true, ordinal: true, ..TERM };

/// An operand is due.
pub(super) fn operand(query: Query, operand: Operand) -> Next {
    Next::at(query, Due::Operand(operand))
}

pub(super) fn tail(query: Query) -> Next {
    Next::at(query, Due::Tail(Over::No))
}

impl Sql {
    pub(super) fn operand_read(
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

    pub(super) fn opened(&self, mut query: Query, before: Operand, outcome: u32) -> Next {
        if let Some(number) = outcome.checked_sub(FUNCTIONS) {
            let function = self.function(number as u16);
            // No dialect takes DISTINCT where OVER follows.
            let distinct =
                function.call == Call::Aggregate && self.over_aggregate(&query) != Some(Over::Must);
            query.push(What::Call(number as u16, u8::from(function.most > 0), false));
            if function.most == 0 {
                return self.closed(query);
            }
            let counts = function.name == "count";
            return operand(query, Operand { star: counts, distinct, ..TERM });
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
                let Operand { exists, unsigned, numberless, ordinal, .. } = before;
                operand(query, Operand { exists, unsigned, numberless, ordinal, ..PLAIN })
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

    pub(super) fn joined(&self, mut query: Query, outcome: u32) -> Next {
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
    pub(super) fn inside_joined(&self, mut query: Query, joint: Joint) -> Next {
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
    pub(super) fn closed(&self, mut query: Query) -> Next {
        let Some(open) = query.open.pop() else { return Next::Refused };
        query.level = match open.what {
            What::In | What::Exists => Level::Judged,
            What::Row(_) => Level::Done,
            _ => open.level,
        };
        let What::Call(function, _, distinct) = open.what else { return tail(query) };
        let call = self.function(function).call;
        query.mark(Kind::of(call));
        let over = match call {
            Call::Window => Over::Must,
            Call::Aggregate if !distinct => self.over_aggregate(&query).unwrap_or(Over::No),
            _ => Over::No,
        };
        Next::at(query, Due::Tail(over))
    }
}
