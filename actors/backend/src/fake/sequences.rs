//! The fake's sequences: a synchronous little engine that follows a script.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use understudy_engine::{
    EngineError,
    gate::TokenGate,
    verbs::{RunSpec, SamplerSpec, SeqKey, SignalMode, StepResult, StopReason, TokenId},
};

use super::{ByteCodec, Fault, Reply};

/// One open sequence.
pub(super) struct Sequence {
    pub(super) tokens: Vec<TokenId>,
    pub(super) gate: Option<Box<dyn TokenGate>>,
    /// Tokens not yet paid for as prefill.
    pub(super) unpaid_rows: u64,
    pub(super) busy: bool,
    /// Which reply it plays.
    reply: usize,
    /// Where the answer starts.
    answer_start: usize,
    /// How many it tells of besides each token.
    alternatives: u8,
    /// Fires when the sequence is closed; shared by forks through their own tokens.
    pub(super) closed: CancellationToken,
    _permit: Option<OwnedSemaphorePermit>,
}

/// What the next token would be.
pub(super) enum Next {
    Token(StepResult),
    Stop(StopReason),
    Fault(Fault),
}

/// A line of the script: what is said to which prompts.
pub(super) struct Line {
    /// The prompt contains this.
    pub(super) needle: String,
    /// It samples on this lane; `None` on any.
    pub(super) lane: Option<u32>,
    pub(super) reply: Reply,
}

/// All sequences of one fake, and its script.
#[derive(Default)]
pub(super) struct Sequences {
    pub(super) boot: u64,
    /// The first match wins.
    pub(super) script: Vec<Line>,
    pub(super) open: HashMap<SeqKey, Sequence>,
    pub(super) made: u32,
}

impl Sequences {
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    pub(super) fn open(
        &mut self,
        prompt: Vec<TokenId>,
        sampler: &SamplerSpec,
        gate: Option<Box<dyn TokenGate>>,
        unpaid_rows: u64,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<SeqKey, EngineError> {
        let text = text_of(&prompt);
        let reply = self
            .script
            .iter()
            .position(|line| text.contains(&line.needle) && line.lane.is_none_or(|own| own == sampler.lane))
            .ok_or_else(|| EngineError::InvalidArgument(format!("the fake has no reply to {text:?}")))?;
        let answer_start = after_last(&prompt, ByteCodec::ASSISTANT.as_bytes()).unwrap_or(prompt.len());
        Ok(self.insert(Sequence {
            tokens: prompt,
            gate,
            unpaid_rows,
            busy: false,
            reply,
            answer_start,
            alternatives: sampler.alternatives,
            closed: CancellationToken::new(),
            _permit: permit,
        }))
    }

    pub(super) fn fork(
        &mut self,
        key: SeqKey,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<SeqKey, EngineError> {
        let original = self.idle(key)?;
        let copy = Sequence {
            tokens: original.tokens.clone(),
            gate: original.gate.as_ref().map(|gate| gate.fork()),
            unpaid_rows: 0,
            busy: false,
            reply: original.reply,
            answer_start: original.answer_start,
            alternatives: original.alternatives,
            closed: CancellationToken::new(),
            _permit: permit,
        };
        Ok(self.insert(copy))
    }

    pub(super) fn close(&mut self, key: SeqKey) {
        if let Some(sequence) = self.open.remove(&key) {
            sequence.closed.cancel();
        }
    }

    /// Loses every sequence, as a restart of an engine does.
    pub(super) fn lose(&mut self) {
        self.boot += 1;
        for (_, sequence) in self.open.drain() {
            sequence.closed.cancel();
        }
    }

    pub(super) fn get(&mut self, key: SeqKey) -> Result<&mut Sequence, EngineError> {
        self.open.get_mut(&key).ok_or(EngineError::StaleSeq)
    }

    /// The sequence, unless a run has it.
    pub(super) fn idle(&mut self, key: SeqKey) -> Result<&mut Sequence, EngineError> {
        let sequence = self.get(key)?;
        if sequence.busy { Err(EngineError::SeqBusy) } else { Ok(sequence) }
    }

    /// The idle sequence, if it has `at` tokens.
    pub(super) fn at(&mut self, key: SeqKey, at: usize) -> Result<&mut Sequence, EngineError> {
        let sequence = self.idle(key)?;
        let actual = sequence.tokens.len();
        if actual == at { Ok(sequence) } else { Err(EngineError::LengthMismatch { expected: at, actual }) }
    }

    /// Delay before the first token of a run, and before each.
    pub(super) fn delays(&mut self, key: SeqKey) -> Result<(Duration, Duration), EngineError> {
        let (reply, _) = self.reply_at(key)?;
        Ok((reply.first_token_delay, reply.token_delay))
    }

    /// The scripted token at the sequence's end, `ahead` tokens further on, gate ignored.
    pub(super) fn scripted(&mut self, key: SeqKey, ahead: usize) -> Result<(TokenId, f32), EngineError> {
        let (reply, n) = self.reply_at(key)?;
        Ok((reply.token(n + ahead), reply.logprob_of(n + ahead)))
    }

    /// What a run does next; a token is appended before it is answered.
    pub(super) fn step(&mut self, key: SeqKey, spec: &RunSpec) -> Result<Next, EngineError> {
        let (reply, n) = self.reply_at(key)?;
        if let Some(fault) = reply.take_fault(n) {
            return Ok(Next::Fault(fault));
        }
        let (wanted, logprob, signals) = (reply.token(n), reply.logprob_of(n), reply.signals_of(n));
        let crossed = spec.stop_when.entropy_above.is_some_and(|limit| signals.entropy > limit)
            || spec.stop_when.margin_below.is_some_and(|limit| signals.margin < limit);
        let sequence = self.get(key)?;
        let (token, forced) = match &mut sequence.gate {
            None => (wanted, false),
            Some(gate) => {
                if gate.is_complete() {
                    return Ok(Next::Stop(StopReason::Constraint));
                }
                match gate.forced().first() {
                    Some(only) => (*only, true),
                    None => (nearest_allowed(gate.as_mut(), wanted).ok_or(EngineError::DeadEnd)?, false),
                }
            }
        };
        if token == ByteCodec::END {
            return Ok(Next::Stop(StopReason::End));
        }
        if crossed && !forced {
            return Ok(Next::Stop(StopReason::Signal));
        }
        sequence.append(token)?;
        let signals = (spec.signals != SignalMode::None).then_some(signals);
        let alternatives = if forced { None } else { sequence.alternatives_to(token, logprob) };
        let logprob = if forced { 0.0 } else { logprob };
        Ok(Next::Token(StepResult { token, logprob, signals, forced, alternatives }))
    }

    /// The sequence's reply and the position in it.
    pub(super) fn reply_at(&mut self, key: SeqKey) -> Result<(&mut Reply, usize), EngineError> {
        let sequence = self.open.get(&key).ok_or(EngineError::StaleSeq)?;
        let position = sequence.tokens.len() - sequence.answer_start.min(sequence.tokens.len());
        let reply = &mut self.script.get_mut(sequence.reply).ok_or(EngineError::StaleSeq)?.reply;
        Ok((reply, position))
    }

    fn insert(&mut self, sequence: Sequence) -> SeqKey {
        self.made += 1;
        let key = SeqKey { slot: self.made, generation: 1 };
        self.open.insert(key, sequence);
        key
    }
}

impl Sequence {
    /// Appends a token that the gate must allow.
    pub(super) fn append(&mut self, token: TokenId) -> Result<(), EngineError> {
        if let Some(gate) = &mut self.gate
            && !gate.accept(token)
        {
            return Err(EngineError::DeadEnd);
        }
        self.tokens.push(token);
        Ok(())
    }

    /// The token itself and the ones after it by id, each half as likely as the one before.
    pub(super) fn alternatives_to(&self, token: TokenId, logprob: f32) -> Option<Arc<[(TokenId, f32)]>> {
        let halved = |n: u8| logprob - f32::from(n) * std::f32::consts::LN_2;
        let one = |n: u8| ((token + u32::from(n)) % ByteCodec::VOCAB as TokenId, halved(n));
        (self.alternatives > 0).then(|| (0..self.alternatives).map(one).collect())
    }

    /// Drops everything after `len` tokens.
    pub(super) fn truncate(&mut self, len: usize) -> Result<(), EngineError> {
        let Some(dropped) = self.tokens.len().checked_sub(len).filter(|_| len > 0) else {
            return Err(EngineError::InvalidArgument(format!(
                "cannot truncate {} tokens to {len}",
                self.tokens.len()
            )));
        };
        if let Some(gate) = &mut self.gate {
            gate.rollback(dropped);
        }
        self.tokens.truncate(len);
        Ok(())
    }
}

/// The wanted token if the gate allows it, else the lowest allowed one.
fn nearest_allowed(gate: &mut dyn TokenGate, wanted: TokenId) -> Option<TokenId> {
    let mut allowed = [0_u32; ByteCodec::VOCAB.div_ceil(32)];
    gate.mask(&mut allowed);
    let is_allowed =
        |id: &TokenId| allowed.get(*id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1);
    Some(wanted).filter(is_allowed).or_else(|| (0..ByteCodec::VOCAB as TokenId).find(is_allowed))
}

pub(super) fn text_of(ids: &[TokenId]) -> String {
    let bytes: Vec<u8> = ids.iter().filter_map(|id| u8::try_from(*id).ok()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Index one past the last occurrence of `needle`.
fn after_last(ids: &[TokenId], needle: &[u8]) -> Option<usize> {
    ids.windows(needle.len())
        .rposition(|window| window.iter().zip(needle).all(|(id, byte)| *id == TokenId::from(*byte)))
        .map(|start| start + needle.len())
}
