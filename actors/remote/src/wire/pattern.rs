//! Patterns as the wire has them: those of clients, and of a peer's gate.

use understudy_grammars::{
    CallsSpec, Dialect, GraphqlSpec, JsonSpec, LarkSpec, OperationKind, Pattern, ProtoFormat, ProtoSource,
    ProtobufSpec, SqlSpec, ToolSpec, Whitespace,
};
use understudy_proto::node;
use understudy_proto::v1::{self, constraint::Kind};

/// A constraint that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {why}")]
pub struct PatternError {
    /// The field, such as `constraint.sql.dialect`.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

impl PatternError {
    const fn new(field: &'static str, why: &'static str) -> Self {
        Self { field, why }
    }
}

/// The pattern of a constraint.
///
/// ```
/// use understudy_grammars::Pattern;
/// use understudy_proto::v1::{Constraint, constraint::Kind};
///
/// let constraint = Constraint { kind: Some(Kind::Regex("[0-9]+".into())) };
/// assert_eq!(understudy_remote::pattern::pattern(constraint), Ok(Pattern::Regex("[0-9]+".into())));
/// ```
///
/// # Errors
/// [`PatternError`] for kinds and words that this node does not know.
pub fn pattern(constraint: v1::Constraint) -> Result<Pattern, PatternError> {
    Ok(match constraint.kind {
        Some(Kind::Regex(expression)) => Pattern::Regex(expression),
        Some(Kind::Choice(choice)) => Pattern::Choice(choice.options),
        Some(Kind::JsonSchema(json)) => Pattern::Json(JsonSpec {
            whitespace: whitespace(json.compact),
            formats: !json.ignore_formats,
            ..JsonSpec::new(json.schema)
        }),
        Some(Kind::Sql(sql)) => Pattern::Sql(SqlSpec {
            dialect: dialect(&sql)?,
            schema: sql.schema,
            writes: sql.writes,
            double_quoted_strings: sql.double_quoted_strings,
        }),
        Some(Kind::Graphql(graphql)) => {
            Pattern::Graphql(GraphqlSpec { operation: operation(&graphql)?, schema: graphql.schema })
        }
        Some(Kind::Lark(lark)) => Pattern::Lark(LarkSpec { grammar: lark.grammar }),
        Some(Kind::Protobuf(protobuf)) => Pattern::Protobuf(ProtobufSpec {
            format: if protobuf.json { ProtoFormat::Json } else { ProtoFormat::Text },
            whitespace: whitespace(protobuf.compact),
            source: match (protobuf.files.is_empty(), protobuf.descriptors.is_empty()) {
                (false, true) => ProtoSource::Files(protobuf.files.into_iter().collect()),
                (true, false) => ProtoSource::Descriptors(protobuf.descriptors),
                _ => {
                    return Err(PatternError::new(
                        "constraint.protobuf",
                        "needs either files or descriptors",
                    ));
                }
            },
            message: protobuf.message,
        }),
        None => return Err(PatternError::new("constraint", "names no kind that this node knows")),
    })
}

/// The pattern of a peer's gate.
pub(crate) fn gate_pattern(gate: node::v1::open_gate::Pattern) -> Result<Pattern, PatternError> {
    match gate {
        node::v1::open_gate::Pattern::Constraint(constraint) => pattern(constraint),
        node::v1::open_gate::Pattern::Calls(calls) => {
            let tool = |tool: node::v1::CallTool| ToolSpec { name: tool.name, parameters: tool.parameters };
            let tools = calls.tools.into_iter().map(tool).collect();
            Ok(Pattern::Calls(CallsSpec { tools, text: calls.text, many: calls.many }))
        }
    }
}

/// A pattern for a peer.
pub(crate) fn for_gate(pattern: &Pattern) -> node::v1::open_gate::Pattern {
    let kind = match pattern {
        Pattern::Calls(calls) => {
            let tool = |tool: &ToolSpec| node::v1::CallTool {
                name: tool.name.clone(),
                parameters: tool.parameters.clone(),
            };
            let tools = calls.tools.iter().map(tool).collect();
            let calls = node::v1::Calls { tools, text: calls.text, many: calls.many };
            return node::v1::open_gate::Pattern::Calls(calls);
        }
        Pattern::Regex(expression) => Kind::Regex(expression.clone()),
        Pattern::Choice(options) => Kind::Choice(v1::Choice { options: options.clone() }),
        Pattern::Json(json) => Kind::JsonSchema(v1::JsonSchema {
            schema: json.schema.clone(),
            compact: json.whitespace == Whitespace::None,
            ignore_formats: !json.formats,
        }),
        Pattern::Sql(sql) => Kind::Sql(v1::Sql {
            schema: sql.schema.clone(),
            dialect: match sql.dialect {
                Dialect::Sqlite => v1::SqlDialect::Sqlite,
                Dialect::Postgres => v1::SqlDialect::Postgres,
                Dialect::Mysql => v1::SqlDialect::Mysql,
            }
            .into(),
            writes: sql.writes,
            double_quoted_strings: sql.double_quoted_strings,
        }),
        Pattern::Graphql(graphql) => Kind::Graphql(v1::Graphql {
            schema: graphql.schema.clone(),
            operation: match graphql.operation {
                None => v1::GraphqlOperation::Unspecified,
                Some(OperationKind::Query) => v1::GraphqlOperation::Query,
                Some(OperationKind::Mutation) => v1::GraphqlOperation::Mutation,
                Some(OperationKind::Subscription) => v1::GraphqlOperation::Subscription,
            }
            .into(),
        }),
        Pattern::Lark(lark) => Kind::Lark(v1::Lark { grammar: lark.grammar.clone() }),
        Pattern::Protobuf(protobuf) => Kind::Protobuf(for_protobuf(protobuf)),
    };
    node::v1::open_gate::Pattern::Constraint(v1::Constraint { kind: Some(kind) })
}

fn for_protobuf(spec: &ProtobufSpec) -> v1::Protobuf {
    let mut protobuf = v1::Protobuf {
        message: spec.message.clone(),
        json: spec.format == ProtoFormat::Json,
        compact: spec.whitespace == Whitespace::None,
        ..v1::Protobuf::default()
    };
    match &spec.source {
        ProtoSource::Files(files) => protobuf.files = files.clone().into_iter().collect(),
        ProtoSource::Descriptors(descriptors) => protobuf.descriptors.clone_from(descriptors),
    }
    protobuf
}

fn whitespace(compact: bool) -> Whitespace {
    if compact { Whitespace::None } else { Whitespace::Usual }
}

fn dialect(sql: &v1::Sql) -> Result<Dialect, PatternError> {
    match v1::SqlDialect::try_from(sql.dialect) {
        Ok(v1::SqlDialect::Unspecified | v1::SqlDialect::Sqlite) => Ok(Dialect::Sqlite),
        Ok(v1::SqlDialect::Postgres) => Ok(Dialect::Postgres),
        Ok(v1::SqlDialect::Mysql) => Ok(Dialect::Mysql),
        Err(_) => Err(PatternError::new("constraint.sql.dialect", "is none that this node knows")),
    }
}

fn operation(graphql: &v1::Graphql) -> Result<Option<OperationKind>, PatternError> {
    match v1::GraphqlOperation::try_from(graphql.operation) {
        Ok(v1::GraphqlOperation::Unspecified) => Ok(None),
        Ok(v1::GraphqlOperation::Query) => Ok(Some(OperationKind::Query)),
        Ok(v1::GraphqlOperation::Mutation) => Ok(Some(OperationKind::Mutation)),
        Ok(v1::GraphqlOperation::Subscription) => Ok(Some(OperationKind::Subscription)),
        Err(_) => Err(PatternError::new("constraint.graphql.operation", "is none that this node knows")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protobuf(source: ProtoSource) -> Pattern {
        let (format, whitespace) = (ProtoFormat::Json, Whitespace::None);
        Pattern::Protobuf(ProtobufSpec { source, message: "a.B".into(), format, whitespace })
    }

    #[test]
    fn every_pattern_arrives_as_it_was_sent() {
        let schema = || "create table t (a int)".to_owned();
        let sql = |dialect, writes: bool| {
            let double_quoted_strings = !writes;
            Pattern::Sql(SqlSpec { dialect, schema: schema(), writes, double_quoted_strings })
        };
        let graphql = |operation| Pattern::Graphql(GraphqlSpec { schema: "type Query".into(), operation });
        let json =
            |whitespace, formats| Pattern::Json(JsonSpec { whitespace, formats, ..JsonSpec::new("true") });
        let tool = ToolSpec { name: "find".into(), parameters: "{}".into() };
        let calls = |text, many| Pattern::Calls(CallsSpec { tools: vec![tool.clone()], text, many });
        for pattern in [
            Pattern::Regex("a+".into()),
            Pattern::Choice(vec!["yes".into(), "no".into()]),
            json(Whitespace::None, true),
            json(Whitespace::Usual, false),
            sql(Dialect::Sqlite, true),
            sql(Dialect::Postgres, false),
            sql(Dialect::Mysql, false),
            graphql(None),
            graphql(Some(OperationKind::Query)),
            graphql(Some(OperationKind::Mutation)),
            graphql(Some(OperationKind::Subscription)),
            Pattern::Lark(LarkSpec { grammar: "start: \"a\"".into() }),
            protobuf(ProtoSource::Descriptors(vec![1])),
            protobuf(ProtoSource::Files([("a.proto".to_owned(), "text".to_owned())].into())),
            calls(true, false),
            calls(false, true),
        ] {
            assert_eq!(gate_pattern(for_gate(&pattern)), Ok(pattern));
        }
    }

    #[test]
    fn what_this_node_does_not_know_is_refused() {
        let sql = v1::Sql { dialect: 77, ..v1::Sql::default() };
        let graphql = v1::Graphql { operation: 77, ..v1::Graphql::default() };
        let refused = [Kind::Sql(sql), Kind::Graphql(graphql), Kind::Protobuf(v1::Protobuf::default())];
        for (kind, field) in refused.into_iter().zip(["sql.dialect", "graphql.operation", "protobuf"]) {
            assert_eq!(
                pattern(v1::Constraint { kind: Some(kind) }).unwrap_err().field,
                format!("constraint.{field}")
            );
        }
        assert_eq!(pattern(v1::Constraint { kind: None }).unwrap_err().field, "constraint");
    }
}
