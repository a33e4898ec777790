//! What a membership keeps of a member beyond what it shows.

use std::collections::VecDeque;
use std::time::Duration;

use crate::detector::Silence;
use crate::dialing::Dialing;
use crate::identity::Address;
use crate::ids::{Attempt, Fingerprint, LinkId, NodeId, Now};
use crate::io::Direction;
use crate::limits;
use crate::member::{Member, Status};
use crate::message::{Echo, Facts, Heartbeat};

/// Heartbeats whose sending is remembered for the round trip: 4 s of them.
const REMEMBERED: usize = 16;

/// A member with its link, its silence and its dials.
pub(crate) struct Peer {
    pub(crate) member: Member,
    pub(crate) silence: Silence,
    pub(crate) link: Option<Link>,
    pub(crate) dialing: Dialing,
    /// Whether fingerprint and start are those of a hello with its certificate, not hearsay.
    pub(crate) is_certain: bool,
    /// The latest start that others told of. It is dialled for it once, and nothing else rests on it.
    pub(crate) told: u64,
    /// It said itself that this start leaves.
    pub(crate) has_said_leave: bool,
    /// Where it was reached last, which it may not know as its own.
    pub(crate) reached_at: Option<Address>,
    /// Whether this start was heard before.
    pub(crate) has_joined: bool,
    /// A link ended or was reset: dead from then on, unless there is a new one.
    pub(crate) grace: Option<Now>,
    /// How often this start was held for dead here.
    pub(crate) given_up: u64,
    /// How often it held this node for dead, as it said last.
    pub(crate) gave_us_up: u64,
}

impl Peer {
    /// A node of which nothing is known but that it exists.
    pub(crate) fn new(now: Now, node: NodeId, fingerprint: Fingerprint) -> Self {
        let member = Member {
            node,
            fingerprint,
            generation: 0,
            name: String::new(),
            addresses: Vec::new(),
            protocol: 0,
            status: Status::Known,
            since: now,
            link: None,
            round_trip: None,
            facts_version: 0,
            facts: Facts::default(),
        };
        Self {
            member,
            silence: Silence::new(now),
            link: None,
            dialing: Dialing::due(now),
            is_certain: false,
            told: 0,
            has_said_leave: false,
            reached_at: None,
            has_joined: false,
            grace: None,
            given_up: 0,
            gave_us_up: 0,
        }
    }

    /// Takes what it says of where it listens. The address at which it was reached comes first, also where the node
    /// does not know it as its own.
    pub(crate) fn says_addresses(&mut self, mut addresses: Vec<Address>) {
        if let Some(reached) = &self.reached_at {
            addresses.retain(|address| address != reached);
            addresses.insert(0, reached.clone());
        }
        addresses.truncate(limits::ADDRESSES);
        self.member.addresses = addresses;
        self.dialing.turn = 0;
    }

    /// Takes what others say of where it listens, after what is known: a lie drives out no truth.
    pub(crate) fn told_addresses(&mut self, told: Vec<Address>) {
        for address in told {
            if self.member.addresses.len() < limits::ADDRESSES && !self.member.addresses.contains(&address) {
                self.member.addresses.push(address);
            }
        }
    }
}

/// A link as one end sees it.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    /// Of two links between two nodes the higher rank stays. It is the same at both ends: first
    /// links that the smaller id dialled, then later dials.
    pub(crate) rank: (bool, Attempt),
    pub(crate) up: Now,
    /// Whether anything was heard on it: the other end has accepted it.
    pub(crate) is_confirmed: bool,
    /// When the other end last heard this node, as far as it said.
    pub(crate) heard_us: Now,
    /// The version of own facts that was sent last, and when.
    pub(crate) facts_sent: Option<(u64, Now)>,
    sequence: u64,
    sent: VecDeque<(u64, Now)>,
    heard: Option<(u64, Now)>,
}

impl Link {
    pub(crate) fn new(id: LinkId, rank: (bool, Attempt), now: Now) -> Self {
        Self {
            id,
            rank,
            up: now,
            is_confirmed: false,
            heard_us: now,
            facts_sent: None,
            sequence: 0,
            sent: VecDeque::with_capacity(REMEMBERED),
            heard: None,
        }
    }

    /// The next heartbeat to send.
    pub(crate) fn heartbeat(
        &mut self,
        now: Now,
        generation: u64,
        facts_seen: u64,
        gave_up: u64,
    ) -> Heartbeat {
        self.sequence += 1;
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back((self.sequence, now));
        let echo = self.heard.map(|(sequence, at)| Echo { sequence, held: now.since(at) });
        Heartbeat { sequence: self.sequence, generation, facts_seen, gave_up, echo }
    }

    /// Takes a heartbeat. Gives the round trip, where it tells one.
    pub(crate) fn heard(&mut self, now: Now, heartbeat: &Heartbeat) -> Option<Duration> {
        if self.heard.is_none_or(|(sequence, _)| sequence < heartbeat.sequence) {
            self.heard = Some((heartbeat.sequence, now));
        }
        let echo = heartbeat.echo.filter(|echo| echo.sequence <= self.sequence)?;
        self.heard_us = self.heard_us.max(now.before(echo.held));
        let (_, sent) = self.sent.iter().find(|(sequence, _)| *sequence == echo.sequence)?;
        Some(now.since(*sent).saturating_sub(echo.held))
    }
}

/// The rank of a link, the same at both ends.
pub(crate) fn rank(me: NodeId, other: NodeId, direction: Direction, attempt: Attempt) -> (bool, Attempt) {
    let dialled_by_smaller = (me < other) == (direction == Direction::Outbound);
    (dialled_by_smaller, attempt)
}
