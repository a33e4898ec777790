//! A grammar at some place in a text.

use std::sync::Arc;

use crate::grammar::Shared;
use crate::machine::{DEAD, StateId};
use crate::{Constraint, Grammar, Partial, PartialValue, TokenId, bits};

/// A [`Grammar`] at some place in a text.
#[derive(Debug, Clone)]
pub struct Matcher {
    grammar: Arc<Grammar>,
    tokens: Vec<TokenId>,
    /// The state before each token and after the last, of `generation`.
    states: Vec<StateId>,
    generation: u64,
    /// For each state tokens that complete it, where they were asked for, or follow from those of the
    /// state before. What is known to be enough stays so: a fresh answer may be longer.
    plans: Vec<Option<Arc<[TokenId]>>>,
    /// The last token was an end.
    ended: bool,
    /// What has been read of a JSON text that was asked for its value.
    partial: Partial,
    /// How many of the tokens `partial` has read.
    partial_tokens: usize,
}

/// Longest forced run answered at once; what remains is forced again afterwards.
const FORCED_RUN: usize = 64;

impl Matcher {
    pub(crate) fn new(grammar: Arc<Grammar>) -> Self {
        let (start, generation) = {
            let shared = grammar.shared();
            (shared.machine.start(), shared.generation)
        };
        Self {
            grammar,
            tokens: Vec::new(),
            states: vec![start],
            generation,
            plans: vec![None],
            ended: false,
            partial: Partial::default(),
            partial_tokens: 0,
        }
    }

    /// Tokens that complete the text from here.
    fn close_plan(&mut self) -> Option<Arc<[TokenId]>> {
        if let Some(Some(known)) = self.plans.last() {
            return Some(known.clone());
        }
        let plan: Arc<[TokenId]> = self.with(|shared, state, _| shared.machine.plan(state))?.into();
        if let Some(last) = self.plans.last_mut() {
            *last = Some(plan.clone());
        }
        Some(plan)
    }

    fn allow_ends(&self, allowed: &mut [u32]) {
        self.grammar.vocabulary().ends().iter().for_each(|id| bits::insert(allowed, *id));
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
        allowed.fill(0);
        if !self.ended {
            let mask = self.with(|shared, state, _| shared.machine.mask(state));
            allowed.iter_mut().zip(&mask.words).for_each(|(word, bits)| *word = *bits);
        }
    }

    fn mask_within(&mut self, allowed: &mut [u32], left: u32) {
        allowed.fill(0);
        if self.ended {
            return;
        }
        let Some(after) = left.checked_sub(1) else {
            if self.is_accepting() {
                self.allow_ends(allowed);
            }
            return;
        };
        let mask = if self.with(|shared, state, _| shared.machine.fits_all(state, after)) {
            self.with(|shared, state, _| shared.machine.mask(state))
        } else {
            let plan = self.close_plan().unwrap_or_default();
            self.with(|shared, state, _| shared.machine.mask_within(state, after, &plan))
        };
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
            let plan = self.plans.last().and_then(Option::as_ref);
            let rest = plan.filter(|plan| plan.first() == Some(&token)).map(|plan| plan[1..].into());
            self.plans.push(rest);
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
        self.plans.truncate(keep + 1);
        // An end completes a number: without it, it is not complete again.
        self.partial = Partial::default();
        self.partial_tokens = 0;
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
                && let Some(only) = shared.machine.only_token(state)
            {
                run.push(only);
                state = shared.machine.read(state, vocabulary.token(only));
            }
        });
        run
    }

    fn likely_bytes(&mut self) -> Vec<u8> {
        if self.ended {
            return Vec::new();
        }
        let text = self.tokens.iter().rev().flat_map(|id| self.grammar.vocabulary().token(*id).iter().rev());
        let capital =
            text.copied().find(u8::is_ascii_alphabetic).is_some_and(|letter| letter.is_ascii_uppercase());
        self.with(|shared, state, _| shared.machine.likely_bytes(state, FORCED_RUN * 4, capital))
    }

    fn close_path(&mut self) -> Option<Vec<TokenId>> {
        if self.ended {
            return Some(Vec::new());
        }
        self.close_plan().map(|plan| plan.to_vec())
    }

    fn is_accepting(&mut self) -> bool {
        self.ended || self.with(|shared, state, _| shared.machine.can_end(state))
    }

    fn is_stopped(&mut self) -> bool {
        if self.ended || !self.is_accepting() {
            return self.ended;
        }
        let mask = self.with(|shared, state, _| shared.machine.mask(state));
        let ends = self.grammar.vocabulary().ends();
        bits::each(&mask.words).all(|id| ends.contains(&id))
    }

    fn partial(&mut self) -> Option<&PartialValue> {
        if !self.grammar.is_json() {
            return None;
        }
        for token in &self.tokens[self.partial_tokens..] {
            // Fails in depths only that no reader goes to; then the value stays as it was.
            let _ = self.partial.push(self.grammar.vocabulary().token(*token));
        }
        self.partial_tokens = self.tokens.len();
        if self.ended {
            let _ = self.partial.finish();
        }
        self.partial.value()
    }
}
