//! Texts written by following masks, against SQLite.

use understudy_grammars::{Constraint, SqlSpec, TokenId};

use crate::support::{
    CONCERTS, Dice, END, allowed, compile, database, for_each_walk, spec, vocabulary, wander,
};

/// INV-G1 and INV-G2.
#[test]
fn what_the_grammar_allows_prepares() {
    let vocabulary = vocabulary();
    for (writes, double_quoted_strings) in [(false, false), (true, true)] {
        let spec = SqlSpec { writes, double_quoted_strings, ..spec(CONCERTS) };
        let database = database(&spec);
        let grammar = compile(spec, &vocabulary);
        for_each_walk(&grammar, &vocabulary, |text| {
            if let Err(error) = database.prepare(text) {
                panic!("{error} in {text}");
            }
        });
    }
}

/// INV-G1: a mask allows what can be accepted, token by token.
#[test]
fn masks_equal_what_is_accepted() {
    let vocabulary = vocabulary();
    let grammar = compile(SqlSpec { writes: true, ..spec(CONCERTS) }, &vocabulary);
    for seed in 1..=25_u64 {
        let mut dice = Dice(seed * 0x9E37_79B9_7F4A_7C15);
        let text = wander(&grammar, &vocabulary, &mut dice, 60);
        let mut matcher = grammar.matcher();
        for (at, byte) in text.bytes().enumerate() {
            let mask = allowed(&mut matcher, u32::MAX, &vocabulary);
            let accepted: Vec<TokenId> =
                (0..vocabulary.len() as TokenId).filter(|id| matcher.clone().try_accept(*id)).collect();
            assert_eq!(mask, accepted, "after {}", &text[..at]);
            assert!(matcher.try_accept(TokenId::from(byte)), "{text}");
        }
    }
}

/// INV-G2 with a budget: what is left always suffices.
#[test]
fn budgets_are_kept() {
    let vocabulary = vocabulary();
    let spec = SqlSpec { writes: true, ..spec(CONCERTS) };
    let database = database(&spec);
    let grammar = compile(spec, &vocabulary);
    for seed in 1..=6_u64 {
        let mut dice = Dice(seed * 0x9E37_79B9_7F4A_7C15);
        let mut matcher = grammar.matcher();
        let least = matcher.close_path().expect("completable").len();
        let (mut text, mut left) = (Vec::new(), least + dice.below(40));
        loop {
            let options = allowed(&mut matcher, left as u32, &vocabulary);
            assert!(!options.is_empty(), "nothing fits {left} after {:?}", String::from_utf8_lossy(&text));
            let token = options[dice.below(options.len())];
            assert!(matcher.try_accept(token));
            if token == END {
                break;
            }
            text.extend_from_slice(vocabulary.token(token));
            left -= 1;
        }
        let text = String::from_utf8(text).expect("as it should be");
        assert!(database.prepare(&text).is_ok(), "{text}");
    }
}
