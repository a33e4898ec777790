//! The shortest way to an end.
//!
//! Each frame has a *close*: a lexeme's text and the frames after it, such that the sum of tokens
//! is smallest when each lexeme is spelled by itself. Sums are what a state needs at most; the
//! witness, spelled as a whole, often needs fewer.

use std::sync::Arc;

use super::Machine;
use super::language::{After, Choice, Language, Read};
use super::shortest::{ENDLESS, Way, solve};
use super::step::{DEAD, StateId, Thread, counted};
use super::store::{EMPTY, FrameId, StackId, UNKNOWN};
use crate::lexeme::{Outcomes, START};
use crate::{TokenId, Vocabulary};

impl<L: Language> Machine<L> {
    /// Tokens that complete the state, by the closes of what is due, spelled as a whole.
    pub(crate) fn plan(&mut self, state: StateId) -> Option<Vec<TokenId>> {
        let threads = self.states[state as usize].threads.clone();
        let ways = threads.iter().filter_map(|thread| self.finish_thread(thread));
        let (_, mut text, stack) = ways.min_by_key(|(tokens, ..)| *tokens)?;
        self.write_close(stack, &mut text);
        self.vocabulary.spell(&text)
    }

    /// An upper bound of the tokens that complete the state: sums of closes. Cheap.
    pub(crate) fn bound(&mut self, state: StateId) -> Option<u32> {
        if state == DEAD {
            return None;
        }
        if let Some(known) = self.states[state as usize].bound {
            return known;
        }
        let threads = self.states[state as usize].threads.clone();
        let bound = threads.iter().filter_map(|thread| self.tokens_to_finish(thread)).min();
        self.states[state as usize].bound = Some(bound);
        bound
    }

    /// The same by way of any ending of the lexemes that are being read, where [`bound`](Self::bound) looks at
    /// the nearest only: that may be a name after which more is missing than after a longer one.
    pub(super) fn bound_by_any_ending(&mut self, state: StateId) -> Option<u32> {
        if let Some(known) = self.states[state as usize].least {
            return known;
        }
        let threads = self.states[state as usize].threads.clone();
        let known = threads.iter().filter(|thread| thread.text != UNKNOWN);
        let least = known.filter_map(|thread| Some(self.finish_thread(thread)?.0)).min();
        self.states[state as usize].least = Some(least);
        least
    }

    /// Tokens that complete a thread by way of its lexeme's nearest ending.
    fn tokens_to_finish(&mut self, thread: &Thread) -> Option<u32> {
        if thread.stack == EMPTY {
            return Some(0);
        }
        let offer = self.offer_of(thread.stack);
        let choice = &offer.choices[usize::from(thread.choice)];
        if choice.captured && thread.text != UNKNOWN {
            return self.tokens_to_nearest(thread, choice);
        }
        let (spelled, outcome) = match choice.lexeme.automaton.nearest_outcome(thread.at) {
            Some(outcome) if choice.allows(outcome) && !choice.is_bounded() => {
                (choice.lexeme.tokens_to_end(thread.at, &self.vocabulary), outcome)
            }
            // As many tokens as bytes, which is cheaper to know than how few spell them.
            _ => {
                let (text, outcome) = choice.lexeme.shortest(thread.at, choice.allowed.as_ref())?;
                (text.len() as u32, outcome)
            }
        };
        let missing = choice.characters.0.saturating_sub(thread.count);
        let (stacks, unknown) = self.pop(thread, outcome);
        let after = match unknown {
            true if stacks.is_empty() => self.tokens_after_some_text(thread, outcome),
            _ => stacks.iter().map(|stack| self.stack_tokens(*stack)).min()?,
        };
        let filler = self.vocabulary.filler_tokens(missing);
        let tokens = after.saturating_add(spelled).saturating_add(filler);
        (tokens != ENDLESS).then_some(tokens)
    }

    /// The same where the text matters and is known.
    fn tokens_to_nearest(&mut self, thread: &Thread, choice: &Choice) -> Option<u32> {
        let nearest = (choice.lexeme.shortest(thread.at, choice.allowed.as_ref()))
            .filter(|_| thread.count >= choice.characters.0)
            .and_then(|(text, outcome)| self.not_refused(thread, choice, text, outcome));
        let Some((text, stacks)) = nearest else {
            return self.finish_thread(thread).map(|(tokens, ..)| tokens);
        };
        let after = stacks.iter().map(|stack| self.stack_tokens(*stack)).min()?;
        let tokens = self.tokens_of(&text)?.saturating_add(after);
        (tokens != ENDLESS).then_some(tokens)
    }

    /// Tokens after a lexeme whose text matters, for a text that ends it as `outcome`.
    pub(super) fn tokens_after_some_text(&mut self, thread: &Thread, outcome: u32) -> u32 {
        let key = (thread.stack, thread.choice, outcome);
        if let Some(known) = self.after_some_text.get(&key) {
            return *known;
        }
        let tokens = self.find_tokens_after_some_text(thread, outcome);
        self.after_some_text.insert(key, tokens);
        tokens
    }

    fn find_tokens_after_some_text(&mut self, thread: &Thread, outcome: u32) -> u32 {
        let offer = self.offer_of(thread.stack);
        let choice = &offer.choices[usize::from(thread.choice)];
        let begun = Thread { at: START, count: 0, text: super::store::BEGUN, ..*thread };
        let text = choice.lexeme.short_text(START, outcome, &self.vocabulary);
        let read = text.and_then(|text| self.not_refused(&begun, choice, text.to_vec(), outcome));
        let Some((_, stacks)) = read else { return ENDLESS };
        stacks.iter().map(|stack| self.stack_tokens(*stack)).min().unwrap_or(ENDLESS)
    }

    /// Tokens, the text that ends a thread's lexeme, and the stack that is due then.
    fn finish_thread(&mut self, thread: &Thread) -> Option<(u32, Vec<u8>, StackId)> {
        if thread.stack == EMPTY {
            return Some((0, Vec::new(), EMPTY));
        }
        let offer = self.offer_of(thread.stack);
        let choice = &offer.choices[usize::from(thread.choice)];
        let mut best: Option<(u32, Vec<u8>, StackId)> = None;
        for (text, outcome) in endings(choice, thread.at, thread.count, &self.vocabulary.clone()) {
            let Some((text, stacks)) = self.not_refused(thread, choice, text, outcome) else { continue };
            let spelled = self.tokens_of(&text)?;
            for stack in stacks.iter() {
                let tokens = spelled.saturating_add(self.stack_tokens(*stack));
                if tokens != ENDLESS && best.as_ref().is_none_or(|(least, ..)| tokens < *least) {
                    best = Some((tokens, text.clone(), *stack));
                }
            }
        }
        best
    }

    /// A text that ends a thread's lexeme as `outcome` and what is due then: `text`, unless the
    /// language refuses that one.
    fn not_refused(
        &mut self,
        thread: &Thread,
        choice: &Choice,
        text: Vec<u8>,
        outcome: u32,
    ) -> Option<(Vec<u8>, Arc<[StackId]>)> {
        let read = |machine: &mut Self, text: &[u8]| {
            let mut ended = *thread;
            text.iter().for_each(|byte| ended.text = machine.texts.push(ended.text, *byte));
            let (stacks, unknown) = machine.pop(&ended, outcome);
            ((!stacks.is_empty()).then_some(stacks), unknown)
        };
        match read(self, &text) {
            (Some(stacks), _) => return Some((text, stacks)),
            // It is not this text that matters but one that is not known.
            (None, true) => return None,
            (None, false) if !choice.captured => return None,
            (None, false) => {}
        }
        let only = Outcomes::only(choice.lexeme.automaton.outcomes(), Some(outcome));
        let mut others = choice.lexeme.texts(thread.at, Some(&only)).take(OTHER_TEXTS);
        others.find_map(|(text, _)| read(self, &text).0.map(|stacks| (text, stacks)))
    }

    pub(super) fn stack_tokens(&mut self, mut stack: StackId) -> u32 {
        let mut sum = 0_u32;
        while stack != EMPTY {
            let (frame, below) = self.stacks.top(stack);
            sum = sum.saturating_add(self.close(frame).cost);
            stack = below;
        }
        sum
    }

    fn write_close(&mut self, mut stack: StackId, text: &mut Vec<u8>) {
        while stack != EMPTY {
            let (frame, below) = self.stacks.top(stack);
            let close = self.close(frame).clone();
            text.extend_from_slice(&close.text);
            stack = close.then.iter().rev().fold(below, |below, frame| self.stacks.push(*frame, below));
        }
    }

    /// The close of a frame: least fixed point over the frames that it can lead to.
    fn close(&mut self, frame: FrameId) -> &Way<FrameId> {
        if !self.closes.contains_key(&frame) {
            self.find_closes(frame);
        }
        &self.closes[&frame]
    }

    fn find_closes(&mut self, frame: FrameId) {
        let known = std::mem::take(&mut self.closes);
        let found = solve(&frame, &known, |frame| self.ways(*frame));
        self.closes = known;
        self.closes.extend(found);
    }

    /// What a completion of a frame may begin with.
    fn ways(&mut self, frame: FrameId) -> Vec<Way<FrameId>> {
        let value = self.frames.get(frame).clone();
        if let Some(ways) = self.language.ways(&value) {
            let with_cost = |(text, then): (Vec<u8>, Vec<L::Frame>)| {
                let cost = self.tokens_of(&text)?;
                Some(Way { cost, text, then: then.into_iter().map(|frame| self.frames.id(frame)).collect() })
            };
            return ways.into_iter().filter_map(with_cost).collect();
        }
        let offer = self.offer(frame);
        let mut ways = Vec::new();
        if offer.optional {
            ways.push(Way { cost: 0, text: Vec::new(), then: Vec::new() });
        }
        for (number, choice) in offer.choices.iter().enumerate() {
            for (text, outcome) in endings(choice, START, 0, &self.vocabulary.clone()) {
                let read = Read { outcome, text: choice.captured.then_some(text.as_slice()) };
                let After::Ways(after) = self.language.after(&value, number, read) else { continue };
                let Some(cost) = self.tokens_of(&text) else { continue };
                for frames in after {
                    let then = frames.into_iter().map(|frame| self.frames.id(frame)).collect();
                    ways.push(Way { cost, text: text.clone(), then });
                }
            }
        }
        ways
    }

    /// Fewest tokens that spell a text; closes have much the same texts.
    fn tokens_of(&mut self, text: &[u8]) -> Option<u32> {
        if let Some(known) = self.spelled.get(text) {
            return *known;
        }
        let tokens = self.vocabulary.spell(text).map(|tokens| tokens.len() as u32);
        self.spelled.insert(text.to_vec(), tokens);
        tokens
    }
}

/// Texts that end a lexeme from a state: one of few tokens for each outcome. Of more than are looked at
/// the nearest is among them, since bounds count on it.
fn endings(choice: &Choice, at: u32, count: u32, vocabulary: &Vocabulary) -> Vec<(Vec<u8>, u32)> {
    let automaton = &choice.lexeme.automaton;
    let reach = automaton.reach(at).clone();
    let many = reach.iter().filter(|outcome| choice.allows(*outcome)).nth(OUTCOMES).is_some();
    let nearest = if many { nearest(choice, at) } else { None };
    let others = reach.iter().filter(|outcome| Some(*outcome) != nearest && choice.allows(*outcome));
    let text = |outcome| {
        let few = choice.lexeme.short_text(at, outcome, vocabulary)?;
        let text = match has_room(choice, at, count, &few) {
            true => few.to_vec(),
            false => {
                choice.lexeme.shortest(at, Some(&Outcomes::only(automaton.outcomes(), Some(outcome))))?.0
            }
        };
        Some((fill(choice, at, count, &text, vocabulary), outcome))
    };
    nearest.into_iter().chain(others).take(OUTCOMES).filter_map(text).collect()
}

/// Whether a text has no more characters than a choice may have: of few tokens each may have many.
fn has_room(choice: &Choice, from: u32, before: u32, text: &[u8]) -> bool {
    if !choice.is_bounded() {
        return true;
    }
    let (mut state, mut count) = (from, before);
    text.iter().all(|byte| {
        let Some(next) = choice.lexeme.automaton.step(state, *byte) else { return false };
        let (completed, needed) = counted(choice, next, count);
        (state, count) = (next, completed);
        needed <= choice.characters.1
    })
}

/// The outcome of the nearest ending that is allowed.
fn nearest(choice: &Choice, at: u32) -> Option<u32> {
    let nearest = choice.lexeme.automaton.nearest_outcome(at).filter(|outcome| choice.allows(*outcome));
    nearest.or_else(|| choice.lexeme.shortest(at, choice.allowed.as_ref()).map(|(_, outcome)| outcome))
}

/// A text of a choice with few tokens.
pub(super) fn short_text(choice: &Choice, vocabulary: &Vocabulary) -> Option<Vec<u8>> {
    let texts = endings(choice, START, 0, vocabulary).into_iter().map(|(text, _)| text);
    texts.min_by_key(|text| (vocabulary.spell(text).map_or(usize::MAX, |tokens| tokens.len()), text.len()))
}

/// Outcomes of which a close is looked for.
const OUTCOMES: usize = 64;
/// Texts tried where the language refuses the shortest.
const OTHER_TEXTS: usize = 32;

/// Adds characters to a text, before its end, until there are as many as the choice wants.
fn fill(choice: &Choice, from: u32, before: u32, text: &[u8], vocabulary: &Vocabulary) -> Vec<u8> {
    let automaton = &choice.lexeme.automaton;
    let (mut filled, mut state, mut count) = (Vec::new(), from, before);
    for byte in text {
        let ends = automaton.step(state, *byte).is_some_and(|next| automaton.ending(next).is_some());
        let missing = choice.characters.0.saturating_sub(count);
        if ends && missing > 0 {
            let (filler, after) = filler(choice, state, missing, *byte, vocabulary);
            filled.extend(filler);
            state = after;
        }
        let Some(next) = automaton.step(state, *byte) else { return filled };
        count = counted(choice, next, count).0;
        state = next;
        filled.push(*byte);
    }
    filled
}

/// So many characters from a state after which `end` can come, and the state after them: tokens of letters,
/// or one character again and again.
fn filler(choice: &Choice, state: u32, missing: u32, end: u8, vocabulary: &Vocabulary) -> (Vec<u8>, u32) {
    let automaton = &choice.lexeme.automaton;
    let after = |bytes: &[u8]| {
        let after = bytes.iter().try_fold(state, |state, byte| automaton.step(state, *byte))?;
        automaton.step(after, end).map(|_| after)
    };
    let letters = vocabulary.filler(missing).unwrap_or_default();
    let letters: Vec<u8> = letters.iter().flat_map(|token| vocabulary.token(*token)).copied().collect();
    let single = (b'a'..=b'z').chain(b' '..=b'~').filter(|byte| *byte != b'\\');
    let single = single.map(|byte| vec![byte; missing as usize]);
    let mut fillers = std::iter::once(letters).filter(|letters| !letters.is_empty()).chain(single);
    let found = fillers.find_map(|filler| after(&filler).map(|after| (filler, after)));
    found.unwrap_or((Vec::new(), state))
}
