//! States and the steps between them.

use std::sync::Arc;

use foldhash::HashMap;

use super::language::{After, Language, Offer, Read};
use super::mask::StateMask;
use super::store::{BEGUN, EMPTY, FrameId, StackId, TextId, UNCAPTURED, UNKNOWN};
use super::{Choice, Machine};
use crate::lexeme::{Character, START};

/// A state's number.
pub(crate) type StateId = u32;

/// The state without threads: the text is not one of the language, however it goes on.
pub(crate) const DEAD: StateId = 0;
const UNTRIED: StateId = u32::MAX;

/// Threads of a state; what is more is dropped, so a language with more ambiguity than that loses
/// texts, never gains any.
const THREADS: usize = 1024;

/// One reading of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Thread {
    /// The frame that is being read on top; [`EMPTY`]: nothing is due.
    pub(super) stack: StackId,
    pub(super) choice: u16,
    /// State of the lexeme.
    pub(super) at: u32,
    /// Characters read, where their number matters.
    pub(super) count: u32,
    pub(super) text: TextId,
}

impl Thread {
    /// The same for any captured text.
    pub(super) fn forgetful(&self) -> Self {
        Self { text: self.text.min(UNKNOWN), ..*self }
    }
}

/// Which captured texts a state and those that it leads to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Capture {
    /// All: a text in progress.
    All,
    /// Beginnings of texts that are refused, since no other text matters: tokens that are tried, or each
    /// new text in them would make states of its own.
    Refused,
}

/// Numbers of states by their threads: those that know all captured texts, and those that know less.
#[derive(Debug, Default)]
pub(super) struct StateIds {
    all: HashMap<Arc<[Thread]>, StateId>,
    refused: HashMap<Arc<[Thread]>, StateId>,
}

impl StateIds {
    fn of(&mut self, capture: Capture) -> &mut HashMap<Arc<[Thread]>, StateId> {
        match capture {
            Capture::All => &mut self.all,
            Capture::Refused => &mut self.refused,
        }
    }
}
/// Stacks after a lexeme, and whether they depend on a text that is not known.
pub(super) type Popped = (Arc<[StackId]>, bool);

/// A set of threads, with what has been found out about it.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) threads: Arc<[Thread]>,
    pub(super) capture: Capture,
    /// Some thread depends on a text that is not known: see [`After::Unknown`].
    pub(super) doubtful: bool,
    row: Option<Box<[StateId; 256]>>,
    can_end: Option<bool>,
    pub(super) mask: Option<Arc<StateMask>>,
    /// The mask where nothing captured is known.
    pub(super) common_mask: Option<Arc<StateMask>>,
    pub(super) bound: Option<Option<u32>>,
    /// The same by way of any ending, where it was asked for.
    pub(super) least: Option<Option<u32>>,
}

impl State {
    pub(super) fn dead() -> Self {
        Self::of(Arc::new([]), Capture::All)
    }

    fn of(threads: Arc<[Thread]>, capture: Capture) -> Self {
        Self {
            threads,
            capture,
            doubtful: false,
            row: None,
            can_end: None,
            mask: None,
            common_mask: None,
            bound: None,
            least: None,
        }
    }
}

impl<L: Language> Machine<L> {
    /// Where a byte leads.
    pub(crate) fn step(&mut self, from: StateId, byte: u8) -> StateId {
        if let Some(row) = &self.states[from as usize].row
            && row[usize::from(byte)] != UNTRIED
        {
            return row[usize::from(byte)];
        }
        let threads = self.states[from as usize].threads.clone();
        let capture = self.states[from as usize].capture;
        let (mut next, mut doubtful) = (Vec::new(), false);
        for thread in threads.iter() {
            self.advance(*thread, byte, &mut next, &mut doubtful);
        }
        if capture == Capture::Refused {
            next.iter_mut().for_each(|thread| self.forget_free(thread));
        }
        let target = self.state(next, doubtful, capture);
        let row = self.states[from as usize].row.get_or_insert_with(|| Box::new([UNTRIED; 256]));
        row[usize::from(byte)] = target;
        target
    }

    /// Where several bytes lead.
    pub(crate) fn step_all(&mut self, from: StateId, bytes: &[u8]) -> StateId {
        let mut state = from;
        for byte in bytes {
            if state == DEAD {
                break;
            }
            state = self.step(state, *byte);
        }
        state
    }

    /// Whether the text may end here.
    pub(crate) fn can_end(&mut self, state: StateId) -> bool {
        if let Some(known) = self.states[state as usize].can_end {
            return known;
        }
        let threads = self.states[state as usize].threads.clone();
        let answer = threads.iter().any(|thread| {
            thread.stack == EMPTY
                || self.ended(thread).is_some_and(|outcome| {
                    let (stacks, _) = self.pop(thread, outcome);
                    stacks.iter().any(|stack| self.expand(*stack).iter().any(|next| next.stack == EMPTY))
                })
        });
        self.states[state as usize].can_end = Some(answer);
        answer
    }

    /// The state before some stacks' first frames.
    pub(super) fn state_at(&mut self, stacks: &[StackId], capture: Capture) -> StateId {
        let threads = stacks.iter().flat_map(|stack| self.expand(*stack).to_vec()).collect();
        self.state(threads, false, capture)
    }

    pub(super) fn state(&mut self, mut threads: Vec<Thread>, doubtful: bool, capture: Capture) -> StateId {
        threads.sort_unstable();
        threads.dedup();
        threads.truncate(THREADS);
        if threads.is_empty() && !doubtful {
            return DEAD;
        }
        if let Some(known) = self.state_ids.of(capture).get(threads.as_slice()).filter(|_| !doubtful) {
            return *known;
        }
        let threads: Arc<[Thread]> = threads.into();
        let id = self.states.len() as StateId;
        self.states.push(State { doubtful, ..State::of(threads.clone(), capture) });
        if !doubtful {
            self.state_ids.of(capture).insert(threads, id);
        }
        id
    }

    /// The same state without knowing what was captured so far: many texts share it.
    pub(super) fn forgetful(&mut self, state: StateId) -> StateId {
        let threads = self.states[state as usize].threads.clone();
        if self.language.texts_decide() || threads.iter().all(|thread| thread.text <= UNKNOWN) {
            return state;
        }
        let threads = threads.iter().map(|thread| self.forgotten(thread)).collect();
        self.state(threads, false, Capture::Refused)
    }

    /// A thread without its text, unless that very text is refused.
    fn forgotten(&mut self, thread: &Thread) -> Thread {
        match self.refused_rests(thread).iter().any(Vec::is_empty) {
            true => *thread,
            false => thread.forgetful(),
        }
    }

    /// Forgets a captured text that cannot become one that is refused.
    fn forget_free(&mut self, thread: &mut Thread) {
        if thread.text > UNKNOWN && self.refused_rests(thread).is_empty() {
            thread.text = UNKNOWN;
        }
    }

    /// What is missing of texts that a thread's frame refuses and that begin with its own.
    pub(super) fn refused_rests(&mut self, thread: &Thread) -> Vec<Vec<u8>> {
        let Some(text) = self.texts.get(thread.text) else { return Vec::new() };
        let folds = self.language.folds_case();
        let same = |refused: &[u8]| if folds { refused.eq_ignore_ascii_case(&text) } else { refused == text };
        let refused = self.refused(thread);
        let begin = refused.iter().filter(|refused| refused.get(..text.len()).is_some_and(same));
        begin.map(|refused| refused[text.len()..].to_vec()).collect()
    }

    /// Texts that are refused of a thread's choice.
    pub(super) fn refused(&mut self, thread: &Thread) -> Arc<[Vec<u8>]> {
        let (frame, _) = self.stacks.top(thread.stack);
        if let Some(known) = self.refused.get(&(frame, thread.choice)) {
            return known.clone();
        }
        let value = self.frames.get(frame).clone();
        let refused: Arc<[_]> = self.language.refused(&value, usize::from(thread.choice)).into();
        self.refused.insert((frame, thread.choice), refused.clone());
        refused
    }

    fn advance(&mut self, thread: Thread, byte: u8, next: &mut Vec<Thread>, doubtful: &mut bool) {
        if thread.stack == EMPTY {
            return;
        }
        let offer = self.offer_of(thread.stack);
        let choice = &offer.choices[usize::from(thread.choice)];
        let automaton = &choice.lexeme.automaton;
        if let Some(at) = automaton.step(thread.at, byte) {
            let text = self.texts.push(thread.text, byte);
            let (count, needed) = counted(choice, at, thread.count);
            let thread = Thread { at, count, text, ..thread };
            if choice.reaches(automaton.reach_number(at))
                && needed <= choice.characters.1
                && self.is_open(&thread, choice, doubtful)
            {
                next.push(thread);
            }
        } else if let Some(outcome) = self.ended(&thread) {
            let (stacks, unknown) = self.pop(&thread, outcome);
            *doubtful |= unknown;
            for stack in stacks.iter() {
                for begun in self.expand(*stack).iter() {
                    self.advance(*begun, byte, next, doubtful);
                }
            }
        }
    }

    /// Whether a thread can go on: the only texts that it can still become may be refused.
    fn is_open(&mut self, thread: &Thread, choice: &Choice, doubtful: &mut bool) -> bool {
        let automaton = &choice.lexeme.automaton;
        if thread.text >= BEGUN && !self.has_text_left(thread, choice) {
            return false;
        }
        let Some(outcome) = automaton.ending(thread.at) else { return true };
        if !automaton.is_final(thread.at) {
            return true;
        }
        if thread.count < choice.characters.0 || !choice.allows(outcome) {
            return false;
        }
        let (stacks, unknown) = self.pop(thread, outcome);
        *doubtful |= unknown;
        unknown || !stacks.is_empty()
    }

    fn has_text_left(&mut self, thread: &Thread, choice: &Choice) -> bool {
        if choice.lexeme.is_endless(thread.at, choice.allowed.as_ref()) {
            return true;
        }
        let refused = self.refused_rests(thread);
        if refused.is_empty() {
            return true;
        }
        let folds = self.language.folds_case();
        let same = |rest: &[u8], refused: &[u8]| {
            if folds { rest.eq_ignore_ascii_case(refused) } else { rest == refused }
        };
        // Where case does not matter all may be spellings of the refused ones: others follow.
        let mut rests = choice.lexeme.texts(thread.at, choice.allowed.as_ref()).zip(0..=refused.len());
        rests.any(|((rest, _), before)| {
            before == refused.len() || !refused.iter().any(|text| same(&rest, text))
        })
    }

    /// The outcome if the thread's lexeme may end here.
    pub(super) fn ended(&mut self, thread: &Thread) -> Option<u32> {
        if thread.stack == EMPTY {
            return None;
        }
        let offer = self.offer_of(thread.stack);
        let choice = &offer.choices[usize::from(thread.choice)];
        let outcome = choice.lexeme.automaton.ending(thread.at)?;
        (choice.allows(outcome) && thread.count >= choice.characters.0).then_some(outcome)
    }

    /// What is due after a thread's lexeme has ended, and whether that depends on an unknown text.
    pub(super) fn pop(&mut self, thread: &Thread, outcome: u32) -> Popped {
        let key = (thread.stack, thread.choice, outcome);
        if thread.text <= UNKNOWN
            && let Some(known) = self.popped.get(&key)
        {
            return known.clone();
        }
        let text = self.texts.get(thread.text);
        let (frame, below) = self.stacks.top(thread.stack);
        let frame = self.frames.get(frame).clone();
        let read = Read { outcome, text: text.as_deref() };
        let (ways, unknown) = match self.language.after(&frame, usize::from(thread.choice), read) {
            After::Ways(ways) => (ways, false),
            After::IfNew(ways) => (ways, true),
            After::Unknown => (Vec::new(), true),
        };
        let stacks: Arc<[StackId]> = ways.into_iter().map(|frames| self.push(below, frames)).collect();
        if thread.text <= UNKNOWN {
            self.popped.insert(key, (stacks.clone(), unknown));
        }
        (stacks, unknown)
    }

    /// Threads before the first frame of a stack.
    pub(super) fn expand(&mut self, stack: StackId) -> Arc<[Thread]> {
        if let Some(known) = self.expanded.get(&stack) {
            return known.clone();
        }
        let mut threads = Vec::new();
        if stack == EMPTY {
            threads.push(Thread { stack, choice: 0, at: START, count: 0, text: UNCAPTURED });
        } else {
            let offer = self.offer_of(stack);
            for (number, choice) in offer.choices.iter().enumerate() {
                if choice.reaches(choice.lexeme.automaton.reach_number(START)) {
                    let text = if choice.captured { BEGUN } else { UNCAPTURED };
                    threads.push(Thread { stack, choice: number as u16, at: START, count: 0, text });
                }
            }
            if offer.optional {
                let (_, below) = self.stacks.top(stack);
                threads.extend_from_slice(&self.expand(below));
            }
        }
        let threads: Arc<[Thread]> = threads.into();
        self.expanded.insert(stack, threads.clone());
        threads
    }

    pub(super) fn offer_of(&mut self, stack: StackId) -> Arc<Offer> {
        let (frame, _) = self.stacks.top(stack);
        self.offer(frame)
    }

    pub(super) fn offer(&mut self, frame: FrameId) -> Arc<Offer> {
        if let Some(known) = self.offers.get(&frame) {
            return known.clone();
        }
        let value = self.frames.get(frame).clone();
        let offer = Arc::new(self.language.offer(&value));
        if offer.choices.iter().any(|choice| choice.captured) {
            self.captures = true;
            self.echoes |= self.language.echoes(&value);
        }
        self.offers.insert(frame, offer.clone());
        offer
    }

    /// Puts frames onto a stack, the first one on top.
    pub(super) fn push(&mut self, below: StackId, frames: Vec<L::Frame>) -> StackId {
        frames.into_iter().rev().fold(below, |stack, frame| {
            let frame = self.frames.id(frame);
            self.stacks.push(frame, stack)
        })
    }
}

/// Characters completed in `at`, and how many the text needs at least to go on from there.
pub(super) fn counted(choice: &Choice, at: u32, before: u32) -> (u32, u32) {
    if choice.characters == (0, u32::MAX) {
        return (0, 0);
    }
    match choice.lexeme.automaton.character(at) {
        Character::Completed => (before + 1, before + 1),
        Character::Within => (before, before + 1),
        Character::Uncounted => (before, before),
    }
}
