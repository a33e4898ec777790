//! What an answer is held to, by the flags of a command.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use understudy_proto::v1::{
    Choice, Constraint, Graphql, JsonSchema, Lark, Protobuf, Sql, SqlDialect, constraint::Kind,
};

use crate::cli::{Constrained, DialectName};
use crate::error::Error;

/// The constraint that flags ask for, if any.
pub fn constraint(args: &Constrained) -> Result<Option<Constraint>, Error> {
    let kind = if let Some(regex) = &args.regex {
        Kind::Regex(regex.clone())
    } else if let Some(file) = &args.json_schema {
        let schema = read_text("--json-schema", file)?;
        Kind::JsonSchema(JsonSchema { schema, compact: args.compact, ..JsonSchema::default() })
    } else if let Some(file) = &args.sql {
        let dialect = match args.dialect {
            DialectName::Sqlite => SqlDialect::Sqlite,
            DialectName::Postgres => SqlDialect::Postgres,
            DialectName::Mysql => SqlDialect::Mysql,
        };
        let schema = read_text("--sql", file)?;
        Kind::Sql(Sql { schema, dialect: dialect.into(), writes: args.sql_writes, ..Sql::default() })
    } else if let Some(file) = &args.graphql {
        Kind::Graphql(Graphql { schema: read_text("--graphql", file)?, ..Graphql::default() })
    } else if let Some(file) = &args.lark {
        Kind::Lark(Lark { grammar: read_text("--lark", file)? })
    } else if !args.proto.is_empty() {
        let file = |path: &std::path::PathBuf| {
            Ok((path.to_string_lossy().replace('\\', "/"), read_text("--proto", path)?))
        };
        let files = args.proto.iter().map(file).collect::<Result<HashMap<_, _>, Error>>()?;
        let message = args.message.clone().unwrap_or_default();
        let (json, compact) = (args.proto_json, args.compact);
        Kind::Protobuf(Protobuf { files, message, json, compact, ..Protobuf::default() })
    } else if !args.choice.is_empty() {
        Kind::Choice(Choice { options: args.choice.clone() })
    } else {
        return Ok(None);
    };
    Ok(Some(Constraint { kind: Some(kind) }))
}

/// A file's text, or that of stdin for `-`.
pub fn read_text(flag: &str, file: &Path) -> Result<String, Error> {
    let mut raw = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_end(&mut raw).map(|_| ()),
        false => std::fs::read(file).map(|content| raw = content),
    };
    read.map_err(|error| Error::invalid(format!("{flag} {}: {error}", file.display())))?;
    String::from_utf8(raw).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::invalid(format!("{flag} {}: not UTF-8 at byte {at}", file.display()))
    })
}
