//! What to do when a child ends: pure decisions over names and times.

use std::collections::VecDeque;
use std::time::Duration;

use super::Backoff;

/// Who is restarted with a child that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Only the child.
    #[default]
    OneForOne,
    /// All children: they cannot live without each other.
    OneForAll,
    /// The child and those started after it: each depends on earlier ones.
    RestForOne,
}

/// Which ends call for a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildKind {
    /// Any end.
    Permanent,
    /// Any end but a normal one.
    Transient,
    /// None; the child is forgotten.
    Temporary,
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By its own decision or an ordinary stop.
    Normal,
    /// By a kill signal.
    Killed,
    /// By a panic.
    Panicked(String),
    /// By returning an error.
    Failed(String),
    /// Before it ran.
    StartFailed(String),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Normal => f.write_str("stopped normally"),
            Self::Killed => f.write_str("killed"),
            Self::Panicked(why) => write!(f, "panicked: {why}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::StartFailed(why) => write!(f, "could not start: {why}"),
        }
    }
}

/// More restarts than this in any window of this length exhaust patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts that are still fine.
    pub restarts: u32,
    /// Length of the window.
    pub within: Duration,
}

/// What happens when patience is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exhausted {
    /// The supervisor fails; its parent decides. One window for all children.
    #[default]
    Escalate,
    /// The child is given up until a [`Plan::retry`]; the others live. A window per child.
    GiveUpChild,
}

/// A supervisor's rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanOptions {
    /// Who restarts together.
    pub strategy: Strategy,
    /// How often is too often.
    pub intensity: Intensity,
    /// And then?
    pub exhausted: Exhausted,
    /// Waiting between restarts.
    pub backoff: Backoff,
    /// Seed of the jitter.
    pub seed: u64,
}

/// An order to whoever owns the children, to be carried out in sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Stop this child and wait for its end; its exit needs no report.
    Stop(String),
    /// After the wait ask [`Plan::due`] with this ticket whom to start.
    StartLater {
        /// Names this batch; a later batch with the same children replaces it.
        ticket: u64,
        /// How long to wait.
        after: Duration,
    },
    /// The child is out of the plan.
    Forget(String),
    /// The child stays down until retried.
    GiveUp(String),
    /// The supervisor fails because this child failed too often.
    Escalate(String),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Life {
    Running { since: Duration },
    Waiting { ticket: u64 },
    Down,
}

#[derive(Debug)]
struct Child {
    name: String,
    kind: ChildKind,
    life: Life,
    strikes: u32,
    restarts: VecDeque<Duration>,
}

/// The children of one supervisor, in start order. Times are durations since any fixed
/// moment and never go back.
#[derive(Debug)]
pub struct Plan {
    options: PlanOptions,
    children: Vec<Child>,
    restarts: VecDeque<Duration>,
    tickets: u64,
}

impl Plan {
    /// No children yet.
    pub fn new(options: PlanOptions) -> Self {
        Self { options, children: Vec::new(), restarts: VecDeque::new(), tickets: 0 }
    }

    /// Adds a child at the end of the order, not yet running. `false` if the name is taken.
    pub fn add(&mut self, name: &str, kind: ChildKind) -> bool {
        if self.children.iter().any(|child| child.name == name) {
            return false;
        }
        self.children.push(Child {
            name: name.into(),
            kind,
            life: Life::Down,
            strikes: 0,
            restarts: VecDeque::new(),
        });
        true
    }

    /// Takes a child out of the plan.
    pub fn remove(&mut self, name: &str) {
        self.children.retain(|child| child.name != name);
    }

    /// The child runs.
    pub fn started(&mut self, name: &str, now: Duration) {
        if let Some(child) = self.child(name) {
            child.life = Life::Running { since: now };
        }
    }

    /// The child ended, or could not be started.
    pub fn exited(&mut self, name: &str, exit: &Exit, now: Duration) -> Vec<Action> {
        let Some(index) = self.children.iter().position(|child| child.name == name) else {
            return Vec::new();
        };
        let healthy_after = self.options.backoff.healthy_after;
        let child = &mut self.children[index];
        if let Life::Running { since } = child.life
            && now.saturating_sub(since) >= healthy_after
        {
            child.strikes = 0;
        }
        child.life = Life::Down;
        match (child.kind, exit) {
            (ChildKind::Temporary, _) => {
                self.children.remove(index);
                vec![Action::Forget(name.into())]
            }
            (ChildKind::Transient, Exit::Normal) => Vec::new(),
            _ if self.exhausted_by_restart(index, now) => self.give_up(index),
            _ => self.restart(index),
        }
    }

    /// Forgives a child that was given up (or is waiting) and starts it now.
    pub fn retry(&mut self, name: &str) -> Vec<Action> {
        let ticket = self.next_ticket();
        let Some(child) = self.child(name) else { return Vec::new() };
        if matches!(child.life, Life::Running { .. }) {
            return Vec::new();
        }
        child.strikes = 0;
        child.restarts.clear();
        child.life = Life::Waiting { ticket };
        vec![Action::StartLater { ticket, after: Duration::ZERO }]
    }

    /// Children of a batch that are still to be started, in order.
    pub fn due(&self, ticket: u64) -> Vec<String> {
        let waits = |child: &&Child| child.life == Life::Waiting { ticket };
        self.children.iter().filter(waits).map(|child| child.name.clone()).collect()
    }

    /// Names in start order; shut down in reverse.
    pub fn order(&self) -> Vec<String> {
        self.children.iter().map(|child| child.name.clone()).collect()
    }

    fn child(&mut self, name: &str) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.name == name)
    }

    fn next_ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Notes a restart; `true` when it is one too many.
    fn exhausted_by_restart(&mut self, index: usize, now: Duration) -> bool {
        let Intensity { restarts: most, within } = self.options.intensity;
        let window = match self.options.exhausted {
            Exhausted::Escalate => &mut self.restarts,
            Exhausted::GiveUpChild => &mut self.children[index].restarts,
        };
        while window.front().is_some_and(|then| now.saturating_sub(*then) > within) {
            window.pop_front();
        }
        window.push_back(now);
        window.len() > most as usize
    }

    fn give_up(&mut self, index: usize) -> Vec<Action> {
        let name = self.children[index].name.clone();
        match self.options.exhausted {
            Exhausted::Escalate => vec![Action::Escalate(name)],
            Exhausted::GiveUpChild => vec![Action::GiveUp(name)],
        }
    }

    fn restart(&mut self, index: usize) -> Vec<Action> {
        let ticket = self.next_ticket();
        let group = match self.options.strategy {
            Strategy::OneForOne => index..index + 1,
            Strategy::OneForAll => 0..self.children.len(),
            Strategy::RestForOne => index..self.children.len(),
        };
        let mut actions = Vec::new();
        for (offset, child) in self.children[group.clone()].iter_mut().enumerate().rev() {
            let is_culprit = group.start + offset == index;
            match child.life {
                Life::Running { .. } => actions.push(Action::Stop(child.name.clone())),
                // A sibling that ended on purpose, or was given up, stays down.
                Life::Down if !is_culprit => continue,
                Life::Down | Life::Waiting { .. } => {}
            }
            child.life = Life::Waiting { ticket };
        }
        let child = &mut self.children[index];
        child.strikes = child.strikes.saturating_add(1);
        let seed = self.options.seed ^ (index as u64) << 32;
        actions.push(Action::StartLater { ticket, after: self.options.backoff.delay(child.strikes, seed) });
        actions
    }
}
