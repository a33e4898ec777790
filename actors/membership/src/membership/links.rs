//! Links that come and go.

use std::ops::ControlFlow;

use super::Membership;
use crate::detector::Verdict;
use crate::dialing::{Dial, Target};
use crate::identity::{Identity, common_protocol};
use crate::ids::{Attempt, LinkId, NodeId, Now};
use crate::io::{Direction, LinkEnd, Output};
use crate::limits;
use crate::member::{DeathCause, MemberEvent, Status, Suspicion};
use crate::peer::{Link, Peer, rank};
use crate::refusal::Refusal;

impl Membership {
    pub(super) fn link_up(
        &mut self,
        now: Now,
        link: LinkId,
        hello: Identity,
        direction: Direction,
        attempt: Attempt,
    ) {
        let hello = hello.clipped();
        let dial = match direction {
            Direction::Outbound => self.dial_answered(now, attempt),
            Direction::Inbound => None,
        };
        let node = hello.node;
        let protocol = match self.admit(&hello) {
            Ok(protocol) => protocol,
            Err(why) => return self.refuse(now, link, node, dial, why),
        };
        self.dial_succeeded(now, node, dial.as_ref());
        self.enter(now, hello, protocol, dial);
        let rank = rank(self.me.node, node, direction, attempt);
        if self.settle_duplicates(now, link, node, rank).is_continue() {
            self.attach(now, node, Link::new(link, rank, now));
        }
    }

    /// Whether a node may be a member, and the version of the protocol to speak with it.
    fn admit(&self, hello: &Identity) -> Result<u32, Refusal> {
        let node = hello.node;
        if self.is_stopped {
            return Err(Refusal::Left);
        }
        if hello.cluster != self.me.cluster {
            return Err(Refusal::OtherCluster);
        }
        if self.revoked.contains(&hello.fingerprint) {
            return Err(Refusal::Revoked);
        }
        if node == self.me.node {
            let is_same = (hello.fingerprint, hello.generation) == (self.me.fingerprint, self.me.generation);
            return Err(if is_same { Refusal::Itself } else { Refusal::SameNode(node) });
        }
        let (ours, theirs) = (self.me.protocol.clone(), hello.protocol.clone());
        let protocol = common_protocol(&ours, &theirs).ok_or(Refusal::Protocol { ours, theirs })?;
        let Some(peer) = self.peers.get(&node) else {
            let has_room = self.peers.len() < limits::MEMBERS || self.least_missed().is_some();
            return if has_room { Ok(protocol) } else { Err(Refusal::Full) };
        };
        let known = peer.member.generation;
        if peer.member.fingerprint != hello.fingerprint {
            // What others told does not stand against a certificate.
            return if peer.is_certain { Err(Refusal::OtherKey(node)) } else { Ok(protocol) };
        }
        if hello.generation < known {
            return Err(Refusal::OldGeneration { theirs: hello.generation, known });
        }
        if hello.generation == known && peer.has_said_leave {
            return Err(Refusal::Left);
        }
        Ok(protocol)
    }

    fn refuse(&mut self, now: Now, link: LinkId, node: NodeId, dial: Option<Dial>, why: Refusal) {
        match dial.map(|dial| dial.target) {
            Some(Target::Seed(address)) if why == Refusal::Itself => {
                self.seeds.retain(|seed| seed.address != address);
            }
            Some(target) => self.dial_refused(now, &target),
            None => {}
        }
        if why.is_fault() {
            self.event(MemberEvent::Refused { node, by_us: true, why: why.clone() });
        }
        self.close(link, node, why);
    }

    /// The member whose place a newcomer may have: not live, without a link, and so for longest.
    fn least_missed(&self) -> Option<NodeId> {
        let missed = |peer: &&Peer| !peer.member.status.is_live() && peer.link.is_none();
        self.peers
            .values()
            .filter(missed)
            .min_by_key(|peer| (peer.is_certain, peer.member.since))
            .map(|peer| peer.member.node)
    }

    /// Writes down who is at the other end.
    fn enter(&mut self, now: Now, hello: Identity, protocol: u32, dial: Option<Dial>) {
        let node = hello.node;
        let is_hearsay = |peer: &Peer| peer.member.fingerprint != hello.fingerprint;
        if self.peers.get(&node).is_some_and(is_hearsay) {
            self.peers.remove(&node);
        }
        match self.peers.get(&node).map(|peer| peer.member.generation) {
            Some(known) if known < hello.generation => self.replace(now, node, hello.generation),
            Some(_) => {}
            None => self.make_room(),
        }
        let peer = self.peers.entry(node);
        let peer = peer.or_insert_with(|| Peer::new(now, node, hello.fingerprint));
        peer.is_certain = true;
        peer.member.generation = hello.generation;
        peer.member.name = hello.name;
        peer.member.protocol = protocol;
        peer.reached_at = dial.map(|dial| dial.address);
        peer.says_addresses(hello.addresses);
        if peer.member.status == Status::Left {
            // Others said that it left; here it is.
            self.set_status(now, node, Status::Known);
        }
    }

    fn make_room(&mut self) {
        if self.peers.len() >= limits::MEMBERS
            && let Some(node) = self.least_missed()
        {
            self.peers.remove(&node);
            self.news.remove(&node);
        }
    }

    /// Two links between two nodes: one is closed, and both ends choose the same (INV-M9). A link
    /// that has gone quiet does not stand against a new one: its other end may have lost it.
    fn settle_duplicates(
        &mut self,
        now: Now,
        new: LinkId,
        node: NodeId,
        rank: (bool, Attempt),
    ) -> ControlFlow<()> {
        let Some(peer) = self.peers.get(&node) else { return ControlFlow::Continue(()) };
        let Some(old) = &peer.link else { return ControlFlow::Continue(()) };
        let is_quiet = peer.silence.verdict(now, &self.config) != Verdict::Alive
            && now.since(old.up) >= self.config.suspect;
        if old.rank > rank && !is_quiet {
            self.close(new, node, Refusal::DuplicateLink);
            return ControlFlow::Break(());
        }
        self.close_link_of(node, Refusal::DuplicateLink);
        ControlFlow::Continue(())
    }

    /// A member has a link now. It counts as alive only once something is heard on it: the other
    /// end may still refuse.
    fn attach(&mut self, now: Now, node: NodeId, link: Link) {
        let id = link.id;
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.member.link = Some(id);
        peer.link = Some(link);
        peer.grace = None;
        self.links.insert(id, node);
        self.send_heartbeat(now, node);
        self.send_facts(now, node);
        self.send_all_peers(id, node);
        self.wake_by(now.after(self.config.tick));
    }

    pub(super) fn link_down(&mut self, now: Now, link: LinkId, kind: LinkEnd) {
        let Some(node) = self.links.get(&link).copied() else { return };
        self.lost(now, node, kind);
    }

    /// A member's link ended without this node's doing (INV-M7).
    pub(super) fn lost(&mut self, now: Now, node: NodeId, kind: LinkEnd) {
        self.detach(node);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if !peer.member.status.is_live() {
            peer.dialing.failed(now, &self.config, &mut self.random);
            let next = peer.dialing.next;
            return self.wake_by(next);
        }
        if kind != LinkEnd::Stopped {
            let until = now.after(self.config.reconnect_grace);
            peer.grace = Some(until);
            self.wake_by(until);
        }
        self.suspect(now, node, Suspicion::Disconnected);
        self.redial_at_once(now, node);
    }

    /// The other end closes a link and says why.
    pub(super) fn refused(&mut self, now: Now, node: NodeId, why: Refusal) {
        if let Some(link) = self.detach(node) {
            self.outputs.push_back(Output::CloseLink { link, peer: node, why: why.clone() });
        }
        match why {
            // There is another link, or will be in a moment.
            Refusal::DuplicateLink => {
                let next = now.after(self.config.suspect);
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.dialing.next = next;
                }
                self.wake_by(next);
            }
            // It gave this node up, and can be asked again.
            Refusal::Silent => self.lost(now, node, LinkEnd::Stopped),
            why => {
                if why.is_fault() {
                    self.event(MemberEvent::Refused { node, by_us: false, why: why.clone() });
                }
                self.kill(now, node, DeathCause::RefusesUs, why);
                self.dial_refused(now, &Target::Peer(node));
            }
        }
    }
}
