//! The fewest tokens that any text of a grammar has, by trying all.

use std::collections::HashSet;
use std::sync::Arc;

use crate::{Grammar, Vocabulary, bits};

/// Tokens of the shortest text, found breadth first over the states that texts lead to; `None` where more
/// than `most` states are met before. For small grammars and vocabularies.
pub fn fewest_tokens(grammar: &Arc<Grammar>, vocabulary: &Vocabulary, most: usize) -> Option<usize> {
    let start = grammar.shared().machine.start();
    let mut seen = HashSet::from([start]);
    let mut layer = vec![start];
    for tokens in 0.. {
        let mut shared = grammar.shared();
        if layer.iter().any(|state| shared.machine.can_end(*state)) {
            return Some(tokens);
        }
        let mut next = Vec::new();
        for state in layer {
            for token in bits::each(&shared.machine.mask(state).words) {
                let to = shared.machine.read(state, vocabulary.token(token));
                if seen.insert(to) {
                    next.push(to);
                }
            }
            if seen.len() > most {
                return None;
            }
        }
        layer = next;
    }
    None
}
