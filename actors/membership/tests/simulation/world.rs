//! A world of hosts, the processes on them and the network between, in simulated time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use understudy_membership::{
    Address, Attempt, Detector, Direction, Fingerprint, Identity, Input, LinkEnd, LinkId, MemberEvent,
    Membership, MembershipConfig, Message, NodeId, Now, Output,
};

use super::network::Network;
use super::process::{Process, Watch};

/// Something that will happen to a process.
enum Happening {
    Wake { process: usize },
    LinkUp { wire: u64, side: usize },
    Delivery { wire: u64, side: usize, message: Message },
    Down { wire: u64, side: usize, kind: LinkEnd },
    DialFailed { process: usize, attempt: Attempt, refused: bool },
    Revoked { process: usize, fingerprint: Fingerprint },
}

pub struct World {
    seed: u64,
    pub rng: Rng,
    /// Microseconds since the beginning.
    time: u64,
    order: u64,
    /// What will happen, by time and then by the order in which it was arranged.
    queue: BTreeMap<(u64, u64), Happening>,
    pub network: Network,
    pub processes: Vec<Process>,
    /// The process that runs on each host.
    pub running: Vec<Option<usize>>,
    pub revoked: Vec<Fingerprint>,
    /// Who gave whom up without that one knowing it yet: both as starts of nodes.
    given_up: BTreeSet<(Start, Start)>,
    pub config: MembershipConfig,
    log: VecDeque<String>,
}

/// A start of a node.
type Start = (NodeId, u64);

pub fn address(host: usize) -> Address {
    Address::new(&format!("host{host}:7863")).expect("it is one")
}

fn host_of(address: &Address) -> usize {
    let host = address.as_str().trim_start_matches("host").trim_end_matches(":7863");
    host.parse().expect("an address of this world")
}

impl World {
    pub fn new(seed: u64, hosts: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        // Every third round is judged by phi.
        let phi =
            Detector::Phi { suspect: 3.0, dead: 8.0, window: 50, min_deviation: Duration::from_millis(60) };
        let config = MembershipConfig {
            detector: if seed % 3 == 2 { phi } else { Detector::Fixed },
            dial_most: Duration::from_secs(3),
            dial_timeout: Duration::from_secs(1),
            gossip: Duration::from_secs(2),
            seed,
            ..MembershipConfig::default()
        };
        Self {
            seed,
            time: 0,
            order: 0,
            queue: BTreeMap::new(),
            network: Network::new(hosts, &mut rng),
            processes: Vec::new(),
            running: vec![None; hosts],
            revoked: Vec::new(),
            given_up: BTreeSet::new(),
            config,
            log: VecDeque::new(),
            rng,
        }
    }

    pub fn now(&self) -> Now {
        Now(Duration::from_micros(self.time))
    }

    pub fn log(&mut self, line: String) {
        if self.log.len() == 40 {
            self.log.pop_front();
        }
        self.log.push_back(format!("{:>9.3} s  {line}", self.time as f64 / 1e6));
    }

    fn later(&mut self, time: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((time, self.order), happening);
    }

    /// Lets time pass, with all that is due in it.
    pub fn run(&mut self, micros: u64) {
        let until = self.time + micros;
        while let Some(next) = self.queue.first_entry().filter(|next| next.key().0 <= until) {
            self.time = next.key().0;
            let happening = next.remove();
            self.happen(happening);
        }
        self.time = until;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake { process } => {
                let is_due = self.processes[process].wake == Some(self.time);
                if is_due && !self.processes[process].is_frozen {
                    self.give(process, Input::Tick);
                }
            }
            Happening::LinkUp { wire, side } => self.link_up(wire, side),
            Happening::Delivery { wire, side, message } => self.deliver(wire, side, message),
            Happening::Down { wire, side, kind } => {
                let Some(known) = self.network.wire_mut(wire) else { return };
                let was_closed = std::mem::replace(&mut known.ends[side].is_closed, true);
                let (process, is_over) = (known.ends[side].process, known.ends[1 - side].is_closed);
                if !was_closed {
                    self.give(process, Input::LinkDown { link: LinkId(wire), kind });
                }
                if is_over {
                    self.network.remove(wire);
                }
            }
            Happening::DialFailed { process, attempt, refused } => {
                self.give(process, Input::DialFailed { attempt, refused });
            }
            Happening::Revoked { process, fingerprint } => self.give(process, Input::Revoked(fingerprint)),
        }
    }

    /// A process starts on a host that has none.
    pub fn start(&mut self, host: usize, identity: Identity, seeds: &[usize]) {
        let now = self.now();
        let process = self.processes.len();
        let machine = Membership::new(now, self.config.clone(), identity.clone());
        self.processes.push(Process {
            host,
            watch: Watch::new(self.config.clone(), identity.node, now),
            identity,
            machine: Some(machine),
            is_frozen: false,
            backlog: Vec::new(),
            wake: None,
            last_tick: now,
            open: Default::default(),
            facts: 0,
        });
        self.running[host] = Some(process);
        for fingerprint in self.revoked.clone() {
            self.give(process, Input::Revoked(fingerprint));
        }
        for seed in seeds {
            self.give(process, Input::AddPeer(address(*seed)));
        }
        self.give(process, Input::Tick);
    }

    /// The process on a host is gone; the kernel closes its connections.
    pub fn kill(&mut self, host: usize) {
        let Some(process) = self.running[host].take() else { return };
        self.processes[process].machine = None;
        let ends = self.network.wires().flat_map(|(wire, known)| [(wire, 0, known), (wire, 1, known)]);
        let held: Vec<(u64, usize)> = ends
            .filter(|(_, side, known)| known.ends[*side].process == process)
            .map(|(wire, side, _)| (wire, side))
            .collect();
        for (wire, side) in held {
            self.close(wire, side, LinkEnd::Reset);
        }
    }

    /// A connection breaks though both ends live.
    pub fn break_wire(&mut self, wire: u64) {
        for side in [0, 1] {
            self.later(self.time, Happening::Down { wire, side, kind: LinkEnd::Reset });
        }
    }

    pub fn thaw(&mut self, host: usize) {
        let Some(process) = self.running[host].filter(|process| self.processes[*process].is_frozen) else {
            return;
        };
        let now = self.now();
        let state = &mut self.processes[process];
        state.is_frozen = false;
        if now.since(state.last_tick) > self.config.suspect {
            state.watch.awake = now;
        }
        let mut backlog = std::mem::take(&mut state.backlog);
        // Nobody knows whether a driver looks at its clock or at its sockets first.
        let at = if self.rng.bool() { 0 } else { backlog.len() };
        backlog.insert(at, Input::Tick);
        backlog.into_iter().for_each(|input| self.give(process, input));
    }

    pub fn revoke(&mut self, fingerprint: Fingerprint) {
        self.revoked.push(fingerprint);
        for process in self.running.clone().into_iter().flatten() {
            let at = self.time + self.rng.u64(0..500_000);
            self.later(at, Happening::Revoked { process, fingerprint });
        }
    }

    fn link_up(&mut self, wire: u64, side: usize) {
        let Some(known) = self.network.wire(wire).copied() else { return };
        let (me, other) = (known.ends[side].process, known.ends[1 - side].process);
        let attempt = Attempt(known.attempt);
        let is_apart = self.network.is_apart(self.processes[me].host, self.processes[other].host);
        let is_mute = self.processes[other].machine.is_none() || self.processes[other].is_frozen;
        if is_apart || is_mute || known.ends[side].is_closed {
            self.close(wire, side, LinkEnd::Ended);
            if side == 0 {
                self.give(me, Input::DialFailed { attempt, refused: false });
            }
            return;
        }
        let hello = self.processes[other].identity.clone();
        let direction = if side == 0 { Direction::Outbound } else { Direction::Inbound };
        self.give(me, Input::LinkUp { link: LinkId(wire), hello, direction, attempt });
    }

    fn deliver(&mut self, wire: u64, side: usize, message: Message) {
        let Some(known) = self.network.wire(wire).copied() else { return };
        if known.ends[side].is_closed {
            return self.tell_closed(wire, side, LinkEnd::Reset);
        }
        let is_heartbeat = matches!(message, Message::Heartbeat(_));
        self.give(known.ends[side].process, Input::Received { link: LinkId(wire), message });
        if is_heartbeat {
            self.check_parting(wire, side);
        }
    }

    /// One end closes.
    fn close(&mut self, wire: u64, side: usize, kind: LinkEnd) {
        let Some(known) = self.network.wire_mut(wire) else { return };
        known.ends[side].is_closed = true;
        self.tell_closed(wire, side, kind);
    }

    /// The other end learns that this one is closed, if anything gets there.
    fn tell_closed(&mut self, wire: u64, side: usize, kind: LinkEnd) {
        let Some(known) = self.network.wire(wire).copied() else { return };
        let [from, to] = [side, 1 - side].map(|side| self.processes[known.ends[side].process].host);
        if known.ends[1 - side].is_closed {
            self.network.remove(wire);
        } else if !self.network.is_cut(from, to) {
            let at = self.time + self.network.delay(from, to, &mut self.rng);
            let at = self.network.arrival(wire, 1 - side, at);
            self.later(at, Happening::Down { wire, side: 1 - side, kind });
        }
    }

    /// Gives a process an input, does what it asks for, and looks at what became of it.
    pub fn give(&mut self, process: usize, input: Input) {
        let now = self.now();
        let whom = self.other_end(process, &input);
        let state = &mut self.processes[process];
        let Some(machine) = &mut state.machine else { return };
        if state.is_frozen {
            return state.backlog.push(input);
        }
        let is_tick = matches!(input, Input::Tick);
        let is_about_one =
            matches!(input, Input::Received { message: Message::Heartbeat(_) | Message::Facts { .. }, .. });
        let member = whom.and_then(|node| machine.member(node));
        match &input {
            Input::Tick => state.last_tick = now,
            Input::LinkUp { link, .. } => {
                state.open.insert(link.0);
            }
            Input::LinkDown { link, .. } => {
                state.open.remove(&link.0);
                member.into_iter().for_each(|member| state.watch.broken(member.node));
            }
            Input::Received { message: Message::Refuse(_), .. } => {
                member.into_iter().for_each(|member| state.watch.broken(member.node));
            }
            Input::Received { link, .. } => {
                let member = member.filter(|member| member.link == Some(*link));
                member.into_iter().for_each(|member| state.watch.heard(now, member));
            }
            Input::Revoked(fingerprint) => {
                state.watch.revoked.insert(*fingerprint);
            }
            _ => {}
        }
        machine.handle(now, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| machine.poll()).collect();
        let wake = machine.next_wake().map(|wake| wake.0.as_nanos().div_ceil(1000) as u64);
        assert!(!is_tick || wake.is_none_or(|wake| wake > self.time), "a tick leaves something due");
        let wake = wake.map(|wake| wake.max(self.time));
        if state.wake != wake {
            state.wake = wake;
            wake.into_iter().for_each(|wake| self.later(wake, Happening::Wake { process }));
        }
        outputs.into_iter().for_each(|output| self.obey(process, output));
        self.examine(process, whom.filter(|_| is_about_one));
    }

    /// Who is at the other end of the link that an input is about.
    fn other_end(&self, process: usize, input: &Input) -> Option<NodeId> {
        let (Input::Received { link, .. } | Input::LinkDown { link, .. }) = input else { return None };
        let Some(wire) = self.network.wire(link.0) else {
            // Both ends were closed while the process was frozen; it does not know yet.
            let mut members = self.processes[process].machine.as_ref()?.members();
            return members.find(|member| member.link == Some(*link)).map(|member| member.node);
        };
        let side = usize::from(wire.ends[0].process == process);
        Some(self.processes[wire.ends[side].process].identity.node)
    }

    fn obey(&mut self, process: usize, output: Output) {
        match output {
            Output::Send { link, message } => self.send(process, link.0, message),
            Output::Dial { attempt, address, .. } => self.dial(process, attempt, &address),
            Output::CloseLink { link, .. } => {
                self.processes[process].open.remove(&link.0);
                if let Some(side) = self.side_of(process, link.0) {
                    self.close(link.0, side, LinkEnd::Ended);
                }
            }
            Output::Event(event) => {
                let now = self.now();
                // There are too many of these to be of help.
                if !matches!(event, MemberEvent::FactsChanged { .. }) {
                    let identity = &self.processes[process].identity;
                    let line = format!("{} ({}): {event:?}", identity.node.0, identity.generation);
                    self.log(line);
                }
                self.processes[process].watch.event(now, &event);
                self.note_parting(process, &event);
            }
        }
    }

    fn note_parting(&mut self, process: usize, event: &MemberEvent) {
        let me = self.processes[process].start();
        if let MemberEvent::Dead { node, generation, .. } | MemberEvent::GaveUp { node, generation } = event {
            self.given_up.remove(&((*node, *generation), me));
        }
        if let MemberEvent::Dead { node, generation, .. } = event {
            self.given_up.insert((me, (*node, *generation)));
        }
    }

    /// INV-M15: whoever has a heartbeat of a node that gave it up knows that.
    fn check_parting(&self, wire: u64, side: usize) {
        let Some(known) = self.network.wire(wire) else { return };
        let [me, other] = [side, 1 - side].map(|side| &self.processes[known.ends[side].process]);
        let holds = |one: &Process, of: &Process| {
            let member = one.machine.as_ref().and_then(|machine| machine.member(of.identity.node));
            member.is_some_and(|member| member.link == Some(LinkId(wire)))
        };
        let is_unknown = self.given_up.contains(&(other.start(), me.start()));
        let is_heard = !me.is_frozen && holds(me, other) && holds(other, me);
        assert!(!(is_unknown && is_heard), "INV-M15: {:?} does not know that it was given up", me.start());
    }

    fn side_of(&self, process: usize, wire: u64) -> Option<usize> {
        let wire = self.network.wire(wire)?;
        [0, 1].into_iter().find(|side| wire.ends[*side].process == process && !wire.ends[*side].is_closed)
    }

    fn send(&mut self, process: usize, wire: u64, message: Message) {
        let Some(side) = self.side_of(process, wire) else { return };
        let Some(known) = self.network.wire(wire) else { return };
        let other = known.ends[1 - side].process;
        let (from, to) = (self.processes[process].host, self.processes[other].host);
        if self.network.is_cut(from, to) || self.rng.f64() < self.network.loss {
            return;
        }
        let at = self.time + self.network.delay(from, to, &mut self.rng);
        let at = self.network.arrival(wire, 1 - side, at);
        self.later(at, Happening::Delivery { wire, side: 1 - side, message });
    }

    fn dial(&mut self, process: usize, attempt: Attempt, address: &Address) {
        let (from, to) = (self.processes[process].host, host_of(address));
        let there = self.network.delay(from, to, &mut self.rng);
        let back = self.network.delay(to, from, &mut self.rng);
        if self.network.is_apart(from, to) {
            return;
        }
        let Some(other) = self.running[to] else {
            let at = self.time + there + back;
            return self.later(at, Happening::DialFailed { process, attempt, refused: true });
        };
        if self.rng.f64() < self.network.loss {
            let at = self.time + 500_000;
            return self.later(at, Happening::DialFailed { process, attempt, refused: false });
        }
        let wire = self.network.connect(process, other, attempt.0);
        let crossed = self.time + there + back;
        for (side, more) in [(0, back), (1, there)] {
            let at = self.network.arrival(wire, side, crossed + self.rng.u64(0..=more));
            self.later(at, Happening::LinkUp { wire, side });
        }
    }
}

/// Whoever sees a round fail needs its seed and what came last.
impl Drop for World {
    #[allow(clippy::print_stderr, reason = "a failure prints its seed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.log.iter().for_each(|line| eprintln!("{line}"));
            eprintln!("again with: SIM_SEED={} SIM_ROUNDS=1", self.seed);
        }
    }
}
