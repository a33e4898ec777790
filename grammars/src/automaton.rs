//! A deterministic automaton over bytes in which every state can still succeed.

use std::collections::HashMap;
use std::time::Instant;

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton as _, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start},
};

use crate::{Budget, GrammarError};

/// States are numbered densely; [`START`] is the first. A transition that cannot lead to
/// a match is absent.
#[derive(Debug)]
pub(crate) struct Automaton {
    classes: [u8; 256],
    stride: usize,
    /// `next[state * stride + class]`, [`NOWHERE`] where there is none.
    next: Vec<u32>,
    accepting: Vec<bool>,
}

pub(crate) const START: u32 = 0;
const NOWHERE: u32 = u32::MAX;

impl Automaton {
    /// The automaton of all texts that match `expression` as a whole and use only bytes
    /// that are `spellable`.
    ///
    /// `MatchKind::All` matters: with leftmost-first semantics `a|ab` would never reach `ab`.
    pub(crate) fn build(
        expression: &str,
        spellable: &[bool; 256],
        budget: &Budget,
        started: Instant,
    ) -> Result<Self, GrammarError> {
        let dfa = determinize(expression, budget)?;
        let begin = start::Config::new().anchored(Anchored::Yes);
        let begin = dfa.start_state(&begin).map_err(|error| GrammarError::Regex(error.to_string()))?;

        // One class more than the automaton's, for bytes that cannot be spelled.
        let unspellable = dfa.byte_classes().alphabet_len() - 1;
        let mut classes = [u8::try_from(unspellable).unwrap_or(u8::MAX); 256];
        let mut members: Vec<Option<u8>> = vec![None; unspellable + 1];
        for byte in (0..=u8::MAX).filter(|byte| spellable[usize::from(*byte)]) {
            let class = dfa.byte_classes().get(byte);
            classes[usize::from(byte)] = class;
            members[usize::from(class)].get_or_insert(byte);
        }

        let stride = members.len();
        let mut numbers: HashMap<StateID, u32> = HashMap::from([(begin, START)]);
        let mut order = vec![begin];
        let mut next = Vec::new();
        let mut at = 0;
        while let Some(&state) = order.get(at) {
            for member in &members {
                let target = member.map(|byte| dfa.next_state(state, byte));
                let target =
                    target.filter(|target| !dfa.is_dead_state(*target) && !dfa.is_quit_state(*target));
                next.push(target.map_or(NOWHERE, |target| {
                    *numbers.entry(target).or_insert_with(|| {
                        order.push(target);
                        order.len() as u32 - 1
                    })
                }));
            }
            if order.len() > budget.max_states {
                return Err(GrammarError::TooLarge { what: "states", limit: budget.max_states });
            }
            if at.is_multiple_of(256) && started.elapsed() > budget.time {
                return Err(GrammarError::TooSlow(budget.time));
            }
            at += 1;
        }
        let accepting = order.iter().map(|state| dfa.is_match_state(dfa.next_eoi_state(*state))).collect();
        let mut automaton = Self { classes, stride, next, accepting };
        if automaton.prune() {
            Ok(automaton)
        } else {
            let missing = (0..=u8::MAX).filter(|byte| !spellable[usize::from(*byte)]).collect();
            Err(GrammarError::NothingMatches(missing))
        }
    }

    /// Where a byte leads.
    pub(crate) fn step(&self, state: u32, byte: u8) -> Option<u32> {
        let class = usize::from(self.classes[usize::from(byte)]);
        let target = *self.next.get(state as usize * self.stride + class)?;
        (target != NOWHERE).then_some(target)
    }

    pub(crate) fn is_accepting(&self, state: u32) -> bool {
        self.accepting.get(state as usize).copied().unwrap_or(false)
    }

    /// Whether no byte leads on.
    pub(crate) fn is_final(&self, state: u32) -> bool {
        let row = state as usize * self.stride;
        self.next.get(row..row + self.stride).is_none_or(|row| row.iter().all(|target| *target == NOWHERE))
    }

    pub(crate) fn states(&self) -> usize {
        self.accepting.len()
    }

    /// Removes transitions to states that cannot reach an accepting one; `false` when the
    /// start is such a state.
    fn prune(&mut self) -> bool {
        let mut sources: Vec<Vec<u32>> = vec![Vec::new(); self.states()];
        for (state, row) in self.next.chunks(self.stride).enumerate() {
            for target in row.iter().filter(|target| **target != NOWHERE) {
                sources[*target as usize].push(state as u32);
            }
        }
        let mut live = self.accepting.clone();
        let mut todo: Vec<u32> = (0..self.states() as u32).filter(|state| live[*state as usize]).collect();
        while let Some(state) = todo.pop() {
            for source in &sources[state as usize] {
                if !std::mem::replace(&mut live[*source as usize], true) {
                    todo.push(*source);
                }
            }
        }
        for target in self.next.iter_mut().filter(|target| **target != NOWHERE) {
            if !live[*target as usize] {
                *target = NOWHERE;
            }
        }
        live[START as usize]
    }
}

fn determinize(expression: &str, budget: &Budget) -> Result<dense::DFA<Vec<u32>>, GrammarError> {
    let config = dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Anchored)
        .accelerate(false)
        .dfa_size_limit(Some(budget.max_bytes))
        .determinize_size_limit(Some(budget.max_bytes));
    dense::Builder::new()
        .configure(config)
        .thompson(thompson::Config::new().nfa_size_limit(Some(budget.max_bytes)))
        .build(expression)
        .map_err(|error| {
            let nfa_too_large = std::error::Error::source(&error)
                .and_then(|source| source.downcast_ref::<thompson::BuildError>())
                .is_some_and(|source| source.size_limit().is_some());
            if nfa_too_large || error.is_size_limit_exceeded() {
                GrammarError::TooLarge { what: "bytes", limit: budget.max_bytes }
            } else {
                // The outermost message only says that building failed.
                let source = std::error::Error::source(&error).map(ToString::to_string);
                GrammarError::Regex(source.unwrap_or_else(|| error.to_string()))
            }
        })
}
