//! How the fake checks a draft: token by token, against its script.

use understudy_engine::{
    EngineError,
    verbs::{
        Acceptance, RunSpec, SeqKey, SignalMode, StepResult, StopReason, StopWhen, TokenId, Verified,
        VerifySpec,
    },
};

use super::sequences::{Next, Sequences};
use super::{ByteCodec, Fault};

/// Tokens that a gate foresees for a verification, at most.
const FORESEEN: usize = 7;

/// What became of a verification.
pub(super) enum Checked {
    Done {
        verified: Verified,
        /// Rows that a model would have computed.
        rows: u64,
    },
    /// The sequence is as before, if there still is one.
    Fault(Fault),
}

/// Why no token follows for now.
enum End {
    Stop(StopReason),
    Fault(Fault),
}

impl Sequences {
    /// Adds what stands of a draft, the script's own next token, and what the gate forces.
    pub(super) fn verify(
        &mut self,
        key: SeqKey,
        spec: &VerifySpec,
        context: usize,
    ) -> Result<Checked, EngineError> {
        check(spec)?;
        let base = self.get(key)?.tokens.len();
        let mut verified = Verified::default();
        let room = (spec.most as usize).min(context.saturating_sub(base));
        let walked = self.walk(key, spec, room, &mut verified);
        let rows = match walked {
            Ok((rows, None)) => rows,
            Ok((rows, Some(End::Stop(stop)))) => {
                verified.stop = Some(stop);
                rows
            }
            Ok((_, Some(End::Fault(fault)))) => {
                self.get(key)?.truncate(base)?;
                return Ok(Checked::Fault(fault));
            }
            Err(error) => {
                self.get(key)?.truncate(base)?;
                return Err(error);
            }
        };
        let sequence = self.get(key)?;
        let len = sequence.tokens.len();
        if let (None, Some(gate)) = (verified.stop, &mut sequence.gate) {
            verified.stop = gate.is_complete().then_some(StopReason::Constraint);
            verified.foreseen = if verified.stop.is_none() { gate.foreseen(FORESEEN).len() } else { 0 };
        }
        verified.stop = verified.stop.or((len >= context).then_some(StopReason::ContextFull));
        Ok(Checked::Done { verified, rows })
    }

    /// Rows that a model would compute, and why no token follows.
    fn walk(
        &mut self,
        key: SeqKey,
        spec: &VerifySpec,
        room: usize,
        verified: &mut Verified,
    ) -> Result<(u64, Option<End>), EngineError> {
        let run = RunSpec { max_tokens: spec.most, stop_when: StopWhen::default(), signals: spec.signals };
        if let Some(end) = self.push_forced(key, &run, room, &mut verified.steps)? {
            return Ok((0, Some(end)));
        }
        if self.get(key)?.gate.as_mut().is_some_and(|gate| gate.is_complete()) {
            return Ok((0, None));
        }
        let Some(left) = room.checked_sub(verified.steps.len() + 1) else { return Ok((0, None)) };
        let forced: Vec<TokenId> = verified.steps.iter().map(|step| step.token).collect();
        let mut drafted = spec.draft.ids.strip_prefix(&forced[..]).unwrap_or_default().to_vec();
        let is_own = !drafted.is_empty();
        if let (false, Some(gate)) = (is_own, &mut self.get(key)?.gate) {
            drafted = gate.foreseen(FORESEEN);
        }
        drafted.truncate(left);
        let rows = drafted.len() as u64 + 1;
        verified.drafted = if is_own { drafted.len() } else { 0 };
        for expected in drafted.iter().map(|token| Some(*token)).chain([None]) {
            let next = match expected.filter(|_| is_lenient(spec.acceptance)) {
                Some(token) => self.tolerate(key, token, &run, spec.acceptance)?,
                None => None,
            };
            let next = match next {
                Some(step) => Next::Token(step),
                None => self.step(key, &run)?,
            };
            let said = match &next {
                Next::Token(step) => Some(step.token),
                Next::Stop(StopReason::End) => Some(ByteCodec::END),
                _ => None,
            };
            let stands = expected.is_some() && said == expected;
            verified.accepted += usize::from(stands && is_own);
            match next {
                Next::Token(step) => verified.steps.push(step),
                Next::Stop(reason) => return Ok((rows, Some(End::Stop(reason)))),
                Next::Fault(fault) => return Ok((rows, Some(End::Fault(fault)))),
            }
            if !stands {
                break;
            }
        }
        Ok((rows, self.push_forced(key, &run, room, &mut verified.steps)?))
    }

    /// Appends what the gate forces, until there are `room` steps.
    fn push_forced(
        &mut self,
        key: SeqKey,
        run: &RunSpec,
        room: usize,
        steps: &mut Vec<StepResult>,
    ) -> Result<Option<End>, EngineError> {
        while steps.len() < room
            && self
                .get(key)?
                .gate
                .as_mut()
                .is_some_and(|gate| !gate.is_complete() && !gate.forced().is_empty())
        {
            match self.step(key, run)? {
                Next::Token(step) => steps.push(step),
                Next::Stop(reason) => return Ok(Some(End::Stop(reason))),
                Next::Fault(fault) => return Ok(Some(End::Fault(fault))),
            }
        }
        Ok(None)
    }

    /// Appends a drafted token at a position where the script tolerates any that the gate allows: with
    /// alpha 1 everywhere.
    fn tolerate(
        &mut self,
        key: SeqKey,
        token: TokenId,
        run: &RunSpec,
        acceptance: Acceptance,
    ) -> Result<Option<StepResult>, EngineError> {
        let (reply, n) = self.reply_at(key)?;
        let any = acceptance == Acceptance::Lenient { alpha: 1.0 };
        if !(any || reply.tolerates_at(n)) || token == ByteCodec::END {
            return Ok(None);
        }
        let (logprob, signals) = (reply.logprob_of(n), reply.signals_of(n));
        let signals = (run.signals != SignalMode::None).then_some(signals);
        let sequence = self.get(key)?;
        let appended = sequence.append(token).is_ok();
        let alternatives = sequence.alternatives_to(token, logprob);
        Ok(appended.then_some(StepResult { token, logprob, signals, forced: false, alternatives }))
    }
}

fn is_lenient(acceptance: Acceptance) -> bool {
    matches!(acceptance, Acceptance::Lenient { alpha } if alpha > 0.0)
}

fn check(spec: &VerifySpec) -> Result<(), EngineError> {
    let invalid = |why: &str| Err(EngineError::InvalidArgument(why.into()));
    if let Acceptance::Lenient { alpha } = spec.acceptance
        && !(0.0..=1.0).contains(&alpha)
    {
        return invalid("alpha must be from 0 to 1");
    }
    if spec.most == 0 {
        return invalid("a verification adds at least one token");
    }
    match spec.draft.ids.is_empty() {
        true => Ok(()),
        false => super::backend::check_tokens("draft", &spec.draft.ids),
    }
}
