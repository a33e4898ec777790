//! A grammar as it is written.

use std::fmt;

use crate::GrammarError;

/// Where something stands, counted from 1; columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Place {
    pub(super) const START: Self = Self { line: 1, column: 1 };

    pub(super) fn error(self, problem: impl Into<String>) -> GrammarError {
        GrammarError::Lark { line: self.line, column: self.column, problem: problem.into() }
    }
}

/// Something that is written out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Literal {
    Text { text: String, folds_case: bool },
    Regex { pattern: String, flags: String },
    Range(char, char),
}

/// Characters of a literal that messages show.
const SHOWN: usize = 40;

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = |text: &str| text.chars().take(SHOWN).collect::<String>();
        match self {
            Self::Text { text, folds_case } => {
                write!(f, "{:?}{}", cut(text), if *folds_case { "i" } else { "" })
            }
            Self::Regex { pattern, flags } => write!(f, "/{}/{flags}", cut(pattern)),
            Self::Range(first, last) => write!(f, "{first:?}..{last:?}"),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Expr {
    /// A rule, or a terminal: [`is_terminal`] tells.
    Name(String, Place),
    Literal(Literal, Place),
    /// One after the other; nothing where there are none.
    Seq(Vec<Expr>),
    Either(Vec<Expr>),
    Repeat {
        of: Box<Expr>,
        least: u32,
        most: Option<u32>,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) expr: Expr,
}

/// A whole grammar.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) rules: Vec<Definition>,
    pub(super) terminals: Vec<Definition>,
    pub(super) ignored: Vec<(Expr, Place)>,
}

/// Terminals have upper case names.
pub(super) fn is_terminal(name: &str) -> bool {
    name.trim_start_matches('_').starts_with(|first: char| first.is_ascii_uppercase())
}
