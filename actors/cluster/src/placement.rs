//! Where a model's next sequence should live.
//!
//! Of the places that can serve it at once, two are looked at and the one with the shorter expected time, round
//! trip and speed included, is taken: the power of two choices (Mitzenmacher 2001) keeps load even although each node knows
//! the others' queues only as they were a moment ago. A question whose beginning some place has likely read
//! already goes back there, unless that has become clearly busier.

use std::{hash::Hasher as _, time::Duration};

/// How long a sequence holds its place at the fastest of the places.
const USUAL_HOLD: Duration = Duration::from_secs(2);

/// Places count as equally fast while one takes less than so many times as long for a token as the fastest: what an
/// engine measures of itself when it starts is not more exact.
const AS_FAST: f64 = 1.5;

/// How much longer than elsewhere a question may wait where its beginning has been read: what reading it again
/// costs is not known here, and it is seldom less.
const AFFINITY_WORTH: Duration = Duration::from_millis(100);

/// How ready a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readiness {
    /// Serving.
    Ready,
    /// Being loaded.
    Coming,
    /// Its file is there.
    OnDisk,
    /// Its file can be fetched.
    Absent,
}

/// A place that could serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The node; 0 is this process.
    pub node: u64,
    /// How ready it is.
    pub readiness: Readiness,
    /// Sequences that it serves at once.
    pub places: u32,
    /// Sequences there, requests that wait, and what was sent there since that was known.
    pub load: u32,
    /// Time of a pass over one row there; zero where it is not known.
    pub step: Duration,
    /// Round trip; zero for this process.
    pub round_trip: Duration,
    /// Bytes of memory that models may still take there.
    pub free_bytes: u64,
    /// Bytes of the model's file.
    pub bytes: u64,
}

impl Candidate {
    /// Expected time until a sequence has been served, as far as it differs between places: each sequence beside it slows
    /// it down, and where others hold all places it waits for one to end.
    fn cost(&self, fastest: Duration) -> Duration {
        let share = f64::from(self.load) / f64::from(self.places.max(1));
        let waits = if self.has_room() { 0.0 } else { 1.0 };
        USUAL_HOLD.mul_f64(self.slowness(fastest) * (1.0 + share + waits)) + self.round_trip
    }

    /// How many times as long as at the fastest place a token takes; 1 for those that are about as fast.
    fn slowness(&self, fastest: Duration) -> f64 {
        if self.step.is_zero() || fastest.is_zero() {
            return 1.0;
        }
        let times = self.step.as_secs_f64() / fastest.as_secs_f64();
        if times < AS_FAST { 1.0 } else { times }
    }

    fn has_room(&self) -> bool {
        self.load < self.places
    }
}

/// Chooses one, by its index; `None` if there is none. `affinity` tells questions with the same beginning;
/// `draw` is a random number.
pub fn choose(candidates: &[Candidate], affinity: Option<u64>, draw: u64) -> Option<usize> {
    let best = candidates.iter().map(|candidate| candidate.readiness).min()?;
    let able: Vec<usize> =
        (0..candidates.len()).filter(|&index| candidates[index].readiness == best).collect();
    if best != Readiness::Ready {
        return to_load(candidates, &able);
    }
    let known = able.iter().map(|&index| candidates[index].step).filter(|step| !step.is_zero());
    let fastest = known.min().unwrap_or_default();
    let cost = |index: usize| candidates[index].cost(fastest);
    let [first, second] = two_of(&able, draw)?;
    let lighter = if cost(second) < cost(first) { second } else { first };
    let home = affinity
        .and_then(|key| able.iter().copied().max_by_key(|&index| weight(key, candidates[index].node)));
    match home {
        Some(home) if candidates[home].has_room() && cost(home) <= cost(lighter) + AFFINITY_WORTH => {
            Some(home)
        }
        _ => Some(lighter),
    }
}

/// Where the model should be loaded besides, if the place that was chosen has no room for one more sequence: the node
/// with the most memory to spare that has the file, and has twice its size free, for the weights and for keys and values.
pub fn replica(candidates: &[Candidate], chosen: usize) -> Option<usize> {
    let chosen = candidates.get(chosen)?;
    if chosen.readiness != Readiness::Ready || chosen.has_room() {
        return None;
    }
    let has_room = |candidate: &Candidate| {
        candidate.readiness == Readiness::OnDisk && candidate.free_bytes / 2 >= candidate.bytes
    };
    (0..candidates.len()).filter(|&at| has_room(&candidates[at])).max_by_key(|&at| candidates[at].free_bytes)
}

/// Of places that have to load it first: this process if it has the memory, else whoever has most to spare.
fn to_load(candidates: &[Candidate], able: &[usize]) -> Option<usize> {
    able.iter().copied().max_by_key(|&index| {
        let Candidate { node, free_bytes, bytes, round_trip, .. } = &candidates[index];
        let is_roomy = free_bytes >= bytes;
        (is_roomy && *node == 0, *free_bytes, std::cmp::Reverse(*round_trip))
    })
}

/// Two different ones, or the only one twice.
fn two_of(able: &[usize], draw: u64) -> Option<[usize; 2]> {
    let count = able.len() as u64;
    let first = draw.checked_rem(count)?;
    let step = if count > 1 { 1 + (draw / count) % (count - 1) } else { 0 };
    Some([able[first as usize], able[((first + step) % count) as usize]])
}

/// Rendezvous hashing (Thaler and Ravishankar 1998): when a node comes or goes, only its own questions move.
fn weight(key: u64, node: u64) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write_u64(key);
    hasher.write_u64(node);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(node: u64, load: u32, round_trip_us: u64) -> Candidate {
        Candidate {
            node,
            readiness: Readiness::Ready,
            places: 8,
            load,
            step: Duration::from_millis(20),
            round_trip: Duration::from_micros(round_trip_us),
            free_bytes: 1 << 30,
            bytes: 1 << 20,
        }
    }

    #[test]
    fn the_lighter_of_two_is_taken_and_nearness_decides_a_tie() {
        for draw in 0..100 {
            assert_eq!(choose(&[ready(0, 5, 0), ready(1, 2, 300)], None, draw), Some(1));
            assert_eq!(choose(&[ready(0, 3, 0), ready(1, 3, 300)], None, draw), Some(0));
        }
        assert_eq!(choose(&[], None, 7), None);
        assert_eq!(choose(&[ready(9, 80, 1)], None, 7), Some(0), "the only one, however busy");
    }

    #[test]
    fn ready_places_come_first_then_those_with_the_file() {
        let not_ready =
            |readiness, node, free_bytes| Candidate { readiness, free_bytes, ..ready(node, 0, 0) };
        let on_disk = [not_ready(Readiness::OnDisk, 0, 1 << 30), ready(1, 7, 900)];
        assert_eq!(choose(&on_disk, None, 3), Some(1));
        let files = [not_ready(Readiness::Absent, 0, 1 << 40), not_ready(Readiness::OnDisk, 1, 1 << 30)];
        assert_eq!(choose(&files, None, 3), Some(1));
        let both = [not_ready(Readiness::OnDisk, 5, 1 << 40), not_ready(Readiness::OnDisk, 0, 1 << 30)];
        assert_eq!(choose(&both, None, 3), Some(1), "this process, where it has room");
        for too_little in [0, (1 << 20) - 1] {
            let full =
                [not_ready(Readiness::OnDisk, 5, 1 << 40), not_ready(Readiness::OnDisk, 0, too_little)];
            assert_eq!(choose(&full, None, 3), Some(0), "{too_little}");
        }
    }

    #[test]
    fn a_model_whose_places_are_taken_is_loaded_once_more_where_there_is_room() {
        let on_disk =
            |node, free_bytes| Candidate { readiness: Readiness::OnDisk, free_bytes, ..ready(node, 0, 200) };
        let full = ready(1, 8, 200);
        assert_eq!(replica(&[full.clone(), on_disk(2, 1 << 30), on_disk(3, 1 << 31)], 0), Some(2));
        assert_eq!(replica(&[ready(1, 7, 200), on_disk(2, 1 << 30)], 0), None, "one place is free");
        assert_eq!(replica(&[full.clone(), on_disk(2, 1 << 20)], 0), None, "too little memory");
        assert_eq!(replica(&[full, ready(2, 8, 200)], 0), None, "nobody else has the file");
        assert_eq!(replica(&[on_disk(1, 1 << 30)], 0), None, "it is being loaded anyway");
    }

    #[test]
    fn a_slow_machine_is_taken_where_it_is_the_sooner_all_the_same() {
        let step = |ms, place| Candidate { step: Duration::from_millis(ms), ..place };
        for (slow, load, taken) in
            [(29, 1, 1), (100, 1, 0), (100, 7, 0), (40, 7, 0), (40, 8, 1), (100, 40, 1), (0, 1, 1)]
        {
            let places = [step(20, ready(1, load, 200)), step(slow, ready(2, 0, 200))];
            let seen = (0..20).map(|draw| choose(&places, None, draw)).all(|chosen| chosen == Some(taken));
            assert!(seen, "{slow} ms a step against 20, while {load} of 8 places are taken there");
        }
    }

    #[test]
    fn a_beginning_goes_back_to_where_it_was_read_unless_that_is_busy() {
        let all = |loads: [u32; 4]| -> Vec<Candidate> {
            (1..).zip(loads).map(|(node, load)| ready(node, load, 200)).collect()
        };
        let home = choose(&all([0; 4]), Some(42), 0).unwrap();
        assert!((0..50).all(|draw| choose(&all([0; 4]), Some(42), draw) == Some(home)));
        let mut loads = [0; 4];
        loads[home] = 8;
        assert!((0..50).all(|draw| choose(&all(loads), Some(42), draw) != Some(home)));
        let mut last_place = [7; 4];
        last_place[home] = 8;
        assert!(
            (0..50).all(|draw| choose(&all(last_place), Some(42), draw) != Some(home)),
            "nobody queues where another has room, however alike their loads"
        );
        let mut full = [8; 4];
        full[home] = 9;
        assert!(
            (0..50).all(|draw| choose(&all(full), Some(42), draw) != Some(home)),
            "nor behind more than elsewhere"
        );
        // Without the home the other keys stay where they were.
        let keys: Vec<u64> =
            (0..200).filter(|&key| choose(&all([0; 4]), Some(key), 0) != Some(home)).collect();
        let mut fewer = all([0; 4]);
        let gone = fewer.remove(home);
        for key in keys {
            let before = all([0; 4])[choose(&all([0; 4]), Some(key), 0).unwrap()].node;
            assert_ne!(before, gone.node);
            assert_eq!(fewer[choose(&fewer, Some(key), 0).unwrap()].node, before);
        }
    }

    /// With queues known exactly, two choices leave the longest queue far below that of random placement.
    #[test]
    fn load_stays_even() {
        let mut candidates: Vec<Candidate> = (1..=16).map(|node| ready(node, 0, 200)).collect();
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..1_600 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let chosen = choose(&candidates, None, random >> 20).unwrap();
            candidates[chosen].load += 1;
        }
        let longest = candidates.iter().map(|candidate| candidate.load).max().unwrap();
        assert!(longest <= 104, "{longest} of 100 on average");
    }
}
