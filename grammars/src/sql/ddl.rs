//! Reads the tables of a schema's text.
//!
//! Only what decides which names exist is read: tables and their columns. Statements that add no
//! names (indexes, rows, comments) are passed over; those that change names after the fact, or
//! make them from a query, are refused.

use super::Dialect;
use super::schema::{Schema, Spelled, Stated};
use crate::GrammarError;

/// Most columns of a table: results of two such tables are still below SQLite's limit.
const COLUMNS: usize = 1000;
/// Most bytes of a name.
const NAME: usize = 1024;
/// Parentheses within parentheses that are looked into: what is deeper than a column's own decides nothing.
const DEPTH: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// In lower case, and as written.
    Word(String, String),
    /// A name in quotes.
    Quoted(String),
    /// A text or a number, whose value does not matter.
    Value,
    Sign(char),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(lower, _) if lower == word)
    }
}

/// The tables that `text` creates.
pub(super) fn read(text: &str, dialect: Dialect) -> Result<Schema, GrammarError> {
    let mut schema = Schema::new(dialect);
    let mut rest = text;
    while !rest.is_empty() {
        read_statement(&statement(&mut rest, dialect)?, dialect, &mut schema)?;
    }
    if schema.tables.is_empty() {
        return Err(refused("it creates no table"));
    }
    Ok(schema)
}

fn refused(reason: impl Into<String>) -> GrammarError {
    GrammarError::SqlSchema(reason.into())
}

fn read_statement(statement: &[Token], dialect: Dialect, schema: &mut Schema) -> Result<(), GrammarError> {
    let word = |at: usize| match statement.get(at) {
        Some(Token::Word(lower, _)) => lower.as_str(),
        _ => "",
    };
    match word(0) {
        "create" => {}
        "alter" => {
            let constrains =
                |token: &Token| token.is("constraint") || token.is("foreign") || token.is("primary");
            let harmless =
                statement.iter().any(constrains) || statement.iter().any(|token| token.is("owner"));
            let changes =
                statement.iter().any(|token| token.is("column") || token.is("rename") || token.is("drop"));
            if word(1) == "table" && (!harmless || changes) {
                return Err(refused("it alters a table; state the columns in CREATE TABLE"));
            }
            return Ok(());
        }
        "drop" if word(1) == "table" && schema.tables.is_empty() => return Ok(()),
        "drop" if word(1) == "table" => {
            return Err(refused("it drops a table; leave out what does not exist in the end"));
        }
        _ => return Ok(()),
    }
    let kind = (1..statement.len().min(4))
        .find(|at| ["table", "view", "trigger", "virtual", "index"].contains(&word(*at)));
    match kind.map(&word) {
        Some("table") => read_table(&statement[kind.unwrap_or(0) + 1..], dialect, schema),
        Some("view") => Err(refused("it creates a view; state it as CREATE TABLE with the view's columns")),
        Some("trigger") => Err(refused("it creates a trigger; leave it out")),
        Some("virtual") => Err(refused("it creates a virtual table; state it as CREATE TABLE")),
        _ => Ok(()),
    }
}

fn read_table(tokens: &[Token], dialect: Dialect, schema: &mut Schema) -> Result<(), GrammarError> {
    let open = tokens.iter().position(|token| *token == Token::Sign('('));
    let head = &tokens[..open.unwrap_or(tokens.len())];
    let name = head.iter().rev().find_map(|token| spelled(token, dialect));
    let Some(name) = name.filter(|_| !head.iter().any(|token| token.is("as") || token.is("like"))) else {
        return Err(refused("a CREATE TABLE without a list of columns; state the columns"));
    };
    let too_long = || refused(format!("a name has more than {NAME} bytes"));
    if name.text.len() > NAME {
        return Err(too_long());
    }
    let shown = name.text.clone();
    if dialect == Dialect::Sqlite && shown.to_ascii_lowercase().starts_with("sqlite_") {
        return Err(refused(format!("the name {shown:?} is reserved by SQLite; leave the table out")));
    }
    let Some(open) = open else { return Err(refused(format!("the table {shown:?} has no columns"))) };
    let mut columns = Vec::new();
    let (mut depth, mut from) = (0_usize, open + 1);
    for (at, token) in tokens.iter().enumerate().skip(open) {
        let ends = match token {
            Token::Sign('(') => {
                depth += 1;
                false
            }
            Token::Sign(')') => {
                depth -= 1;
                depth == 0
            }
            Token::Sign(',') => depth == 1,
            _ => false,
        };
        if ends {
            columns.extend(column(&tokens[from..at], dialect));
            from = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    if depth != 0 {
        return Err(refused(format!("the parentheses of the table {shown:?} do not match")));
    }
    if columns.iter().any(|column: &Stated| column.name.text.len() > NAME) {
        return Err(too_long());
    }
    if columns.is_empty() || columns.len() > COLUMNS {
        let found = columns.len();
        return Err(refused(format!("the table {shown:?} has {found} columns; 1 to {COLUMNS} are possible")));
    }
    if !schema.add(name, columns) {
        return Err(refused(format!(
            "the table {shown:?} or one of its columns is stated twice, or there are more than 60,000 names"
        )));
    }
    Ok(())
}

/// The column of an element of a table; `None` for constraints.
fn column(element: &[Token], dialect: Dialect) -> Option<Stated> {
    let [first, rest @ ..] = element else { return None };
    let next = |words: &[&str]| words.iter().any(|word| rest.first().is_some_and(|token| token.is(word)));
    let parenthesis = |at: usize| rest.get(at) == Some(&Token::Sign('('));
    let constraint = match first {
        Token::Word(lower, _) => match lower.as_str() {
            "constraint" => true,
            "primary" | "foreign" => next(&["key"]),
            "unique" => parenthesis(0) || next(&["key", "index"]),
            "check" | "exclude" => parenthesis(0) || next(&["using"]),
            "key" | "index" | "fulltext" | "spatial" if dialect == Dialect::Mysql => {
                parenthesis(0) || parenthesis(1) || next(&["key", "index"])
            }
            "like" => true,
            _ => false,
        },
        _ => false,
    };
    let name = spelled(first, dialect).filter(|_| !constraint)?;
    let computed = rest.windows(2).any(|two| two[0].is("as") && two[1] == Token::Sign('('));
    Some(Stated { name, writable: !computed })
}

fn spelled(token: &Token, dialect: Dialect) -> Option<Spelled> {
    match token {
        Token::Word(lower, _) if dialect.folds() => Some(Spelled { text: lower.clone(), exact: false }),
        Token::Word(_, text) => Some(Spelled { text: text.clone(), exact: false }),
        Token::Quoted(text) => {
            let lower = text.to_ascii_lowercase();
            Some(Spelled { text: text.clone(), exact: dialect.folds() && lower != *text })
        }
        _ => None,
    }
}

/// Takes a statement off the beginning of a text, without the semicolon.
fn statement(text: &mut &str, dialect: Dialect) -> Result<Vec<Token>, GrammarError> {
    let (mut tokens, mut depth) = (Vec::new(), 0_usize);
    let mut rest = *text;
    let mut push = |token: Token| {
        let closes = token == Token::Sign(')');
        depth += usize::from(token == Token::Sign('('));
        if depth <= DEPTH {
            tokens.push(token);
        }
        depth = depth.saturating_sub(usize::from(closes));
    };
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
        let length = if first == ';' {
            rest = &rest[1..];
            break;
        } else if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("--") || (first == '#' && dialect == Dialect::Mysql) {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|at| at + 2).ok_or_else(|| refused("a comment is not closed"))?
        } else if first == '\'' || (first == '"' && dialect == Dialect::Mysql) {
            push(Token::Value);
            quoted(rest, first)?.1
        } else if let Some((_, close)) = [('"', '"'), ('`', '`'), ('[', ']')]
            .iter()
            .find(|(open, _)| *open == first)
            .filter(|(open, _)| *open != '[' || dialect == Dialect::Sqlite)
        {
            let (name, length) = quoted(rest, *close)?;
            if name.is_empty() || name.chars().any(|c| c.is_control() || "\"`[]\\".contains(c)) {
                return Err(refused(format!("the name {name:?} has characters that cannot be quoted")));
            }
            push(Token::Quoted(name));
            length
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let word = &rest[..length];
            push(if first.is_ascii_digit() {
                Token::Value
            } else {
                Token::Word(word.to_ascii_lowercase(), word.to_owned())
            });
            length
        } else {
            push(Token::Sign(first));
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    *text = rest;
    Ok(tokens)
}

/// What is within quotes at the beginning of a text, and how long it is with them. A doubled quote
/// stands for one.
fn quoted(text: &str, close: char) -> Result<(String, usize), GrammarError> {
    let mut inner = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != close {
            inner.push(c);
        } else if close != ']' && chars.peek().is_some_and(|(_, next)| *next == close) {
            inner.push(c);
            chars.next();
        } else {
            return Ok((inner, at + 1));
        }
    }
    Err(refused(format!("a text in {close} is not closed")))
}
