//! Keywords and signs: what they are to the grammar, and how they are written.
//!
//! Operands (names, literals) have no white space around them; whatever joins them includes
//! the white space on both sides. So two words are never glued.

use super::Dialect;
use super::dialect::Function;
use super::phrase::Phrases;

/// What stands between operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Joint {
    Arithmetic,
    Minus,
    Compare,
    Like,
    In,
    Between,
    IsNull,
    And,
    Or,
    Comma,
    Close,
    Semicolon,
    As,
    AsOpen,
    From,
    Join,
    OuterJoin,
    FullJoin,
    CrossJoin,
    NaturalJoin,
    On,
    Using,
    Where,
    Group,
    Having,
    Order,
    Limit,
    Offset,
    Combine,
    Direction,
    When,
    Then,
    Else,
    End,
    Over,
    Frame,
    Select,
    Equals,
    Set,
    Columns,
    Values,
}

use Joint::*;

const JOINTS: &[(Joint, &[&str])] = &[
    (Arithmetic, &["~+~", "~*~", "~/~", "~%~", "~||~"]),
    (Minus, &["~-~"]),
    (Compare, &["~<>~", "~!=~", "~<~", "~<=~", "~>~", "~>=~"]),
    (Like, &[" like ", " not like "]),
    (In, &[" in~(~", " not in~(~"]),
    (Between, &[" between ", " not between "]),
    (IsNull, &[" is null", " is not null"]),
    (And, &[" and "]),
    (Or, &[" or "]),
    (Comma, &["~,~"]),
    (Close, &["~)"]),
    (Semicolon, &["~;"]),
    (As, &[" as "]),
    (AsOpen, &[" as~(~"]),
    (From, &[" from "]),
    (Join, &[" join ", " inner join "]),
    (OuterJoin, &[" left join ", " left outer join "]),
    (FullJoin, &[" right join ", " right outer join ", " full join ", " full outer join "]),
    (CrossJoin, &[" cross join "]),
    (
        NaturalJoin,
        &[" natural join ", " natural inner join ", " natural left join ", " natural left outer join "],
    ),
    (On, &[" on "]),
    (Using, &[" using~(~"]),
    (Where, &[" where "]),
    (Group, &[" group by "]),
    (Having, &[" having "]),
    (Order, &[" order by "]),
    (Limit, &[" limit "]),
    (Offset, &[" offset "]),
    (Combine, &[" union ", " union all ", " intersect ", " except "]),
    (Direction, &[" asc", " desc"]),
    (When, &[" when "]),
    (Then, &[" then "]),
    (Else, &[" else "]),
    (End, &[" end"]),
    (Over, &[" over~(~"]),
    (
        Frame,
        &[
            " rows unbounded preceding",
            " rows between unbounded preceding and current row",
            " rows between unbounded preceding and unbounded following",
            " rows between current row and unbounded following",
            " range between unbounded preceding and current row",
        ],
    ),
    (Select, &["~select "]),
    (Equals, &["~=~"]),
    (Set, &[" set "]),
    (Columns, &["~(~"]),
    (Values, &["~values~(~"]),
];

/// A set of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Joints(u64);

impl Joints {
    pub(super) fn of(joints: &[Joint]) -> Self {
        Self::default().with(joints)
    }

    pub(super) fn with(self, joints: &[Joint]) -> Self {
        joints.iter().fold(self, |set, joint| set.and(*joint, true))
    }

    pub(super) fn and(self, joint: Joint, holds: bool) -> Self {
        Self(self.0 | u64::from(holds) << joint as u32)
    }

    pub(super) fn without(self, joint: Joint) -> Self {
        Self(self.0 & !(1 << joint as u32))
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn has(self, joint: Joint) -> bool {
        self.0 >> joint as u32 & 1 == 1
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Joint> {
        JOINTS.iter().map(|(joint, _)| *joint).filter(move |joint| self.has(*joint))
    }
}

impl Joint {
    /// Its shortest text.
    pub(super) fn shortest(self) -> String {
        shortest(JOINTS.iter().filter(|(joint, _)| *joint == self).flat_map(|(_, patterns)| *patterns))
    }

    pub(super) fn of(outcome: u32) -> Option<Self> {
        JOINTS.iter().map(|(joint, _)| *joint).find(|joint| *joint as u32 == outcome)
    }
}

pub(super) fn joints(dialect: Dialect) -> Phrases {
    let mut phrases = Phrases::default();
    for (joint, patterns) in JOINTS {
        patterns.iter().for_each(|pattern| phrases.add(pattern, *joint as u32));
    }
    match dialect {
        Dialect::Sqlite => {
            [" glob ", " not glob "].iter().for_each(|pattern| phrases.add(pattern, Like as u32))
        }
        Dialect::Postgres => {
            [" ilike ", " not ilike "].iter().for_each(|pattern| phrases.add(pattern, Like as u32))
        }
        Dialect::Mysql => {}
    }
    phrases
}

/// What an operand may begin with, if not with a name or a literal. Functions come after these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Opener {
    Parenthesis,
    Case,
    When,
    Cast,
    Exists,
    Not,
    Null,
    Star,
    Distinct,
    Select,
    Partition,
    OrderBy,
    /// `)` right after `OVER (`.
    Nothing,
    With,
    Insert,
    Update,
    Delete,
}

pub(super) const FUNCTIONS: u32 = 32;

const OPENERS: &[(Opener, &[&str])] = &[
    (Opener::Parenthesis, &["(~"]),
    (Opener::Case, &["case "]),
    (Opener::When, &["when "]),
    (Opener::Cast, &["cast~(~"]),
    (Opener::Exists, &["exists~(~select "]),
    (Opener::Not, &["not "]),
    (Opener::Null, &["null", "true", "false", "current_date", "current_timestamp"]),
    (Opener::Star, &["*"]),
    (Opener::Distinct, &["distinct "]),
    (Opener::Select, &["select "]),
    (Opener::Partition, &["partition by "]),
    (Opener::OrderBy, &["order by "]),
    (Opener::Nothing, &[")"]),
    (Opener::With, &["with "]),
    (Opener::Insert, &["insert into "]),
    (Opener::Update, &["update "]),
    (Opener::Delete, &["delete from "]),
];

pub(super) fn openers(functions: &[Function]) -> Phrases {
    let mut phrases = Phrases::default();
    for (opener, patterns) in OPENERS {
        patterns.iter().for_each(|pattern| phrases.add(pattern, *opener as u32));
    }
    for (index, function) in functions.iter().enumerate() {
        let tail = if function.most == 0 { "~(~)" } else { "~(~" };
        phrases.add(&format!("{}{tail}", function.name), FUNCTIONS + index as u32);
    }
    phrases
}

impl Opener {
    /// Its shortest text.
    pub(super) fn shortest(self) -> String {
        shortest(OPENERS.iter().filter(|(opener, _)| *opener == self).flat_map(|(_, patterns)| *patterns))
    }

    pub(super) fn of(outcome: u32) -> Option<Self> {
        OPENERS.iter().map(|(opener, _)| *opener).find(|opener| *opener as u32 == outcome)
    }
}

/// The shortest text of some patterns.
fn shortest<'a>(patterns: impl Iterator<Item = &'a &'static str>) -> String {
    let texts = patterns.map(|pattern| pattern.replace('~', ""));
    texts.min_by_key(String::len).unwrap_or_default()
}
