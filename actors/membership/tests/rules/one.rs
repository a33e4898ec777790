//! One node, to which the tests say what happens.

use std::time::Duration;

use understudy_membership::{
    Attempt, ClusterId, Direction, Fingerprint, Heartbeat, Identity, Input, LinkId, MemberEvent, Membership,
    MembershipConfig, Message, NodeId, Now, Output, Refusal, Status,
};

/// The node under test. Peers of the tests have greater and smaller ids.
pub const ME: u64 = 50;

pub fn identity(node: u64) -> Identity {
    Identity {
        node: NodeId(node),
        fingerprint: Fingerprint([node as u8; 32]),
        generation: 10,
        name: format!("node {node}"),
        addresses: vec![super::lan::address(node)],
        protocol: 3..=4,
        cluster: ClusterId([1; 16]),
    }
}

pub struct One {
    pub machine: Membership,
    pub now: Now,
    sequence: u64,
}

impl One {
    pub fn new() -> Self {
        Self::with(MembershipConfig::default())
    }

    pub fn with(config: MembershipConfig) -> Self {
        let now = Now(Duration::from_secs(100));
        Self { machine: Membership::new(now, config, identity(ME)), now, sequence: 0 }
    }

    /// Says that something happened; gives what is to be done.
    pub fn give(&mut self, input: Input) -> Vec<Output> {
        self.machine.handle(self.now, input);
        std::iter::from_fn(|| self.machine.poll()).collect()
    }

    /// A link comes up that the other end dialled.
    pub fn inbound(&mut self, link: u64, hello: Identity) -> Vec<Output> {
        let (link, direction, attempt) = (LinkId(link), Direction::Inbound, Attempt(link));
        self.give(Input::LinkUp { link, hello, direction, attempt })
    }

    /// A heartbeat comes on a link, from a peer that hears this node or does not.
    pub fn beat(&mut self, link: u64, hears: bool) -> Vec<Output> {
        self.beat_of(link, hears, 0)
    }

    /// From one who has given this node up so often.
    pub fn beat_of(&mut self, link: u64, hears: bool, gave_up: u64) -> Vec<Output> {
        self.sequence += 1;
        let node = self.machine.members().find(|member| member.link == Some(LinkId(link)));
        let generation = node.map_or(0, |member| member.generation);
        let echo = hears.then_some(understudy_membership::Echo { sequence: 1, held: Duration::ZERO });
        let beat = Heartbeat { sequence: self.sequence, generation, facts_seen: 0, gave_up, echo };
        self.receive(link, Message::Heartbeat(beat))
    }

    pub fn receive(&mut self, link: u64, message: Message) -> Vec<Output> {
        self.give(Input::Received { link: LinkId(link), message })
    }

    /// A member that is alive on a link.
    pub fn member(&mut self, link: u64, hello: Identity) {
        self.inbound(link, hello);
        self.beat(link, true);
    }

    /// Lets time pass, with every tick that is due in it.
    pub fn pass(&mut self, millis: u64) -> Vec<Output> {
        let until = self.now.after(Duration::from_millis(millis));
        let mut outputs = Vec::new();
        while let Some(wake) = self.machine.next_wake().filter(|wake| *wake <= until) {
            self.now = self.now.max(wake);
            outputs.extend(self.give(Input::Tick));
            let is_done = self.machine.next_wake().is_none_or(|wake| wake > self.now);
            assert!(is_done, "a tick leaves something due");
        }
        self.now = until;
        outputs
    }

    pub fn status(&self, node: u64) -> Option<Status> {
        self.machine.member(NodeId(node)).map(|member| member.status.clone())
    }
}

pub fn events(outputs: &[Output]) -> Vec<MemberEvent> {
    let event = |output: &Output| match output {
        Output::Event(event) => Some(event.clone()),
        _ => None,
    };
    outputs.iter().filter_map(event).collect()
}

/// The links that are closed, with the reasons. Each was told its reason before.
pub fn closed(outputs: &[Output]) -> Vec<(u64, Refusal)> {
    let close = |output: &Output| match output {
        Output::CloseLink { link, why, .. } => Some((link.0, why.clone())),
        _ => None,
    };
    outputs.iter().filter_map(close).collect()
}

/// The reason that is told on a link.
pub fn told(outputs: &[Output], on: u64) -> Option<Refusal> {
    outputs.iter().find_map(|output| match output {
        Output::Send { link, message: Message::Refuse(why) } if link.0 == on => Some(why.clone()),
        _ => None,
    })
}

pub fn dials(outputs: &[Output]) -> Vec<(Attempt, String)> {
    let dial = |output: &Output| match output {
        Output::Dial { attempt, address, .. } => Some((*attempt, address.to_string())),
        _ => None,
    };
    outputs.iter().filter_map(dial).collect()
}
