//! A few nodes on a network without delay, where paths can be blocked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_membership::{
    Address, Attempt, Direction, Identity, Input, LinkEnd, LinkId, MemberEvent, Membership, MembershipConfig,
    Now, Output,
};

pub fn address(node: u64) -> Address {
    Address::new(&format!("node{node}:7863")).expect("it is one")
}

pub struct Lan {
    pub machines: BTreeMap<u64, Membership>,
    pub events: BTreeMap<u64, Vec<MemberEvent>>,
    /// Paths on which nothing arrives, from and to.
    pub blocked: BTreeSet<(u64, u64)>,
    pub now: Now,
    wires: BTreeMap<u64, (u64, u64)>,
    queue: Vec<(u64, Input)>,
}

impl Lan {
    pub fn new(nodes: impl IntoIterator<Item = Identity>) -> Self {
        let now = Now(Duration::from_secs(7));
        let machine = |me: Identity| (me.node.0, Membership::new(now, MembershipConfig::default(), me));
        Self {
            machines: nodes.into_iter().map(machine).collect(),
            events: BTreeMap::new(),
            blocked: BTreeSet::new(),
            now,
            wires: BTreeMap::new(),
            queue: Vec::new(),
        }
    }

    /// Lets time pass in steps of a millisecond.
    pub fn pass(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now = self.now.after(Duration::from_millis(1));
            let is_due = |machine: &Membership| machine.next_wake().is_some_and(|wake| wake <= self.now);
            let due: Vec<u64> =
                self.machines.iter().filter(|(_, machine)| is_due(machine)).map(|(node, _)| *node).collect();
            due.into_iter().for_each(|node| self.give(node, Input::Tick));
        }
    }

    /// Gives a node an input, and carries what comes of it until all is quiet.
    pub fn give(&mut self, node: u64, input: Input) {
        self.queue.push((node, input));
        while !self.queue.is_empty() {
            let (node, input) = self.queue.remove(0);
            let Some(machine) = self.machines.get_mut(&node) else { continue };
            machine.handle(self.now, input);
            let outputs: Vec<Output> = std::iter::from_fn(|| machine.poll()).collect();
            outputs.into_iter().for_each(|output| self.carry(node, output));
        }
    }

    pub fn kill(&mut self, node: u64) {
        self.machines.remove(&node);
        let wires = std::mem::take(&mut self.wires);
        for (wire, (one, other)) in wires {
            let peer = if one == node { other } else { one };
            if one == node || other == node {
                self.give(peer, Input::LinkDown { link: LinkId(wire), kind: LinkEnd::Reset });
            } else {
                self.wires.insert(wire, (one, other));
            }
        }
    }

    fn carry(&mut self, from: u64, output: Output) {
        match output {
            Output::Event(event) => self.events.entry(from).or_default().push(event),
            Output::Send { link, message } => {
                if let Some(to) = self.far_end(from, link) {
                    self.queue.push((to, Input::Received { link, message }));
                }
            }
            Output::CloseLink { link, .. } => {
                if let Some(to) = self.far_end(from, link) {
                    self.queue.push((to, Input::LinkDown { link, kind: LinkEnd::Ended }));
                    self.wires.remove(&link.0);
                }
            }
            Output::Dial { attempt, address, .. } => self.dial(from, attempt, &address),
        }
    }

    fn far_end(&self, from: u64, link: LinkId) -> Option<u64> {
        let (one, other) = self.wires.get(&link.0)?;
        let to = if *one == from { *other } else { *one };
        (!self.blocked.contains(&(from, to))).then_some(to)
    }

    fn dial(&mut self, from: u64, attempt: Attempt, address: &Address) {
        let to: u64 = address.as_str()["node".len()..].trim_end_matches(":7863").parse().expect("a node");
        if self.blocked.contains(&(from, to)) || self.blocked.contains(&(to, from)) {
            return;
        }
        if !self.machines.contains_key(&to) {
            return self.queue.push((from, Input::DialFailed { attempt, refused: true }));
        }
        let wire = self.wires.keys().last().unwrap_or(&0) + 1;
        self.wires.insert(wire, (from, to));
        for (me, other, direction) in [(from, to, Direction::Outbound), (to, from, Direction::Inbound)] {
            let hello = self.machines[&other].hello().clone();
            let link = LinkId(wire);
            self.queue.push((me, Input::LinkUp { link, hello, direction, attempt }));
        }
    }
}
