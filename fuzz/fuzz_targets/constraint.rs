//! Any pattern over any vocabulary: compiled within its budget, then walked at random, and the
//! constraint keeps its promises (INV-G2 no dead ends, INV-G3 rollback, masks and verdicts agree).
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use understudy_grammars::{Budget, Constraint, Grammar, Matcher, Pattern, Vocabulary};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    pattern: Wanted,
    tokens: Vec<&'a [u8]>,
    /// Which allowed token is taken, and how many are taken back afterwards.
    walk: Vec<(u8, u8)>,
}

#[derive(Debug, Arbitrary)]
enum Wanted {
    Regex(String),
    Choice(Vec<String>),
}

fuzz_target!(|input: Input<'_>| {
    let pattern = match input.pattern {
        Wanted::Regex(expression) => Pattern::Regex(expression),
        Wanted::Choice(options) => Pattern::Choice(options),
    };
    // Letters, so that most patterns can be spelt, then whatever tokens there are, then the end.
    let letters: Vec<[u8; 1]> = (b' '..=b'~').map(|letter| [letter]).collect();
    let tokens = letters.iter().map(|letter| &letter[..]).chain(input.tokens).chain([&b""[..]]);
    let tokens: Vec<&[u8]> = tokens.collect();
    let (count, end) = (tokens.len(), tokens.len() as u32 - 1);
    let vocabulary = Arc::new(Vocabulary::new("fuzz", tokens, vec![end]));
    let budget = Budget { max_states: 500, max_bytes: 1 << 20, time: Duration::from_secs(5) };
    let Ok(grammar) = Grammar::compile(&pattern, &vocabulary, &budget) else { return };
    let mut matcher = grammar.matcher();
    for (choice, back) in input.walk {
        let before = allowed(&mut matcher, count);
        let forced = matcher.forced();
        if before.is_empty() {
            assert!(matcher.is_stopped(), "a dead end");
            break;
        }
        assert!(forced.is_empty() || before == forced[..1], "a forced token is not the only one");
        assert_eq!(before.contains(&end), matcher.is_accepting(), "the end is allowed where it may be");
        for token in 0..count as u32 {
            assert_eq!(
                matcher.clone().try_accept(token),
                before.contains(&token),
                "mask and verdict, {token}"
            );
        }
        let taken = before[usize::from(choice) % before.len()];
        let mut place = matcher.fork();
        assert!(matcher.try_accept(taken));
        if back % 4 == 0 {
            matcher.rollback(1);
            assert_eq!(before, allowed(&mut matcher, count), "rollback restores the mask");
            assert_eq!(place.is_accepting(), matcher.is_accepting());
        }
    }
});

/// Tokens whose bit is set.
fn allowed(matcher: &mut Matcher, count: usize) -> Vec<u32> {
    let mut words = vec![u32::MAX; count.div_ceil(32)];
    matcher.mask(&mut words);
    let is_set = |id: &u32| words[*id as usize / 32] >> (id % 32) & 1 == 1;
    (0..32 * words.len() as u32).filter(is_set).collect()
}
