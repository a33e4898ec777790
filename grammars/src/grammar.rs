//! A pattern compiled for a vocabulary.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::calls::Calls;
use crate::graphql::Graphql;
use crate::machine::{DEAD, Language, Machine, StateId, StateMask};
use crate::matcher::Matcher;
use crate::plain::Plain;
use crate::sql::Sql;
use crate::{GrammarError, Pattern, TokenId, Vocabulary, json, lark, protobuf};

/// What compiling may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Most states of an automaton. Default 20,000.
    pub max_states: usize,
    /// Most bytes of each table used on the way. Default 16 MiB.
    pub max_bytes: usize,
    /// Longest time. Checked between steps; the longest step is bounded by `max_bytes`.
    /// Default 10 s.
    pub time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { max_states: 20_000, max_bytes: 16 << 20, time: Duration::from_secs(10) }
    }
}

/// Time for the first masks of a grammar, which are made when it is compiled: every text begins there, and
/// whoever compiles waits less for it than whoever decodes.
const WARMING: Duration = Duration::from_micros(400);

/// A compiled pattern, shared by every text that it constrains.
///
/// States and masks are made when a text first needs them and then shared. When they are too many
/// they are forgotten; texts in progress find theirs again by reading themselves.
pub struct Grammar {
    vocabulary: Arc<Vocabulary>,
    reader: Mutex<Shared>,
    is_json: bool,
}

/// A machine and how often it has been emptied: states of another generation mean nothing.
pub(crate) struct Shared {
    pub(crate) machine: Box<dyn Reader>,
    pub(crate) generation: u64,
}

/// A [`Machine`] of some language.
pub(crate) trait Reader: Send {
    fn start(&self) -> StateId;
    fn read(&mut self, from: StateId, bytes: &[u8]) -> StateId;
    fn can_end(&mut self, state: StateId) -> bool;
    fn mask(&mut self, state: StateId) -> Arc<StateMask>;
    fn only_token(&mut self, state: StateId) -> Option<TokenId>;
    fn fits_all(&mut self, state: StateId, left: u32) -> bool;
    fn mask_within(&mut self, state: StateId, left: u32, plan: &[TokenId]) -> Arc<StateMask>;
    fn plan(&mut self, state: StateId) -> Option<Vec<TokenId>>;
    fn likely_bytes(&mut self, state: StateId, most: usize, capital: bool) -> Vec<u8>;
    /// Empties the machine if there is too much in it; whether it did.
    fn relieve(&mut self) -> bool;
}

impl<L: Language> Reader for Machine<L> {
    fn start(&self) -> StateId {
        self.start()
    }

    fn read(&mut self, from: StateId, bytes: &[u8]) -> StateId {
        self.step_all(from, bytes)
    }

    fn can_end(&mut self, state: StateId) -> bool {
        self.can_end(state)
    }

    fn mask(&mut self, state: StateId) -> Arc<StateMask> {
        self.mask(state)
    }

    fn only_token(&mut self, state: StateId) -> Option<TokenId> {
        self.only_token(state)
    }

    fn fits_all(&mut self, state: StateId, left: u32) -> bool {
        self.fits_all(state, left)
    }

    fn mask_within(&mut self, state: StateId, left: u32, plan: &[TokenId]) -> Arc<StateMask> {
        self.mask_within(state, left, plan)
    }

    fn plan(&mut self, state: StateId) -> Option<Vec<TokenId>> {
        self.plan(state)
    }

    fn likely_bytes(&mut self, state: StateId, most: usize, capital: bool) -> Vec<u8> {
        self.likely_bytes(state, most, capital)
    }

    fn relieve(&mut self) -> bool {
        self.relieve()
    }
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammar").field("vocabulary", &self.vocabulary.digest()).finish_non_exhaustive()
    }
}

impl Grammar {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A pattern that does not parse, exceeds the budget, or matches nothing.
    pub fn compile(
        pattern: &Pattern,
        vocabulary: &Arc<Vocabulary>,
        budget: &Budget,
    ) -> Result<Arc<Self>, GrammarError> {
        pattern.check()?;
        let machine = match pattern {
            Pattern::Calls(spec) => machine(Calls::new(spec, vocabulary, budget)?, vocabulary),
            Pattern::Regex(expression) => machine(Plain::regex(expression, vocabulary, budget)?, vocabulary),
            Pattern::Choice(options) => machine(Plain::choice(options, vocabulary, budget)?, vocabulary),
            Pattern::Graphql(spec) => machine(Graphql::new(spec, vocabulary, budget)?, vocabulary),
            Pattern::Json(spec) => machine(json::compile(spec, vocabulary, budget)?, vocabulary),
            Pattern::Lark(spec) => machine(lark::compile(spec, vocabulary, budget)?, vocabulary),
            Pattern::Protobuf(spec) => machine(protobuf::compile(spec, vocabulary, budget)?, vocabulary),
            Pattern::Sql(spec) => machine(Sql::new(spec, vocabulary, budget)?, vocabulary),
        }?;
        let reader = Mutex::new(Shared { machine, generation: 0 });
        Ok(Arc::new(Self { vocabulary: vocabulary.clone(), reader, is_json: pattern.is_json() }))
    }

    /// A constraint at the beginning of a text.
    pub fn matcher(self: &Arc<Self>) -> Matcher {
        Matcher::new(self.clone())
    }

    pub(crate) fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// Whether texts are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn machine<L: Language>(language: L, vocabulary: &Arc<Vocabulary>) -> Result<Box<dyn Reader>, GrammarError> {
    let mut machine = Machine::new(language, vocabulary.clone());
    if machine.start() == DEAD {
        return Err(GrammarError::NothingMatches(Vec::new()));
    }
    machine.warm(WARMING);
    Ok(Box::new(machine))
}
