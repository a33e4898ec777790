//! The machine that reads texts of a [`Language`] byte by byte and says which tokens may follow.
//!
//! | module | what it holds |
//! |---|---|
//! | [`language`] | [`Language`]: frames, choices, what comes after |
//! | [`store`] | frames, stacks of them and captured texts, each kept once |
//! | [`step`] | states, which are sets of threads, and steps between them |
//! | [`mask`] | the tokens that a state allows |
//! | [`likely`] | what probably comes next |
//! | [`draw`] | of those, the ones of a place in a lexeme |
//! | [`close`] | the shortest way to an end |
//! | [`shortest`] | the least fixed point that it is |
//!
//! A *thread* is one reading of the text so far: a stack of frames, the choice that is being read
//! of the first one, and the place in its lexeme. A *state* is a set of threads. States, and the
//! steps and masks found so far, are shared by all texts of a grammar.
//!
//! Masks are walked from states that many texts share, which know captured texts only as far as
//! that decides something: a text is *unknown* once it is none that its frame refuses.

mod close;
mod draw;
mod language;
mod likely;
mod mask;
mod shortest;
mod step;
mod store;

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

pub(crate) use language::{After, Choice, Language, Offer, Read, TextThen};
pub(crate) use mask::StateMask;
pub(crate) use shortest::{ENDLESS, Way, solve};
pub(crate) use step::{DEAD, StateId};
pub(crate) use store::Store;

use crate::Vocabulary;
use step::{Capture, State, StateIds};
use store::{FrameId, Stacks, Texts};

/// A language with what has been found out about its texts.
pub(crate) struct Machine<L: Language> {
    language: L,
    vocabulary: Arc<Vocabulary>,
    frames: Store<L::Frame>,
    offers: HashMap<FrameId, Arc<Offer>>,
    /// Whether any choice that was offered captures its text.
    captures: bool,
    /// Whether one has to be written once more.
    echoes: bool,
    closes: HashMap<FrameId, Way<FrameId>>,
    stacks: Stacks,
    texts: Texts,
    states: Vec<State>,
    state_ids: StateIds,
    refused: HashMap<(FrameId, u16), Arc<[Vec<u8>]>>,
    expanded: HashMap<store::StackId, Arc<[step::Thread]>>,
    popped: HashMap<(store::StackId, u16, u32), step::Popped>,
    /// Tokens after lexemes whose text matters, for a text that nothing refuses, by stack, choice and outcome.
    after_some_text: HashMap<(store::StackId, u16, u32), u32>,
    /// Tokens that spell texts of ways; absent where a byte cannot be spelled.
    spelled: HashMap<Vec<u8>, Option<u32>>,
    /// States whose masks are kept.
    masked: Vec<StateId>,
    start: StateId,
}

/// States after which a machine is to be replaced by a fresh one. A state is some 100 bytes, and 1 KiB
/// more once a byte has been tried from it.
const STATES: usize = 1 << 16;

impl<L: Language> Machine<L> {
    pub(crate) fn new(language: L, vocabulary: Arc<Vocabulary>) -> Self {
        let mut machine = Self {
            language,
            vocabulary,
            frames: Store::default(),
            offers: HashMap::new(),
            captures: false,
            echoes: false,
            closes: HashMap::new(),
            stacks: Stacks::default(),
            texts: Texts::default(),
            states: vec![State::dead()],
            state_ids: StateIds::default(),
            refused: HashMap::new(),
            expanded: HashMap::new(),
            popped: HashMap::new(),
            after_some_text: HashMap::new(),
            spelled: HashMap::new(),
            masked: Vec::new(),
            start: DEAD,
        };
        machine.begin();
        machine
    }

    /// The state of an empty text; [`DEAD`] where the language has no text.
    pub(crate) fn start(&self) -> StateId {
        self.start
    }

    /// Forgets everything but the language if there is too much; then states that were given out
    /// mean nothing any more. Whether it did.
    pub(crate) fn relieve(&mut self) -> bool {
        if !self.language.forget() && self.states.len() <= STATES {
            return false;
        }
        self.frames = Store::default();
        self.offers.clear();
        self.closes.clear();
        self.stacks = Stacks::default();
        self.texts = Texts::default();
        self.states = vec![State::dead()];
        self.state_ids = StateIds::default();
        self.refused.clear();
        self.expanded.clear();
        self.popped.clear();
        self.after_some_text.clear();
        self.spelled.clear();
        self.masked.clear();
        self.begin();
        true
    }

    fn begin(&mut self) {
        let ways = self.language.start();
        let stacks: Vec<_> = ways.into_iter().map(|frames| self.push(store::EMPTY, frames)).collect();
        self.start = self.state_at(&stacks, Capture::All);
    }
}
