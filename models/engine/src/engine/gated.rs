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
    /// Tokens that the next pass computes besides: see [`TokenGate::foreseen`].
    foreseen: Vec<TokenId>,
    /// The latest masks, one after another: of the next token, and of the one after each foreseen.
    /// No bit past the vocabulary.
    allowed: Vec<u32>,
    /// Tokens that each of them allows.
    choices: Vec<usize>,
    /// Time that the latest masks took.
    took: Duration,
}

impl Gated {
    pub fn new(gate: Box<dyn TokenGate>) -> Self {
        Self { gate, foreseen: Vec::new(), allowed: Vec::new(), choices: Vec::new(), took: Duration::ZERO }
    }

    /// An independent copy.
    pub fn fork(&self) -> Self {
        Self::new(self.gate.fork())
    }

    /// Makes the mask of the next token.
    pub fn make_mask(&mut self, vocab: usize) {
        self.allowed.clear();
        self.choices.clear();
        self.add_mask(vocab);
    }

    /// Makes the masks of the next token and of the one after each that is foreseen.
    pub fn make_masks(&mut self, vocab: usize) {
        let started = Instant::now();
        self.make_mask(vocab);
        let mut accepted = 0;
        while self.foreseen.get(accepted).is_some_and(|token| self.gate.accept(*token)) {
            accepted += 1;
            self.add_mask(vocab);
        }
        self.gate.rollback(accepted);
        self.took = started.elapsed();
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

    /// The mask of the next token, or of the one after so many foreseen ones; none was made after one
    /// that is not allowed.
    pub fn allowed(&self, foreseen: usize) -> Option<&[u32]> {
        let words = self.allowed.len() / self.choices.len().max(1);
        self.allowed.get(foreseen * words..(foreseen + 1) * words)
    }

    /// Tokens whose logits a choice reads: none where there is no choice.
    pub fn read(&self, foreseen: usize) -> &[u32] {
        let is_open = self.choices.get(foreseen).is_some_and(|choices| *choices > 1);
        self.allowed(foreseen).filter(|_| is_open).unwrap_or_default()
    }

    /// Asks for tokens to compute besides the next, `most` at most; not a slow gate.
    pub fn foresee(&mut self, most: usize) -> &[TokenId] {
        self.foreseen = if self.is_slow() { Vec::new() } else { self.gate.foreseen(most) };
        self.foreseen.truncate(most);
        &self.foreseen
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
