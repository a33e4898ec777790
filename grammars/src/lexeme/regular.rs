//! Regular expressions as automata.

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton as _, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start},
};

use regex_syntax::hir::Hir;

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
        let parsed =
            regex_syntax::parse(expression).map_err(|error| GrammarError::Regex(error.to_string()))?;
        Self::of(&parsed, budget)
    }

    /// The same for an expression that is parsed already.
    pub(crate) fn of(expression: &Hir, budget: &Budget) -> Result<Self, GrammarError> {
        Self::by(MatchKind::All, expression, budget)
    }

    /// Of texts of which one begins with the other only those that the expression prefers, as a search
    /// would: after `".*?"` nothing goes on.
    pub(crate) fn preferring(expression: &Hir, budget: &Budget) -> Result<Self, GrammarError> {
        Self::by(MatchKind::LeftmostFirst, expression, budget)
    }

    fn by(kind: MatchKind, expression: &Hir, budget: &Budget) -> Result<Self, GrammarError> {
        let dfa = determinize(kind, expression, budget)?;
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

/// Every set of states that an automaton is made of is gone through once for each class of bytes. Where there are
/// more classes than this, the sets may be so much smaller in all: the work is bounded, not only what is kept.
const FEW_CLASSES: usize = 4;

fn determinize(
    kind: MatchKind,
    expression: &Hir,
    budget: &Budget,
) -> Result<dense::DFA<Vec<u32>>, GrammarError> {
    let too_large = GrammarError::TooLarge { what: "bytes", limit: budget.max_bytes };
    let nfa = thompson::Compiler::new()
        .configure(thompson::Config::new().nfa_size_limit(Some(budget.max_bytes)))
        .build_from_hir(expression)
        .map_err(|error| match error.size_limit() {
            Some(_) => too_large.clone(),
            None => GrammarError::Regex(error.to_string()),
        })?;
    let classes = nfa.byte_classes().alphabet_len();
    let config = dense::Config::new()
        .match_kind(kind)
        .start_kind(StartKind::Anchored)
        .accelerate(false)
        .dfa_size_limit(Some(budget.max_bytes))
        .determinize_size_limit(Some(budget.max_bytes / classes.div_ceil(FEW_CLASSES)));
    dense::Builder::new().configure(config).build_from_nfa(&nfa).map_err(|error| {
        if error.is_size_limit_exceeded() { too_large } else { GrammarError::Regex(error.to_string()) }
    })
}
