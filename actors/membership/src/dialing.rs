//! When to dial whom.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::MembershipConfig;
use crate::identity::Address;
use crate::ids::{Attempt, NodeId, Now};
use crate::random::Random;

/// The dials of one target: when the next is due, and how long to wait after it fails.
#[derive(Clone, Debug)]
pub(crate) struct Dialing {
    pub(crate) next: Now,
    pub(crate) failures: u32,
    /// Which of the target's addresses is tried. The one that worked stays.
    pub(crate) turn: usize,
}

impl Dialing {
    pub(crate) fn due(next: Now) -> Self {
        Self { next, failures: 0, turn: 0 }
    }

    /// A dial led to a link.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A dial led to nothing, or its link did not live: the next address is due after a pause that doubles each time.
    pub(crate) fn failed(&mut self, now: Now, config: &MembershipConfig, random: &mut Random) {
        let doubled = 2u32.saturating_pow(self.failures.min(16));
        let pause = config.dial_first.saturating_mul(doubled).min(config.dial_most);
        self.failures = self.failures.saturating_add(1);
        self.turn = self.turn.wrapping_add(1);
        self.next = now.after(random.jittered(pause));
    }

    /// One end refused: trying again soon would not change that.
    pub(crate) fn refused(&mut self, now: Now, config: &MembershipConfig, random: &mut Random) {
        self.failed(now, config, random);
        self.next = now.after(random.jittered(config.dial_most));
    }
}

/// An address of which it is not known who lives there.
pub(crate) struct Seed {
    pub(crate) address: Address,
    pub(crate) dialing: Dialing,
    /// Who was found there. While that node is known its own dials do.
    pub(crate) node: Option<NodeId>,
    /// It was announced, not given by people.
    pub(crate) is_discovered: bool,
}

/// For whom a dial is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Peer(NodeId),
    Seed(Address),
}

/// Dials that have no answer yet; at most [`DIALS`](crate::limits::DIALS).
#[derive(Default)]
pub(crate) struct Underway {
    dials: BTreeMap<Attempt, Dial>,
    last: u64,
}

pub(crate) struct Dial {
    pub(crate) target: Target,
    pub(crate) address: Address,
    until: Now,
}

impl Underway {
    pub(crate) fn has_room(&self) -> bool {
        self.dials.len() < crate::limits::DIALS
    }

    pub(crate) fn is_dialling(&self, target: &Target) -> bool {
        self.dials.values().any(|dial| dial.target == *target)
    }

    pub(crate) fn start(&mut self, target: Target, address: Address, now: Now, timeout: Duration) -> Attempt {
        self.last += 1;
        let attempt = Attempt(self.last);
        self.dials.insert(attempt, Dial { target, address, until: now.after(timeout) });
        attempt
    }

    /// Takes out a dial that was answered.
    pub(crate) fn answered(&mut self, attempt: Attempt) -> Option<Dial> {
        self.dials.remove(&attempt)
    }

    /// Dials that have waited for too long.
    pub(crate) fn overdue(&self, now: Now) -> Vec<Attempt> {
        self.dials.iter().filter(|(_, dial)| dial.until <= now).map(|(attempt, _)| *attempt).collect()
    }

    pub(crate) fn next_overdue(&self) -> Option<Now> {
        self.dials.values().map(|dial| dial.until).min()
    }
}
