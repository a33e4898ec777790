//! Tokens that are enough to end a statement whatever token comes next.
//!
//! They are told from what has been opened and named, at most so much for each, without looking for the way:
//! far from the end of a budget no ways are looked for at all.

#[cfg(test)]
mod tests;

use super::language::Sql;
use super::lexemes::Lexemes;
use super::query::{Due, Frame, Level, Open, Query, Role, What};
use super::schema::Schema;
use super::scope::Name;
use super::words::{Joint, Opener};
use crate::Vocabulary;

/// The most tokens that parts of a statement cost.
#[derive(Debug)]
pub(super) struct Costs {
    /// An operand with what joins it to the next.
    operand: u32,
    /// What has to follow where a statement has only begun.
    statement: u32,
    /// A table of FROM, with what it is joined by and a condition.
    table: u32,
    /// The same without the table's name.
    join: u32,
    /// What is left of a lexeme that has been begun.
    rest: u32,
    /// What one token adds.
    token: u32,
}

/// What the [way to the end](Sql::way) joins operands with, and ends clauses.
const JOINTS: [Joint; 15] = [
    Joint::And,
    Joint::As,
    Joint::AsOpen,
    Joint::Close,
    Joint::Columns,
    Joint::Comma,
    Joint::End,
    Joint::Equals,
    Joint::From,
    Joint::On,
    Joint::Over,
    Joint::Select,
    Joint::Set,
    Joint::Then,
    Joint::When,
];

/// Operands that CASE takes: WHEN, THEN, END.
const CASE: u32 = 3;
/// The operand that is due, the bound of a BETWEEN, and what ends the clause.
const CLAUSE: u32 = 3;
/// Words of a statement that has only begun: WITH, a name, AS, SELECT, `)`, SELECT; or INSERT and so on.
const STATEMENT: u32 = 8;
/// Most bytes that are left of a keyword's first word, and around a name.
const WORD: u32 = 12;
const QUOTES: u32 = 3;

impl Costs {
    pub(super) fn new(schema: &Schema, lexemes: &Lexemes, vocabulary: &Vocabulary) -> Self {
        // A byte that cannot be spelled makes everything cost too much to be foreseen.
        let tokens = |text: &[u8]| vocabulary.spell(text).map_or(u32::MAX / 64, |tokens| tokens.len() as u32);
        let joints = JOINTS.iter().map(|joint| tokens(joint.shortest().as_bytes()));
        let opener = |opener: Opener| tokens(opener.shortest().as_bytes());
        let operand = joints.max().unwrap_or(0) + opener(Opener::Null);
        let statement = STATEMENT * (operand + opener(Opener::Select));
        let join = tokens(Joint::CrossJoin.shortest().as_bytes()) + 2 * operand;
        let of_name = |name| vocabulary.tokens_of(&lexemes.bare(name));
        let tables = schema.tables.iter().map(|table| &table.name);
        let table = join + tables.clone().map(of_name).max().unwrap_or(0);
        let column = schema.columns.iter().map(of_name).max().unwrap_or(0);
        let bytes = tables.chain(&schema.columns).map(|name| name.text.len() as u32).max().unwrap_or(0);
        let phrases = [&lexemes.joints, &lexemes.openers, &lexemes.types];
        let phrase = phrases.map(|lexeme| lexeme.most_tokens_to_end(None, vocabulary)).into_iter().max();
        let rest = (bytes + QUOTES).max(phrase.unwrap_or(0).saturating_add(WORD));
        // The lexeme that is being read may lead as far as a word does.
        let word = table.max((CASE + CLAUSE) * operand).max(operand.saturating_add(column));
        let most = vocabulary.most();
        let token = (most.words + 1).saturating_mul(word);
        let parentheses = most.parentheses.saturating_mul(tokens(b")"));
        Self { operand, statement, table, join, rest, token: token.saturating_add(parentheses) }
    }

    fn query(&self, query: &Query, sql: &Sql) -> u32 {
        let items = query.arity.unwrap_or(0).max(sql.width(&query.outputs, query)) + 1;
        let after_common = if matches!(query.role, Role::Common(_)) { self.statement } else { 0 };
        let open = query.open.iter().map(|open| self.open(open, sql)).fold(0, u32::saturating_add);
        let written = |label: &Name| match label {
            Name::Text(text) => text.len() as u32 + QUOTES,
            Name::Known(_) | Name::Fresh => 0,
        };
        let common = query.common.iter().map(|common| written(&common.name)).max().unwrap_or(0);
        let labels: u32 = query.scope.owed.iter().map(|(label, _)| written(label)).sum();
        let tables = (query.scope.wanted.len() + query.scope.owed.len() + 1) as u32;
        (u32::from(items) + CLAUSE)
            .saturating_mul(self.operand)
            .saturating_add(after_common)
            .saturating_add(open)
            .saturating_add(labels)
            .saturating_add(tables.saturating_mul(self.table.max(self.join.saturating_add(common))))
    }

    fn open(&self, open: &Open, sql: &Sql) -> u32 {
        let operands = match open.what {
            // OVER, an empty window, and what is missing of its arguments.
            What::Call(function, arguments, _) => {
                2 + u32::from(sql.function(function).least.saturating_sub(arguments))
            }
            What::CaseWhen | What::CaseThen | What::CaseNext | What::CaseElse => CASE,
            _ => 0,
        };
        let of_between = u32::from(open.level == Level::Low);
        let of_type = if open.what == What::Cast { self.rest } else { 0 };
        (1 + operands + of_between).saturating_mul(self.operand).saturating_add(of_type)
    }
}

impl Sql {
    /// Tokens that end the statement whatever token comes next.
    pub(super) fn ample_for(&self, frame: &Frame) -> u32 {
        let around = std::iter::successors(Some(&*frame.query), |query| query.outer.as_deref());
        let queries = around.map(|query| self.costs.query(query, self)).fold(0, u32::saturating_add);
        let begun = match frame.due {
            Due::Statement | Due::CommonName | Due::CommonAs(_) | Due::CommonEnd => self.costs.statement,
            Due::Target(_) | Due::Targeted(_) | Due::Written(_) | Due::Assigned(_) | Due::Inserted => {
                STATEMENT
            }
            _ => 0,
        };
        queries.saturating_add(begun).saturating_add(self.costs.rest).saturating_add(self.costs.token)
    }
}
