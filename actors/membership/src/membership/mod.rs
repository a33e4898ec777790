//! The state machine itself: its state, its door, and the steps that several parts share.

mod dials;
mod gossip;
mod links;
mod messages;
mod time;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::config::MembershipConfig;
use crate::dialing::{Seed, Underway};
use crate::identity::Identity;
use crate::ids::{Fingerprint, LinkId, NodeId, Now};
use crate::io::{Input, Output};
use crate::member::{DeathCause, Member, MemberEvent, Status, Suspicion};
use crate::message::{Facts, Message};
use crate::peer::Peer;
use crate::random::Random;
use crate::refusal::Refusal;

/// One node's view of its cluster.
///
/// The driver calls [`handle`](Self::handle) with whatever happens, then takes every output from
/// [`poll`](Self::poll), and comes back with [`Input::Tick`] at [`next_wake`](Self::next_wake). Outputs of one input
/// are a few per member, so the queue between the two needs no bound of its own.
pub struct Membership {
    config: MembershipConfig,
    me: Identity,
    facts: Facts,
    facts_version: u64,
    peers: BTreeMap<NodeId, Peer>,
    /// Whose link a link is.
    links: BTreeMap<LinkId, NodeId>,
    seeds: Vec<Seed>,
    underway: Underway,
    /// Keys that the deny list of this node names; peers cannot add to it.
    revoked: BTreeSet<Fingerprint>,
    /// Members to tell the others of at the next tick.
    news: BTreeSet<NodeId>,
    /// This node has left, or was revoked.
    is_stopped: bool,
    last_tick: Now,
    next_beat: Now,
    next_gossip: Now,
    wake: Option<Now>,
    random: Random,
    outputs: VecDeque<Output>,
}

impl Membership {
    /// A membership of one. `now` is the start; the first tick is due at once.
    #[must_use]
    pub fn new(now: Now, config: MembershipConfig, me: Identity) -> Self {
        let config = config.raised();
        let seed = config.seed ^ me.node.0 ^ me.generation.rotate_left(32);
        Self {
            next_gossip: now.after(config.gossip),
            random: Random::new(seed),
            config,
            me: me.clipped(),
            facts: Facts::default(),
            facts_version: 0,
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            seeds: Vec::new(),
            underway: Underway::default(),
            revoked: BTreeSet::new(),
            news: BTreeSet::new(),
            is_stopped: false,
            last_tick: now,
            next_beat: now,
            wake: Some(now),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened. `now` does not go back between calls.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Tick => self.tick(now),
            Input::LinkUp { link, hello, direction, attempt } => {
                self.link_up(now, link, hello, direction, attempt)
            }
            Input::LinkDown { link, kind } => self.link_down(now, link, kind),
            Input::Received { link, message } => self.received(now, link, message),
            Input::DialFailed { attempt, refused } => self.dial_failed(now, attempt, refused),
            Input::SetFacts(facts) => self.set_facts(now, facts),
            Input::SetAddresses(addresses) => {
                let me = Identity { addresses, ..self.me.clone() };
                self.me = me.clipped();
                self.send_own_addresses();
            }
            Input::AddPeer(address) => self.add_peer(now, address, false),
            Input::Discovered(address) => self.add_peer(now, address, true),
            Input::Leave => self.leave(),
            Input::Revoked(fingerprint) => self.revoke(now, fingerprint),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due; `None` once this node has left.
    #[must_use]
    pub fn next_wake(&self) -> Option<Now> {
        self.wake
    }

    /// What this node says first on each link, with the attempt where it dialled.
    #[must_use]
    pub fn hello(&self) -> &Identity {
        &self.me
    }

    /// All members that are known beside this node, in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.peers.values().map(|peer| &peer.member)
    }

    /// One member.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.peers.get(&node).map(|peer| &peer.member)
    }

    fn wake_by(&mut self, moment: Now) {
        if !self.is_stopped {
            self.wake = Some(self.wake.map_or(moment, |wake| wake.min(moment)));
        }
    }

    fn send(&mut self, link: LinkId, message: Message) {
        self.outputs.push_back(Output::Send { link, message });
    }

    fn event(&mut self, event: MemberEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Says why, and closes.
    fn close(&mut self, link: LinkId, peer: NodeId, why: Refusal) {
        self.send(link, Message::Refuse(why.clone()));
        self.outputs.push_back(Output::CloseLink { link, peer, why });
    }

    /// Takes a member's link from it.
    fn detach(&mut self, node: NodeId) -> Option<LinkId> {
        let peer = self.peers.get_mut(&node)?;
        let link = peer.link.take()?;
        peer.member.link = None;
        peer.silence.link_ended();
        self.links.remove(&link.id);
        Some(link.id)
    }

    /// Closes a member's link, if there is one.
    fn close_link_of(&mut self, node: NodeId, why: Refusal) {
        if let Some(link) = self.detach(node) {
            self.close(link, node, why);
        }
    }

    /// Gives a member a status, if it has another one.
    fn set_status(&mut self, now: Now, node: NodeId, status: Status) -> bool {
        let Some(peer) = self.peers.get_mut(&node) else { return false };
        if peer.member.status == status {
            return false;
        }
        peer.member.status = status;
        peer.member.since = now;
        true
    }

    fn suspect(&mut self, now: Now, node: NodeId, why: Suspicion) {
        if self.set_status(now, node, Status::Suspect(why)) {
            let generation = self.generation_of(node);
            self.event(MemberEvent::Suspect { node, generation, why });
        }
    }

    /// A live member is dead: its link is closed and the pending work of this start is lost. Others are as they are.
    fn kill(&mut self, now: Now, node: NodeId, why: DeathCause, closing: Refusal) {
        self.close_link_of(node, closing);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.grace = None;
        if !peer.member.status.is_live() {
            return;
        }
        peer.given_up += 1;
        let (generation, after) = (peer.member.generation, now.since(peer.silence.heard_at()));
        self.set_status(now, node, Status::Dead(why));
        self.event(MemberEvent::Dead { node, generation, why, after });
    }

    fn generation_of(&self, node: NodeId) -> u64 {
        self.peers.get(&node).map_or(0, |peer| peer.member.generation)
    }

    /// A later start of a member said hello: the earlier one is over (INV-M1).
    fn replace(&mut self, now: Now, node: NodeId, generation: u64) {
        let closing = Refusal::OldGeneration { theirs: self.generation_of(node), known: generation };
        self.kill(now, node, DeathCause::Replaced, closing);
        self.set_status(now, node, Status::Known);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.member.generation = generation;
        peer.member.facts_version = 0;
        peer.member.facts = Facts::default();
        peer.member.round_trip = None;
        peer.has_joined = false;
        peer.has_said_leave = false;
        (peer.given_up, peer.gave_us_up) = (0, 0);
    }

    /// A member's start left: it is kept as a mark, so that it is not told of as one that lives.
    fn has_left(&mut self, now: Now, node: NodeId) {
        self.close_link_of(node, Refusal::Left);
        if self.set_status(now, node, Status::Left) {
            let generation = self.generation_of(node);
            self.event(MemberEvent::Left { node, generation });
            self.news.insert(node);
        }
    }

    fn leave(&mut self) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.send(link, Message::Leave { generation: self.me.generation });
        }
        self.stop(Refusal::Left);
    }

    /// A revoked key is nobody's who is here (INV-M5).
    fn revoke(&mut self, now: Now, fingerprint: Fingerprint) {
        self.revoked.insert(fingerprint);
        if fingerprint == self.me.fingerprint {
            self.stop(Refusal::Revoked);
        }
        let of_key = |peer: &&Peer| peer.member.fingerprint == fingerprint;
        let Some(node) = self.peers.values().find(of_key).map(|peer| peer.member.node) else { return };
        self.kill(now, node, DeathCause::Revoked, Refusal::Revoked);
        self.peers.remove(&node);
        self.news.remove(&node);
    }

    fn stop(&mut self, why: Refusal) {
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in nodes {
            self.close_link_of(node, why.clone());
        }
        self.peers.clear();
        self.seeds.clear();
        self.is_stopped = true;
        self.wake = None;
    }
}
