//! A sequence's gate with its latest masks.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use crate::gate::TokenGate;
use crate::verbs::TokenId;

/// A gate whose masks take longer than this is asked for nothing else while a pass waits.
const SLOW: Duration = Duration::from_micros(250);

/// A gate and what it last allowed.
pub(super) struct Gated {
    gate: Box<dyn TokenGate>,
    /// Tokens that the next pass computes besides: foreseen ones (see [`TokenGate::foreseen`]) or drafted
    /// ones.
    ahead: Vec<TokenId>,
    /// Masks after the first are made one by one, by whoever comes so far.
    is_lazy: bool,
    /// The latest masks, one after another: of the next token, and of the one after each token ahead.
    /// No bit past the vocabulary.
    allowed: Vec<u32>,
    /// Tokens that each of them allows.
    choices: Vec<usize>,
    /// Time that each of the latest masks took, on average.
    took: Duration,
}

impl Gated {
    pub fn new(gate: Box<dyn TokenGate>) -> Self {
        Self {
            gate,
            ahead: Vec::new(),
            is_lazy: false,
            allowed: Vec::new(),
            choices: Vec::new(),
            took: Duration::ZERO,
        }
    }

    /// An independent copy.
    pub fn fork(&self) -> Self {
        Self::new(self.gate.fork())
    }

    /// Makes the masks of the next token and of the one after each token ahead, as far as these are
    /// allowed. A slow gate makes the first.
    pub fn make_masks(&mut self, vocab: usize) {
        let started = Instant::now();
        self.make_mask(vocab);
        let mut accepted = 0;
        while !self.is_lazy && self.ahead.get(accepted).is_some_and(|token| self.gate.accept(*token)) {
            accepted += 1;
            self.add_mask(vocab);
        }
        self.gate.rollback(accepted);
        self.ahead.clear();
        self.took = started.elapsed() / (accepted as u32 + 1);
    }

    /// The mask of the token after so many of those ahead, which the gate has seen by now; made here if it
    /// was not yet.
    pub fn mask_after(&mut self, count: usize, vocab: usize) -> &[u32] {
        match self.allowed(count).is_some() {
            true => self.allowed(count).unwrap_or_default(),
            false => {
                self.make_mask(vocab);
                &self.allowed
            }
        }
    }

    fn make_mask(&mut self, vocab: usize) {
        self.allowed.clear();
        self.choices.clear();
        self.add_mask(vocab);
    }

    fn add_mask(&mut self, vocab: usize) {
        let from = self.allowed.len();
        self.allowed.resize(from + vocab.div_ceil(32), 0);
        let mask = &mut self.allowed[from..];
        self.gate.mask(mask);
        if let (Some(last), used @ 1..) = (mask.last_mut(), vocab % 32) {
            *last &= (1 << used) - 1;
        }
        self.choices.push(mask.iter().map(|word| word.count_ones() as usize).sum());
    }

    /// The mask of the next token, or of the one after so many of those ahead; none was made after one
    /// that is not allowed, nor by a slow gate.
    pub fn allowed(&self, count: usize) -> Option<&[u32]> {
        let words = self.allowed.len() / self.choices.len().max(1);
        self.allowed.get(count * words..(count + 1) * words)
    }

    /// Tokens whose logits a choice reads, `None` for all: it reads none where there is no choice, and no
    /// choice is made after a token that is not allowed.
    pub fn read(&self, count: usize) -> Option<&[u32]> {
        let is_open = self.choices.get(count).is_some_and(|choices| *choices > 1);
        match self.allowed(count) {
            None if self.is_lazy => None,
            allowed => Some(allowed.filter(|_| is_open).unwrap_or_default()),
        }
    }

    /// Up to `most` tokens that are likely to come next; none of a slow gate, which is not asked.
    pub fn foreseen(&mut self, most: usize) -> Vec<TokenId> {
        let mut foreseen = if self.is_slow() { Vec::new() } else { self.gate.foreseen(most) };
        foreseen.truncate(most);
        foreseen
    }

    /// Sets the tokens that the next pass computes besides the next; the gate is not told yet.
    pub fn look_ahead(&mut self, tokens: &[TokenId]) {
        self.ahead.clear();
        self.ahead.extend_from_slice(tokens);
        self.is_lazy = self.is_slow();
    }

    /// Tokens that must come next. A slow gate is asked only where its latest mask left no choice:
    /// otherwise the mask, made beside the pass, will tell.
    pub fn forced(&mut self) -> Vec<TokenId> {
        match self.is_slow() && self.choices.last() != Some(&1) {
            true => Vec::new(),
            false => self.gate.forced(),
        }
    }

    fn is_slow(&self) -> bool {
        self.took >= SLOW
    }
}

impl Deref for Gated {
    type Target = dyn TokenGate;

    fn deref(&self) -> &Self::Target {
        &*self.gate
    }
}

impl DerefMut for Gated {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.gate
    }
}
