//! A grammar at some place in a text.

use std::sync::Arc;

use crate::grammar::Shared;
use crate::machine::{DEAD, StateId};
use crate::{Constraint, Grammar, TokenId};

/// A [`Grammar`] at some place in a text.
#[derive(Debug, Clone)]
pub struct Matcher {
    grammar: Arc<Grammar>,
    tokens: Vec<TokenId>,
    /// The state before each token and after the last, of `generation`.
    states: Vec<StateId>,
    generation: u64,
    /// The last token was an end.
    ended: bool,
}

/// Longest forced run answered at once; what remains is forced again afterwards.
const FORCED_RUN: usize = 64;

impl Matcher {
    pub(crate) fn new(grammar: Arc<Grammar>) -> Self {
        let (start, generation) = {
            let shared = grammar.shared();
            (shared.machine.start(), shared.generation)
        };
        Self { grammar, tokens: Vec::new(), states: vec![start], generation, ended: false }
    }

    /// Does something with the machine in the state that the text is in.
    fn with<T>(&mut self, act: impl FnOnce(&mut Shared, StateId, &mut Vec<StateId>) -> T) -> T {
        let grammar = self.grammar.clone();
        let mut shared = grammar.shared();
        if shared.machine.relieve() {
            shared.generation += 1;
        }
        if shared.generation != self.generation {
            self.generation = shared.generation;
            let mut state = shared.machine.start();
            self.states = vec![state];
            for token in &self.tokens {
                state = shared.machine.read(state, grammar.vocabulary().token(*token));
                self.states.push(state);
            }
        }
        let state = self.states.last().copied().unwrap_or(DEAD);
        act(&mut shared, state, &mut self.states)
    }
}

impl Constraint for Matcher {
    fn mask(&mut self, allowed: &mut [u32]) {
        self.mask_within(allowed, u32::MAX);
    }

    fn mask_within(&mut self, allowed: &mut [u32], left: u32) {
        allowed.fill(0);
        if self.ended {
            return;
        }
        let mask = self.with(|shared, state, _| match left {
            u32::MAX => shared.machine.mask(state),
            _ => shared.machine.mask_within(state, left),
        });
        allowed.iter_mut().zip(&mask.words).for_each(|(word, bits)| *word = *bits);
    }

    fn try_accept(&mut self, token: TokenId) -> bool {
        if self.ended {
            return false;
        }
        let vocabulary = self.grammar.vocabulary().clone();
        let ends = vocabulary.ends().contains(&token);
        let bytes = vocabulary.token(token);
        if bytes.is_empty() && !ends {
            return false;
        }
        let accepted = self.with(|shared, state, states| {
            if ends {
                return shared.machine.can_end(state);
            }
            let next = shared.machine.read(state, bytes);
            if next != DEAD {
                states.push(next);
            }
            next != DEAD
        });
        self.ended = accepted && ends;
        if accepted && !ends {
            self.tokens.push(token);
        }
        accepted
    }

    fn rollback(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let tokens = count - usize::from(std::mem::take(&mut self.ended));
        let keep = self.tokens.len().saturating_sub(tokens);
        self.tokens.truncate(keep);
        self.states.truncate(keep + 1);
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }

    fn forced(&mut self) -> Vec<TokenId> {
        let mut run = Vec::new();
        if self.ended {
            return run;
        }
        let vocabulary = self.grammar.vocabulary().clone();
        self.with(|shared, mut state, _| {
            while run.len() < FORCED_RUN
                && let Some(only) = shared.machine.mask(state).only
                && !vocabulary.ends().contains(&only)
            {
                run.push(only);
                state = shared.machine.read(state, vocabulary.token(only));
            }
        });
        run
    }

    fn forced_bytes(&mut self) -> Vec<u8> {
        if self.ended {
            return Vec::new();
        }
        self.with(|shared, state, _| shared.machine.forced_bytes(state, FORCED_RUN * 4))
    }

    fn close_path(&mut self) -> Option<Vec<TokenId>> {
        if self.ended {
            return Some(Vec::new());
        }
        self.with(|shared, state, _| shared.machine.plan(state))
    }

    fn is_accepting(&self) -> bool {
        self.ended || self.clone().with(|shared, state, _| shared.machine.can_end(state))
    }

    fn is_stopped(&self) -> bool {
        let ends = self.grammar.vocabulary().ends();
        self.ended
            || self.clone().with(|shared, state, _| {
                if !shared.machine.can_end(state) {
                    return false;
                }
                let mask = shared.machine.mask(state);
                let others = |(index, word): (usize, &u32)| {
                    (0..32).any(|bit| word >> bit & 1 == 1 && !ends.contains(&(index as u32 * 32 + bit)))
                };
                !mask.words.iter().enumerate().any(others)
            })
    }
}
