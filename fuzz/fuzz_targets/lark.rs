//! Any text as a grammar in Lark's syntax, and texts of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use understudy_fuzz::schema::walk;
use understudy_grammars::{LarkSpec, Pattern};

fuzz_target!(|input: &[u8]| {
    walk(input, |grammar| Pattern::Lark(LarkSpec { grammar: grammar.into() }));
});
