//! One start of a node, and what an onlooker remembers of it to judge it by.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_membership::{
    ClusterId, DeathCause, Detector, Facts, Fingerprint, Identity, Input, Member, MemberEvent, Membership,
    MembershipConfig, NodeId, Now, Suspicion,
};

pub struct Process {
    pub host: usize,
    pub identity: Identity,
    /// `None` once it was killed or has left.
    pub machine: Option<Membership>,
    pub is_frozen: bool,
    /// What came while it was frozen.
    pub backlog: Vec<Input>,
    /// When its next tick is due, in microseconds.
    pub wake: Option<u64>,
    pub last_tick: Now,
    /// The links that it has been given and not closed.
    pub open: BTreeSet<u64>,
    pub facts: u64,
    pub watch: Watch,
}

/// What a process has seen so far.
pub struct Watch {
    config: MembershipConfig,
    me: NodeId,
    seen: BTreeMap<NodeId, Seen>,
    pub revoked: BTreeSet<Fingerprint>,
    /// When it started, or woke from a sleep that counts as one.
    pub awake: Now,
}

/// What it has seen of one node.
#[derive(Default)]
struct Seen {
    /// When something was last heard, and of which start.
    heard: Option<(u64, Now)>,
    /// The highest generation that was ever a member.
    highest: u64,
    /// The key with which it was a member.
    key: Option<Fingerprint>,
    /// Generation and version of its latest facts.
    facts: (u64, u64),
    /// Whether a link to it broke, or was closed by it.
    is_broken: bool,
}

pub fn identity(host: usize, node: u64, key: u8, generation: u64) -> Identity {
    let mut fingerprint = [key; 32];
    fingerprint[..8].copy_from_slice(&node.to_be_bytes());
    Identity {
        node: NodeId(node),
        fingerprint: Fingerprint(fingerprint),
        generation,
        name: format!("host {host}"),
        addresses: vec![super::world::address(host)],
        // A rolling upgrade that never ends: versions next to each other.
        protocol: if node.is_multiple_of(2) { 1..=2 } else { 2..=3 },
        cluster: ClusterId([1; 16]),
    }
}

/// Facts that say whose they are.
pub fn facts(identity: &Identity, version: u64) -> Facts {
    let words = [identity.node.0, identity.generation, version];
    Facts::new(words.map(u64::to_be_bytes).concat()).expect("they are short")
}

impl Process {
    pub fn start(&self) -> (NodeId, u64) {
        (self.identity.node, self.identity.generation)
    }
}

impl Watch {
    pub fn new(config: MembershipConfig, me: NodeId, now: Now) -> Self {
        Self { config, me, seen: BTreeMap::new(), revoked: BTreeSet::new(), awake: now }
    }

    pub fn heard(&mut self, now: Now, member: &Member) {
        self.seen.entry(member.node).or_default().heard = Some((member.generation, now));
    }

    pub fn broken(&mut self, node: NodeId) {
        self.seen.entry(node).or_default().is_broken = true;
    }

    fn silent(&self, now: Now, node: NodeId, generation: u64) -> Duration {
        let heard = self.seen.get(&node).and_then(|seen| seen.heard);
        let heard = heard.filter(|heard| heard.0 == generation);
        heard.map_or(Duration::MAX, |(_, heard)| now.since(heard.max(self.awake)))
    }

    /// Whether an event may be.
    pub fn event(&mut self, now: Now, event: &MemberEvent) {
        let is_fixed = self.config.detector == Detector::Fixed;
        match event {
            MemberEvent::Joined { node, generation } => {
                let silent = self.silent(now, *node, *generation);
                assert_eq!(silent, Duration::ZERO, "INV-M12: joined without having been heard");
                let highest = &mut self.seen.entry(*node).or_default().highest;
                assert!(*generation > *highest, "INV-M1: start {generation} joins after {highest}");
                *highest = *generation;
            }
            MemberEvent::Alive { node, generation } => {
                let highest = self.seen.get(node).map(|seen| seen.highest);
                assert_eq!(highest, Some(*generation), "INV-M1: an older start is alive");
                let silent = self.silent(now, *node, *generation);
                assert_eq!(silent, Duration::ZERO, "INV-M6: alive without having been heard");
            }
            MemberEvent::Suspect { node, generation, why: Suspicion::Silent } => {
                let silent = self.silent(now, *node, *generation);
                assert!(silent >= self.config.suspect || !is_fixed, "INV-M6: suspect after {silent:?}");
            }
            MemberEvent::Suspect { node, why: Suspicion::Disconnected, .. } => {
                assert!(self.seen.entry(*node).or_default().is_broken, "INV-M7: no link broke");
            }
            MemberEvent::Dead { node, generation, why: DeathCause::Silent, after } => {
                let silent = self.silent(now, *node, *generation);
                let least = if is_fixed { self.config.dead } else { self.config.suspect };
                assert!(silent >= least, "INV-M6, INV-M13: dead after {silent:?}");
                assert!(*after >= least, "INV-M6: dead after {after:?} by its own word");
            }
            MemberEvent::Dead { node, why: DeathCause::Disconnected, .. } => {
                let is_broken = &mut self.seen.entry(*node).or_default().is_broken;
                assert!(std::mem::take(is_broken), "INV-M7: no link broke");
            }
            MemberEvent::FactsChanged { node, generation, version } => {
                let facts = &mut self.seen.entry(*node).or_default().facts;
                assert!(*facts < (*generation, *version), "INV-M10: {facts:?} gave way to {version}");
                *facts = (*generation, *version);
            }
            _ => {}
        }
    }

    /// Whether a member may be as it is.
    pub fn member(&mut self, now: Now, member: &Member) {
        let (node, generation) = (member.node, member.generation);
        let silent = self.silent(now, node, generation);
        let seen = self.seen.entry(node).or_default();
        assert_ne!(node, self.me, "INV-M3: a node is a member of itself");
        assert!(!self.revoked.contains(&member.fingerprint), "INV-M5: {node} was revoked");
        // Of one that was forgotten and is told of anew all is hearsay.
        let is_hearsay = generation == 0;
        assert!(is_hearsay || generation >= seen.highest, "INV-M1: {node} went back to {generation}");
        if !is_hearsay && seen.highest == generation {
            let key = seen.key.replace(member.fingerprint).unwrap_or(member.fingerprint);
            let is_free = self.revoked.contains(&key);
            assert!(key == member.fingerprint || is_free, "INV-M2: {node} changed its key");
        }
        if member.status.is_live() {
            // A thawed process may see its messages before its clock.
            let is_overdue = silent > self.config.dead + self.config.tick + self.config.suspect;
            assert!(!is_overdue || self.config.detector != Detector::Fixed, "INV-M6: {node} is dead");
        }
        if member.facts_version > 0 {
            let words = [node.0, generation, member.facts_version].map(u64::to_be_bytes).concat();
            assert_eq!(member.facts.as_bytes(), words, "INV-M10: facts of another node, start or version");
        }
    }

    /// Whether all members may be as they are, and links are one each.
    pub fn members(&mut self, now: Now, machine: &Membership, open: &BTreeSet<u64>) {
        let mut linked = 0;
        let mut count = 0;
        for member in machine.members() {
            self.member(now, member);
            count += 1;
            if let Some(link) = member.link {
                linked += 1;
                assert!(open.contains(&link.0), "INV-M9: the link of {} is closed", member.node);
            }
        }
        assert_eq!(linked, open.len(), "INV-M9: a link is nobody's");
        assert!(count <= understudy_membership::limits::MEMBERS, "INV-M11: {count} members");
    }
}
