//! What nodes tell each other: where they are themselves, which third ones there are, and who left. Of a third one it
//! is hearsay (INV-M12): it makes this node dial, and nothing of what it hears itself gives way to it.

use super::Membership;
use crate::ids::{LinkId, NodeId, Now};
use crate::limits;
use crate::member::Status;
use crate::message::{Message, PeerRecord};
use crate::peer::Peer;

impl Membership {
    pub(super) fn peers_told(&mut self, now: Now, by: NodeId, records: Vec<PeerRecord>) {
        for record in records.into_iter().take(limits::PEERS_PER_MESSAGE) {
            if record.node == by {
                self.self_told(record);
            } else if record.node != self.me.node && !self.revoked.contains(&record.fingerprint) {
                self.peer_told(now, record);
            }
        }
    }

    /// What a member says of itself on its own link: only its addresses can be new.
    fn self_told(&mut self, record: PeerRecord) {
        if let Some(peer) = self.peers.get_mut(&record.node)
            && peer.member.generation == record.generation
        {
            peer.says_addresses(record.addresses);
        }
    }

    /// Of a member with a link nothing is believed: a new start of it says hello itself, and a leave is told on its
    /// own link. Of others a newer start is a reason to dial, and a leave one to tell, until they say hello.
    fn peer_told(&mut self, now: Now, record: PeerRecord) {
        let node = record.node;
        let Some(peer) = self.peers.get_mut(&node) else { return self.peer_discovered(now, record) };
        if peer.link.is_some() || peer.member.fingerprint != record.fingerprint {
            return;
        }
        if record.left {
            return self.leave_told(now, node, record.generation);
        }
        if record.generation > peer.told.max(peer.member.generation) {
            peer.told = record.generation;
            peer.told_addresses(record.addresses);
            peer.dialing.next = now;
            self.wake_by(now);
        }
    }

    fn leave_told(&mut self, now: Now, node: NodeId, generation: u64) {
        let Some(peer) = self.peers.get(&node) else { return };
        if peer.is_certain && peer.member.generation == generation {
            self.has_left(now, node);
        } else if !peer.is_certain && peer.told <= generation {
            self.peers.remove(&node);
        }
    }

    /// A node that was not known: it is dialled, at once by the smaller of both ids and a little later by the other, so
    /// that mostly one dials.
    fn peer_discovered(&mut self, now: Now, record: PeerRecord) {
        if record.left || self.peers.len() >= limits::MEMBERS {
            return;
        }
        let node = record.node;
        let mut peer = Peer::new(now, node, record.fingerprint);
        peer.told = record.generation;
        peer.told_addresses(record.addresses);
        if self.me.node > node {
            peer.dialing.next = now.after(self.config.dial_first);
        }
        self.wake_by(peer.dialing.next);
        self.peers.insert(node, peer);
    }

    /// Tells all that is known on a link to `to`, in as many messages as it takes.
    pub(super) fn send_all_peers(&mut self, link: LinkId, to: NodeId) {
        let worth_telling = |peer: &&Peer| peer.member.node != to && is_worth_telling(peer);
        let records: Vec<PeerRecord> = self.peers.values().filter(worth_telling).map(record_of).collect();
        for part in records.chunks(limits::PEERS_PER_MESSAGE) {
            self.send(link, Message::Peers(part.to_vec()));
        }
    }

    /// Tells everybody who came and who left since the last tick.
    pub(super) fn send_news(&mut self) {
        let news = std::mem::take(&mut self.news);
        let news = news.iter().filter_map(|node| self.peers.get(node)).filter(|peer| is_worth_telling(peer));
        let records: Vec<PeerRecord> = news.map(record_of).collect();
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for part in records.chunks(limits::PEERS_PER_MESSAGE) {
            for link in &links {
                self.send(*link, Message::Peers(part.to_vec()));
            }
        }
    }

    /// Tells one member, drawn at random, all that is known: what was lost on the way comes again.
    pub(super) fn gossip(&mut self) {
        if self.links.is_empty() {
            return;
        }
        let drawn = self.random.below(self.links.len());
        if let Some((link, node)) = self.links.iter().nth(drawn).map(|(link, node)| (*link, *node)) {
            self.send_all_peers(link, node);
            self.send(link, Message::Peers(vec![self.own_record()]));
        }
    }

    /// Tells everybody where this node listens now.
    pub(super) fn send_own_addresses(&mut self) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.send(link, Message::Peers(vec![self.own_record()]));
        }
    }

    fn own_record(&self) -> PeerRecord {
        PeerRecord {
            node: self.me.node,
            fingerprint: self.me.fingerprint,
            generation: self.me.generation,
            addresses: self.me.addresses.clone(),
            left: false,
        }
    }
}

/// Nodes that are merely known or dead are not told of: else nodes that are long gone would be
/// passed around for ever.
fn is_worth_telling(peer: &Peer) -> bool {
    peer.member.status.is_live() || peer.member.status == Status::Left
}

fn record_of(peer: &Peer) -> PeerRecord {
    PeerRecord {
        node: peer.member.node,
        fingerprint: peer.member.fingerprint,
        generation: peer.member.generation,
        addresses: peer.member.addresses.clone(),
        left: peer.member.status == Status::Left,
    }
}
