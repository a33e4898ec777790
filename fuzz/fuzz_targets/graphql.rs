//! Any text as a GraphQL schema, and documents under it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use understudy_fuzz::schema::walk;
use understudy_grammars::{GraphqlSpec, Pattern};

fuzz_target!(|input: &[u8]| {
    walk(input, |schema| Pattern::Graphql(GraphqlSpec { schema: schema.into(), operation: None }));
});
