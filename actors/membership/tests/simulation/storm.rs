//! What a storm does to the world, and what must hold in it and after it.

use std::collections::BTreeSet;

use understudy_membership::{ClusterId, Identity, Input, Status};

use super::process::{facts, identity};
use super::world::World;

const NODES: usize = 32;
/// Hosts for copies of nodes.
const SPARE: usize = 4;
const MOST_REVOKED: usize = 3;
/// Nodes that get a namesake with another key.
const MOST_DISPUTED: usize = 3;
const MOST_CUTS: usize = 120;
/// Processes that are left alone at least.
const FEWEST_RUNNING: usize = 20;
/// How many pairs stay cut apart when the storm is over.
const STILL_APART: usize = 12;

pub struct Storm {
    world: World,
    generation: u64,
    /// Nodes of which there was a second one with another key: not everybody can know them.
    disputed: BTreeSet<u64>,
    /// Hosts of nodes of which there was a copy, key and all.
    copied: BTreeSet<usize>,
}

impl Storm {
    pub fn new(seed: u64) -> Self {
        let world = World::new(seed, NODES + SPARE);
        let mut storm = Self { world, generation: 0, disputed: BTreeSet::new(), copied: BTreeSet::new() };
        for host in 0..NODES {
            storm.start(host);
        }
        storm
    }

    fn pick(&mut self, bound: usize) -> usize {
        self.world.rng.usize(0..bound)
    }

    fn log(&mut self, line: String) {
        self.world.log(line);
    }

    fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Ids are spread, so that neither end of a pair is always the smaller one.
    fn node_on(host: usize) -> u64 {
        (host as u64 * 37 + 11) % 101
    }

    fn start(&mut self, host: usize) {
        let identity = identity(host, Self::node_on(host), 1, self.next_generation());
        self.launch(host, identity);
    }

    fn launch(&mut self, host: usize, identity: Identity) {
        if self.world.running[host].is_some() || self.world.revoked.contains(&identity.fingerprint) {
            return;
        }
        self.log(format!("start of {} ({}) on host {host}", identity.node.0, identity.generation));
        let seeds = [self.pick(3), self.pick(NODES), self.pick(NODES)];
        self.world.start(host, identity, &seeds);
    }

    fn running(&self) -> Vec<usize> {
        (0..NODES).filter(|host| self.world.running[*host].is_some()).collect()
    }

    /// One random event, after up to 6 ms.
    pub fn next_event(&mut self) {
        let pause = self.world.rng.u64(0..6_000);
        self.world.run(pause);
        let (host, other) = (self.pick(NODES), self.pick(NODES));
        let spare = NODES + self.pick(SPARE);
        let process = self.world.running[host];
        match self.pick(1000) {
            0..120 => self.set_facts(host),
            250..310 => self.cut(host, other),
            310..365 => self.heal(),
            365..375 if self.running().len() > FEWEST_RUNNING => {
                self.log(format!("kill on host {host}"));
                self.world.kill(host);
            }
            375..400 => self.start(host),
            400..445 if self.world.running[host].is_some() => {
                self.log(format!("freeze of host {host}"));
                self.world.processes[process.expect("it runs")].is_frozen = true;
            }
            445..480 => self.thaw(),
            480..520 => {
                let World { network, rng, .. } = &mut self.world;
                network.change_delay(host, other, rng);
            }
            520..530 => self.world.network.loss = f64::from(self.world.rng.u8(0..10)) / 100.0,
            530..580 => self.break_wire(),
            580..600 => {
                let input = Input::AddPeer(super::world::address(other));
                process.into_iter().for_each(|process| self.world.give(process, input.clone()));
            }
            600..603 if self.running().len() > FEWEST_RUNNING => self.leave(host),
            603..604 if self.world.revoked.len() < MOST_REVOKED => {
                let revoked = identity(host, Self::node_on(host), 1, 0).fingerprint;
                self.log(format!("revocation of host {host}"));
                self.world.revoke(revoked);
            }
            604..607 => {
                self.copied.insert(host);
                let copy = identity(spare, Self::node_on(host), 1, self.next_generation());
                self.launch(spare, copy);
            }
            607..609 if self.disputed.len() < MOST_DISPUTED => {
                self.disputed.insert(Self::node_on(host));
                let other_key = identity(spare, Self::node_on(host), 2, self.next_generation());
                self.launch(spare, other_key);
            }
            609..612 => self.stranger(spare),
            612..620 => self.world.kill(spare),
            _ => {}
        }
    }

    /// Someone who may not be a member: of another cluster, or too many versions ahead.
    fn stranger(&mut self, spare: usize) {
        let one = identity(spare, 500 + spare as u64, 1, self.next_generation());
        let stranger = if self.world.rng.bool() {
            Identity { cluster: ClusterId([2; 16]), ..one }
        } else {
            Identity { protocol: 8..=9, ..one }
        };
        self.launch(spare, stranger);
    }

    fn set_facts(&mut self, host: usize) {
        let Some(process) = self.world.running[host] else { return };
        let state = &mut self.world.processes[process];
        if state.is_frozen {
            return;
        }
        state.facts += 1;
        let facts = facts(&state.identity, state.facts);
        self.world.give(process, Input::SetFacts(facts));
    }

    fn cut(&mut self, from: usize, to: usize) {
        if from == to || self.world.network.cuts().len() >= MOST_CUTS {
            return;
        }
        let both = self.world.rng.bool();
        self.log(format!("cut from host {from} to {to}, both ways: {both}"));
        self.world.network.set_cut(from, to, true);
        if both {
            self.world.network.set_cut(to, from, true);
        }
    }

    fn heal(&mut self) {
        let cuts = self.world.network.cuts();
        if let Some((from, to)) = self.world.rng.choice(cuts) {
            self.log(format!("healing from host {from} to {to}"));
            self.world.network.set_cut(from, to, false);
        }
    }

    fn thaw(&mut self) {
        let is_frozen = |host: &usize| {
            self.world.running[*host].is_some_and(|process| self.world.processes[process].is_frozen)
        };
        let frozen: Vec<usize> = (0..NODES).filter(is_frozen).collect();
        if let Some(host) = self.world.rng.choice(frozen) {
            self.log(format!("thaw of host {host}"));
            self.world.thaw(host);
        }
    }

    fn break_wire(&mut self) {
        let wires: Vec<u64> = self.world.network.wires().map(|(wire, _)| wire).collect();
        if let Some(wire) = self.world.rng.choice(wires) {
            self.log(format!("break of wire {wire}"));
            self.world.break_wire(wire);
        }
    }

    fn leave(&mut self, host: usize) {
        let Some(process) = self.world.running[host] else { return };
        self.log(format!("leave of host {host}"));
        self.world.give(process, Input::Leave);
        self.world.kill(host);
    }

    /// The storm ends: copies vanish, what was frozen or copied goes on, all but a few cuts heal.
    pub fn calm_down(&mut self) {
        self.log("the storm ends".into());
        self.world.network.loss = 0.0;
        for (from, to) in self.world.network.cuts() {
            self.world.network.set_cut(from, to, false);
        }
        for host in NODES..NODES + SPARE {
            self.world.kill(host);
        }
        for host in 0..NODES {
            self.world.thaw(host);
        }
        // A node whose copy started later is over until it starts anew.
        for host in std::mem::take(&mut self.copied) {
            self.world.kill(host);
            self.start(host);
        }
        for host in 0..NODES {
            if self.world.rng.bool() {
                self.start(host);
            }
        }
        for _ in 0..STILL_APART {
            let (one, other) = (self.pick(NODES), self.pick(NODES));
            if one != other {
                self.world.network.set_cut(one, other, true);
                self.world.network.set_cut(other, one, self.world.rng.bool());
            }
        }
        self.give_common_seeds();
        for _ in 0..45 {
            self.world.run(300_000);
        }
    }

    /// Someone whose seeds are all gone, and whom nobody knows, cannot be found.
    fn give_common_seeds(&mut self) {
        let running: Vec<usize> = self.running().into_iter().filter(|host| !self.is_out(*host)).collect();
        for host in &running {
            for seed in running.iter().take(5) {
                let process = self.world.running[*host].into_iter();
                let input = Input::AddPeer(super::world::address(*seed));
                process.for_each(|process| self.world.give(process, input.clone()));
            }
        }
    }

    /// After the storm: all that can talk see each other alive over one link, and nobody else.
    pub fn check_agreement(&self) {
        let mut alive = 0;
        let running: Vec<usize> = self.running().into_iter().filter(|host| !self.is_out(*host)).collect();
        for one in &running {
            let is_open = |other: &usize| self.disputed.contains(&Self::node_on(*other));
            for other in (0..NODES).filter(|other| other != one && !is_open(other)) {
                let seen = self.seen(*one, other);
                let can_talk = running.contains(&other) && !self.world.network.is_apart(*one, other);
                if !can_talk {
                    assert_ne!(seen.map(|seen| seen.0), Some(Status::Alive), "{one} sees {other} alive");
                } else {
                    assert!(matches!(seen, Some((Status::Alive, _))), "{one} sees {other} as {seen:?}");
                    let back = self.seen(other, *one).and_then(|seen| seen.1);
                    assert_eq!(seen.and_then(|seen| seen.1), back, "INV-M9: {one} and {other}, one link");
                    alive += 1;
                }
            }
        }
        assert!(alive > 300, "only {alive} pairs are left to look at");
    }

    fn seen(&self, by: usize, host: usize) -> Option<(Status, Option<u64>)> {
        let machine = self.world.processes[self.world.running[by]?].machine.as_ref()?;
        let member = machine.members().find(|member| member.node.0 == Self::node_on(host))?;
        Some((member.status.clone(), member.link.map(|link| link.0)))
    }

    /// Whether a host's node was revoked, or is not known by everyone for having had a namesake.
    fn is_out(&self, host: usize) -> bool {
        let fingerprint = identity(host, Self::node_on(host), 1, 0).fingerprint;
        self.world.revoked.contains(&fingerprint) || self.disputed.contains(&Self::node_on(host))
    }
}
