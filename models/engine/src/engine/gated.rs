//! A sequence's gate with its latest mask, made while a pass computes where that pays.

use std::ops::{Deref, DerefMut};
use std::thread;
use std::time::{Duration, Instant};

use crate::EngineError;
use crate::gate::TokenGate;
use crate::model::{Decoder, Row};
use crate::tick::Pulse;
use crate::verbs::{SeqKey, TokenId};

/// A gate that takes longer than this for a token is slow: its masks are made beside the pass.
/// Starting and joining a thread takes about a fifth of it.
const SLOW: Duration = Duration::from_micros(250);

/// A gate and what it last allowed.
pub(super) struct Gated {
    gate: Box<dyn TokenGate>,
    /// The latest mask, see [`TokenGate::mask`]; no bit past the vocabulary.
    allowed: Vec<u32>,
    /// Tokens that it allows.
    choices: usize,
    /// Time that the gate took for the latest token, and so far for the next.
    took: Duration,
    spent: Duration,
}

impl Gated {
    pub fn new(gate: Box<dyn TokenGate>) -> Self {
        Self { gate, allowed: Vec::new(), choices: 0, took: Duration::ZERO, spent: Duration::ZERO }
    }

    /// An independent copy.
    pub fn fork(&self) -> Self {
        Self::new(self.gate.fork())
    }

    /// Makes the mask of the next token.
    pub fn make_mask(&mut self, vocab: usize) {
        let started = Instant::now();
        self.allowed.resize(vocab.div_ceil(32), 0);
        self.gate.mask(&mut self.allowed);
        if let (Some(last), used @ 1..) = (self.allowed.last_mut(), vocab % 32) {
            *last &= (1 << used) - 1;
        }
        self.choices = self.allowed.iter().map(|word| word.count_ones() as usize).sum();
        self.took = std::mem::take(&mut self.spent) + started.elapsed();
    }

    /// The mask that was made last.
    pub fn allowed(&self) -> &[u32] {
        &self.allowed
    }

    /// Tokens whose logits a choice reads: none where there is no choice.
    pub fn read(&self) -> &[u32] {
        if self.choices == 1 { &[] } else { &self.allowed }
    }

    /// Tokens that must come next. A slow gate is asked only where its latest mask left no choice:
    /// otherwise the mask, made beside the pass, will tell.
    pub fn forced(&mut self) -> Vec<TokenId> {
        if self.is_slow() && self.choices != 1 {
            return Vec::new();
        }
        let started = Instant::now();
        let forced = self.gate.forced();
        self.spent = started.elapsed();
        forced
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

/// Computes rows and makes the masks of the gates beside them: before the pass when they are quick,
/// on a thread of their own when any is slow.
pub(super) fn forward_with_masks(
    decoder: &mut dyn Decoder,
    rows: &[Row<'_>],
    pulse: &Pulse,
    gates: &mut [(SeqKey, Gated)],
) -> Result<(), EngineError> {
    let vocab = decoder.config().vocab;
    let make = |gates: &mut [(SeqKey, Gated)]| gates.iter_mut().for_each(|(_, gate)| gate.make_mask(vocab));
    if !gates.iter().any(|(_, gate)| gate.is_slow()) {
        make(gates);
        return decoder.forward(rows, pulse);
    }
    let mut is_made = true;
    let passed = thread::scope(|scope| {
        let helper = thread::Builder::new().name("masks".into());
        is_made = helper.spawn_scoped(scope, || make(&mut *gates)).is_ok();
        decoder.forward(rows, pulse)
    });
    if !is_made {
        make(gates);
    }
    passed
}
