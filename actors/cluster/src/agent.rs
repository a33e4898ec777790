//! The one task that owns a node's membership: it takes in what links, timers and people say, does what the
//! membership answers, and publishes the view.

use std::{collections::HashMap, sync::Arc, time::Duration};

use prost::Message as _;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};
use understudy_membership::{
    Address, Facts, Fingerprint, Identity, Input, LinkId, Member, MemberEvent, Membership, MembershipConfig,
    Now, Output, Status,
};
use understudy_proto::node::v1::{DenyList, NodeFacts, link_message::Kind};
use understudy_remote::{PeerNode, VerbService};

use crate::{
    dial::Dialler,
    link::{LinkEvent, LinkHandle, inbound::LinkIds, messages, outbound},
    losses::Losses,
    own::OwnFacts,
    standing::Standing,
    view::{ClusterView, Life, NodeView},
};

/// How often this node looks at what it has and does. Peers learn it at once where it changed.
const LOOK: Duration = Duration::from_millis(500);

/// Wishes of people on their way to the agent. Full: whoever wishes waits.
pub(crate) const WISHES: usize = 16;

/// What people, files and the system say.
pub(crate) enum Wish {
    /// Somebody announces that a node is there.
    Discovered(Address),
    /// This node is reached there now.
    SetAddresses(Vec<Address>),
    /// Another process may have changed the deny list.
    RereadDenyList,
    /// The node leaves the cluster.
    Leave,
}

/// Everything that the agent works with.
pub(crate) struct Agent {
    pub(crate) standing: Arc<Standing>,
    pub(crate) dialler: Arc<Dialler>,
    /// What peers have open here.
    pub(crate) verbs: VerbService,
    pub(crate) facts: Arc<dyn OwnFacts>,
    pub(crate) ids: Arc<LinkIds>,
    pub(crate) sender: mpsc::Sender<LinkEvent>,
    pub(crate) events: mpsc::Receiver<LinkEvent>,
    pub(crate) wishes: mpsc::Receiver<Wish>,
    pub(crate) losses: Losses,
    pub(crate) view: watch::Sender<Arc<ClusterView>>,
    pub(crate) hello: watch::Sender<Identity>,
    /// Counts keys that were denied.
    pub(crate) denied: watch::Sender<u64>,
}

impl Agent {
    /// Runs until the node has left, or its owner drops the future.
    pub(crate) async fn run(self, config: MembershipConfig, me: Identity, known: Vec<Address>) {
        let begun = Instant::now();
        let mut running = Running {
            membership: Membership::new(Now::default(), config, me),
            begun,
            links: HashMap::new(),
            dials: JoinSet::new(),
            own: NodeFacts::default(),
            own_version: 0,
            lost: Vec::new(),
            is_changed: true,
            agent: self,
        };
        known.into_iter().for_each(|address| running.take(Input::AddPeer(address)));
        let denied = running.agent.standing.denied_keys();
        denied.into_iter().for_each(|key| running.take(Input::Revoked(Fingerprint(*key.as_bytes()))));
        running.work().await;
    }
}

struct Running {
    agent: Agent,
    membership: Membership,
    begun: Instant,
    links: HashMap<LinkId, LinkHandle>,
    /// At most as many as the membership has dials under way, and one for each outbound link.
    dials: JoinSet<()>,
    own: NodeFacts,
    own_version: u64,
    /// Starts of nodes to be given up once the view says so: nobody comes to a node anew that is given up.
    lost: Vec<(u64, u64)>,
    /// The view is to be published: something happened, or a tick has passed, after which round trips and the like are
    /// told.
    is_changed: bool,
}

impl Running {
    async fn work(mut self) {
        let mut looks = looks();
        while let Some(wake) = self.membership.next_wake() {
            tokio::select! {
                // What peers say comes last: one that floods its link holds up neither signs of life nor verdicts.
                biased;
                () = sleep_until(self.begun + wake.0) => self.tick(),
                Some(wish) = self.agent.wishes.recv() => self.wished(wish),
                _ = looks.tick() => self.look(),
                Some(_) = self.dials.join_next() => {}
                Some(event) = self.agent.events.recv() => self.heard(event),
            }
            if std::mem::take(&mut self.is_changed) {
                self.publish();
            }
            self.give_up_lost();
        }
        self.give_up_lost();
        // Whatever was said last goes out with the links' ends.
        self.links.clear();
        while self.dials.join_next().await.is_some() {}
    }

    fn tick(&mut self) {
        self.take(Input::Tick);
        self.is_changed = true;
    }

    fn heard(&mut self, event: LinkEvent) {
        let input = match event {
            LinkEvent::Up { link, hello, direction, attempt, handle } => {
                self.links.insert(link, handle);
                self.tell_denied(link);
                Input::LinkUp { link, hello, direction, attempt }
            }
            LinkEvent::Down { link, kind } => match self.links.remove(&link) {
                Some(_) => Input::LinkDown { link, kind },
                // Closed on this side before.
                None => return,
            },
            LinkEvent::Received { link, message } if self.links.contains_key(&link) => {
                Input::Received { link, message }
            }
            LinkEvent::Received { .. } => return,
            LinkEvent::Denied { entries } => {
                let added = self.agent.standing.merge(&entries);
                return self.deny(&added);
            }
            LinkEvent::DialFailed { attempt, refused } => Input::DialFailed { attempt, refused },
        };
        self.take(input);
    }

    fn wished(&mut self, wish: Wish) {
        match wish {
            Wish::Discovered(address) => self.take(Input::Discovered(address)),
            Wish::SetAddresses(addresses) => {
                self.take(Input::SetAddresses(addresses));
                self.is_changed = true;
            }
            Wish::Leave => self.take(Input::Leave),
            Wish::RereadDenyList => {
                let added = self.agent.standing.reread();
                self.deny(&added);
            }
        }
    }

    /// Gives the membership what happened and does what it says.
    fn take(&mut self, input: Input) {
        let now = Now(self.begun.elapsed());
        self.membership.handle(now, input);
        while let Some(output) = self.membership.poll() {
            match output {
                Output::Send { link, message } => {
                    if let Some(handle) = self.links.get(&link) {
                        handle.send(messages::wire(message));
                    }
                }
                Output::Dial { attempt, address, expected } => {
                    let hello = self.membership.hello().clone();
                    let link = self.agent.ids.next();
                    let dial = outbound::Dial { link, attempt, address, expected, hello };
                    self.dials.spawn(outbound::run(
                        dial,
                        self.agent.dialler.clone(),
                        self.agent.sender.clone(),
                    ));
                }
                Output::CloseLink { link, peer, why } => {
                    if why.is_fault() {
                        tracing::warn!(node = %peer, %why, "link refused");
                    }
                    self.links.remove(&link);
                }
                Output::Event(event) => self.happened(event),
            }
        }
    }

    fn happened(&mut self, event: MemberEvent) {
        self.is_changed = true;
        match event {
            MemberEvent::Joined { node, .. } => tracing::info!(%node, "node joined"),
            MemberEvent::Alive { node, .. } => tracing::info!(%node, "node is alive again"),
            MemberEvent::Suspect { node, why, .. } => tracing::info!(%node, %why, "node is suspect"),
            MemberEvent::Dead { node, generation, why, after } => {
                tracing::warn!(%node, %why, silent_ms = after.as_millis(), "node is dead");
                self.lost.push((node.0, generation));
            }
            MemberEvent::Left { node, generation } => {
                tracing::info!(%node, "node left");
                self.lost.push((node.0, generation));
            }
            MemberEvent::Refused { node, by_us, why } => {
                tracing::warn!(%node, by_us, %why, "node refused");
            }
            // While this one was frozen or deaf, so that it knows nothing of it.
            MemberEvent::GaveUp { node, .. } => self.agent.verbs.drop_peer(PeerNode(node.0)),
            // The view tells it.
            MemberEvent::FactsChanged { .. } => {}
        }
    }

    /// Whatever waits for nodes that are lost ends, and whatever they have here is closed.
    fn give_up_lost(&mut self) {
        for (node, generation) in std::mem::take(&mut self.lost) {
            self.agent.losses.lose(node, generation);
            self.agent.verbs.drop_peer(PeerNode(node));
        }
    }

    /// Looks at what this node has and does.
    fn look(&mut self) {
        let has_authority = self.agent.standing.member.authority.is_some();
        let facts = NodeFacts { has_authority, ..self.agent.facts.facts() };
        if facts == self.own {
            return;
        }
        match Facts::new(facts.encode_to_vec()) {
            Ok(encoded) => {
                self.own = facts;
                self.own_version += 1;
                self.is_changed = true;
                self.take(Input::SetFacts(encoded));
            }
            Err(error) => tracing::error!(%error, "this node has too many models to tell of"),
        }
    }

    /// Turns these keys out, and tells the others of them: whoever learns of a key tells it on, so all come to know it.
    fn deny(&mut self, added: &[understudy_identity::Fingerprint]) {
        if added.is_empty() {
            return;
        }
        added.iter().for_each(|key| self.take(Input::Revoked(Fingerprint(*key.as_bytes()))));
        self.agent.denied.send_modify(|count| *count += 1);
        self.links.keys().for_each(|link| self.tell_denied(*link));
    }

    fn tell_denied(&self, link: LinkId) {
        let Some(handle) = self.links.get(&link) else { return };
        for entries in messages::in_parts(self.agent.standing.denied_entries()) {
            handle.send(messages::wrap(Kind::Denied(DenyList { entries })));
        }
    }

    fn publish(&self) {
        let me = self.membership.hello();
        self.agent.hello.send_if_modified(|known| {
            let is_new = known != me;
            known.clone_from(me);
            is_new
        });
        let own = NodeView {
            node: me.node.0,
            fingerprint: me.fingerprint.0,
            generation: me.generation,
            name: me.name.clone(),
            addresses: me.addresses.iter().map(|address| address.as_str().to_owned()).collect(),
            facts_version: self.own_version,
            facts: self.own.clone(),
            ..NodeView::default()
        };
        let before = self.agent.view.borrow().clone();
        let nodes =
            self.membership.members().map(|member| seen(member, before.node(member.node.0))).collect();
        let view = ClusterView { own, nodes };
        if view != *before {
            self.agent.view.send_replace(Arc::new(view));
        }
    }
}

/// A member as others see it; facts that did not change are not read again.
fn seen(member: &Member, before: Option<&NodeView>) -> NodeView {
    let is_known = |before: &&NodeView| {
        (before.generation, before.facts_version) == (member.generation, member.facts_version)
    };
    let facts = match before.filter(is_known) {
        Some(before) => before.facts.clone(),
        None => NodeFacts::decode(member.facts.as_bytes()).unwrap_or_default(),
    };
    let (life, detail) = match &member.status {
        Status::Known => (Life::Known, String::new()),
        Status::Alive => (Life::Alive, String::new()),
        Status::Suspect(why) => (Life::Suspect, why.to_string()),
        Status::Dead(why) => (Life::Dead, why.to_string()),
        Status::Left => (Life::Left, String::new()),
    };
    NodeView {
        node: member.node.0,
        fingerprint: member.fingerprint.0,
        generation: member.generation,
        name: member.name.clone(),
        life,
        detail,
        addresses: member.addresses.iter().map(|address| address.as_str().to_owned()).collect(),
        round_trip: member.round_trip.unwrap_or_default(),
        facts_version: member.facts_version,
        facts,
    }
}

fn looks() -> Interval {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;
