//! Constraints as the wire has them.

use understudy_proto::v1::{self, constraint::Kind};
use understudy_router::{
    Dialect, GraphqlSpec, JsonSpec, LarkSpec, OperationKind, Pattern, ProtoFormat, ProtoSource, ProtobufSpec,
    SqlSpec, Whitespace,
};

use crate::{Failure, codes};

/// The pattern of a constraint.
pub(crate) fn pattern(constraint: v1::Constraint) -> Result<Pattern, Failure> {
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
                _ => return Err(invalid("protobuf", "needs either files or descriptors")),
            },
            message: protobuf.message,
        }),
        None => {
            let why = "names no kind that this node knows";
            return Err(Failure::new(codes::CONSTRAINT_INVALID, format!("constraint {why}"))
                .with_field("constraint", why));
        }
    })
}

fn whitespace(compact: bool) -> Whitespace {
    if compact { Whitespace::None } else { Whitespace::Usual }
}

fn dialect(sql: &v1::Sql) -> Result<Dialect, Failure> {
    match v1::SqlDialect::try_from(sql.dialect) {
        Ok(v1::SqlDialect::Unspecified | v1::SqlDialect::Sqlite) => Ok(Dialect::Sqlite),
        Ok(v1::SqlDialect::Postgres) => Ok(Dialect::Postgres),
        Ok(v1::SqlDialect::Mysql) => Ok(Dialect::Mysql),
        Err(_) => Err(invalid("sql.dialect", "is none that this node knows")),
    }
}

fn operation(graphql: &v1::Graphql) -> Result<Option<OperationKind>, Failure> {
    match v1::GraphqlOperation::try_from(graphql.operation) {
        Ok(v1::GraphqlOperation::Unspecified) => Ok(None),
        Ok(v1::GraphqlOperation::Query) => Ok(Some(OperationKind::Query)),
        Ok(v1::GraphqlOperation::Mutation) => Ok(Some(OperationKind::Mutation)),
        Ok(v1::GraphqlOperation::Subscription) => Ok(Some(OperationKind::Subscription)),
        Err(_) => Err(invalid("graphql.operation", "is none that this node knows")),
    }
}

fn invalid(field: &str, why: &str) -> Failure {
    let field = format!("constraint.{field}");
    Failure::new(codes::CONSTRAINT_INVALID, format!("{field} {why}")).with_field(&field, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(kind: Kind) -> Result<Pattern, Failure> {
        pattern(v1::Constraint { kind: Some(kind) })
    }

    #[test]
    fn json_schemas_arrive_with_their_flags() {
        let schema = v1::JsonSchema { schema: "true".into(), compact: false, ignore_formats: false };
        assert_eq!(arrived(Kind::JsonSchema(schema.clone())), Ok(Pattern::Json(JsonSpec::new("true"))));
        let spec = JsonSpec { whitespace: Whitespace::None, formats: false, ..JsonSpec::new("true") };
        let flagged = v1::JsonSchema { compact: true, ignore_formats: true, ..schema };
        assert_eq!(arrived(Kind::JsonSchema(flagged)), Ok(Pattern::Json(spec)));
    }

    #[test]
    fn languages_arrive_with_their_flags() {
        let schema = "create table t (a int)".to_owned();
        let sql = v1::Sql {
            schema: schema.clone(),
            dialect: v1::SqlDialect::Mysql.into(),
            writes: true,
            double_quoted_strings: true,
        };
        let spec = SqlSpec { schema, dialect: Dialect::Mysql, writes: true, double_quoted_strings: true };
        assert_eq!(arrived(Kind::Sql(sql)), Ok(Pattern::Sql(spec)));

        let schema = "type Query { a: Int }".to_owned();
        let operation = v1::GraphqlOperation::Query.into();
        let spec = GraphqlSpec { schema: schema.clone(), operation: Some(OperationKind::Query) };
        assert_eq!(arrived(Kind::Graphql(v1::Graphql { schema, operation })), Ok(Pattern::Graphql(spec)));

        let grammar = "start: \"a\"".to_owned();
        let spec = LarkSpec { grammar: grammar.clone() };
        assert_eq!(arrived(Kind::Lark(v1::Lark { grammar })), Ok(Pattern::Lark(spec)));

        let protobuf = v1::Protobuf {
            descriptors: vec![1],
            message: "a.B".into(),
            json: true,
            compact: true,
            ..v1::Protobuf::default()
        };
        let source = ProtoSource::Descriptors(vec![1]);
        let (format, whitespace) = (ProtoFormat::Json, Whitespace::None);
        let spec = ProtobufSpec { source, message: "a.B".into(), format, whitespace };
        assert_eq!(arrived(Kind::Protobuf(protobuf)), Ok(Pattern::Protobuf(spec)));
    }

    #[test]
    fn what_this_node_does_not_know_is_refused() {
        let sql = v1::Sql { dialect: 77, ..v1::Sql::default() };
        let graphql = v1::Graphql { operation: 77, ..v1::Graphql::default() };
        let refused =
            [Kind::Sql(sql), Kind::Graphql(graphql), Kind::Protobuf(v1::Protobuf::default())].map(arrived);
        for (refused, field) in refused.into_iter().zip(["sql.dialect", "graphql.operation", "protobuf"]) {
            let failure = refused.unwrap_err();
            assert_eq!(failure.code, codes::CONSTRAINT_INVALID);
            assert_eq!(failure.fields[0].0, format!("constraint.{field}"));
        }
    }
}
