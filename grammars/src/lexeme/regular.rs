//! Regular expressions as automata.

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton as _, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start},
};

use super::automaton::Source;
use crate::{Budget, GrammarError};

/// All texts that match an expression as a whole.
#[derive(Debug)]
pub(crate) struct Regular {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Regular {
    /// `MatchKind::All` matters: with leftmost-first semantics `a|ab` would never reach `ab`.
    pub(crate) fn new(expression: &str, budget: &Budget) -> Result<Self, GrammarError> {
        let dfa = determinize(expression, budget)?;
        let begin = start::Config::new().anchored(Anchored::Yes);
        let start = dfa.start_state(&begin).map_err(|error| GrammarError::Regex(error.to_string()))?;
        Ok(Self { dfa, start })
    }
}

impl Source for Regular {
    type State = StateID;

    fn start(&self) -> StateID {
        self.start
    }

    fn step(&self, state: &StateID, byte: u8) -> Option<StateID> {
        let target = self.dfa.next_state(*state, byte);
        (!self.dfa.is_dead_state(target) && !self.dfa.is_quit_state(target)).then_some(target)
    }

    fn ending(&self, state: &StateID) -> Option<u32> {
        self.dfa.is_match_state(self.dfa.next_eoi_state(*state)).then_some(0)
    }

    fn classes(&self) -> [u8; 256] {
        std::array::from_fn(|byte| self.dfa.byte_classes().get(byte as u8))
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
