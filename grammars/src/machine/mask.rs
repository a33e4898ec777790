//! The tokens that a state allows.
//!
//! Tokens are drawn for many texts at once, those whose captured texts nothing refuses. What is left
//! to a text's own captures is tried in its own state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Machine;
use super::language::{Choice, Language};
use super::step::{DEAD, StateId, Thread};
use super::store::{EMPTY, StackId, UNKNOWN};
use crate::{TokenId, bits};

/// What may follow a state.
#[derive(Debug)]
pub(crate) struct StateMask {
    pub(crate) words: Box<[u32]>,
    /// Tokens that depend on what was captured: each is to be tried from the state itself.
    doubtful: Box<[TokenId]>,
    /// Most tokens that are needed after any of the allowed ones, as far as closes know; not looked at where
    /// the language has an [ample](Language::ample) number.
    worst: Option<u32>,
}

/// Threads that are in the same place of the same lexeme, with the same left to read of it.
pub(super) struct Group {
    pub(super) choice: Choice,
    pub(super) at: u32,
    pub(super) count: u32,
    pub(super) threads: Vec<Thread>,
    /// Tokens that it takes to write texts once more that have ended before.
    pub(super) echo: u32,
}

impl Group {
    /// The group once more has been read of its texts, which may then be any.
    pub(super) fn longer(&self) -> Self {
        let threads = self.threads.iter().map(Thread::forgetful).collect();
        Self { choice: self.choice.clone(), threads, ..*self }
    }
}

/// A mask in the making.
pub(super) struct Sketch {
    pub(super) words: Box<[u32]>,
    pub(super) doubtful: Vec<TokenId>,
    /// Tokens that may be needed after an allowed one; what would need more is not allowed.
    left: u32,
    /// Most tokens that are needed after any token that was allowed, as far as closes know; absent where they
    /// are not asked.
    worst: Option<u32>,
    /// Bytes of the longest captured text, which is not known where masks are drawn.
    pub(super) captured: u32,
    /// Tokens that it takes to write once more what has been read of the text of the group being drawn.
    pub(super) echo: u32,
    /// Tokens that a captured text may cost which is not known where masks are drawn: it may be the very
    /// one by which the rest was to be completed, and be refused the second time; and what a token adds to it may
    /// have to be written once more.
    reserve: u32,
}

impl Sketch {
    /// Of tokens after which `left` more suffice.
    fn within(words: Box<[u32]>, left: u32, captured: u32, reserve: u32) -> Self {
        Self { words, doubtful: Vec::new(), left, worst: Some(0), captured, echo: 0, reserve }
    }

    /// Of all tokens; whether it is noted how many they need.
    fn of_all(words: Box<[u32]>, notes: bool, reserve: u32) -> Self {
        Self { worst: notes.then_some(0), ..Self::within(words, UNLIMITED, 0, reserve) }
    }

    /// Whether it matters what is needed after a token.
    pub(super) fn asks_closes(&self) -> bool {
        self.worst.is_some()
    }

    /// Whether tokens may be allowed after which `needed` more complete the text.
    pub(super) fn fits(&self, needed: u32) -> bool {
        self.left == UNLIMITED || needed.saturating_add(self.echo + self.reserve) <= self.left
    }

    /// The same where no captured text is due, for which something would be reserved.
    pub(super) fn fits_without_texts(&self, needed: u32) -> bool {
        needed <= self.left
    }

    fn finish(self) -> StateMask {
        StateMask { words: self.words, doubtful: self.doubtful.into(), worst: self.worst }
    }

    /// Notes that some were.
    pub(super) fn note(&mut self, needed: u32) {
        let needed = needed.saturating_add(self.echo + self.reserve);
        self.worst = self.worst.map(|worst| worst.max(needed));
    }

    /// What has been decided of some tokens so far, for [`put_back`](Self::put_back).
    pub(super) fn set_aside(&self, tokens: &[TokenId]) -> (Vec<TokenId>, usize) {
        let is_allowed = |id: &TokenId| bits::contains(&self.words, *id);
        (tokens.iter().copied().filter(is_allowed).collect(), self.doubtful.len())
    }

    /// Takes back what has been decided since about some tokens, which are ascending.
    pub(super) fn put_back(&mut self, tokens: &[TokenId], (allowed, doubtful): (Vec<TokenId>, usize)) {
        tokens.iter().for_each(|id| bits::remove(&mut self.words, *id));
        allowed.iter().for_each(|id| bits::insert(&mut self.words, *id));
        let later = self.doubtful.split_off(doubtful);
        self.doubtful.extend(later.into_iter().filter(|id| tokens.binary_search(id).is_err()));
    }
}

/// Masks kept. A mask of 151,936 tokens is 19 KiB, so these are 10 MiB at most. When full, all are
/// dropped: a text in progress soon finds its own again.
const MASKS: usize = 512;

/// Tokens by which the second shortest text for a name exceeds the shortest.
const RESERVE: u32 = 2;

/// No limit to the tokens that may follow.
const UNLIMITED: u32 = u32::MAX;

impl<L: Language> Machine<L> {
    /// Which tokens may follow.
    pub(crate) fn mask(&mut self, state: StateId) -> Arc<StateMask> {
        if let Some(known) = &self.states[state as usize].mask {
            return known.clone();
        }
        let shared = self.forgetful(state);
        let common = match &self.states[shared as usize].common_mask {
            Some(known) => known.clone(),
            None => {
                let notes = self.ample(state).is_none();
                let sketch = |machine: &Self| Sketch::of_all(machine.no_tokens(), notes, machine.reserve());
                let made = Arc::new(self.common_mask(shared, sketch));
                self.states[shared as usize].common_mask = Some(made.clone());
                made
            }
        };
        let mut doubtful = common.doubtful.to_vec();
        self.add_refused(state, &mut doubtful);
        let mask = match doubtful.is_empty() {
            true => common,
            false => Arc::new(self.resolved(state, &common, &doubtful, UNLIMITED)),
        };
        self.keep_mask(state, shared, mask.clone());
        mask
    }

    /// Makes the first masks of a text, and those along the shortest one while there is time.
    pub(crate) fn warm(&mut self, time: Duration) {
        let started = Instant::now();
        let (mut state, vocabulary) = (self.start, self.vocabulary.clone());
        self.mask(state);
        for token in self.plan(state).unwrap_or_default() {
            if started.elapsed() > time {
                break;
            }
            state = self.step_all(state, vocabulary.token(token));
            self.mask(state);
        }
    }

    /// Keeps a mask with its state, beside the common one of `shared`; when too many are kept, all are
    /// dropped.
    fn keep_mask(&mut self, state: StateId, shared: StateId, mask: Arc<StateMask>) {
        if self.masked.len() >= MASKS {
            for state in std::mem::take(&mut self.masked) {
                self.states[state as usize].mask = None;
                self.states[state as usize].common_mask = None;
            }
        }
        self.masked.extend([state, shared]);
        self.states[state as usize].mask = Some(mask);
    }

    /// The one token that may follow, where there is just one and the text may not end: found by trying
    /// tokens until there are two, which is soon where there is a choice.
    pub(crate) fn only_token(&mut self, state: StateId) -> Option<TokenId> {
        if self.can_end(state) {
            return None;
        }
        let vocabulary = self.vocabulary.clone();
        let tree = vocabulary.tree();
        let mut path = vec![state; tree.depth() + 1];
        let (mut only, mut at) = (None, 0);
        while let Some(node) = tree.nodes().get(at) {
            let depth = usize::from(node.depth);
            let next = self.step(path[depth], node.byte);
            if next == DEAD {
                at += node.size as usize;
                continue;
            }
            path[depth + 1] = next;
            match (tree.ids(node), only) {
                ([], _) => {}
                ([id], None) => only = Some(*id),
                _ => return None,
            }
            at += 1;
        }
        only
    }

    /// Whether after every token that may follow `left` more suffice.
    pub(crate) fn fits_all(&mut self, state: StateId, left: u32) -> bool {
        let enough = match self.enough(state) {
            Some(enough) => enough,
            None => self.mask(state).worst.unwrap_or(u32::MAX).saturating_add(self.echoed(state)),
        };
        enough <= left
    }

    /// Tokens that suffice after any token, where the language can tell without closes.
    pub(crate) fn enough(&mut self, state: StateId) -> Option<u32> {
        let written_again = self.reserve() + self.echoed(state);
        Some(self.ample(state)?.saturating_add(written_again))
    }

    fn ample(&self, state: StateId) -> Option<u32> {
        let stacks = self.states[state as usize].threads.iter().map(|thread| thread.stack);
        stacks.map(|stack| self.ample_for(stack)).try_fold(0, |most, ample| Some(ample?.max(most)))
    }

    fn ample_for(&self, mut stack: StackId) -> Option<u32> {
        let mut sum = 0_u32;
        while stack != EMPTY {
            let (frame, below) = self.stacks.top(stack);
            sum = sum.saturating_add(self.language.ample(self.frames.get(frame))?);
            stack = below;
        }
        Some(sum)
    }

    /// Which tokens may follow when after each of them `left` more suffice. `plan` completes the state;
    /// where it is short enough, its beginning is allowed whatever sums of closes say, which are only
    /// upper bounds.
    pub(crate) fn mask_within(&mut self, state: StateId, left: u32, plan: &[TokenId]) -> Arc<StateMask> {
        let shared = self.forgetful(state);
        let captured = self.echoed(state);
        let sketch = |machine: &Self| Sketch::within(machine.no_tokens(), left, captured, machine.reserve());
        let common = self.common_mask(shared, sketch);
        let mut doubtful = common.doubtful.to_vec();
        self.add_refused(state, &mut doubtful);
        let mut within = self.resolved(state, &common, &doubtful, left);
        if let Some(first) = plan.first().filter(|_| plan.len() <= left as usize + 1) {
            bits::insert(&mut within.words, *first);
        }
        Arc::new(within)
    }

    /// A mask with what depends on captured texts tried.
    fn resolved(&mut self, state: StateId, common: &StateMask, doubtful: &[TokenId], left: u32) -> StateMask {
        let within = Sketch::within(common.words.clone(), left, 0, 0);
        let mut sketch = Sketch { worst: common.worst, ..within };
        let vocabulary = self.vocabulary.clone();
        for id in doubtful {
            bits::remove(&mut sketch.words, *id);
            let next = self.step_all(state, vocabulary.token(*id));
            if next != DEAD {
                self.allow_within(next, *id, &mut sketch);
            }
        }
        sketch.finish()
    }

    /// See [`Sketch::reserve`].
    fn reserve(&self) -> u32 {
        let again = if self.echoes { self.vocabulary.most().word } else { 0 };
        if self.captures { RESERVE + again } else { 0 }
    }

    fn no_tokens(&self) -> Box<[u32]> {
        vec![0_u32; self.vocabulary.words()].into_boxed_slice()
    }

    /// Bytes of the longest captured text that has to be written once more.
    fn echoed(&mut self, state: StateId) -> u32 {
        let threads = self.states[state as usize].threads.clone();
        let echoes = threads.iter().filter(|thread| thread.text > UNKNOWN && self.echoes(thread));
        echoes
            .filter_map(|thread| self.texts.get(thread.text))
            .map(|text| text.len() as u32)
            .max()
            .unwrap_or(0)
    }

    pub(super) fn echoes(&self, thread: &Thread) -> bool {
        let (frame, _) = self.stacks.top(thread.stack);
        self.language.echoes(self.frames.get(frame))
    }

    /// The mask of a state that knows no captured text.
    fn common_mask(&mut self, state: StateId, sketch: impl Fn(&Self) -> Sketch) -> StateMask {
        let reserve = self.reserve();
        let made = self.drawn(state, sketch(self));
        // The first texts for which something has to be reserved may have been met while drawing.
        if self.reserve() == reserve { made } else { self.common_mask(state, sketch) }
    }

    fn drawn(&mut self, state: StateId, mut sketch: Sketch) -> StateMask {
        let mut todo = self.groups(state);
        while let Some(group) = todo.pop() {
            self.draw(group, &mut sketch, &mut todo);
        }
        if self.can_end(state) {
            self.vocabulary.ends().iter().for_each(|id| bits::insert(&mut sketch.words, *id));
        }
        sketch.finish()
    }

    /// The threads of a state, by where they are.
    pub(super) fn groups(&mut self, state: StateId) -> Vec<Group> {
        let threads = self.states[state as usize].threads.clone();
        let mut groups: Vec<Group> = Vec::new();
        for thread in threads.iter().filter(|thread| thread.stack != EMPTY) {
            let offer = self.offer_of(thread.stack);
            let choice = &offer.choices[usize::from(thread.choice)];
            let same = |group: &&mut Group| {
                Arc::ptr_eq(&group.choice.lexeme, &choice.lexeme)
                    && (group.at, group.count) == (thread.at, thread.count)
                    && group.choice.characters == choice.characters
                    && group.choice.allowed == choice.allowed
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.threads.push(*thread),
                None => groups.push(Group {
                    choice: choice.clone(),
                    at: thread.at,
                    count: thread.count,
                    threads: vec![*thread],
                    echo: 0,
                }),
            }
        }
        groups
    }

    /// Tokens on the way to or through a text that the frame of some thread refuses, or of one that is due
    /// if the lexeme ends here.
    fn add_refused(&mut self, state: StateId, doubtful: &mut Vec<TokenId>) {
        let mut threads = self.states[state as usize].threads.to_vec();
        for thread in threads.clone() {
            if let Some(outcome) = self.ended(&thread) {
                let (stacks, _) = self.pop(&thread, outcome);
                stacks.iter().for_each(|stack| threads.extend_from_slice(&self.expand(*stack)));
            }
        }
        let folds = self.language.folds_case();
        for thread in threads {
            for rest in self.refused_rests(&thread) {
                doubtful.extend(self.vocabulary.tree().ids_along(&rest, folds));
            }
        }
    }
}
