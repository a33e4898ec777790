//! A pattern compiled for a vocabulary.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::automaton::{Automaton, START};
use crate::{Constraint, GrammarError, Pattern, TokenId, Vocabulary};

/// What compiling may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Most states of the automaton. Default 20,000.
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

/// Masks kept per grammar. A mask of 151,936 tokens is 19 KiB, so these are 5 MiB at most.
/// When full, all are dropped: a text in progress soon finds its own again.
const MASK_CAPACITY: usize = 256;

/// A compiled pattern, shared by every text that it constrains.
///
/// Compiling builds only the automaton over bytes; the mask of a state is made when a text
/// first arrives there (one walk over the vocabulary's tree) and then shared.
#[derive(Debug)]
pub struct Grammar {
    vocabulary: Arc<Vocabulary>,
    automaton: Automaton,
    masks: Mutex<HashMap<u32, Arc<StateMask>>>,
}

/// What may follow a state.
#[derive(Debug)]
struct StateMask {
    words: Box<[u32]>,
    /// The one allowed token, where there is just one and the text may not end.
    only: Option<TokenId>,
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
        let automaton =
            Automaton::build(&pattern.expression(), vocabulary.spellable(), budget, Instant::now())?;
        Ok(Arc::new(Self { vocabulary: vocabulary.clone(), automaton, masks: Mutex::default() }))
    }

    /// A constraint at the beginning of a text.
    pub fn matcher(self: &Arc<Self>) -> Matcher {
        Matcher { grammar: self.clone(), path: Vec::new() }
    }

    /// States of the automaton.
    pub fn states(&self) -> usize {
        self.automaton.states()
    }

    fn mask_of(&self, state: u32) -> Arc<StateMask> {
        let known = self.masks.lock().unwrap_or_else(PoisonError::into_inner).get(&state).cloned();
        known.unwrap_or_else(|| {
            // Made outside the lock: two texts may make the same one, none waits.
            let made = Arc::new(self.make_mask(state));
            let mut masks = self.masks.lock().unwrap_or_else(PoisonError::into_inner);
            if masks.len() >= MASK_CAPACITY {
                masks.clear();
            }
            masks.insert(state, made.clone());
            made
        })
    }

    fn make_mask(&self, state: u32) -> StateMask {
        let mut words = vec![0_u32; self.vocabulary.len().div_ceil(32)].into_boxed_slice();
        let (mut count, mut last) = (0_usize, None);
        let mut allow = |id: TokenId| {
            words[id as usize / 32] |= 1 << (id % 32);
            count += 1;
            last = Some(id);
        };
        self.vocabulary.walk(state, |state, byte| self.automaton.step(state, byte), &mut allow);
        if self.automaton.is_accepting(state) {
            let known = |id: &&TokenId| (**id as usize) < self.vocabulary.len();
            self.vocabulary.ends().iter().filter(known).for_each(|id| allow(*id));
        }
        let only = last.filter(|_| count == 1 && !self.automaton.is_accepting(state));
        StateMask { words, only }
    }

    /// Where a token leads.
    fn step(&self, state: u32, token: TokenId) -> Option<u32> {
        let bytes = self.vocabulary.token(token);
        if bytes.is_empty() {
            return None;
        }
        bytes.iter().try_fold(state, |state, byte| self.automaton.step(state, *byte))
    }
}

/// A [`Grammar`] at some place in a text.
#[derive(Debug, Clone)]
pub struct Matcher {
    grammar: Arc<Grammar>,
    /// The place after each accepted token.
    path: Vec<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    State(u32),
    /// After an end token.
    Ended,
}

/// Longest forced run answered at once; what remains is forced again afterwards.
const FORCED_RUN: usize = 64;

impl Matcher {
    fn place(&self) -> Place {
        self.path.last().copied().unwrap_or(Place::State(START))
    }
}

impl Constraint for Matcher {
    fn mask(&mut self, allowed: &mut [u32]) {
        allowed.fill(0);
        if let Place::State(state) = self.place() {
            let mask = self.grammar.mask_of(state);
            allowed.iter_mut().zip(&mask.words).for_each(|(word, bits)| *word = *bits);
        }
    }

    fn try_accept(&mut self, token: TokenId) -> bool {
        let Place::State(state) = self.place() else { return false };
        let next = if self.grammar.vocabulary.ends().contains(&token) {
            self.grammar.automaton.is_accepting(state).then_some(Place::Ended)
        } else {
            self.grammar.step(state, token).map(Place::State)
        };
        self.path.extend(next);
        next.is_some()
    }

    fn rollback(&mut self, count: usize) {
        self.path.truncate(self.path.len().saturating_sub(count));
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }

    fn forced(&mut self) -> Vec<TokenId> {
        let mut run = Vec::new();
        let Place::State(mut state) = self.place() else { return run };
        while run.len() < FORCED_RUN
            && let Some(only) = self.grammar.mask_of(state).only
            && let Some(next) = self.grammar.step(state, only)
        {
            run.push(only);
            state = next;
        }
        run
    }

    fn is_accepting(&self) -> bool {
        match self.place() {
            Place::State(state) => self.grammar.automaton.is_accepting(state),
            Place::Ended => true,
        }
    }

    fn is_stopped(&self) -> bool {
        match self.place() {
            Place::State(state) => {
                self.grammar.automaton.is_accepting(state) && self.grammar.automaton.is_final(state)
            }
            Place::Ended => true,
        }
    }
}
