//! Any text as a JSON Schema, and texts under it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use understudy_fuzz::schema::walk;
use understudy_grammars::{JsonSpec, Pattern};

fuzz_target!(|input: &[u8]| {
    walk(input, |schema| Pattern::Json(JsonSpec::new(schema)));
});
