//! The wires of the simulated world: delays, loss, cuts, and ends that close by themselves.

use fastrand::Rng;

/// One end of a wire.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The process that holds it.
    pub process: usize,
    pub is_closed: bool,
    /// Nothing arrives before what was sent earlier, in microseconds.
    pub last_arrival: u64,
}

/// A connection. `ends[0]` dialled. Its number is the link id at both ends.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    pub ends: [End; 2],
    pub attempt: u64,
}

/// Who reaches whom, how fast and how surely.
pub struct Network {
    /// By their numbers; `None` once both ends are closed.
    wires: Vec<Option<Wire>>,
    cut: Vec<Vec<bool>>,
    delay: Vec<Vec<u64>>,
    /// The share of messages that is lost.
    pub loss: f64,
}

impl Network {
    pub fn new(hosts: usize, rng: &mut Rng) -> Self {
        let delay = (0..hosts).map(|_| (0..hosts).map(|_| delay(rng)).collect()).collect();
        let cut = vec![vec![false; hosts]; hosts];
        Self { wires: Vec::new(), cut, delay, loss: 0.02 }
    }

    /// A new wire, and its number.
    pub fn connect(&mut self, dialler: usize, acceptor: usize, attempt: u64) -> u64 {
        let end = |process| End { process, is_closed: false, last_arrival: 0 };
        self.wires.push(Some(Wire { ends: [end(dialler), end(acceptor)], attempt }));
        self.wires.len() as u64 - 1
    }

    pub fn wire(&self, wire: u64) -> Option<&Wire> {
        self.wires[wire as usize].as_ref()
    }

    pub fn wire_mut(&mut self, wire: u64) -> Option<&mut Wire> {
        self.wires[wire as usize].as_mut()
    }

    pub fn remove(&mut self, wire: u64) {
        self.wires[wire as usize] = None;
    }

    pub fn wires(&self) -> impl Iterator<Item = (u64, &Wire)> {
        self.wires.iter().enumerate().filter_map(|(number, wire)| Some((number as u64, wire.as_ref()?)))
    }

    pub fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        self.cut[from][to] = cut;
    }

    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from][to]
    }

    /// Whether a conversation between the two is impossible.
    pub fn is_apart(&self, one: usize, other: usize) -> bool {
        self.cut[one][other] || self.cut[other][one]
    }

    pub fn cuts(&self) -> Vec<(usize, usize)> {
        let hosts = self.cut.len();
        let pairs = (0..hosts).flat_map(|from| (0..hosts).map(move |to| (from, to)));
        pairs.filter(|(from, to)| self.cut[*from][*to]).collect()
    }

    pub fn change_delay(&mut self, from: usize, to: usize, rng: &mut Rng) {
        self.delay[from][to] = delay(rng);
    }

    /// The time of one message, in microseconds: around that of the path.
    pub fn delay(&self, from: usize, to: usize, rng: &mut Rng) -> u64 {
        let path = self.delay[from][to];
        rng.u64(path / 2..=path)
    }

    /// When a message that is sent now to an end arrives there.
    pub fn arrival(&mut self, wire: u64, side: usize, earliest: u64) -> u64 {
        let Some(wire) = self.wire_mut(wire) else { return earliest };
        let end = &mut wire.ends[side];
        end.last_arrival = end.last_arrival.max(earliest);
        end.last_arrival
    }
}

/// From 1 to 200 ms, mostly short.
fn delay(rng: &mut Rng) -> u64 {
    if rng.u8(0..4) == 0 { rng.u64(1_000..200_000) } else { rng.u64(1_000..20_000) }
}
