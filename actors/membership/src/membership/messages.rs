//! What members say, and what is said to them of this node.

use super::Membership;
use crate::ids::{LinkId, NodeId, Now};
use crate::member::{MemberEvent, Status};
use crate::message::{Facts, Heartbeat, Message};

impl Membership {
    pub(super) fn received(&mut self, now: Now, link: LinkId, message: Message) {
        let Some(node) = self.links.get(&link).copied() else { return };
        match message {
            Message::Refuse(why) => self.refused(now, node, why),
            Message::Leave { generation } if generation == self.generation_of(node) => {
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.has_said_leave = true;
                }
                self.has_left(now, node);
            }
            // A link is one start's: what another one says here is no sign of life.
            Message::Leave { .. } => {}
            Message::Heartbeat(beat) if beat.generation != self.generation_of(node) => {}
            Message::Heartbeat(beat) => {
                self.heartbeat(now, node, &beat);
                self.heard(now, node, true);
            }
            Message::Facts { version, facts } => {
                self.heard(now, node, false);
                self.facts_told(node, version, facts);
            }
            Message::Peers(records) => {
                self.heard(now, node, false);
                self.peers_told(now, node, records);
            }
        }
    }

    /// Something came from a member: it is alive, and has accepted the link.
    fn heard(&mut self, now: Now, node: NodeId, is_heartbeat: bool) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let Some(link) = &mut peer.link else { return };
        link.is_confirmed = true;
        peer.dialing.succeeded();
        peer.silence.heard(now);
        let generation = peer.member.generation;
        let joins = !std::mem::replace(&mut peer.has_joined, true);
        if joins {
            self.set_status(now, node, Status::Alive);
            self.news.insert(node);
            self.event(MemberEvent::Joined { node, generation });
        } else {
            self.recover(now, node, is_heartbeat);
        }
    }

    fn heartbeat(&mut self, now: Now, node: NodeId, beat: &Heartbeat) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let Some(link) = &mut peer.link else { return };
        peer.silence.beat(now, &self.config);
        if let Some(measured) = link.heard(now, beat) {
            let smoothed = peer.member.round_trip.map_or(measured, |known| (known * 7 + measured) / 8);
            peer.member.round_trip = Some(smoothed);
        }
        // Not only where it has risen: the count of one that had forgotten this node begins anew.
        let gave_up = std::mem::replace(&mut peer.gave_us_up, beat.gave_up) != beat.gave_up;
        let generation = peer.member.generation;
        let were_lost = link.facts_sent.is_some_and(|(version, at)| {
            version == self.facts_version && beat.facts_seen < version && now.since(at) >= self.config.suspect
        });
        if were_lost {
            self.send_facts(now, node);
        }
        if gave_up {
            self.event(MemberEvent::GaveUp { node, generation });
        }
    }

    /// Facts of a newer version take the place of older ones, never the other way (INV-M10).
    fn facts_told(&mut self, node: NodeId, version: u64, facts: Facts) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if version <= peer.member.facts_version {
            return;
        }
        peer.member.facts_version = version;
        peer.member.facts = facts;
        let generation = peer.member.generation;
        self.event(MemberEvent::FactsChanged { node, generation, version });
    }

    pub(super) fn set_facts(&mut self, now: Now, facts: Facts) {
        self.facts = facts;
        self.facts_version += 1;
        let is_rested = |at: Option<(u64, Now)>| at.is_none_or(|(_, at)| now.since(at) >= self.config.tick);
        let nodes: Vec<NodeId> = self
            .peers
            .values()
            .filter(|peer| peer.link.as_ref().is_some_and(|link| is_rested(link.facts_sent)))
            .map(|peer| peer.member.node)
            .collect();
        for node in nodes {
            self.send_facts(now, node);
        }
    }

    /// Sends this node's facts on a member's link, if there are any.
    pub(super) fn send_facts(&mut self, now: Now, node: NodeId) {
        let version = self.facts_version;
        let Some(link) = self.peers.get_mut(&node).and_then(|peer| peer.link.as_mut()) else { return };
        if version == 0 {
            return;
        }
        link.facts_sent = Some((version, now));
        let id = link.id;
        let facts = self.facts.clone();
        self.send(id, Message::Facts { version, facts });
    }

    /// Sends one heartbeat on a member's link.
    pub(super) fn send_heartbeat(&mut self, now: Now, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let Some(link) = &mut peer.link else { return };
        let heartbeat = link.heartbeat(now, self.me.generation, peer.member.facts_version, peer.given_up);
        let id = link.id;
        self.send(id, Message::Heartbeat(heartbeat));
    }
}
