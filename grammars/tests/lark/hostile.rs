//! Grammars that mean harm, and texts that could be dear.

use std::time::{Duration, Instant};

use understudy_grammars::{Constraint, GrammarError};

use crate::soon::all_end_soon;
use crate::support::{compile, read, vocabulary};

fn compile_and_write(grammar: String) -> Result<(), GrammarError> {
    let mut matcher = compile(&grammar)?.matcher();
    let mut words = vec![0; vocabulary().len().div_ceil(32)];
    matcher.mask_within(&mut words, 100_000);
    Ok(())
}

#[test]
fn hostile_grammars_are_answered_within_a_second() {
    let many = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let doubling = |name: fn(usize) -> String| {
        (0..64).map(|at| format!("{}: {} {}\n", name(at), name(at + 1), name(at + 1))).collect::<String>()
    };
    let grammars = [
        "a".repeat(5 << 20),
        format!("start: {}", "\"a\" | ".repeat(700_000)),
        format!("start: {}\"a\"{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("start: {}\"a\"{}", "[".repeat(10_000), "]".repeat(10_000)),
        "start: \"a\" ~ 1000000".into(),
        "start: (((\"a\" ~ 9999) ~ 9999) ~ 9999) ~ 9999".into(),
        "start: A\nA: ((\"a\" ~ 9999) ~ 9999) ~ 9999".into(),
        "start: \"a\" ~ 0..9999".into(),
        format!("start: r_0\n{}r_64: \"a\"", doubling(|at| format!("r_{at}"))),
        format!("start: T_0\n{}T_64: \"a\"", doubling(|at| format!("T_{at}"))),
        format!("start: T0\n{}T9999: \"a\"", many(9999, |at| format!("T{at}: T{}\n", at + 1))),
        format!("start: r0\n{}r4000: \"a\"", many(4000, |at| format!("r{at}: r{} | \"b\"\n", at + 1))),
        format!("start: r0\n{}r4000: \"a\"", many(4000, |at| format!("r{at}: r{} r0?\n", at + 1))),
        format!(
            "start: r0\n{}",
            many(1500, |at| format!(
                "r{at}: r{} r{} | \"{at}x\" | r0\n",
                (at * 7 + 1) % 1500,
                (at * 11 + 3) % 1500
            ))
        ),
        format!("start: {}", many(1900, |at| format!("\"word{at}\" | ")) + "\"x\""),
        format!("start: {}\"x\"", many(4000, |_| "\"a\"? \"b\"? ".into())),
        format!(
            "start: {}",
            (0..1000).map(|at| format!("/(a|b)*a(a|b){{{}}}c/ | ", at % 13)).collect::<String>() + "\"x\""
        ),
        "start: /(a|b)*a(a|b){40}/".into(),
        "start: /(((\\w{99}){99}){99})/".into(),
        "start: /((a*)*)*b/".into(),
        format!("start: /{}a{}/", "(".repeat(10_000), ")".repeat(10_000)),
        "start: A\nA: B\nB: C\nC: A".into(),
        "start: start".into(),
        "start: start start | start? | \"a\"".into(),
        "%import".repeat(10_000),
        "\"".into(),
        "%".into(),
        "~".into(),
    ];
    let shown = |grammar: &String| grammar.chars().take(60).collect::<String>();
    all_end_soon(grammars.map(|grammar| (shown(&grammar), grammar)), compile_and_write);
}

#[test]
fn long_ambiguous_texts_stay_cheap() {
    let compiled = compile("start: e\ne: e e | e \"+\" e | \"a\"").expect("compiles");
    let text = "aa+a".repeat(500);
    let started = Instant::now();
    assert_eq!(read(&compiled, &text), (text.len(), true));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}
