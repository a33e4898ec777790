//! What time brings: heartbeats, verdicts, and what is forgotten.

use super::Membership;
use crate::config::Detector;
use crate::detector::Verdict;
use crate::ids::{NodeId, Now};
use crate::member::{DeathCause, MemberEvent, Status, Suspicion};
use crate::peer::Peer;
use crate::refusal::Refusal;

impl Membership {
    pub(super) fn tick(&mut self, now: Now) {
        if self.is_stopped {
            return;
        }
        if now.since(self.last_tick) > self.config.suspect {
            self.woken(now);
        }
        self.last_tick = now;
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in &nodes {
            self.appraise(now, *node);
        }
        if now >= self.next_beat {
            self.next_beat = now.after(self.config.tick);
            self.beat(now, &nodes);
        }
        for attempt in self.underway.overdue(now) {
            self.dial_failed(now, attempt, false);
        }
        self.start_dials(now);
        self.wake = Some(self.next_due());
    }

    /// This node was frozen, or slept: that it heard nothing meanwhile says nothing of others. All
    /// silences begin anew (INV-M13).
    fn woken(&mut self, now: Now) {
        for peer in self.peers.values_mut() {
            peer.silence.heard(now);
            peer.silence.link_ended();
            if let Some(link) = &mut peer.link {
                link.heard_us = now;
                link.up = now;
            }
        }
    }

    /// What is due at every tick.
    fn beat(&mut self, now: Now, nodes: &[NodeId]) {
        for node in nodes {
            self.send_heartbeat(now, *node);
            let link = self.peers.get(node).and_then(|peer| peer.link.as_ref());
            if link.and_then(|link| link.facts_sent).map(|(version, _)| version) < Some(self.facts_version) {
                self.send_facts(now, *node);
            }
        }
        self.send_news();
        if now >= self.next_gossip {
            self.next_gossip = now.after(self.config.gossip);
            self.gossip();
        }
        let forget = self.config.forget;
        self.peers.retain(|_, peer| {
            let is_idle = !peer.member.status.is_live() && peer.link.is_none();
            !is_idle || now.since(peer.member.since) < forget
        });
    }

    /// Gives a member the status that silence and broken links ask for. Only what is heard makes it better.
    pub(super) fn appraise(&mut self, now: Now, node: NodeId) {
        let Some(peer) = self.peers.get(&node) else { return };
        if !peer.member.status.is_live() {
            return self.give_up_mute_link(now, node);
        }
        if peer.grace.is_some_and(|until| until <= now) {
            return self.kill(now, node, DeathCause::Disconnected, Refusal::Silent);
        }
        match peer.silence.verdict(now, &self.config) {
            Verdict::Dead => self.kill(now, node, DeathCause::Silent, Refusal::Silent),
            Verdict::Suspect if peer.member.status == Status::Alive => {
                self.suspect(now, node, Suspicion::Silent);
            }
            _ => {}
        }
    }

    /// Something was heard of a member: it is alive, unless its heartbeats say that it does not hear this node
    /// (INV-M8). Other messages say nothing of that.
    pub(super) fn recover(&mut self, now: Now, node: NodeId, is_heartbeat: bool) {
        let Some(peer) = self.peers.get(&node) else { return };
        let Some(link) = &peer.link else { return };
        let unheard = now.since(link.heard_us);
        match peer.member.status {
            Status::Suspect(Suspicion::NotHeard | Suspicion::Deaf) if !is_heartbeat => {}
            _ if is_heartbeat && unheard >= self.config.dead => self.suspect(now, node, Suspicion::Deaf),
            _ if is_heartbeat && unheard >= self.config.suspect => {
                self.suspect(now, node, Suspicion::NotHeard);
            }
            _ => self.alive(now, node),
        }
    }

    fn alive(&mut self, now: Now, node: NodeId) {
        if self.set_status(now, node, Status::Alive) {
            let generation = self.generation_of(node);
            self.event(MemberEvent::Alive { node, generation });
        }
    }

    /// A link on which the other end never said a word.
    fn give_up_mute_link(&mut self, now: Now, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.link.as_ref().is_some_and(|link| now.since(link.up) >= self.config.dead) {
            peer.dialing.failed(now, &self.config, &mut self.random);
            self.close_link_of(node, Refusal::Silent);
        }
    }

    /// The next moment at which a tick would do something.
    fn next_due(&self) -> Now {
        let verdicts = self.peers.values().filter_map(|peer| self.next_verdict(peer));
        let dial = self.next_dial();
        verdicts.chain(dial).min().map_or(self.next_beat, |next| next.min(self.next_beat))
    }

    /// When a member's status may change if nothing is heard. Verdicts of other detectors, and of
    /// echoes, wait for the next heartbeat's time.
    fn next_verdict(&self, peer: &Peer) -> Option<Now> {
        if !peer.member.status.is_live() {
            return None;
        }
        let silent = match (&self.config.detector, &peer.member.status) {
            (Detector::Phi { .. }, _) => None,
            (Detector::Fixed, Status::Alive) => Some(self.config.suspect),
            (Detector::Fixed, _) => Some(self.config.dead),
        };
        let silent = silent.map(|time| peer.silence.heard_at().after(time));
        silent.into_iter().chain(peer.grace).min()
    }
}
