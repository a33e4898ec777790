//! Constraints of clients. Their form on the wire is the same between nodes: [`understudy_remote::pattern`] reads it.

use understudy_proto::v1;
use understudy_remote::pattern::PatternError;
use understudy_router::Pattern;

use crate::{Failure, codes};

/// The pattern of a constraint.
pub(crate) fn pattern(constraint: v1::Constraint) -> Result<Pattern, Failure> {
    understudy_remote::pattern::pattern(constraint).map_err(|PatternError { field, why }| {
        Failure::new(codes::CONSTRAINT_INVALID, format!("{field} {why}")).with_field(field, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use understudy_proto::v1::constraint::Kind;

    #[test]
    fn what_this_node_does_not_know_is_refused() {
        let sql = v1::Sql { dialect: 77, ..v1::Sql::default() };
        let graphql = v1::Graphql { operation: 77, ..v1::Graphql::default() };
        let kinds = [
            (Some(Kind::Sql(sql)), "constraint.sql.dialect"),
            (Some(Kind::Graphql(graphql)), "constraint.graphql.operation"),
            (Some(Kind::Protobuf(v1::Protobuf::default())), "constraint.protobuf"),
            (None, "constraint"),
        ];
        for (kind, field) in kinds {
            let failure = pattern(v1::Constraint { kind }).unwrap_err();
            assert_eq!(failure.code, codes::CONSTRAINT_INVALID);
            assert_eq!(failure.fields[0].0, field);
        }
    }
}
