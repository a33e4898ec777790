//! Dials: of members without a link, and of addresses that were given.

use super::Membership;
use crate::dialing::{Dial, Dialing, Seed, Target};
use crate::identity::Address;
use crate::ids::{Attempt, NodeId, Now};
use crate::io::Output;
use crate::limits;
use crate::member::{DeathCause, Status, Suspicion};
use crate::peer::Peer;
use crate::refusal::Refusal;

impl Membership {
    pub(super) fn add_peer(&mut self, now: Now, address: Address, is_discovered: bool) {
        if let Some(known) = self.seeds.iter_mut().find(|seed| seed.address == address) {
            known.is_discovered &= is_discovered;
            return;
        }
        if self.seeds.len() >= limits::SEEDS && !self.drop_worst_seed(is_discovered) {
            return;
        }
        self.seeds.push(Seed { address, dialing: Dialing::due(now), node: None, is_discovered });
        self.wake_by(now);
    }

    /// Drops the discovered seed whose dials failed most, so that announcements keep nobody out. One that was not
    /// tried yet gives way to what people gave only.
    fn drop_worst_seed(&mut self, for_discovered: bool) -> bool {
        let seeds = self.seeds.iter().enumerate();
        let worst =
            seeds.filter(|(_, seed)| seed.is_discovered).max_by_key(|(_, seed)| seed.dialing.failures);
        match worst {
            Some((at, seed)) if !for_discovered || seed.dialing.failures > 0 => {
                self.seeds.remove(at);
                true
            }
            _ => false,
        }
    }

    /// A link to a member broke: whether it can be had again tells whether the member lives.
    pub(super) fn redial_at_once(&mut self, now: Now, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.dialing.next = now;
            self.wake_by(now);
        }
    }

    /// Starts all dials that are due, members before seeds, those that wait for longest first.
    pub(super) fn start_dials(&mut self, now: Now) {
        let mut due: Vec<(Now, Target)> = self.wanted().filter(|(next, _)| *next <= now).collect();
        due.sort_by_key(|(next, target)| (matches!(target, Target::Seed(_)), *next));
        for (_, target) in due {
            if !self.underway.has_room() {
                return;
            }
            let (address, expected) = match &target {
                Target::Seed(address) => (address.clone(), None),
                Target::Peer(node) => {
                    let Some(peer) = self.peers.get(node) else { continue };
                    let addresses = &peer.member.addresses;
                    (addresses[peer.dialing.turn % addresses.len()].clone(), Some(*node))
                }
            };
            let attempt = self.underway.start(target, address.clone(), now, self.config.dial_timeout);
            self.outputs.push_back(Output::Dial { attempt, address, expected });
        }
    }

    /// When the next dial is due, or the next answer overdue.
    pub(super) fn next_dial(&self) -> Option<Now> {
        let next = self.wanted().map(|(next, _)| next).min().filter(|_| self.underway.has_room());
        next.into_iter().chain(self.underway.next_overdue()).min()
    }

    /// All that should be dialled and is not being dialled yet, with the time when it is due.
    fn wanted(&self) -> impl Iterator<Item = (Now, Target)> {
        let is_wanted = |peer: &&Peer| {
            let member = &peer.member;
            peer.link.is_none() && !peer.has_said_leave && !member.addresses.is_empty()
        };
        let peers = self.peers.values().filter(is_wanted);
        let peers = peers.map(|peer| (peer.dialing.next, Target::Peer(peer.member.node)));
        let seeds = self.seeds.iter().filter(|seed| {
            let is_found = seed.node.is_some_and(|node| self.peers.contains_key(&node));
            !is_found
        });
        let seeds = seeds.map(|seed| (seed.dialing.next, Target::Seed(seed.address.clone())));
        peers.chain(seeds).filter(|(_, target)| !self.underway.is_dialling(target))
    }

    /// Takes out a dial that has its answer. Another one may have waited for its place.
    pub(super) fn dial_answered(&mut self, now: Now, attempt: Attempt) -> Option<Dial> {
        if !self.underway.has_room() {
            self.wake_by(now);
        }
        self.underway.answered(attempt)
    }

    pub(super) fn dial_failed(&mut self, now: Now, attempt: Attempt, refused: bool) {
        let Some(dial) = self.dial_answered(now, attempt) else { return };
        self.dial_missed(now, &dial.target);
        let Target::Peer(node) = dial.target else { return };
        let Some(peer) = self.peers.get(&node) else { return };
        let has_ended =
            peer.grace.is_some() && peer.member.status == Status::Suspect(Suspicion::Disconnected);
        if refused && has_ended {
            self.kill(now, node, DeathCause::Disconnected, Refusal::Silent);
        }
    }

    /// A dial led to a node, though perhaps not to the one that was meant.
    pub(super) fn dial_succeeded(&mut self, now: Now, node: NodeId, dial: Option<&Dial>) {
        match dial.map(|dial| &dial.target) {
            Some(Target::Seed(address)) => {
                // Whoever was discovered is a member now, and is announced again if it should be forgotten.
                self.seeds.retain(|seed| !(seed.is_discovered && seed.address == *address));
                if let Some(seed) = self.seeds.iter_mut().find(|seed| seed.address == *address) {
                    seed.node = Some(node);
                    // If that node is forgotten one day the address is tried again.
                    seed.dialing = Dialing::due(now);
                }
            }
            Some(target) if *target != Target::Peer(node) => self.dial_missed(now, target),
            _ => {}
        }
    }

    fn dial_missed(&mut self, now: Now, target: &Target) {
        let Some(dialing) = dialing_of(&mut self.peers, &mut self.seeds, target) else { return };
        dialing.failed(now, &self.config, &mut self.random);
        let next = dialing.next;
        self.seeds.retain(|seed| !seed.is_discovered || seed.dialing.failures < limits::DISCOVERED_TRIES);
        self.wake_by(next);
    }

    /// One end refused the other: it is not tried again for a while.
    pub(super) fn dial_refused(&mut self, now: Now, target: &Target) {
        let Some(dialing) = dialing_of(&mut self.peers, &mut self.seeds, target) else { return };
        dialing.refused(now, &self.config, &mut self.random);
        let next = dialing.next;
        self.wake_by(next);
    }
}

fn dialing_of<'a>(
    peers: &'a mut std::collections::BTreeMap<NodeId, Peer>,
    seeds: &'a mut [Seed],
    target: &Target,
) -> Option<&'a mut Dialing> {
    match target {
        Target::Peer(node) => peers.get_mut(node).map(|peer| &mut peer.dialing),
        Target::Seed(address) => {
            seeds.iter_mut().find(|seed| seed.address == *address).map(|seed| &mut seed.dialing)
        }
    }
}
