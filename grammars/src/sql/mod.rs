//! SQL whose names are those of a schema.
//!
//! | module | what it holds |
//! |---|---|
//! | `ddl`, `schema` | the schema's text, and its tables and columns |
//! | `dialect`, `words` | functions, types, reserved words; keywords and signs |
//! | `phrase`, `identifier`, `lexemes` | how these are written |
//! | `scope` | the names of one SELECT, and those that FROM still has to bring |
//! | `query` | where in a statement a text is: the frames |
//! | `reach` | which names may be written there |
//! | `offer`, `tables` | what may be read |
//! | `after`, `expression`, `clauses` | where it leads |
//! | `closing`, `ample` | the way to the end, and how long it is at most |

mod after;
mod ample;
mod clauses;
mod closing;
mod ddl;
mod dialect;
mod expression;
mod identifier;
mod language;
mod lexemes;
mod offer;
mod phrase;
mod query;
mod reach;
mod schema;
mod scope;
mod tables;
mod words;

pub use dialect::Dialect;
pub(crate) use language::Sql;

/// Statements that speak of the tables of a schema.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SqlSpec {
    /// `CREATE TABLE` statements. Others that add no names (indexes, rows) are passed over.
    pub schema: String,
    /// Whose SQL.
    pub dialect: Dialect,
    /// Whether INSERT, UPDATE and DELETE may be written besides SELECT.
    pub writes: bool,
    /// Whether a text in double quotes that names no column may stand for a string, as it does in
    /// MySQL, and in SQLite unless it is told otherwise.
    pub double_quoted_strings: bool,
}

impl SqlSpec {
    /// Whether the schema can be read. Cheap: nothing is compiled.
    pub(crate) fn check(&self) -> Result<(), crate::GrammarError> {
        ddl::read(&self.schema, self.dialect).map(|_| ())
    }
}
