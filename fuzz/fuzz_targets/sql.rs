//! Any text as the tables of a database, and statements about them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use understudy_fuzz::schema::walk;
use understudy_grammars::{Pattern, SqlSpec};

fuzz_target!(|input: &[u8]| {
    walk(input, |schema| Pattern::Sql(SqlSpec { schema: schema.into(), writes: true, ..SqlSpec::default() }));
});
