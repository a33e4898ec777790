//! What nodes tell each other of third ones: where they are, and which start is the latest. Whether one is alive is
//! never taken from others (INV-M12).

use super::Membership;
use crate::identity::Address;
use crate::ids::{LinkId, NodeId, Now};
use crate::limits;
use crate::member::Status;
use crate::message::{Message, PeerRecord};
use crate::peer::Peer;

impl Membership {
    pub(super) fn peers_told(&mut self, now: Now, records: Vec<PeerRecord>) {
        for record in records.into_iter().take(limits::PEERS_PER_MESSAGE) {
            if record.node != self.me.node && !self.revoked.contains(&record.fingerprint) {
                self.peer_told(now, record);
            }
        }
    }

    fn peer_told(&mut self, now: Now, record: PeerRecord) {
        let node = record.node;
        let Some(peer) = self.peers.get(&node) else { return self.peer_discovered(now, record) };
        let known = peer.member.generation;
        if peer.member.fingerprint != record.fingerprint || record.generation < known {
            return;
        }
        let left = record.left;
        if record.generation > known {
            self.replace(now, node, record.generation);
            self.wake_by(now);
            if let Some(peer) = self.peers.get_mut(&node) {
                peer.dialing.next = now;
                peer.member.addresses = clipped(record.addresses);
            }
        }
        if left {
            self.has_left(now, node);
        }
    }

    /// A node that was not known: it is dialled, at once by the smaller of both ids and a little later by the other, so
    /// that mostly one dials.
    fn peer_discovered(&mut self, now: Now, record: PeerRecord) {
        if record.left || self.peers.len() >= limits::MEMBERS {
            return;
        }
        let node = record.node;
        let mut peer = Peer::new(now, node, record.fingerprint, record.generation);
        peer.member.addresses = clipped(record.addresses);
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

fn clipped(mut addresses: Vec<Address>) -> Vec<Address> {
    addresses.truncate(limits::ADDRESSES);
    addresses
}
