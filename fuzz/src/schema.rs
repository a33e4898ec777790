//! A schema of some language and a walk through its texts, from bytes: the schema, a zero, the walk.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use understudy_grammars::{Budget, Constraint, Grammar, Matcher, Pattern, Vocabulary};

/// Letters, then what often comes together, then the end.
static VOCABULARY: LazyLock<Arc<Vocabulary>> = LazyLock::new(|| {
    let bytes: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
    let more = [
        "\"", "\":", "\",\"", "\": \"", "{\"", "\"}", "}}", "{ ", " }", "[]", "[[", "\n  ", "  ", "select ",
        " from ", " where ", "id", "name", " as ", "(", "count(", "query", "{ a", " b", "on ", "...", "true",
        "null", "12", "0.5", "é", "€", "\\n", "\\u00", ": ", ", ", "a: 1",
    ];
    let tokens =
        bytes.into_iter().chain(more.iter().map(|token| token.as_bytes().to_vec())).chain([Vec::new()]);
    let tokens: Vec<Vec<u8>> = tokens.collect();
    let end = tokens.len() as u32 - 1;
    Arc::new(Vocabulary::new("fuzz", tokens, vec![end]))
});

/// Compiles what `pattern` makes of the schema, and walks it: masks and verdicts agree, budgets are kept,
/// nothing panics or takes long.
pub fn walk(input: &[u8], pattern: impl Fn(&str) -> Pattern) {
    let (schema, walk) = match input.iter().position(|byte| *byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[][..]),
    };
    let Ok(schema) = std::str::from_utf8(schema) else { return };
    let budget = Budget { max_states: 2_000, max_bytes: 4 << 20, time: Duration::from_secs(5) };
    let Ok(grammar) = Grammar::compile(&pattern(schema), &VOCABULARY, &budget) else { return };
    let mut matcher = grammar.matcher();
    let Some(least) = matcher.min_close_tokens() else { panic!("a text that cannot be completed") };
    // Budgets that walks are too long for are of no use.
    if least > 300 {
        return;
    }
    let spare = usize::from(walk.first().copied().unwrap_or(20));
    for left in (0..=(least + spare) as u32).rev() {
        let within = allowed(|words| matcher.mask_within(words, left));
        assert!(!within.is_empty(), "nothing is allowed with {left} left");
        let choice = walk.get(left as usize % walk.len().max(1)).copied().unwrap_or(left as u8);
        if choice % 8 == 0 {
            check(&mut matcher, choice);
        }
        let taken = within[usize::from(choice) % within.len()];
        assert!(matcher.try_accept(taken), "an allowed token is not accepted");
        if VOCABULARY.ends().contains(&taken) {
            return;
        }
    }
    panic!("the text has not ended within its budget");
}

/// Some tokens, tried.
fn check(matcher: &mut Matcher, from: u8) {
    let mask = allowed(|words| matcher.mask(words));
    for token in (0..VOCABULARY.len() as u32).skip(usize::from(from % 7)).step_by(7) {
        let accepted = matcher.try_accept(token);
        matcher.rollback(usize::from(accepted));
        assert_eq!(accepted, mask.contains(&token), "mask and verdict, {token}");
    }
}

fn allowed(write: impl FnOnce(&mut [u32])) -> Vec<u32> {
    let mut words = vec![0; VOCABULARY.len().div_ceil(32)];
    write(&mut words);
    let is_set = |id: &u32| words[*id as usize / 32] >> (id % 32) & 1 == 1;
    (0..VOCABULARY.len() as u32).filter(is_set).collect()
}
