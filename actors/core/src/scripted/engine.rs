//! The scripted engine itself.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;

use understudy_engine::{
    EngineError,
    pace::Pace,
    tick::{EngineStats, Pulse, Tick, TickEngine},
    verbs::{
        Cost, Draft, JobEvent, JobId, Outcome, RunSpec, SeqKey, SignalMode, Signals, StepResult, StopReason,
        TokenId, Verb, Verified,
    },
};

use super::Script;

/// A synchronous engine that writes the alphabet.
pub struct ScriptedEngine {
    script: Script,
    pulse: Pulse,
    sequences: HashMap<SeqKey, Vec<TokenId>>,
    made: u32,
    /// Verbs that are answered at the next tick.
    quick: VecDeque<(JobId, Verb)>,
    runs: Vec<Run>,
    total: Cost,
    /// Seconds of verifications so far, by rows: a tick each, and a millisecond for each row where ticks take no time.
    paces: HashMap<usize, f64>,
}

struct Run {
    job: JobId,
    seq: SeqKey,
    spec: RunSpec,
    produced: u32,
    paused: bool,
    cancelled: bool,
}

impl ScriptedEngine {
    /// Longest sequence in tokens.
    pub const CONTEXT: usize = 1 << 20;

    pub(super) fn new(script: Script, pulse: Pulse) -> Self {
        script.shared.starts.fetch_add(1, Ordering::SeqCst);
        script.shared.open.store(0, Ordering::SeqCst);
        Self {
            script,
            pulse,
            sequences: HashMap::new(),
            made: 0,
            quick: VecDeque::new(),
            runs: Vec::new(),
            total: Cost::default(),
            paces: HashMap::new(),
        }
    }

    fn tokens_of(&mut self, seq: SeqKey) -> Result<&mut Vec<TokenId>, EngineError> {
        if self.runs.iter().any(|run| run.seq == seq) {
            return Err(EngineError::SeqBusy);
        }
        self.sequences.get_mut(&seq).ok_or(EngineError::StaleSeq)
    }

    fn tokens_at(&mut self, seq: SeqKey, at: usize) -> Result<&mut Vec<TokenId>, EngineError> {
        let tokens = self.tokens_of(seq)?;
        let actual = tokens.len();
        if actual == at { Ok(tokens) } else { Err(EngineError::LengthMismatch { expected: at, actual }) }
    }

    fn insert(&mut self, tokens: Vec<TokenId>) -> SeqKey {
        self.made += 1;
        let key = SeqKey { slot: self.made, generation: 0 };
        self.sequences.insert(key, tokens);
        self.note_open();
        key
    }

    fn note_open(&self) {
        self.script.shared.open.store(self.sequences.len(), Ordering::SeqCst);
    }

    fn answer(&mut self, verb: Verb) -> Result<Outcome, EngineError> {
        match verb {
            Verb::Open(spec) if spec.prompt.is_empty() => Err(EngineError::Empty("prompt")),
            Verb::Open(spec) => Ok(Outcome::Opened { seq: self.insert(spec.prompt), cached: 0 }),
            Verb::Extend { seq, at, ids } => {
                let tokens = self.tokens_at(seq, at)?;
                tokens.extend(ids);
                Ok(Outcome::Length(tokens.len()))
            }
            Verb::Propose { seq, at, k } => {
                let len = self.tokens_at(seq, at)?.len();
                Ok(Outcome::Proposed(Draft::certain((len..len + k).map(letter).collect())))
            }
            Verb::Verify { seq, at, spec } => {
                let tokens = self.tokens_at(seq, at)?;
                let most = (spec.most.max(1) as usize).min(Self::CONTEXT - at);
                let drafted = spec.draft.ids.len().min(most.saturating_sub(1));
                let said = |(i, id): &(usize, &TokenId)| letter(at + i) == **id;
                let accepted = spec.draft.ids.iter().take(drafted).enumerate().take_while(said).count();
                let new = at..at + (accepted + 1).min(most);
                tokens.extend(new.clone().map(letter));
                let stop = (tokens.len() >= Self::CONTEXT).then_some(StopReason::ContextFull);
                let steps = new.map(|n| step(n, spec.signals)).collect();
                let tick = self.script.plan().tick_time.as_secs_f64();
                let seconds = if tick > 0.0 { tick } else { 0.001 * (drafted + 1) as f64 };
                self.paces.insert(drafted + 1, seconds);
                Ok(Outcome::Verified(Verified { steps, drafted, accepted, foreseen: 0, stop }))
            }
            Verb::Truncate { seq, len } => {
                let tokens = self.tokens_of(seq)?;
                if len == 0 || len > tokens.len() {
                    return Err(EngineError::InvalidArgument(format!("cannot truncate to {len}")));
                }
                tokens.truncate(len);
                Ok(Outcome::Length(len))
            }
            Verb::Fork { seq, .. } => {
                let copy = self.tokens_of(seq)?.clone();
                Ok(Outcome::Forked(self.insert(copy)))
            }
            Verb::Score { seq, candidates } => {
                self.tokens_of(seq)?;
                Ok(Outcome::Scores(candidates.iter().map(|ids| -(ids.len() as f32)).collect()))
            }
            Verb::Embed { ids } if ids.is_empty() => Err(EngineError::Empty("text")),
            Verb::Embed { .. } => Ok(Outcome::Embedding(vec![1.0])),
            Verb::Close { seq } => {
                self.sequences.remove(&seq);
                self.note_open();
                Ok(Outcome::Closed)
            }
            // Runs are queued by `submit`.
            Verb::Run { .. } => Err(EngineError::SeqBusy),
        }
    }

    /// One token for each run that is not paused.
    fn step_runs(&mut self, events: &mut Vec<(JobId, JobEvent)>) -> bool {
        let mut worked = false;
        let mut going = Vec::new();
        for mut run in std::mem::take(&mut self.runs) {
            let stop = match self.sequences.get_mut(&run.seq) {
                None => Some(Err(EngineError::StaleSeq)),
                Some(_) if run.cancelled => Some(Ok(StopReason::Cancelled)),
                Some(_) if run.produced == run.spec.max_tokens => Some(Ok(StopReason::Length)),
                Some(tokens) if tokens.len() >= Self::CONTEXT => Some(Ok(StopReason::ContextFull)),
                Some(_) if run.paused => None,
                Some(tokens) => {
                    worked = true;
                    self.script.pass(run.produced as usize);
                    let n = tokens.len();
                    tokens.push(letter(n));
                    run.produced += 1;
                    self.script.shared.tokens.fetch_add(1, Ordering::SeqCst);
                    events.push((run.job, JobEvent::Step(step(n, run.spec.signals))));
                    None
                }
            };
            match stop {
                None => going.push(run),
                Some(end) => {
                    let len = self.sequences.get(&run.seq).map_or(0, Vec::len);
                    let rows = u64::from(run.produced);
                    let cost = Cost { decode_rows: rows, forward_passes: rows, ..Cost::default() };
                    self.total += cost;
                    let result = end.map(|stop| Outcome::Ran { stop, len });
                    events.push((run.job, JobEvent::Done { result, cost }));
                    worked = true;
                }
            }
        }
        self.runs = going;
        worked
    }
}

fn letter(n: usize) -> TokenId {
    TokenId::from(b'a') + (n % 26) as TokenId
}

fn step(n: usize, signals: SignalMode) -> StepResult {
    let signals = (signals != SignalMode::None).then_some(Signals { entropy: 0.1, margin: 0.9 });
    StepResult { token: letter(n), logprob: -0.1, signals, forced: false, alternatives: None }
}

impl TickEngine for ScriptedEngine {
    fn submit(&mut self, job: JobId, verb: Verb) {
        self.quick.push_back((job, verb));
    }

    fn cancel(&mut self, job: JobId) {
        for run in self.runs.iter_mut().filter(|run| run.job == job) {
            run.cancelled = true;
        }
    }

    fn set_paused(&mut self, job: JobId, paused: bool) {
        for run in self.runs.iter_mut().filter(|run| run.job == job) {
            run.paused = paused;
        }
    }

    fn tick(&mut self, events: &mut Vec<(JobId, JobEvent)>) -> Tick {
        let mut worked = !self.quick.is_empty();
        while let Some((job, verb)) = self.quick.pop_front() {
            let result = match verb {
                Verb::Run { seq, at, spec } => match self.tokens_at(seq, at) {
                    Ok(_) => {
                        self.runs.push(Run { job, seq, spec, produced: 0, paused: false, cancelled: false });
                        continue;
                    }
                    Err(error) => Err(error),
                },
                verb => self.answer(verb),
            };
            events.push((job, JobEvent::Done { result, cost: Cost::default() }));
        }
        worked |= self.step_runs(events);
        if !worked {
            return Tick::Idle;
        }
        self.pulse.beat();
        self.script.shared.ticks.fetch_add(1, Ordering::SeqCst);
        let time = self.script.plan().tick_time;
        if !time.is_zero() {
            std::thread::sleep(time);
        }
        Tick::Worked
    }

    fn stats(&self) -> EngineStats {
        EngineStats {
            sequences: self.sequences.len(),
            jobs: self.runs.len() + self.quick.len(),
            total: self.total,
            passes: self.script.shared.ticks.load(Ordering::SeqCst),
            ..EngineStats::default()
        }
    }

    fn pace(&self) -> Pace {
        Pace::measured(self.paces.iter().map(|(rows, seconds)| (*rows, *seconds)))
    }
}
