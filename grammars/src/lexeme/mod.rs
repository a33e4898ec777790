//! Lexemes: the smallest parts of a text that a grammar speaks of.
//!
//! A lexeme is a set of byte strings. **It ends only where the next byte cannot continue it**
//! (the longest match), so a language must not let two lexemes follow each other of which the
//! second may begin with a byte that continues the first.
//!
//! What depends on nothing but the lexeme and the vocabulary is computed once and kept: which
//! tokens stay inside of it from some state ([`Spread`]), and which leave it with bytes to
//! spare. Most strings go on like any other one after a while: what tokens do there is shared
//! ([`Tail`]).

mod automaton;
mod endings;
mod free;
mod json;
mod outcomes;
mod overlay;
mod regular;
mod spread;
mod tail;
#[cfg(test)]
mod tests;
mod texts;
mod twin;
mod utf8;
mod without;
mod words;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use foldhash::HashMap;

pub(crate) use automaton::{Automaton, Both, Character, START, Source};
pub(crate) use json::{AnyJsonText, JsonText, spelled};
pub(crate) use outcomes::Outcomes;
pub(crate) use regular::Regular;
pub(crate) use spread::{Exit, Spread, TokenSet};
use tail::Tail;
use texts::{Members, Texts};
pub(crate) use utf8::{AnyText, Utf8};
use without::Whole;
pub(crate) use words::Words;

use crate::{GrammarError, Vocabulary};

/// A set of byte strings with what has been computed for one vocabulary.
#[derive(Debug)]
pub(crate) struct Lexeme {
    /// No other lexeme has it.
    number: u64,
    pub(crate) automaton: Automaton,
    /// What it was made from by taking texts away.
    whole: Option<Whole>,
    spreads: Mutex<HashMap<u32, Arc<Spread>>>,
    tail: OnceLock<Option<Tail>>,
    /// A text of few tokens from a state to an outcome, where it was asked for.
    endings: Mutex<HashMap<(u32, u32), ShortText>>,
    /// From each state, bytes to the nearest ending among some outcomes.
    distances: Mutex<HashMap<Outcomes, Arc<[u32]>>>,
    /// For each outcome, bytes to it from the state that is farthest from it.
    farthest: OnceLock<Box<[u32]>>,
    /// Bytes by class.
    members: OnceLock<Members>,
    /// The states from which there is no end of texts.
    endless: OnceLock<Vec<bool>>,
    /// From each state, and from the one where they are most.
    tokens_to_end: OnceLock<(Vec<u32>, u32)>,
}

/// A text, if there is one.
type ShortText = Option<Arc<[u8]>>;

/// Spreads kept per lexeme. Most hold a few tokens; the largest 20 KiB of bits and the tokens
/// that leave. When full, all are dropped and made again where needed.
const SPREADS: usize = 512;
/// The same for each exit of a spread.
const SPREADS_AFTER: usize = 64;
/// States of which one is looked for that is much the same as another.
const NEIGHBOURS: usize = 32;
/// Plain bytes that may do something else than from the tail of all strings, and than from another state.
const BEFORE_TAIL: usize = 46;
const BESIDE: usize = 16;
/// Endings kept per lexeme, a few bytes each, and tables of distances, 4 bytes for each state. When full,
/// all are dropped.
const ENDINGS: usize = 16_384;
const DISTANCES: usize = 64;

impl Lexeme {
    pub(crate) fn new(automaton: Automaton) -> Arc<Self> {
        Self::of(automaton, None)
    }

    fn of(automaton: Automaton, whole: Option<Whole>) -> Arc<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            automaton,
            whole,
            spreads: Mutex::default(),
            tail: OnceLock::new(),
            endings: Mutex::default(),
            distances: Mutex::default(),
            farthest: OnceLock::new(),
            members: OnceLock::new(),
            endless: OnceLock::new(),
            tokens_to_end: OnceLock::new(),
        })
    }

    /// Fewest tokens that spell the shortest text from a state to its nearest ending.
    pub(crate) fn tokens_to_end(&self, from: u32, vocabulary: &Vocabulary) -> u32 {
        self.spelled(vocabulary).0[from as usize]
    }

    /// The same from the state where they are most; where only some outcomes are allowed, as many as the
    /// bytes to the farthest of those.
    pub(crate) fn most_tokens_to_end(&self, allowed: Option<&Outcomes>, vocabulary: &Vocabulary) -> u32 {
        match allowed.filter(|allowed| !allowed.contains_all(&Outcomes::all(self.automaton.outcomes()))) {
            Some(allowed) => self.most_bytes_to_end(Some(allowed)),
            None => self.spelled(vocabulary).1,
        }
    }

    /// Bytes to the farthest of some outcomes, or of all, from the state where they are most.
    pub(crate) fn most_bytes_to_end(&self, allowed: Option<&Outcomes>) -> u32 {
        let farthest = self.farthest.get_or_init(|| self.automaton.farthest());
        let is_allowed = |outcome: u32| allowed.is_none_or(|allowed| allowed.contains(outcome));
        farthest
            .iter()
            .zip(0..)
            .filter(|(_, outcome)| is_allowed(*outcome))
            .map(|(bytes, _)| *bytes)
            .max()
            .unwrap_or(0)
    }

    fn distances_to(&self, allowed: &Outcomes) -> Arc<[u32]> {
        if let Some(known) = locked(&self.distances).get(allowed) {
            return known.clone();
        }
        let made: Arc<[u32]> = self.automaton.distances(allowed).into();
        let mut distances = locked(&self.distances);
        if distances.len() >= DISTANCES {
            distances.clear();
        }
        distances.insert(allowed.clone(), made.clone());
        made
    }

    fn spelled(&self, vocabulary: &Vocabulary) -> &(Vec<u32>, u32) {
        self.tokens_to_end.get_or_init(|| {
            let each = self.automaton.tokens_to_end(vocabulary.tree());
            let most = each.iter().copied().filter(|tokens| *tokens != u32::MAX).max().unwrap_or(0);
            (each, most)
        })
    }

    /// A text of few tokens from a state to an ending as `outcome`.
    pub(crate) fn short_text(&self, from: u32, outcome: u32, vocabulary: &Vocabulary) -> ShortText {
        if let Some(known) = locked(&self.endings).get(&(from, outcome)) {
            return known.clone();
        }
        let way = self.automaton.fewest_tokens(from, outcome, vocabulary.tree());
        let (way, last) = way.unwrap_or((Vec::new(), from));
        let rest = self.shortest(last, Some(&Outcomes::only(self.automaton.outcomes(), Some(outcome))));
        let text: ShortText = rest.map(|(rest, _)| [way, rest].concat().into());
        let mut endings = locked(&self.endings);
        if endings.len() >= ENDINGS {
            endings.clear();
        }
        endings.insert((from, outcome), text.clone());
        text
    }

    /// Whether there is no end of texts from a state that end as one of `allowed`. Not always told where some
    /// outcomes are not allowed.
    pub(crate) fn is_endless(&self, from: u32, allowed: Option<&Outcomes>) -> bool {
        let all = allowed.is_none_or(|allowed| allowed.contains_all(self.automaton.reach(from)));
        all && self.endless()[from as usize]
    }

    fn endless(&self) -> &[bool] {
        self.endless.get_or_init(|| match &self.whole {
            Some(whole) => whole.endless_of(&self.automaton),
            None => self.automaton.endless(),
        })
    }

    /// The shortest of the texts that end from a state as one of `allowed`.
    pub(crate) fn shortest(&self, from: u32, allowed: Option<&Outcomes>) -> Option<(Vec<u8>, u32)> {
        match allowed.filter(|allowed| !allowed.contains_all(self.automaton.reach(from))) {
            Some(allowed) => self.texts(from, Some(allowed)).next(),
            None => self.automaton.shortest(from),
        }
    }

    /// Texts that end from a state as one of `allowed`, with their outcomes; short ones first.
    pub(crate) fn texts(&self, from: u32, allowed: Option<&Outcomes>) -> Texts<'_> {
        Texts::new(self, from, allowed)
    }

    /// What each token does from `state`.
    pub(crate) fn spread(&self, state: u32, vocabulary: &Vocabulary) -> Arc<Spread> {
        if let Some(whole) = self.whole.as_ref().filter(|whole| whole.shares(state)) {
            return whole.lexeme.spread(state, vocabulary);
        }
        self.kept_spread(state, || {
            let tail = self.tail.get_or_init(|| Tail::find(&self.automaton, vocabulary));
            if let Some(tail) =
                tail.as_ref().filter(|tail| self.automaton.are_near(state, tail.state, BEFORE_TAIL))
            {
                return Spread::before_tail(&self.automaton, state, vocabulary, tail);
            }
            if let Some(spread) = self.twin_spread(state) {
                return spread;
            }
            match self.neighbour(state, vocabulary) {
                Some((of, other, known)) => {
                    let tokens = vocabulary.tree();
                    Spread::beside(&self.automaton, state, vocabulary, tokens, (of, other, &known))
                }
                None => Spread::new(&self.automaton, state, vocabulary),
            }
        })
    }

    /// The spread of a state by that of its twin.
    fn twin_spread(&self, state: u32) -> Option<Spread> {
        if self.automaton.counts() {
            return None;
        }
        let spreads = locked(&self.spreads);
        let mut whole = spreads.iter().filter(|(_, spread)| spread.is_whole());
        let (_, twin) = whole.find(|(other, _)| self.automaton.are_twins(state, **other))?;
        Spread::like_twin(&self.automaton, state, twin)
    }

    /// A state from which most tokens do the same, with its whole spread; it may be one of what this was made
    /// from.
    fn neighbour(&self, state: u32, vocabulary: &Vocabulary) -> Option<(&Automaton, u32, Arc<Spread>)> {
        if self.automaton.counts() || self.automaton.is_free(state) {
            return None;
        }
        if let Some(whole) = &self.whole {
            let original = whole.original(state);
            let known = whole.lexeme.spread(original, vocabulary);
            return known.is_whole().then_some((&whole.lexeme.automaton, original, known));
        }
        let spreads = locked(&self.spreads);
        let whole = spreads.iter().filter(|(_, spread)| spread.is_whole()).take(NEIGHBOURS);
        let mut near = whole.filter(|(other, _)| self.automaton.are_near(state, **other, BESIDE));
        near.next().map(|(other, spread)| (&self.automaton, *other, spread.clone()))
    }

    /// The same without another lexeme's help.
    fn whole_spread(&self, state: u32, vocabulary: &Vocabulary) -> Arc<Spread> {
        self.kept_spread(state, || Spread::new(&self.automaton, state, vocabulary))
    }

    fn kept_spread(&self, state: u32, make: impl FnOnce() -> Spread) -> Arc<Spread> {
        if let Some(known) = locked(&self.spreads).get(&state) {
            return known.clone();
        }
        // Made outside the lock: two texts may make the same one, none waits.
        let made = Arc::new(make());
        let mut spreads = locked(&self.spreads);
        if spreads.len() >= SPREADS {
            spreads.clear();
        }
        spreads.insert(state, made.clone());
        made
    }

    /// What the rests of tokens do that leave another lexeme before this one.
    pub(crate) fn spread_after(&self, exit: &Exit, vocabulary: &Vocabulary) -> Arc<Spread> {
        if let Some(known) = locked(&exit.rests.spreads).get(&self.number) {
            return known.clone();
        }
        let made = Arc::new(match &self.whole {
            Some(whole) => {
                let known = whole.lexeme.spread_after(exit, vocabulary);
                let start = (&whole.lexeme.automaton, START, &*known);
                Spread::beside(&self.automaton, START, vocabulary, &exit.rests.tree, start)
            }
            None => Spread::of_rests(&self.automaton, &exit.rests.tree, vocabulary),
        });
        let mut spreads = locked(&exit.rests.spreads);
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
