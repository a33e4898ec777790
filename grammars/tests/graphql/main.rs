//! GraphQL documents against `apollo-compiler`, which knows nothing of ours.

#![allow(clippy::print_stderr)] // says what was not tried, and what hostile schemas cost

mod documents;
mod hostile;
mod others;
#[path = "../common/soon.rs"]
mod soon;
mod support;

use std::sync::Arc;

use support::{Dice, END, ZOO, allowed, compile, judge, oracle, pick, spec, vocabulary, write};
use understudy_grammars::{Budget, Constraint, GrammarCache, OperationKind, TokenId, Vocabulary};

const SMALL: [&str; 4] = [
    "type Query { a: Int }",
    "type Query { q(x: Int!): Query y: E } enum E { A }",
    "interface I { i: I } type Query implements I { i: I } type Subscription { s(v: [Int!]!): Int }",
    "type Query { f(i: In!): Int } input In { a: In b: [In!] c: In2! } input In2 { d: Boolean! e: [[Int!]]! }",
];

/// How many documents of each kind: `GRAPHQL_DOCUMENTS` asks for more.
fn documents(default: usize) -> usize {
    std::env::var("GRAPHQL_DOCUMENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

fn seed() -> u64 {
    std::env::var("GRAPHQL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x9E37_79B9_7F4A_7C15)
}

#[test]
fn what_is_written_is_valid() {
    let mut dice = Dice(seed());
    for (schema, kinds) in [
        (
            ZOO,
            &[
                None,
                Some(OperationKind::Query),
                Some(OperationKind::Mutation),
                Some(OperationKind::Subscription),
            ][..],
        ),
        (SMALL[0], &[None][..]),
        (SMALL[1], &[None][..]),
        (SMALL[2], &[None][..]),
        (SMALL[3], &[None][..]),
    ] {
        let vocabulary = vocabulary(schema);
        let judgement = oracle(schema);
        for kind in kinds {
            let grammar = compile(schema, *kind, &vocabulary);
            for _ in 0..documents(60) {
                let free = dice.roll(120);
                let document = write(&grammar, &vocabulary, free, &mut dice);
                judge(&judgement, &document);
            }
        }
    }
}

/// INV-G2 within a budget: any number of tokens at or above the shortest completion is enough.
#[test]
fn budgets_are_kept() {
    let mut dice = Dice(seed());
    let vocabulary = vocabulary(ZOO);
    let judgement = oracle(ZOO);
    let grammar = compile(ZOO, None, &vocabulary);
    for _ in 0..documents(8) {
        let mut matcher = grammar.matcher();
        let mut left = matcher.min_close_tokens().expect("a shortest document") as u32 + dice.roll(25) as u32;
        let mut text = Vec::new();
        while !matcher.is_stopped() {
            let options = allowed(&mut matcher, &vocabulary, Some(left));
            assert!(!options.is_empty(), "{left} left after {:?}", String::from_utf8_lossy(&text));
            let token = pick(&options, &vocabulary, &text, &mut dice);
            assert!(matcher.try_accept(token));
            if token == END {
                break;
            }
            left -= 1;
            text.extend_from_slice(vocabulary.token(token));
        }
        judge(&judgement, &String::from_utf8(text).expect("UTF-8"));
    }
}

/// A name that one token begins and ends is written once more where its fragment is defined.
#[test]
fn names_within_a_token_are_paid_for() {
    let tokens = (0..=u8::MAX).map(|byte| vec![byte]).chain([
        Vec::new(),
        b" fromage ".to_vec(),
        b"...fromage ".to_vec(),
    ]);
    let vocabulary = Arc::new(Vocabulary::new("bytes and a name", tokens, vec![END]));
    for text in ["{a", "{a ", "{a...", "{a ... "] {
        for left in 1..60 {
            // Afresh: what a grammar has not met yet is paid for too.
            let mut matcher = compile("type Query { a: Int }", None, &vocabulary).matcher();
            assert!(text.bytes().all(|byte| matcher.try_accept(TokenId::from(byte))), "{text}");
            for token in allowed(&mut matcher, &vocabulary, Some(left)) {
                let mut ahead = matcher.clone();
                assert!(ahead.try_accept(token));
                let needed = ahead.min_close_tokens().expect("INV-G2") as u32;
                let token = String::from_utf8_lossy(vocabulary.token(token));
                assert!(
                    needed < left,
                    "{needed} are needed after {text:?} and {token:?}, {left} were left before"
                );
            }
        }
    }
}

#[test]
fn masks_are_what_can_be_accepted() {
    let mut dice = Dice(seed());
    let vocabulary = vocabulary(ZOO);
    let grammar = compile(ZOO, None, &vocabulary);
    for _ in 0..documents(25) {
        let mut matcher = grammar.matcher();
        let mut text = Vec::new();
        for _ in 0..60 {
            let options = allowed(&mut matcher, &vocabulary, None);
            for id in 0..vocabulary.len() as TokenId {
                let accepted = matcher.fork().try_accept(id);
                let token = String::from_utf8_lossy(vocabulary.token(id)).into_owned();
                assert_eq!(
                    options.contains(&id),
                    accepted,
                    "{token:?} after {:?}",
                    String::from_utf8_lossy(&text)
                );
            }
            let token = pick(&options, &vocabulary, &text, &mut dice);
            if token == END {
                break;
            }
            matcher.try_accept(token);
            text.extend_from_slice(vocabulary.token(token));
        }
    }
}

#[test]
fn a_schema_is_compiled_once() {
    let vocabulary = vocabulary(ZOO);
    let cache = GrammarCache::default();
    let get = || cache.get_or_compile(&spec(ZOO, None), &vocabulary, &Budget::default()).expect("compiles");
    assert!(Arc::ptr_eq(&get(), &get()));
}
