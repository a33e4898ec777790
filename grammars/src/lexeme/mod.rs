//! Lexemes: the smallest parts of a text that a grammar speaks of.
//!
//! A lexeme is a set of byte strings. **It ends only where the next byte cannot continue it**
//! (the longest match), so a language must not let two lexemes follow each other of which the
//! second may begin with a byte that continues the first.
//!
//! What depends on nothing but the lexeme and the vocabulary is computed once and kept: which
//! tokens stay inside of it from some state ([`Spread`]), and which leave it with bytes to
//! spare.

mod automaton;
mod endings;
mod free;
mod json;
mod outcomes;
mod regular;
mod spread;
mod utf8;
mod words;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub(crate) use automaton::{Automaton, Both, Character, START, Source};
pub(crate) use json::{AnyJsonText, JsonText, spelled};
pub(crate) use outcomes::Outcomes;
pub(crate) use regular::Regular;
pub(crate) use spread::{Exit, Spread, TokenSet};
pub(crate) use utf8::{AnyText, Utf8};
pub(crate) use words::Words;

use crate::{GrammarError, Vocabulary};

/// A set of byte strings with what has been computed for one vocabulary.
#[derive(Debug)]
pub(crate) struct Lexeme {
    /// No other lexeme has it.
    number: u64,
    pub(crate) automaton: Automaton,
    spreads: Mutex<HashMap<u32, Arc<Spread>>>,
    /// From each state, and from the one where they are most.
    tokens_to_end: OnceLock<(Vec<u32>, u32)>,
}

/// Spreads kept per lexeme. Most hold a few tokens; the largest 20 KiB of bits and the tokens
/// that leave. When full, all are dropped and made again where needed.
const SPREADS: usize = 512;
/// The same for each exit of a spread.
const SPREADS_AFTER: usize = 64;

impl Lexeme {
    pub(crate) fn new(automaton: Automaton) -> Arc<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { number, automaton, spreads: Mutex::default(), tokens_to_end: OnceLock::new() })
    }

    /// Fewest tokens that spell the shortest text from a state to its nearest ending.
    pub(crate) fn tokens_to_end(&self, from: u32, vocabulary: &Vocabulary) -> u32 {
        self.spelled(vocabulary).0[from as usize]
    }

    /// The same from the state where they are most.
    pub(crate) fn most_tokens_to_end(&self, vocabulary: &Vocabulary) -> u32 {
        self.spelled(vocabulary).1
    }

    fn spelled(&self, vocabulary: &Vocabulary) -> &(Vec<u32>, u32) {
        self.tokens_to_end.get_or_init(|| {
            let each = self.automaton.tokens_to_end(vocabulary.tree());
            let most = each.iter().copied().filter(|tokens| *tokens != u32::MAX).max().unwrap_or(0);
            (each, most)
        })
    }

    /// What each token does from `state`.
    pub(crate) fn spread(&self, state: u32, vocabulary: &Vocabulary) -> Arc<Spread> {
        if let Some(known) = locked(&self.spreads).get(&state) {
            return known.clone();
        }
        // Made outside the lock: two texts may make the same one, none waits.
        let made = Arc::new(Spread::new(&self.automaton, state, vocabulary));
        let mut spreads = locked(&self.spreads);
        if spreads.len() >= SPREADS {
            spreads.clear();
        }
        spreads.insert(state, made.clone());
        made
    }

    /// What the rests of tokens do that leave another lexeme before this one.
    pub(crate) fn spread_after(&self, exit: &Exit, vocabulary: &Vocabulary) -> Arc<Spread> {
        if let Some(known) = locked(&exit.spreads).get(&self.number) {
            return known.clone();
        }
        let made = Arc::new(Spread::of_rests(&self.automaton, &exit.rests, vocabulary));
        let mut spreads = locked(&exit.spreads);
        if spreads.len() >= SPREADS_AFTER {
            spreads.clear();
        }
        spreads.insert(self.number, made.clone());
        made
    }
}

/// Lexemes by their definition, shared by all grammars of a vocabulary.
#[derive(Debug, Default)]
pub(crate) struct Lexicon(Mutex<HashMap<String, Arc<Lexeme>>>);

/// Lexemes kept. When full, those that no grammar holds are dropped.
const LEXEMES: usize = 1024;

impl Lexicon {
    /// The lexeme of a definition; `make` is called where it is not known.
    pub(crate) fn get(
        &self,
        definition: &str,
        make: impl FnOnce() -> Result<Automaton, GrammarError>,
    ) -> Result<Arc<Lexeme>, GrammarError> {
        if let Some(known) = locked(&self.0).get(definition) {
            return Ok(known.clone());
        }
        let made = Lexeme::new(make()?);
        let mut kept = locked(&self.0);
        if kept.len() >= LEXEMES {
            kept.retain(|_, lexeme| Arc::strong_count(lexeme) > 1);
        }
        Ok(kept.entry(definition.to_owned()).or_insert(made).clone())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
