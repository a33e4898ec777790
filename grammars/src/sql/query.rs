//! Where in a statement a text is.

use std::sync::Arc;

use super::scope::{Common, Label, Name, Relation, Scope};

/// What is due next, in which SELECT. A frame holds the whole rest of a statement, since names
/// decide things far from where they are written: in the list before FROM, in the query around.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Frame {
    pub(super) due: Due,
    pub(super) query: Arc<Query>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Due {
    /// The beginning of a statement.
    Statement,
    /// The name of a common table expression, what comes after it, and after its query.
    CommonName,
    CommonAs(Label),
    CommonEnd,
    /// SELECT.
    Select,
    Operand(Operand),
    /// A column after its qualifier and the period.
    Column {
        label: Label,
        item: bool,
    },
    /// What joins an operand to the next, or ends an expression.
    Tail(Over),
    /// A column's alias, after AS.
    Alias,
    Table,
    /// What comes after a table in FROM: an alias, or anything that may follow one. The name that
    /// it has without alias.
    Named(Relation, Option<Label>),
    /// A table's alias, after AS.
    TableAlias(Relation),
    /// A column in USING, and what comes after it.
    Using,
    Used,
    /// The type of a CAST.
    Type,
    /// The beginning of a window.
    Window,
    /// The number of LIMIT or OFFSET.
    Count,
    /// A column of the result, in ORDER BY after a set operation.
    Result,
    /// After ASC or DESC.
    Sorted,
    /// The table of INSERT, UPDATE or DELETE, and what comes after it.
    Target(Write),
    Targeted(Write),
    /// A column that is written, and what comes after it.
    Written(Write),
    Assigned(Write),
    /// After the columns of INSERT.
    Inserted,
    /// A row of VALUES.
    Row,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Write {
    Insert,
    Update,
    Delete,
}

/// Whether OVER may come after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Over {
    No,
    May,
    Must,
}

/// What an operand may be besides a column, a literal or a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Operand {
    /// NOT.
    pub(super) term: bool,
    pub(super) exists: bool,
    /// An item of a SELECT's list: `*`, `t.*`.
    pub(super) item: bool,
    /// `*` in `count(*)`.
    pub(super) star: bool,
    pub(super) distinct: bool,
    /// SELECT.
    pub(super) select: bool,
    pub(super) when: bool,
    /// No sign: `--` would begin a comment.
    pub(super) unsigned: bool,
    /// No number: it would stand for a column of the result.
    pub(super) numberless: bool,
    /// Such a number.
    pub(super) ordinal: bool,
}

/// What has been written of the innermost SELECT (or other statement).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Query {
    pub(super) role: Role,
    /// The query that this one is a part of.
    pub(super) outer: Option<Arc<Query>>,
    pub(super) depth: u8,
    pub(super) common: Vec<Common>,
    /// How many columns it must have.
    pub(super) arity: Option<u16>,
    /// After a set operation: the columns of the first SELECT.
    pub(super) first: Option<Arc<[Output]>>,
    /// SELECTs of the set operation.
    pub(super) parts: u8,
    pub(super) outputs: Vec<Output>,
    pub(super) scope: Scope,
    pub(super) clause: Clause,
    /// GROUP BY was written.
    pub(super) grouped: bool,
    /// Terms of the clause that is a list.
    pub(super) terms: u8,
    pub(super) open: Vec<Open>,
    pub(super) level: Level,
    /// Operators of the expression.
    pub(super) operators: u8,
    /// What of the list's item is known so far.
    pub(super) item: Output,
    /// Some name is not known to the machine.
    pub(super) fresh: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Statement,
    /// In an expression of the outer query, whose innermost open construct it ends.
    Nested,
    /// In place of a table.
    Derived,
    Common(Label),
}

/// A column of a SELECT's list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Output {
    Column { name: Option<Name>, alias: bool, kind: Kind },
    Star,
    StarOf(Label),
}

impl Output {
    pub(super) const NEW: Self = Self::Column { name: None, alias: false, kind: Kind::Plain };
}

/// What an expression contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Plain,
    Aggregate,
    Window,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Clause {
    List,
    /// FROM, before or after a table; how that table is joined.
    From(Join),
    On,
    Where,
    Group,
    Having,
    Order,
    Limit,
    Offset,
    /// SET of UPDATE.
    Set,
    /// WHERE of UPDATE and DELETE.
    Filter,
    /// VALUES of INSERT.
    Values,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Join {
    /// Without condition.
    Plain,
    /// ON or USING may follow, or must where the dialect wants it.
    Conditional,
    /// ON may follow, or must.
    Outer,
    Natural,
    /// The condition has been written.
    Done,
}

/// A construct of an expression that is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Open {
    pub(super) what: What,
    /// The level of the expression around.
    pub(super) level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum What {
    Parenthesis,
    In,
    Exists,
    Cast,
    /// A call: function, arguments begun, whether DISTINCT was written.
    Call(u16, u8, bool),
    /// CASE, with what comes next: WHEN, THEN, or END.
    CaseWhen,
    CaseThen,
    CaseNext,
    CaseElse,
    /// PARTITION BY and ORDER BY of a window; terms of them.
    Partition(u8),
    Sort(u8),
    /// A row of VALUES, and values begun.
    Row(u16),
}

/// Which operators may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Level {
    /// All.
    Free,
    /// No further comparison.
    Compared,
    /// The lower bound of BETWEEN: only arithmetic, then AND.
    Low,
    /// Only AND and OR.
    Judged,
    /// None: the term is complete.
    Done,
}

impl Query {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            outer: None,
            depth: 0,
            common: Vec::new(),
            arity: None,
            first: None,
            parts: 1,
            outputs: Vec::new(),
            scope: Scope::default(),
            clause: Clause::List,
            grouped: false,
            terms: 0,
            open: Vec::new(),
            level: Level::Free,
            operators: 0,
            item: Output::NEW,
            fresh: false,
        }
    }

    /// A query within this one.
    pub(super) fn inner(&self, role: Role, arity: Option<u16>) -> Self {
        Self {
            outer: Some(Arc::new(self.clone())),
            depth: self.depth + 1,
            common: self.common.clone(),
            arity,
            fresh: self.fresh,
            ..Self::new(role)
        }
    }

    pub(super) fn at(self, due: Due) -> Frame {
        Frame { due, query: Arc::new(self) }
    }

    /// The next expression begins.
    pub(super) fn begin(&mut self) {
        self.level = Level::Free;
        self.operators = 0;
        self.item = Output::NEW;
    }

    pub(super) fn enter(&mut self, clause: Clause) {
        self.begin();
        self.clause = clause;
        self.terms = 0;
    }

    pub(super) fn push(&mut self, what: What) {
        self.open.push(Open { what, level: self.level });
        self.level = Level::Free;
    }

    pub(super) fn mark(&mut self, of: Kind) {
        if let Output::Column { kind, .. } = &mut self.item {
            *kind = of.max(*kind);
        }
    }

    /// Ends the list's item.
    pub(super) fn end_item(&mut self) {
        let item = std::mem::replace(&mut self.item, Output::NEW);
        self.outputs.push(item);
        self.begin();
    }

    /// Whether its rows are of groups, as far as that is certain: then ORDER BY may have aggregates.
    pub(super) fn is_aggregated(&self) -> bool {
        let aggregate = |output: &Output| matches!(output, Output::Column { kind: Kind::Aggregate, .. });
        self.grouped || self.outputs.iter().any(aggregate)
    }

    /// Whether it is a set operation, whose ORDER BY can only name columns of the result.
    pub(super) fn is_combined(&self) -> bool {
        self.first.is_some()
    }
}
