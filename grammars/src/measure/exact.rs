//! Whether masks equal trying each token byte by byte.

use std::sync::Arc;

use super::{Case, Random, count_allowed, nth_allowed};
use crate::{Budget, Constraint, Grammar, TokenId, Vocabulary, bits};

/// Pairs of a state and a token, and those of which a mask is wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exactness {
    /// Pairs tried.
    pub pairs: usize,
    /// Of them, tokens that hold part of a character.
    pub split_characters: usize,
    /// Tokens that a mask allows and that cannot be read.
    pub over: usize,
    /// Tokens that can be read and that a mask does not allow.
    pub under: usize,
}

/// Tokens tried of each state, besides those of one byte.
const TOKENS: usize = 200;
/// States of each text.
const STATES: usize = 24;

/// Tries `count` pairs: random texts of each case in turn, and at each of their states random tokens, of
/// which half are allowed ones. What a token does is found without masks: byte by byte through a
/// vocabulary whose tokens are single bytes.
pub fn exact(cases: &[Case], vocabulary: &Arc<Vocabulary>, count: usize, seed: u64) -> Exactness {
    let mut found = Exactness::default();
    let mut random = Random::new(seed);
    let bytes = Arc::new(Vocabulary::new("bytes", (0..=u8::MAX).map(|byte| [byte]), Vec::new()));
    let compile = |case: &Case| {
        let whole = Grammar::compile(&case.pattern, vocabulary, &Budget::default()).ok()?;
        Some((whole, Grammar::compile(&case.pattern, &bytes, &Budget::default()).ok()?))
    };
    let compiled: Vec<_> = cases.iter().filter_map(compile).collect();
    while found.pairs < count && !compiled.is_empty() {
        for (whole, single) in &compiled {
            if found.pairs < count {
                try_text(whole, single, vocabulary, &mut random, &mut found);
            }
        }
    }
    found
}

fn try_text(
    whole: &Arc<Grammar>,
    single: &Arc<Grammar>,
    vocabulary: &Vocabulary,
    random: &mut Random,
    found: &mut Exactness,
) {
    let (mut matcher, mut reader) = (whole.matcher(), single.matcher());
    let mut allowed = vec![0; vocabulary.words()];
    for _ in 0..STATES {
        matcher.mask(&mut allowed);
        for index in 0..TOKENS {
            let token = match index % 2 {
                0 => nth_allowed(&allowed, random.below(count_allowed(&allowed))).unwrap_or(0),
                _ => random.below(vocabulary.len()) as TokenId,
            };
            let bytes = vocabulary.token(token);
            if bytes.is_empty() || vocabulary.ends().contains(&token) {
                continue;
            }
            let read = bytes.iter().take_while(|byte| reader.try_accept(TokenId::from(**byte))).count();
            reader.rollback(read);
            let is_allowed = bits::contains(&allowed, token);
            found.pairs += 1;
            found.split_characters += usize::from(std::str::from_utf8(bytes).is_err());
            found.over += usize::from(is_allowed && read < bytes.len());
            found.under += usize::from(!is_allowed && read == bytes.len());
        }
        let Some(next) = nth_allowed(&allowed, random.below(count_allowed(&allowed))) else { return };
        if vocabulary.ends().contains(&next) || !matcher.try_accept(next) {
            return;
        }
        if vocabulary.token(next).iter().any(|byte| !reader.try_accept(TokenId::from(*byte))) {
            found.under += 1;
            return;
        }
    }
}
