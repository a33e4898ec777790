//! The thread's loop.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use understudy_backend::{BackendError, RunEvent};
use understudy_engine::{
    EngineError,
    tick::{Tick, TickEngine},
    verbs::{Cost, JobEvent, JobId, Outcome, SeqKey, StepResult, Verb},
};

use super::handle::EngineHandle;
use super::inbox::{Command, Interest, Order};
use super::replies::{Delivery, RunItem};
use super::sequences::Sequences;

/// How soon a drained channel of a paused run is noticed.
const SLOW_READER_POLL: Duration = Duration::from_millis(2);
/// How soon a cancelled request's idle sequence is noticed.
const OPEN_SEQUENCE_POLL: Duration = Duration::from_millis(20);
/// With nothing open only a command matters, and that rings the bell.
const NOTHING_OPEN_POLL: Duration = Duration::from_secs(1);
/// Most time a finishing thread spends on delivering cancelled runs.
const FINISH_LIMIT: Duration = Duration::from_secs(1);

struct Job {
    kind: Kind,
    seq: Option<SeqKey>,
    interest: Interest,
    /// The engine was told to cancel it.
    cancelled: bool,
    paused: bool,
    /// Events of a run that did not fit its channel: what one tick yields, at most.
    backlog: VecDeque<RunItem>,
    /// The engine is done with it; only the backlog is left.
    finished: bool,
    permit: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Makes a sequence: open or fork.
    Makes,
    Run,
    Close,
    Other,
}

pub(super) struct Worker {
    handle: Arc<EngineHandle>,
    engine: Box<dyn TickEngine>,
    jobs: HashMap<JobId, Job>,
    sequences: Sequences,
    events: Vec<(JobId, JobEvent)>,
}

impl Worker {
    pub(super) fn new(handle: Arc<EngineHandle>, engine: Box<dyn TickEngine>) -> Self {
        let sequences = Sequences::new(handle.config.lease);
        Self { handle, engine, jobs: HashMap::new(), sequences, events: Vec::new() }
    }

    /// Serves until told otherwise.
    pub(super) fn serve(&mut self) {
        let mut patience = Duration::ZERO;
        let mut finish_by = None;
        loop {
            let batch = self.handle.inbox.take(patience);
            self.handle.loop_pulse.beat();
            let now = self.handle.now();
            match batch.order {
                Order::Serve => {}
                Order::Finish => {
                    let until = *finish_by.get_or_insert(now + FINISH_LIMIT);
                    self.cancel_everything();
                    if now >= until || (self.jobs.is_empty() && self.sequences.is_empty()) {
                        return;
                    }
                }
                Order::Leave => return,
            }
            batch.commands.into_iter().for_each(|command| self.accept(command, now));
            batch.closes.into_iter().for_each(|seq| self.sequences.leave(seq));
            self.sequences.expire(now);
            self.police_jobs(now);
            self.close_sequences();
            let tick = self.tick();
            patience = self.patience_after(tick);
        }
    }

    fn accept(&mut self, command: Command, now: Duration) {
        let Command { job, verb, interest, permit } = command;
        let seq = sequence_of(&verb);
        if let Some(seq) = seq
            && !self.sequences.job_begins(seq, now)
        {
            return self.handle.replies.fail(job, EngineError::StaleSeq.into());
        }
        let kind = match verb {
            Verb::Open(_) | Verb::Fork { .. } => Kind::Makes,
            Verb::Run { .. } => Kind::Run,
            Verb::Close { .. } => Kind::Close,
            _ => Kind::Other,
        };
        self.submit(job, verb, Job { seq, permit, ..Job::new(kind, interest) });
    }

    fn submit(&mut self, id: JobId, verb: Verb, job: Job) {
        self.jobs.insert(id, job);
        self.engine.submit(id, verb);
    }

    /// Cancels jobs that nobody waits for any more and pauses runs whose reader is behind.
    fn police_jobs(&mut self, now: Duration) {
        let replies = &self.handle.replies;
        self.jobs.retain(|id, job| {
            deliver_backlog(replies, *id, job);
            if job.kind == Kind::Close {
                return true;
            }
            let late = job.interest.deadline.is_some_and(|at| now >= at);
            let given_up = job.interest.cancel.is_cancelled() || replies.is_gone(*id);
            let unwanted = given_up || job.seq.is_some_and(|seq| self.sequences.is_leaving(seq));
            if job.finished {
                let keep = !job.backlog.is_empty() && !late && !given_up;
                if !keep {
                    replies.forget(*id);
                }
                return keep;
            }
            if late {
                replies.fail(*id, BackendError::Deadline);
            }
            if (late || unwanted) && !job.cancelled {
                job.cancelled = true;
                self.engine.cancel(*id);
            }
            let behind =
                job.kind == Kind::Run && !job.cancelled && (!job.backlog.is_empty() || replies.is_full(*id));
            if behind != job.paused {
                job.paused = behind;
                self.engine.set_paused(*id, behind);
            }
            true
        });
    }

    fn close_sequences(&mut self) {
        for seq in self.sequences.take_closable() {
            let job = Job { seq: Some(seq), ..Job::new(Kind::Close, Interest::eternal()) };
            self.submit(self.handle.next_job(), Verb::Close { seq }, job);
        }
    }

    fn cancel_everything(&mut self) {
        self.sequences.leave_all();
        for (id, job) in self.jobs.iter_mut().filter(|(_, job)| job.kind != Kind::Close && !job.cancelled) {
            job.cancelled = true;
            self.engine.cancel(*id);
        }
    }

    fn tick(&mut self) -> Tick {
        let began = self.handle.now();
        let tick = self.engine.tick(&mut self.events);
        let now = self.handle.now();
        if tick == Tick::Worked {
            // Before the answers: who reads one finds what it took.
            self.handle.set_pace(self.engine.pace());
        }
        self.handle.set_stats(self.engine.stats());
        let mut steps = 0;
        for (job, event) in std::mem::take(&mut self.events) {
            match event {
                JobEvent::Step(step) => {
                    steps += 1;
                    self.step(job, step);
                }
                JobEvent::Done { result, cost } => self.done(job, result, cost, now),
            }
        }
        self.handle.meters.note(steps, now.saturating_sub(began));
        tick
    }

    fn step(&mut self, id: JobId, step: StepResult) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.backlog.push_back(Ok(RunEvent::Step(step)));
            deliver_backlog(&self.handle.replies, id, job);
        }
    }

    fn done(&mut self, id: JobId, result: Result<Outcome, EngineError>, cost: Cost, now: Duration) {
        let Some(mut job) = self.jobs.remove(&id) else { return };
        if job.kind == Kind::Close {
            // Also when the engine refused: it does not know the sequence then.
            return job.seq.into_iter().for_each(|seq| self.sequences.closed(seq));
        }
        if let Some(seq) = job.seq {
            self.sequences.job_ends(seq, now);
        }
        if job.kind == Kind::Run {
            job.backlog.push_back(match result {
                Ok(Outcome::Ran { stop, len }) => Ok(RunEvent::Stopped { reason: stop, len, cost }),
                Ok(other) => Err(misanswered(&other)),
                Err(error) => Err(backend_error(error)),
            });
            job.finished = true;
            deliver_backlog(&self.handle.replies, id, &mut job);
            if !job.backlog.is_empty() {
                self.jobs.insert(id, job);
            } else {
                self.handle.replies.forget(id);
            }
            return;
        }
        let made = match &result {
            Ok(Outcome::Opened { seq, .. } | Outcome::Forked(seq)) => Some(*seq),
            _ => None,
        };
        if let Some(seq) = made {
            self.sequences.opened(seq, job.interest, job.permit.take(), now);
        }
        let answered =
            self.handle.replies.answer(id, result.map(|outcome| (outcome, cost)).map_err(backend_error));
        if let (Some(seq), false) = (made, answered) {
            self.sequences.leave(seq);
        }
    }

    fn patience_after(&self, tick: Tick) -> Duration {
        if tick == Tick::Worked {
            Duration::ZERO
        } else if self.jobs.values().any(|job| job.paused || !job.backlog.is_empty()) {
            SLOW_READER_POLL
        } else if self.jobs.is_empty() && self.sequences.is_empty() {
            NOTHING_OPEN_POLL
        } else {
            OPEN_SEQUENCE_POLL
        }
    }
}

impl Job {
    fn new(kind: Kind, interest: Interest) -> Self {
        Self {
            kind,
            seq: None,
            interest,
            cancelled: false,
            paused: false,
            backlog: VecDeque::new(),
            finished: false,
            permit: None,
        }
    }
}

/// Hands over what fits; drops everything when nobody listens.
fn deliver_backlog(replies: &super::replies::Replies, id: JobId, job: &mut Job) {
    while let Some(item) = job.backlog.pop_front() {
        match replies.stream(id, item) {
            Delivery::Done => {}
            Delivery::Full(item) => return job.backlog.push_front(item),
            Delivery::Gone => return job.backlog.clear(),
        }
    }
}

fn sequence_of(verb: &Verb) -> Option<SeqKey> {
    match verb {
        Verb::Open(_) | Verb::Embed { .. } => None,
        Verb::Extend { seq, .. }
        | Verb::Run { seq, .. }
        | Verb::Propose { seq, .. }
        | Verb::Verify { seq, .. }
        | Verb::Truncate { seq, .. }
        | Verb::Fork { seq, .. }
        | Verb::Score { seq, .. }
        | Verb::Close { seq } => Some(*seq),
    }
}

fn backend_error(error: EngineError) -> BackendError {
    match error {
        EngineError::Cancelled => BackendError::Cancelled,
        other => BackendError::Engine(other),
    }
}

/// An engine that answers another question than it was asked has a defect.
pub(crate) fn misanswered(outcome: &Outcome) -> BackendError {
    BackendError::Engine(EngineError::InvalidArgument(format!(
        "the engine answered out of turn: {outcome:?}"
    )))
}
